# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of known devices, held against libvirt's schema (tests/unit/schema_facts.py extracts it)."""

from __future__ import annotations

import re

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain import known_devices
from ansible_collections.lockstep.colo.plugins.module_utils.domain.known_devices import REFUSED, RUN, UNTRIED, row_of
from ansible_collections.lockstep.colo.plugins.module_utils.domain.unsupported import unsupported_in, untried_in
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.domain_strategies import FIXTURES, QEMU

SCHEMA = dict(
    line.partition("=")[::2] for line in (FIXTURES.parent / "libvirt-facts.txt").read_text(encoding="utf-8").split()
)
FACTS = [f"{name}={value}" if value else name for name, values in SCHEMA.items() for value in values.split("|")]
# What tells devices of one kind apart: a value that is not in the table is another device.
KIND = re.compile(
    r"(controller|disk|graphics|hub|input|interface|iommu|memballoon|memory|panic|pstore|rng|sound|watchdog|serial"
    r"|parallel|console|channel)@(type|model|bus|device|backend)|domain@type|os/type@arch|disk/target@bus"
    r"|(interface|video)/model@type|rng/backend@model|(serial|console|channel)/target@type|features/hyperv@mode"
)
NEWER = {"iommu@model=amd"}  # than the schemas of libvirt 9.0 and 11.3


def test_nothing_that_libvirt_knows_is_unknown() -> None:
    assert len(FACTS) > 3000
    assert [fact for fact in FACTS if row_of(fact) is None] == []


def test_what_is_not_run_has_a_reason() -> None:
    assert [row.keys for row in known_devices.ROWS if row.verdict != RUN and not row.reason] == []


def test_a_device_that_nobody_has_heard_of_is_not_known_to_work() -> None:
    kinds = {name for name in SCHEMA if KIND.fullmatch(name)}
    assert len(kinds) > 30
    rows = {name: row_of(f"{name}=unheard-of") for name in kinds}
    assert [name for name, row in rows.items() if row is not None and row.works] == []


# What has libvirt, which is root, change the host's network, run a program, or connect to another host.
REACHES_OUT = re.compile(
    r".*/(ip|route|script|downscript|host|auth|cookies|identity|initiator|ssl|virtualport|backenddomain)"
)
# What QEMU's tap leaves to the host; and of a medium, which colo_devices_unproven has to name (domain/foreign.py).
BUT = re.compile(r"interface/driver/host|disk/(source/)?(auth|cookies|host|identity|initiator|ssl)")


def test_nothing_works_that_reaches_out_of_the_guest() -> None:
    found = {name for name in SCHEMA if REACHES_OUT.fullmatch(name) and not BUT.fullmatch(name)}
    assert len(found) > 15
    assert [name for name in found if row_of(name).works] == []


def test_the_table_speaks_of_what_libvirt_has() -> None:
    """A row that is misspelt decides nothing."""
    for key in (key for row in known_devices.ROWS for key in row.keys.split() if not key.startswith("**/")):
        name, _equals, values = key.removesuffix("/**").partition("=")
        assert name in SCHEMA, key
        for value in values.split("|"):
            assert not SCHEMA[name] or not value or value in SCHEMA[name].split("|") or f"{name}={value}" in NEWER, key


def domain(devices: str = "", more: str = "", **attributes: str) -> str:
    words = "".join(f" {key}='{value}'" for key, value in attributes.items())
    return f"<domain{words} xmlns:qemu='{QEMU}'>{more}<devices>{devices}</devices></domain>"


