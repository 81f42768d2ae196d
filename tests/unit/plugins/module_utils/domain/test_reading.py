# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read from dumps of libvirt."""

from __future__ import annotations

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain import needs, reading
from ansible_collections.lockstep.colo.plugins.module_utils.domain.devices import NicElement
from ansible_collections.lockstep.colo.plugins.module_utils.domain.tree import DomainXmlError
from ansible_collections.lockstep.colo.plugins.module_utils.domain.unsupported import unsupported_in
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Disk
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.domain_strategies import (
    INACTIVE,
    QEMU,
    domains,
    fixture,
)
from hypothesis import given
from lxml import etree


def devices(text: str) -> str:
    return f"<domain><devices>{text}</devices></domain>"


def test_the_head_of_a_domain() -> None:
    text = fixture("cpu")
    assert reading.name(text) == "fix-cpu"
    assert reading.uuid(text) == "11111111-2222-3333-4444-555555555555"
    assert reading.machine(text) == "pc-i440fx-10.0"
    assert reading.memory_bytes(text) == 128 << 20
    assert reading.vcpus(text) == 2
    assert reading.emulator(text) == "/usr/bin/qemu-system-x86_64"
    assert reading.machine(fixture("q35")) == "pc-q35-10.0"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("<memory>1</memory>", 1024),
        ("<memory unit='KiB'>1</memory>", 1024),
        ("<memory unit='k'>1</memory>", 1024),
        ("<memory unit='KB'>1</memory>", 1000),
        ("<memory unit='b'>7</memory>", 7),
        ("<memory unit='bytes'>7</memory>", 7),
        ("<memory unit='GiB'> 2 </memory>", 2 << 30),
        ("<memory unit='G'>2</memory>", 2 << 30),
        ("<memory unit='TB'>1</memory>", 10**12),
    ],
)
def test_memory_has_units(text: str, size: int) -> None:
    assert reading.memory_bytes(f"<domain>{text}</domain>") == size


@pytest.mark.parametrize("text", ["", "<memory>-1</memory>", "<memory unit='acre'>1</memory>", "<memory/>"])
def test_memory_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DomainXmlError, match="memory"):
        reading.memory_bytes(f"<domain>{text}</domain>")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", None),
        ("<memoryBacking><nosharepages/></memoryBacking>", None),
        ("<memoryBacking><hugepages/></memoryBacking>", 0),
        ("<memoryBacking><hugepages><page size='2048'/></hugepages></memoryBacking>", 2 << 20),
        ("<memoryBacking><hugepages><page size='1' unit='G' nodeset='0'/></hugepages></memoryBacking>", 1 << 30),
    ],
)
def test_the_size_of_huge_pages_is_stated_or_the_hosts(text: str, size: int | None) -> None:
    assert reading.huge_page(f"<domain>{text}</domain>") == size


def test_what_a_standby_needs_of_its_host() -> None:
    text = fixture("q35")
    assert reading.virt_type(text) == "qemu"
    assert reading.nvram(text) == "file"
    assert needs.files(text) == ["/usr/bin/qemu-system-x86_64", "/usr/share/OVMF/OVMF_CODE_4M.fd"]
    assert reading.nvram(fixture("cpu")) is None
    assert reading.nvram("<domain><os><nvram type='network'/></os></domain>") == "network"
    assert reading.nvram_file(text) == "/var/lib/libvirt/qemu/nvram/fix-q35_VARS.fd"
    assert reading.nvram_file("<domain><os><nvram type='file'><source file='/n'/></nvram></os></domain>") == "/n"
    assert reading.nvram_file("<domain><os><nvram type='network'/></os></domain>") is None
    assert reading.nvram_file(fixture("cpu")) is None
    assert reading.cpu_mode(fixture("cpu")) == "custom"
    assert reading.cpu_mode("<domain><cpu mode='host-passthrough'/></domain>") == "host-passthrough"
    assert reading.cpu_mode("<domain/>") == "custom"


def test_the_files_that_a_start_needs_are_those_that_are_not_replicated() -> None:
    os = (
        "<kernel>/k</kernel><initrd>/i</initrd><dtb>/d</dtb>"
        "<nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>/var/lib/libvirt/qemu/nvram/web1_VARS.fd</nvram>"
    )
    disks = (
        "<disk type='file' device='disk'><source file='/replicated'/><target dev='vda'/></disk>"
        "<disk type='file' device='disk'><source file='/fixed'/><target dev='vdb'/><readonly/></disk>"
        "<disk type='file' device='cdrom'><source file='/iso'/><target dev='hda'/><readonly/></disk>"
        "<disk type='file' device='cdrom'><target dev='hdb'/><readonly/></disk>"
        "<disk type='network' device='cdrom'><source name='remote'/><target dev='hdc'/><readonly/></disk>"
        "<disk type='block' device='disk'><source dev='/dev/vg/lv'/><target dev='vdc'/><readonly/></disk>"
    )
    text = f"<domain><os>{os}</os><devices>{disks}</devices></domain>"
    assert needs.files(text) == ["/d", "/dev/vg/lv", "/fixed", "/i", "/iso", "/k", "/usr/share/OVMF/OVMF_VARS_4M.fd"]


