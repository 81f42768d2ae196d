# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What another host's XML may ask of this one, and what is told of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain import reading
from ansible_collections.lockstep.colo.plugins.module_utils.domain.editing import without_vhost
from ansible_collections.lockstep.colo.plugins.module_utils.domain.foreign import foreign_in
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import FIXTURES, recorded

PLAIN = (FIXTURES / "domains" / "minimal.xml").read_text(encoding="utf-8")
DOMAINS = sorted(path for path in (FIXTURES / "domains").glob("*.xml") if "<domain" in path.read_text(encoding="utf-8"))
_RECORDED = {"path /var/log/libvirt/qemu/fix-serial.log", "qemu:env XFIX=1"}  # another one's name, and as we made it
ODD = {
    "capabilities": {"qemu:override ua-d p=42"},
    "disks": {"path /dev/sdz"},
    "env-only": {"qemu:env LD_PRELOAD=/x.so"},
    "metadata": {"qemu:commandline -name guest=x,debug-threads=on", "qemu:env LD_PRELOAD=/x.so", "qemu:env A="},
    "rich": _RECORDED,
    "rich.live": _RECORDED,
    "seclabel-none": {"seclabel dac none"},
    "seclabel-static": {"seclabel dac static +64055:+994"},
    "standby.live": _RECORDED,
    "unsupported": {"path /tmp/v.sock", "path /dev/tpm0", "path /dev/vhost-vdpa-0", "path /srv"},
}
QEMU = "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>{}</qemu:commandline>"

OVERRIDE = (
    "<qemu:override xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:device alias='net0'><qemu:frontend>"
    "<qemu:property name='romfile' {}/></qemu:frontend></qemu:device></qemu:override>"
)


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
        (
            PLAIN.replace("<devices>", "<devices><emulator>/usr/bin/qemu-system-x86_64-other</emulator>"),
            "path /usr/bin/qemu-system-x86_64-o",
        ),
        (
            PLAIN.replace("<devices>", "<devices><emulator>/usr/bin/qemu-system-x86_64other</emulator>"),
            "path /usr/bin/qemu-system-x86_64o",
        ),
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
            beside("<seclabel type='static' model='dac'><label>root:root</label></seclabel>"),
            "seclabel dac static root:root",
        ),
        (beside("<seclabel type='none'/>"), "seclabel none"),
        (
            beside("<seclabel type='dynamic' model='dac'><baselabel>+0:+0</baselabel></seclabel>"),
            "seclabel dac dynamic +0:+0",
        ),
        (
            beside(QEMU.format("<qemu:arg value='-D'/><qemu:arg value='/etc/cron.d/x'/>")),
            "qemu:commandline -D /etc/cron.d/x",
        ),
        (
            beside(QEMU.format("<qemu:arg value='-chardev'/><qemu:arg value='file,id=a,path=/tmp/x'/>")),
            "qemu:commandline -chardev file",
        ),
        (
            beside(QEMU.format("<qemu:env name='LD_PRELOAD' value='/usr/lib/a.so:/tmp/x.so'/>")),
            "qemu:env LD_PRELOAD=/usr/lib/a.so:/t",
        ),
        (
            beside(QEMU.format("<qemu:env name='LD_PRELOAD' value='/usr/lib/a.so /tmp/x.so'/>")),
            "qemu:env LD_PRELOAD=/usr/lib/a.so /t",
        ),
        (
            beside(QEMU.format("<qemu:env name='LD_PRELOAD' value='/usr/lib/$ORIGIN/x.so'/>")),
            "qemu:env LD_PRELOAD=/usr/lib/$",
        ),
        (with_device("<audio id='1' type='alsa'><output dev='file:|id'/></audio>"), "audio type=alsa dev=file:|id"),
        (with_device("<audio id='1' type='pulseaudio' serverName='192.0.2.1'/>"), "audio type=pulseaudio serverName="),
        (
            beside("<clock offset='timezone' timezone=':/etc/shadow'/>").replace("<clock offset='utc'/>", ""),
            "path :/etc",
        ),
    ],
)
def test_what_is_not_the_guests_own_is_named(xml: str, name: str) -> None:
    assert any(found.startswith(name) for found in foreign_in(xml)), foreign_in(xml)


