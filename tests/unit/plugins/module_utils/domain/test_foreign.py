# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What another host's XML may ask of this one, and what is told of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain.editing import without_vhost
from ansible_collections.lockstep.colo.plugins.module_utils.domain.foreign import foreign_in
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import FIXTURES, recorded

PLAIN = (FIXTURES / "domains" / "minimal.xml").read_text(encoding="utf-8")
DOMAINS = sorted(path for path in (FIXTURES / "domains").glob("*.xml") if "<domain" in path.read_text(encoding="utf-8"))
ODD = {
    "env-only": {"path /x.so"},
    "metadata": {"path /x.so"},
    "seclabel-none": {"seclabel dac none"},
    "seclabel-static": {"seclabel dac static"},
    "unsupported": {"path /tmp/v.sock", "path /dev/tpm0", "path /dev/vhost-vdpa-0", "path /srv"},
}
QEMU = "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>{}</qemu:commandline>"


def with_device(xml: str) -> str:
    return PLAIN.replace("</devices>", f"{xml}</devices>")


def beside(xml: str) -> str:
    return PLAIN.replace("</domain>", f"{xml}</domain>")


@pytest.mark.parametrize("path", DOMAINS, ids=lambda path: path.stem)
def test_an_ordinary_domain_asks_for_nothing(path: Path) -> None:
    assert set(foreign_in(path.read_text(encoding="utf-8"))) == ODD.get(path.stem, set())


@pytest.mark.parametrize("name", ["protected-primary", "protected-secondary", "listening-secondary"])
def test_a_recorded_guest_and_its_standby_ask_for_nothing(name: str) -> None:
    domain = recorded(name).domain
    assert foreign_in(domain.inactive_xml) == foreign_in(domain.live_xml) == {}


def test_what_the_collection_itself_writes_into_a_domain_asks_for_nothing() -> None:
    xml = recorded("unprotected-primary").domain.inactive_xml
    edited = without_vhost(xml)
    assert edited != xml
    assert foreign_in(edited) == {}


def test_what_a_guest_is_told_by_its_firmware_is_its_own() -> None:
    told = "<entry name='opt/a'>/etc/shadow</entry><entry name='opt/b' file='/var/lib/libvirt/images/web1.ign'/>"
    assert foreign_in(beside(f"<sysinfo type='fwcfg'>{told}</sysinfo>")) == {}


@pytest.mark.parametrize(
    ("xml", "name"),
    [
        (PLAIN.replace("<devices>", "<devices><emulator>/tmp/qemu-system-x86_64</emulator>"), "path /tmp/qemu-system"),
        (
            PLAIN.replace("<devices>", "<devices><emulator>/usr/bin/../../tmp/qemu-kvm</emulator>"),
            "path /usr/bin/../../tmp",
        ),
        (PLAIN.replace("<devices>", "<devices><emulator>/usr/bin/python3</emulator>"), "path /usr/bin/python3"),
        (PLAIN.replace("</os>", "<kernel>/etc/shadow</kernel></os>"), "path /etc/shadow"),
        (PLAIN.replace("</os>", "<nvram>/etc/passwd</nvram></os>"), "path /etc/passwd"),
        (
            with_device(
                "<disk type='file' device='cdrom'><source file='/etc/shadow'/><target dev='sdz'/><readonly/></disk>"
            ),
            "path /etc/shadow",
        ),
        (
            with_device(
                "<disk type='file' device='cdrom'><source file='/var/lib/libvirt/images/db.qcow2'/>"
                "<target dev='sdz'/><readonly/></disk>"
            ),
            "path /var/lib/libvirt/images/db.qcow2",
        ),
        (
            beside("<sysinfo type='fwcfg'><entry name='opt/a' file='/etc/shadow'/></sysinfo>"),
            "path /etc/shadow",
        ),
        (PLAIN.replace("</os>", "<shim>/etc/shadow</shim></os>"), "path /etc/shadow"),
        (with_device("<console type='file'><source path='/etc/cron.d/x'/></console>"), "path /etc/cron.d/x"),
        (with_device("<serial type='pty'><log file='/etc/cron.d/x'/></serial>"), "path /etc/cron.d/x"),
        (with_device("<serial type='dev'><source path='/dev/sda'/></serial>"), "path /dev/sda"),
        (with_device("<rng model='virtio'><backend model='random'>/etc/shadow</backend></rng>"), "path /etc/shadow"),
        (with_device("<filesystem><source dir='/'/><target dir='x'/></filesystem>"), "path /"),
        (
            with_device("<interface type='ethernet'><mac address='52:54:00:00:00:99'/><script path='up'/></interface>"),
            "interface script",
        ),
        (beside("<seclabel type='static' model='dac'><label>root:root</label></seclabel>"), "seclabel dac static"),
        (beside("<seclabel type='none'/>"), "seclabel none"),
        (
            beside("<seclabel type='dynamic' model='dac'><baselabel>+0:+0</baselabel></seclabel>"),
            "seclabel dac dynamic",
        ),
        (beside(QEMU.format("<qemu:arg value='-D'/><qemu:arg value='/etc/cron.d/x'/>")), "path /etc/cron.d/x"),
        (beside(QEMU.format("<qemu:arg value='-chardev'/><qemu:arg value='file,id=a,path=/tmp/x'/>")), "path /tmp/x"),
        (beside(QEMU.format("<qemu:env name='LD_PRELOAD' value='/usr/lib/a.so:/tmp/x.so'/>")), "path /tmp/x.so"),
    ],
)
def test_what_is_not_the_guests_own_is_named(xml: str, name: str) -> None:
    assert any(found.startswith(name) for found in foreign_in(xml)), foreign_in(xml)