def test_firmware_tables_and_devices_of_the_host_are_needed_as_well() -> None:
    text = """<domain>
      <os><shim>/shim.efi</shim><acpi><table type='slic'>/acpi.bin</table></acpi></os>
      <sysinfo type='fwcfg'><entry name='opt/a' file='/fwcfg'/><entry name='opt/b'>text</entry></sysinfo>
      <sysinfo type='smbios'><entry name='x' file='/no'/></sysinfo>
      <devices>
        <interface type='bridge'><rom file='/rom.bin'/></interface>
        <rng model='virtio'><backend model='random'>/dev/hwrng</backend></rng>
        <rng model='virtio'><backend model='egd' type='udp'><source host='/no'/></backend></rng>
        <serial type='dev'><source path='/dev/ttyS0'/></serial><serial type='file'><source path='/no'/></serial>
        <input type='passthrough'><source evdev='/dev/input/event0'/></input>
        <input type='evdev'><source dev='/dev/input/event1'/></input>
        <graphics type='spice'><gl enable='yes' rendernode='/dev/dri/renderD128'/></graphics>
        <video><model type='virtio'><acceleration rendernode='/dev/dri/renderD129'/></model></video>
      </devices></domain>"""
    assert needs.files(text) == [
        "/acpi.bin", "/dev/dri/renderD128", "/dev/dri/renderD129", "/dev/hwrng", "/dev/input/event0",
        "/dev/input/event1", "/dev/ttyS0", "/fwcfg", "/rom.bin", "/shim.efi",
    ]  # fmt: skip


def test_where_a_guest_is_bound_to() -> None:
    text = """<domain>
      <vcpu placement='static' cpuset='0-2,^1'>2</vcpu>
      <cputune><shares>9</shares><vcpupin vcpu='0' cpuset='4'/><emulatorpin cpuset='8-9'/>
        <iothreadpin iothread='1' cpuset='7'/></cputune>
      <numatune><memory mode='strict' nodeset='0'/><memnode cellid='0' mode='strict' nodeset='2-3'/></numatune>
      <resource><partition>/production</partition></resource>
      <devices><memory model='dimm'><source><nodemask>5</nodemask></source></memory></devices></domain>"""
    assert needs.processors(text) == [0, 2, 4, 7, 8, 9]
    assert needs.numa_nodes(text) == [0, 2, 3, 5]
    assert needs.partition(text) == "/production"
    for nothing in ("<domain/>", "<domain><resource><partition>/machine</partition></resource></domain>"):
        assert (needs.processors(nothing), needs.numa_nodes(nothing), needs.partition(nothing)) == ([], [], None)


@pytest.mark.parametrize("text", ["many", "1-", "1-2-3", "0-99999999999", "9" * 5000, "-1", ","])
def test_a_set_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DomainXmlError) as refusal:
        needs.number_set(text)
    assert len(str(refusal.value)) < 200


def test_what_is_missing_is_said_or_has_a_default() -> None:
    for question in (reading.name, reading.uuid):
        with pytest.raises(DomainXmlError, match="no <"):
            question("<domain/>")
    assert reading.vcpus("<domain/>") == 1
    assert reading.emulator("<domain/>") is None
    assert reading.machine("<domain/>") == ""


def test_disks_of_every_kind() -> None:
    found = {disk.target: disk for disk in reading.disks(fixture("disks"))}
    assert found["sda"] == Disk("sda", "disk", "block", "/dev/vg0/lv0", "raw", "scsi", False, False)
    chain = "/var/lib/libvirt/images/fix/chain.qcow2"
    assert found["vdb"] == Disk("vdb", "disk", "file", chain, "qcow2", "virtio", False, False, "ua-second")
    assert (found["vdc"].type, found["vdc"].source) == ("network", "x")
    assert (found["vdd"].type, found["vdd"].source) == ("volume", "default/v1")
    assert (found["hda"].device, found["hda"].source, found["hda"].readonly) == ("cdrom", None, True)
    assert found["vde"].shareable
    assert found["sdb"].device == "lun"