NAME, UUID = (reading.name(PLAIN), reading.uuid(PLAIN))
CHANNEL = "<channel type='unix'><source mode='bind' path='{}/org.qemu.guest_agent.0'/><target type='virtio'/></channel>"


@pytest.mark.parametrize(
    "xml",
    [
        PLAIN.replace("</os>", f"<nvram>/var/lib/libvirt/qemu/nvram/{NAME}_VARS.fd</nvram></os>"),
        with_device(CHANNEL.format(f"/run/libvirt/qemu/channel/7-{NAME}")),
        with_device(CHANNEL.format(f"/var/lib/libvirt/qemu/channel/target/domain-7-{NAME}")),
        with_device(f"<serial type='pty'><log file='/var/log/libvirt/qemu/{NAME}-serial0.log'/></serial>"),
        with_device(f"<console type='file'><source path='/var/log/libvirt/qemu/{NAME}-console.log'/></console>"),
        with_device(f"<serial type='unix'><source path='/run/libvirt/qemu/{UUID}-serial0.sock'/></serial>"),
        with_device("<serial type='pty' tty='/dev/pts/3'><source path='/dev/pts/3'/></serial>"),
        with_device(
            "<disk type='file' device='cdrom'><source file='/var/lib/libvirt/images/debian.iso'/>"
            "<target dev='sdz'/><readonly/></disk>"
        ),
        with_device("<disk type='file' device='cdrom'><target dev='sdz'/><readonly/></disk>"),
        with_device("<disk type='file' device='disk'><source file='/srv/a.qcow2'/><target dev='vdz'/></disk>"),
        with_device(
            "<graphics type='vnc'><listen type='socket' "
            f"socket='/run/libvirt/qemu/domain-7-{NAME}/vnc.sock'/></graphics>"
        ),
        with_device("<graphics type='vnc' passwd='a/b'/>"),
        with_device("<memballoon/><!-- ours: see /etc/motd -->"),
        with_device("<audio id='1' type='none'/>"),
        with_device("<audio id='1' type='spice'/>"),
        with_device(f"<channel type='unix'><source path='/var/lib/libvirt/qemu/{NAME}.agent'/></channel>"),
        beside("<resource><partition>/production</partition></resource>"),
        beside(QEMU.format("<qemu:arg value='-incoming'/><qemu:arg value='defer'/>")),
        beside(QEMU.format("<qemu:env name='LD_PRELOAD' value='/usr/local/lib/shim.so'/>")),
    ],
)
def test_what_libvirt_itself_and_its_tools_write_asks_for_nothing(xml: str) -> None:
    assert foreign_in(xml) == {}


def cdrom(image: str, source: str, more: str = "") -> str:
    return with_device(f"<disk type='{image}' device='cdrom'>{source}<target dev='sdz'/>{more}</disk>")


