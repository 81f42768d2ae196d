# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records, and domains as libvirt could hold them, for property-based tests."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.lockstep.colo.plugins.module_utils.domain import marks, reading
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import (
    MAX_NICS,
    PKI_DIRECTORY,
    PORT_RANGE,
    PORTS_PER_PAIR,
    ROLES,
    TREATMENTS,
    DiskRecord,
    Endpoint,
    NicRecord,
    Record,
)
from hypothesis import strategies as st
from lxml import etree

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "domains"

# Dumps of libvirt 11.3.0 with QEMU 10.0.13, with VIR_DOMAIN_XML_SECURE: NAME.xml is inactive, NAME.live.xml is of the
# running domain.
INACTIVE = sorted(path.stem for path in FIXTURES.glob("*.xml") if "." not in path.stem)
RUNNING = sorted(path.stem for path in FIXTURES.glob("*.xml") if "." in path.stem)


def fixture(name: str) -> str:
    return (FIXTURES / f"{name}.xml").read_text(encoding="utf-8")


# Records

# Everything that the vocabulary lets through, quotes and brackets included.
texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FFF, exclude_categories=("Cs", "Cc")), min_size=1)
macs = st.integers(0, 0xFFFFFF).map(lambda n: f"52:54:00:{n >> 16:02x}:{n >> 8 & 255:02x}:{n & 255:02x}")
targets = st.from_regex(r"(vd|sd|hd)[a-z]{1,2}", fullmatch=True)
paths = st.builds("/{}".format, texts) | st.sampled_from(["/dev/vg/lv", "/dev", "/devices/x", "/images/a b.qcow2"])
hosts = st.from_regex(r"[a-zà-ž0-9][a-zà-ž0-9._-]{0,40}", fullmatch=True)
endpoints = st.builds(Endpoint, host=hosts, machine_id=texts, address=st.ip_addresses().map(str))
roles = st.sampled_from(ROLES)


@st.composite
def disk_records(draw: st.DrawFn, role: str, target: str) -> DiskRecord:
    standby = role == "secondary" or draw(st.booleans())
    return DiskRecord(
        target=target,
        format=draw(st.sampled_from(["raw", "qcow2"])),
        path=draw(paths),
        virtual_size=draw(st.integers(0, 2**60)),
        active=draw(paths) if standby else None,
        hidden=draw(paths) if standby else None,
    )


uplinks = st.sampled_from((None, True, False))


@st.composite
def nic_records(draw: st.DrawFn, mac: str) -> NicRecord:
    name = draw(st.none() | texts)
    return NicRecord(mac, name, name is not None or draw(st.booleans()), draw(uplinks))


@st.composite
def records(draw: st.DrawFn, role: str | None = None) -> Record:
    role = role or draw(roles)
    return Record(
        role=role,
        generation=draw(st.integers(0, 2**63 - 1)),
        complete=draw(st.none() | st.integers(0, 2**63 - 1)),
        local=draw(endpoints),
        peer=draw(endpoints),
        first_port=draw(st.integers(PORT_RANGE.start, PORT_RANGE.stop - PORTS_PER_PAIR)),
        disks=tuple(draw(disk_records(role, name)) for name in draw(st.lists(targets, max_size=3, unique=True))),
        nics=tuple(draw(nic_records(mac)) for mac in draw(st.lists(macs, max_size=MAX_NICS, unique=True))),
        autostart_before=draw(st.booleans()),
        checkpoint_delay=draw(st.integers(0, 100_000)),
        uncompared=draw(st.sampled_from([None, *TREATMENTS])),
        incoming_added=draw(st.booleans()),
        credentials=draw(st.sampled_from((None, PKI_DIRECTORY))),
        metadata_before=draw(st.booleans()),
        commandline_before=draw(st.booleans()),
        handed_over=role == "primary" and draw(st.booleans()),
    )


@st.composite
def records_of(draw: st.DrawFn, xml: str, role: str | None = None) -> Record:
    """A record that is true of this domain: some of its NICs, some of its disks."""
    record = draw(records(role))
    own = [nic for nic in reading.nics(xml) if draw(st.booleans())][:MAX_NICS]
    named = [disk.target for disk in reading.disks(xml) if disk.target.isalnum()]
    return Record(
        **{
            **{field: getattr(record, field) for field in record.__dataclass_fields__},
            "nics": tuple(NicRecord(nic.mac, nic.driver, nic.driver_element, draw(uplinks)) for nic in own),
            "disks": tuple(draw(disk_records(record.role, target)) for target in named),
        }
    )