def test_a_running_domain_has_aliases_and_taps() -> None:
    text = fixture("rich.live")
    disks = reading.disks(text)
    assert [disk.alias for disk in disks] == ["ua-root", "scsi0-0-0-0", "ide0-0-0"]
    assert reading.nics(text)[1] == NicElement(
        "52:54:00:dd:00:02", "virtio", "bridge", "br0", "vnet2", "net1", None, False, 1, network="fixnet"
    )


def test_the_vlans_of_a_nic() -> None:
    vlan = "<vlan trunk='yes'><tag id='42'/><tag id='47' nativeMode='untagged'/></vlan>"
    (nic,) = reading.nics(devices(f"<interface type='bridge'>{vlan}</interface>"))
    assert nic.vlans == (42, 47)
    with pytest.raises(DomainXmlError, match="number of a VLAN"):
        reading.nics(devices("<interface type='bridge'><vlan><tag id='x'/></vlan></interface>"))


def test_nics_of_every_kind() -> None:
    found = reading.nics(fixture("nics"))
    assert [(nic.model, nic.driver, nic.driver_element, nic.queues) for nic in found] == [
        ("e1000", None, False, 1),
        ("virtio", None, False, 1),
        ("virtio", "vhost", True, 1),
        ("virtio", "qemu", True, 1),
        ("virtio", None, True, 1),
        ("virtio", "vhost", True, 2),
        ("virtio-non-transitional", None, True, 1),
        ("rtl8139", None, False, 1),
    ]
    assert [(nic.type, nic.source, nic.tap) for nic in found[-2:]] == [
        ("network", "default", None),
        ("ethernet", None, "tap9"),
    ]


def test_devices_that_make_no_sense_are_refused() -> None:
    with pytest.raises(DomainXmlError, match="target"):
        reading.disks(devices("<disk type='file'/>"))
    with pytest.raises(DomainXmlError, match="queues"):
        reading.nics(devices("<interface type='bridge'><driver queues='many'/></interface>"))


def test_everything_that_colo_cannot_carry_is_named() -> None:
    found = unsupported_in(fixture("unsupported"))
    beginnings = [
        "filesystem type=mount share: ",
        "filesystem type=mount nine: ",
        "interface 52:54:00:cc:00:01 of type direct: ",
        "interface 52:54:00:cc:00:02 of type vhostuser: ",
        "interface 52:54:00:cc:00:03 of type user: ",
        "interface 52:54:00:cc:00:05 of type vdpa: ",
        "tpm model=tpm-tis: ",
        "hostdev mode=subsystem type=pci 0000:06:02.0: ",
        "hostdev mode=subsystem type=usb 1234:beef: ",
        "shmem my_shmem: ",
        "vsock model=virtio: ",
        "interface 52:54:00:cc:00:04 with multiqueue: ",
    ]
    assert len(found) == len(beginnings)
    for text, beginning in zip(found, beginnings, strict=True):
        assert text.startswith(beginning)


@pytest.mark.parametrize("name", sorted(set(INACTIVE) - {"unsupported", "disks", "nics", "cpu"}))
def test_an_ordinary_domain_has_nothing_of_it(name: str) -> None:
    assert unsupported_in(fixture(name)) == []


def test_of_the_many_disks_and_nics_only_these_cannot_be_carried() -> None:
    found = [
        line.split(": ", maxsplit=1)[0] for name in ("disks", "nics", "cpu") for line in unsupported_in(fixture(name))
    ]
    assert found == [
        "disk sdb of device lun",
        "disk vde is shareable",
        "interface 52:54:00:bb:00:08 of type ethernet",
        "interface 52:54:00:bb:00:08 with target managed=no",
        "interface 52:54:00:bb:00:06 with multiqueue",
        "cpu feature invtsc",
    ]