@pytest.mark.parametrize(
    ("xml", "name"),
    [
        (PLAIN.replace("<devices>", "<devices><emulator>tmp/evil</emulator>"), "path tmp/evil"),
        (PLAIN.replace("<devices>", "<devices><emulator>evil</emulator>"), "path evil"),
        (PLAIN.replace("</os>", "<kernel>etc/shadow</kernel></os>"), "path etc/shadow"),
        (PLAIN.replace("</os>", "<acpi><table type='slic'>shadow</table></acpi></os>"), "path shadow"),
        (PLAIN.replace("</os>", f"<nvram>/var/lib/libvirt/qemu/nvram/x{NAME}_VARS.fd</nvram></os>"), "path /var/lib"),
        (PLAIN.replace("</os>", "<nvram>/var/lib/libvirt/qemu/nvram/other_VARS.fd</nvram></os>"), "path /var/lib"),
        (cdrom("file", "<source file='etc/shadow'/>", "<readonly/>"), "path etc/shadow"),
        (cdrom("file", "<source file='json:{}'/>", "<readonly/>"), "path json:{}"),
        (cdrom("file", "<source file='/etc/shadow'/>"), "path /etc/shadow"),
        (cdrom("block", "<source dev='/dev/sda'/>"), "path /dev/sda"),
        (cdrom("block", "<source dev='sda'/>"), "path sda"),
        (
            cdrom("volume", "<source pool='default' volume='other.qcow2'/>", "<readonly/>"),
            "disk sdz of type volume pool=default volume=other.qcow2",
        ),
        (
            cdrom("network", "<source protocol='nbd' name='vda'><host name='10.0.0.3' port='21601'/></source>"),
            "disk sdz of type network protocol=nbd name=vda name=10.0.0.3 port=21601",
        ),
        (
            cdrom(
                "file",
                "<source file='/var/lib/libvirt/images/a.iso'/><backingStore type='volume'>"
                "<source pool='default' volume='other'/></backingStore>",
            ),
            "disk sdz of type volume pool=default volume=other",
        ),
        (
            with_device(2 * "<disk type='file' device='disk'><source file='/etc/shadow'/><target dev='vdz'/></disk>"),
            "path /etc/shadow",
        ),
        (with_device("<serial type='pty'><log file='etc/cron.d/x'/></serial>"), "path etc/cron.d/x"),
        (
            with_device("<serial type='file'><source path='/var/lib/libvirt/qemu/save/other.save'/></serial>"),
            "path /var",
        ),
        (
            with_device(f"<serial type='file'><source path='/var/lib/libvirt/qemu/save/{NAME}.save'/></serial>"),
            "path /var",
        ),
        (with_device(f"<serial type='file'><source path='/run/libvirt/qemu/{NAME}.xml'/></serial>"), "path /run"),
        (with_device(f"<serial type='pty'><log file='/var/log/libvirt/qemu/{NAME}-2.log'/></serial>"), "path /var/log"),
        (
            with_device(
                "<serial type='unix'><source path='/var/lib/libvirt/qemu/domain-5-other/monitor.sock'/></serial>"
            ),
            "path /var/lib",
        ),
        (
            with_device(
                "<channel type='unix'><source path='/run/libvirt/qemu/domain-5-other/monitor.sock'/></channel>"
            ),
            "path /run",
        ),
        (with_device("<serial type='unix'><source path='/run/libvirt/qemu/channel/5-other/a'/></serial>"), "path /run"),
        (with_device("<channel type='unix'><target type='virtio' name='../../x'/></channel>"), "path ../../x"),
        (with_device("<graphics type='vnc' keymap='../../../../etc/shadow'/>"), "path ../../../../etc/shadow"),
        (with_device("<audio id='1' type='file' path='x'/>"), "path x"),
        (
            with_device(
                f"<serial type='file'><source path='/var/log/libvirt/qemu/{NAME}-serial0.log'>"
                "<seclabel model='dac'><label>0:0</label></seclabel></source></serial>"
            ),
            "seclabel dac 0:0 of source",
        ),
        (beside("<resource><partition>../system.slice</partition></resource>"), "path ../system.slice"),
        (
            beside(QEMU.format("<qemu:arg value='-monitor'/><qemu:arg value='tcp:0.0.0.0:4444,server,nowait'/>")),
            "qemu:commandline -monitor tcp:0.0.0.0:4444,server,nowait",
        ),
        (beside(QEMU.format("<qemu:arg value='-pidfile'/><qemu:arg value='xx'/>")), "qemu:commandline -pidfile xx"),
        (beside(QEMU.format("<qemu:arg value='-name'/><qemu:arg value='-incoming'/>")), "qemu:commandline -name"),
        (
            beside(QEMU.format("<qemu:arg value='-incoming'/><qemu:arg value='exec:id'/>")),
            "qemu:commandline -incoming ex",
        ),
        (beside(OVERRIDE.format("type='string' value='/etc/shadow'")), "qemu:override net0 romfile=/etc/shadow"),
        (beside(OVERRIDE.format("type='remove'")), "qemu:override net0 romfile remove"),
        (beside(QEMU.format("<qemu:env name='LD_PRELOAD' value='tmp/x.so'/>")), "qemu:env LD_PRELOAD=tmp/x.so"),
        (beside(QEMU.format("<qemu:env name='LD_AUDIT' value='/usr/lib/x.so'/>")), "qemu:env LD_AUDIT"),
    ],
)
def test_what_could_be_another_guests_or_anything_is_named(xml: str, name: str) -> None:
    assert any(found.startswith(name) for found in foreign_in(xml)), foreign_in(xml)


def test_a_long_name_is_that_of_one_thing_alone() -> None:
    long = "/tmp/" + "x" * 300
    one, other = (
        next(iter(foreign_in(PLAIN.replace("<devices>", f"<devices><emulator>{path}</emulator>"))))
        for path in (f"{long}/a", f"{long}/b")
    )
    assert one != other