# Domains

QEMU = marks.QEMU_NAMESPACE
_FOREIGN = (
    '<app1:info xmlns:app1="http://app1.org/app1/"><app1:x a="1"> spaced <app1:y/> tail </app1:x></app1:info>',
    '<o:o xmlns:o="urn:other"/>',
    '<pair xmlns="urn:somebody:else"><local host="x"/></pair>',
    "<!-- a comment -->",
)
_DRIVERS = (
    "",
    "<driver/>",
    "<driver name='vhost'/>",
    "<driver name='qemu'/>",
    "<driver txmode='iothread' ioeventfd='on'/>",
    "<driver name='vhost' queues='2'><host csum='off'/></driver>",
    "<driver><guest tso4='off'/></driver>",
)
_ARGS = ("-name", "guest=x", "-global", "-incoming-not", "defer")


def _nic(mac: str, model: str, driver: str, kind: str, link: str) -> str:
    shown = mac.upper() if link else mac
    return f"<interface type='{kind}'><mac address='{shown}'/><model type='{model}'/>{driver}{link}</interface>"


nic_elements = st.builds(
    _nic,
    macs,
    st.sampled_from(["virtio", "virtio-non-transitional", "e1000", "rtl8139"]),
    st.sampled_from(_DRIVERS),
    st.sampled_from(["bridge", "network", "ethernet"]),
    st.sampled_from(["", "<link state='down'/>"]),
)
disk_elements = st.builds(
    "<disk type='file' device='disk'><driver name='qemu' type='{1}'/><source file='{2}'/>"
    "<target dev='{0}' bus='virtio'/><serial>s&amp;1</serial></disk>".format,
    targets,
    st.sampled_from(["raw", "qcow2"]),
    st.sampled_from(["/a b.img", "/it&apos;s.img"]),
)
unknown_elements = st.sampled_from(
    [
        "",
        "<!-- kept -->",
        "<from-the-future a='1'><b/></from-the-future>",
        "<graphics type='vnc' port='-1' autoport='yes' passwd='s3cr&lt;t&quot;&amp;'/>",
    ]
)


@st.composite
def commandlines(draw: st.DrawFn) -> str:
    args = "".join(f"<q:arg value='{arg}'/>" for arg in draw(st.lists(st.sampled_from(_ARGS), max_size=4)))
    if draw(st.integers(0, 3)) == 0:
        args += "<q:arg value='-incoming'/><q:arg value='defer'/>"
    env = "".join(draw(st.lists(st.just("<q:env name='LD_PRELOAD' value='/x.so'/>"), max_size=2)))
    return f"<q:commandline xmlns:q='{QEMU}'>{args}{env}</q:commandline>"


@st.composite
def generated(draw: st.DrawFn) -> str:
    metadata = draw(st.none() | st.lists(st.sampled_from(_FOREIGN), unique=True, max_size=3))
    nics = draw(st.lists(nic_elements, max_size=4, unique_by=lambda text: text.lower().split("mac address=")[1][:19]))
    disks = draw(st.lists(disk_elements, max_size=3, unique_by=lambda text: text.split("target dev=")[1][:5]))
    devices = [*disks, draw(unknown_elements), *nics, draw(unknown_elements)]
    text = "".join(
        [
            draw(st.sampled_from(["<domain>", f"<domain type='kvm' xmlns:qemu='{QEMU}'>", "<!-- top --><domain>"])),
            "<name>web1</name><uuid>11111111-2222-3333-4444-555555555555</uuid>",
            draw(st.sampled_from(["", "<title>t</title><description> two\n lines </description>"])),
            "" if metadata is None else f"<metadata>{''.join(metadata)}</metadata>",
            "<memory unit='KiB'>131072</memory>",
            draw(unknown_elements),
            f"<devices>{''.join(devices)}</devices>",
            draw(st.just("") | commandlines()),
            "</domain>",
        ]
    )
    if draw(st.booleans()):
        root = etree.fromstring(text)
        etree.indent(root)
        text = etree.tostring(root.getroottree(), encoding="unicode")
    return text


domains = generated() | st.sampled_from([fixture(name) for name in INACTIVE])