IMPOSSIBLE = {
    "memory model=virtio-mem: ": domain("<memory model='virtio-mem'/>"),
    "channel type=qemu-vdagent: ": domain("<channel type='qemu-vdagent'/>"),
    "serial type=pty with target type=usb-serial: ": domain("<serial type='pty'><target type='usb-serial'/></serial>"),
    "sound model=usb: ": domain("<sound model='usb'/>"),
    "sound model=virtio: ": domain("<sound model='virtio'/>"),
    "interface a with model type=usb-net: ": domain(
        "<interface type='bridge'><mac address='a'/><model type='usb-net'/></interface>"
    ),
    "interface a with teaming: ": domain(
        "<interface type='bridge'><mac address='a'/><teaming type='persistent'/></interface>"
    ),
    "interface a with script: ": domain("<interface type='bridge'><mac address='a'/><script path='/s'/></interface>"),
    "interface a with ip: ": domain(
        "<interface type='bridge'><mac address='a'/><source bridge='b'><ip address='10.0.0.9'/></source></interface>"
    ),
    "interface a of type ethernet: ": domain("<interface type='ethernet'><mac address='a'/></interface>"),
    "interface a with backend type=passt: ": domain(
        "<interface type='bridge'><mac address='a'/><backend type='passt'/></interface>"
    ),
    "host: ": domain(more="<os><nvram><source><host/></source></nvram></os>"),
    "iommu model=amd: ": domain("<iommu model='amd'/>"),
    "video with model type=qxl: ": domain("<video><model type='qxl' ram='1'/></video>"),
    "lease: ": domain("<lease><lockspace>l</lockspace><key>k</key><target path='/l'/></lease>"),
    "input type=evdev: ": domain("<input type='evdev'><source dev='/dev/input/event0'/></input>"),
    "xen: ": domain(more="<features><xen><e820_host state='on'/></xen></features>"),
    "type arch=aarch64: ": domain(more="<os><type arch='aarch64'>hvm</type></os>"),
    "type arch=s390x: ": domain(more="<os><type arch='s390x'>hvm</type></os>"),
    "domain type=lxc: ": domain(type="lxc"),
    "dtb: ": domain(more="<os><dtb>/d</dtb></os>"),
    "hyperv reenlightenment: ": domain(more="<features><hyperv><reenlightenment state='on'/></hyperv></features>"),
    "disk sdx on the bus usb: ": domain("<disk><target dev='sdx' bus='usb'/></disk>"),
    "disk sda on the bus sd: ": domain("<disk><target dev='sda' bus='sd'/></disk>"),
    "qemu:commandline -drive file=/d: ": domain(
        more="<qemu:commandline><qemu:arg value='-drive'/><qemu:arg value='file=/d'/></qemu:commandline>"
    ),
    "qemu:commandline -snapshot: ": domain(
        more="<qemu:commandline><qemu:arg value='--snapshot'/><qemu:arg value='-S'/></qemu:commandline>"
    ),
    "qemu:commandline /stray.img: ": domain(more="<qemu:commandline><qemu:arg value='/stray.img'/></qemu:commandline>"),
    "qemu:commandline -incoming tcp:0:4444: ": domain(
        more="<qemu:commandline><qemu:arg value='-incoming'/><qemu:arg value='tcp:0:4444'/></qemu:commandline>"
    ),
}
UNKNOWN = {
    "memory@model=dimm": domain("<memory model='dimm'><target><size>1</size></target></memory>"),
    "iommu": domain("<iommu model='intel'><driver intremap='on'/></iommu>"),
    "pstore": domain("<pstore backend='acpi-erst'><path>/p</path></pstore>"),
    "rng/backend@model=egd": domain("<rng model='virtio'><backend model='egd' type='tcp'/></rng>"),
    "disk/throttlefilters": domain("<disk><target dev='vda'/><throttlefilters/></disk>"),
    "graphics@type=egl-headless": domain("<graphics type='egl-headless'/>"),
    "graphics@type=dbus": domain("<graphics type='dbus'/>"),
    "graphics/gl@enable=yes": domain("<graphics type='spice'><gl enable='yes' rendernode='/r'/></graphics>"),
    "video/model@blob=on": domain("<video><model type='virtio' blob='on'/></video>"),
    "memballoon@freePageReporting=on": domain("<memballoon model='virtio' freePageReporting='on'/>"),
    "memoryBacking/access@mode=shared": domain(more="<memoryBacking><access mode='shared'/></memoryBacking>"),
    "memoryBacking/locked": domain(more="<memoryBacking><locked/></memoryBacking>"),
    "os/type@machine=virt-9": domain(more="<os><type arch='x86_64' machine='virt-9'>hvm</type></os>"),
    "os/type@machine=microvm": domain(more="<os><type arch='x86_64' machine='microvm'>hvm</type></os>"),
    "os/varstore": domain(more="<os><varstore path='/v.json'/></os>"),
    "interface/model@type=rocker": domain("<interface type='bridge'><model type='rocker'/></interface>"),
    "sound@model=theremin": domain("<sound model='theremin'/>"),
    "teleporter": domain("<teleporter speed='9'><gate open='yes'/></teleporter>"),
    "memballoon@mood": domain("<memballoon model='virtio' mood='good'/>"),
    "domain/horoscope": domain(more="<horoscope>fair</horoscope>"),
    "qemu:commandline -device": domain(
        more="<qemu:commandline><qemu:arg value='-device'/><qemu:arg value='edu'/></qemu:commandline>"
    ),
    "qemu:override ua-d discard_granularity": domain(
        more="<qemu:override><qemu:device alias='ua-d'><qemu:frontend>"
        "<qemu:property name='discard_granularity' type='unsigned' value='0'/>"
        "</qemu:frontend></qemu:device></qemu:override>"
    ),
}
KNOWN = {
    "a microphone": domain("<sound model='ich9'><codec type='micro'/></sound>"),
    "pvpanic": domain("<panic model='pvpanic'/><panic model='isa'><address type='isa' iobase='0x505'/></panic>"),
    "iotune": domain("<disk><target dev='vda'/><iotune><total_iops_sec>9</total_iops_sec></iotune></disk>"),
    "a read-only USB disk": domain("<disk device='cdrom'><target dev='sda' bus='usb'/><readonly/></disk>"),
    "memfd": domain(more="<memoryBacking><source type='memfd'/><access mode='private'/></memoryBacking>"),
    "a frequency": domain(
        more="<features><hyperv><reenlightenment state='on'/></hyperv></features>"
        "<clock offset='utc'><timer name='tsc' frequency='9'/></clock>"
    ),
    "a second monitor": domain(
        more="<qemu:commandline><qemu:arg value='-qmp'/><qemu:arg value='unix:/m'/><qemu:arg value='-incoming'/>"
        "<qemu:arg value='defer'/><qemu:env name='A' value='b'/></qemu:commandline>"
    ),
    "a machine": domain(more="<os><type arch='x86_64' machine='pc-i440fx-10.0'>hvm</type></os>"),
}