SCSI_DISK = "<disk><target dev='sda' bus='scsi'/><address type='drive' controller='1'/></disk>"
SCSI_IOTHREAD = "<controller type='scsi' index='1'><driver iothread='1'/></controller>"


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        (devices("<memory model='nvdimm'/>"), "memory model=nvdimm"),
        (devices("<video><driver name='vhostuser'/></video>"), "video with driver name=vhostuser"),
        (devices("<video><model><acceleration accel3d='yes'/></model></video>"), "video with acceleration accel3d=yes"),
        (devices("<input type='passthrough' bus='virtio'/>"), "input type=passthrough"),
        (devices("<smartcard mode='host'/>"), "smartcard mode=host"),
        (devices("<redirdev bus='usb' type='spicevmc'/>"), "redirdev type=spicevmc"),
        (devices("<disk type='nvme'><target dev='vda'/></disk>"), "disk vda of type nvme"),
        (devices("<disk type='vhostuser'><target dev='vda'/></disk>"), "disk vda of type vhostuser"),
        (devices("<disk><target dev='vda'/><transient/></disk>"), "disk vda is transient"),
        (devices(SCSI_DISK + SCSI_IOTHREAD), "the I/O thread of disk sda's SCSI controller 1"),
        (devices("<disk><source><encryption/></source><target dev='vda'/></disk>"), "disk vda is encrypted"),
        (devices("<disk><mirror type='file'/><target dev='vda'/></disk>"), "disk vda has a block job"),
        (devices("<interface type='mcast'><mac address='a'/></interface>"), "interface a of type mcast"),
        (devices("<interface type='hostdev'><mac address='a'/></interface>"), "interface a of type hostdev"),
        (devices("<crypto model='virtio' type='qemu'/>"), "crypto type=qemu model=virtio"),
        (
            devices("<disk device='floppy'><source file='/f.img'/><target dev='fda'/></disk>"),
            "disk fda is a floppy that the guest can write to",
        ),
        ("<domain><features><hyperv mode='passthrough'/></features></domain>", "hyperv mode=passthrough"),
        ("<domain><cpu mode='host-passthrough' migratable='off'/></domain>", "cpu migratable=off"),
        ("<domain><launchSecurity type='sev'/></domain>", "launchSecurity"),
        ("<domain><cpu><feature name='invtsc' policy='force'/></cpu></domain>", "cpu feature invtsc"),
    ],
)
def test_what_cannot_be_carried_is_named(text: str, beginning: str) -> None:
    (found,) = unsupported_in(text)
    assert found.startswith(beginning)


@pytest.mark.parametrize(
    "text",
    [
        devices("<memory model='dimm'/>"),
        devices("<video><model><acceleration accel3d='no'/></model></video>"),
        devices("<disk device='cdrom'><target dev='hda'/><readonly/><shareable/></disk>"),
        devices("<disk device='floppy'><source file='/f.img'/><target dev='fda'/><readonly/></disk>"),
        devices("<disk device='floppy'><target dev='fda'/></disk>"),
        devices(SCSI_DISK + "<controller type='scsi' index='1'><driver queues='1'/></controller>"),
        devices(SCSI_DISK + SCSI_IOTHREAD.replace("'1'", "'0'", 1)),
        devices(SCSI_DISK.replace("<target", "<readonly/><target") + SCSI_IOTHREAD),
        devices("<input type='tablet'/><rng model='virtio'/>"),
        "<domain><features><hyperv mode='custom'/></features></domain>",
        "<domain><cpu mode='host-passthrough' migratable='on'/></domain>",
        "<domain><cpu><feature name='invtsc' policy='disable'/></cpu></domain>",
        "<domain><cpu><feature name='invtsc'/></cpu><clock><timer name='tsc' frequency='1'/></clock></domain>",
    ],
)
def test_what_can_be_carried_is_not_named(text: str) -> None:
    assert unsupported_in(text) == []


@given(domains)
def test_canonical_is_stable(text: str) -> None:
    once = reading.canonical(text)
    assert reading.canonical(once) == once
    compact = etree.tostring(etree.fromstring(text, etree.XMLParser(remove_blank_text=True)), encoding="unicode")
    assert reading.canonical(compact) == once


def test_canonical_ignores_what_says_nothing() -> None:
    one = f"<domain b='1' a=\"2\" xmlns:q='{QEMU}'>\n <!-- c --> <name>x</name><devices><a></a></devices></domain>"
    other = "<domain a='2' b='1'><name>x</name>\n<devices>\n<a/></devices></domain>"
    assert reading.canonical(one) == reading.canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("<domain><name>x</name></domain>", "<domain><name>y</name></domain>"),
        ("<domain a='1'/>", "<domain a='2'/>"),
        ("<domain><a/><b/></domain>", "<domain><b/><a/></domain>"),
        ("<domain><a/></domain>", "<domain><a xmlns='urn:x'/></domain>"),
        ("<domain><a>x y</a></domain>", "<domain><a>x  y</a></domain>"),
    ],
)
def test_canonical_keeps_what_says_something(one: str, other: str) -> None:
    assert reading.canonical(one) != reading.canonical(other)


def test_a_redacted_xml_has_no_password() -> None:
    text = reading.redacted(fixture("metadata"))
    assert "s3cr" not in text
    assert reading.uuid(text) == reading.uuid(fixture("metadata"))


@pytest.mark.parametrize("text", ["", "no XML", "<domain>", "<network/>", "<domain>\ud800</domain>"])
def test_what_is_no_domain_is_refused(text: str) -> None:
    with pytest.raises(DomainXmlError):
        reading.canonical(text)


def test_a_document_type_is_refused() -> None:
    text = "<!DOCTYPE domain [<!ENTITY x SYSTEM '/etc/passwd'>]><domain><name>&x;</name></domain>"
    with pytest.raises(DomainXmlError, match="document type"):
        reading.canonical(text)