@pytest.mark.parametrize("beginning", IMPOSSIBLE)
def test_what_is_impossible_is_refused_by_name_with_a_reason(beginning: str) -> None:
    (found,) = unsupported_in(IMPOSSIBLE[beginning])
    assert found.startswith(beginning)
    assert len(found) > len(beginning)


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_nobody_tried_has_one_name_to_try_it_by(name: str) -> None:
    assert list(untried_in(UNKNOWN[name])) == [name]
    assert unsupported_in(UNKNOWN[name]) == []


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_known_is_not_named(name: str) -> None:
    assert unsupported_in(KNOWN[name]) == []
    assert untried_in(KNOWN[name]) == {}


def test_two_devices_of_one_kind_are_both_named() -> None:
    assert len(unsupported_in(domain("<vsock model='virtio'/><tpm model='tpm-tis'/>" * 2))) == 2
    two = "<filesystem><target dir='one'/></filesystem><filesystem><target dir='two'/></filesystem>"
    assert [text.split(":")[0] for text in unsupported_in(domain(two))] == ["filesystem one", "filesystem two"]


def test_a_reason_of_any_length_is_cut_and_of_one_line() -> None:
    (found,) = unsupported_in(
        domain(
            more="<qemu:commandline><qemu:arg value='-drive'/>"
            f"<qemu:arg value='file=/{'x' * 5000}&#10;y'/></qemu:commandline>"
        )
    )
    assert len(found) < 300
    assert "\n" not in found


def test_refusals_say_which_kind_they_are() -> None:
    assert row_of("tpm").verdict == REFUSED
    assert row_of("pstore").verdict == UNTRIED
    assert row_of("teleporter") is None
