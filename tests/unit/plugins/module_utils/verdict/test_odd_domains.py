# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains that were once answered by a traceback, by nothing, or by the wrong remedy: each gets its row, or words.

Those in fixtures/cases were found so; nothing of them was changed.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain import editing, reading
from ansible_collections.lockstep.colo.plugins.module_utils.domain.described import described
from ansible_collections.lockstep.colo.plugins.module_utils.domain.standby import standby_of
from ansible_collections.lockstep.colo.plugins.module_utils.domain.tree import DomainXmlError
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Domain, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.observe import look
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import DiskRecord, Endpoint, Record
from ansible_collections.lockstep.colo.plugins.module_utils.record.wanted import Wanted
from ansible_collections.lockstep.colo.plugins.module_utils.run import result
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import preflight, wishes
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements.row import NOTE, WRONG, Requirement
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.domain_strategies import (
    INACTIVE,
    QEMU,
    RUNNING,
    fixture,
)
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import FIXTURES, recorded
from lxml import etree

UUID = "11111111-2222-3333-4444-555555555555"
SYSTEM_DISK = (
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/i/vda.qcow2'/>"
    "<target dev='vda' bus='virtio'/></disk>"
)
HERE, THERE = recorded("unprotected-primary"), recorded("unprotected-secondary")
HUGE = "9" * 5000  # Python reads no number of more than 4,300 digits


def domain(devices: str = "", more: str = "", memory: str = "131072", vcpus: str = "1") -> str:
    return (
        f"<domain type='kvm'><name>web1</name><uuid>{UUID}</uuid><memory unit='KiB'>{memory}</memory>"
        f"<vcpu>{vcpus}</vcpu><os><type arch='x86_64' machine='pc-i440fx-10.0'>hvm</type></os>"
        f"<devices>{SYSTEM_DISK}{devices}</devices>{more}</domain>"
    )


def arguments(*values: str) -> str:
    inner = "".join(f"<qemu:arg value='{value}'/>" for value in values)
    return f"<qemu:commandline xmlns:qemu='{QEMU}'>{inner}</qemu:commandline>"


def seen(xml: str) -> Domain:
    """As it is observed while it is shut off, with the sizes of its disks as QEMU would tell them."""
    found: dict[str, Any] = {"name": "web1", "uuid": UUID, "state": "running", "persistent": True, "autostart": False}
    found |= {
        "tainted": [],
        "snapshots": [],
        "ended_by": None,
        "saved_xml": None,
        "inactive_xml": xml,
        "live_xml": None,
    }
    domain = look._domain(found)
    return replace(domain, disks=tuple(replace(disk, virtual_size=1 << 20) for disk in domain.disks))


def rows(xml: str, **wanted: Any) -> list[Requirement]:
    """What is wrong with a pair of it, of the whole table."""
    primary: Observation = replace(HERE, domain=seen(xml))
    what = wishes.stated(Wanted(**wanted), primary)
    assert wishes.sights(what, primary).uuid == UUID
    table = preflight.of_pair(what, primary, replace(THERE, domain=None))
    assert len(table) > 20
    return [row for row in table if row.state == WRONG and row.requirement in ("devices", "disks")]


CASES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((FIXTURES / "cases").glob("*.xml"))}
STRAY = (
    "QEMU takes an argument of no option for a disk image; what it brings is not replicated, and no standby of the "
    "domain has it"
)
DRIVE = "-drive file=/i/data.raw,if=virtio,format=raw: what it brings is not replicated"
# All that is wrong with a pair of it: of which requirement, in which words, and what to do.
ROWS = {
    "volume": [("disks", "its source is of type volume", "virsh vol-path")],
    "rbd": [("disks", "its source is of type network", "Both hosts would write to the same storage")],
    "usb-disk": [("devices", "disk sdx on the bus usb: QEMU cannot give it other layers", "Remove it")],
    "qemu-drive": [("devices", DRIVE, "Remove it")],
    "incoming-twice": [
        ("devices", "-incoming -incoming: a standby waits with -incoming defer", "Remove it"),
        ("devices", f"qemu:commandline defer: {STRAY}", "Remove it"),
        ("disks", "no disk is named", "Name each writable disk"),
    ],
}
ENDLESS = {"huge-memory": "memory", "huge-vcpu": "vcpu", "huge-queues": "queues"}


def test_each_case_has_its_answer() -> None:
    assert set(CASES) == {*ROWS, *ENDLESS, "websocket"}


@pytest.mark.parametrize("case", ROWS)
def test_it_gets_its_own_row_and_the_right_remedy(case: str) -> None:
    found = rows(CASES[case])
    for row, (requirement, words, remedy) in zip(found, ROWS[case], strict=True):
        assert row.requirement == requirement
        assert words in row.found
        assert remedy in row.remedy


@pytest.mark.parametrize("case", ENDLESS)
def test_a_case_with_a_number_without_end_is_refused_in_words(case: str) -> None:
    with pytest.raises(DomainXmlError, match=ENDLESS[case]) as refusal:
        seen(CASES[case])
    words = result.failure(refusal.value, "web1", "kvm1")["msg"]
    assert ENDLESS[case] in words
    assert len(words) < 300


def test_a_standby_of_the_case_with_a_websocket_has_ports_and_sockets_of_its_own() -> None:
    displays = etree.fromstring(standby_of(CASES["websocket"], standby_record())).findall("devices/graphics")
    assert [(one.get("port"), one.get("websocket"), one.get("socket")) for one in displays] == [
        ("-1", "-1", None),
        (None, None, None),
    ]
    assert [dict(listen.attrib) for one in displays for listen in one.iterfind("listen")] == [
        {"type": "address", "address": "127.0.0.1"},
        {"type": "socket"},
    ]


def test_a_device_of_qemus_command_line_is_one_that_nobody_has_tried() -> None:
    (row,) = rows(domain(more=arguments("-device", "nvme,drive=x")))
    assert row.requirement == "devices"
    assert "-device nvme,drive=x" in row.found
    assert "colo_devices_unproven" in row.remedy


def test_what_an_operator_names_is_a_note_and_no_refusal() -> None:
    xml = domain(more=arguments("-device", "nvme,drive=x"))
    assert rows(xml, devices_unproven=("qemu:commandline -device",)) == []
    primary = replace(HERE, domain=seen(xml))
    table = preflight.of_pair(
        Wanted(devices_unproven=("qemu:commandline -device",)), primary, replace(THERE, domain=None)
    )
    (row,) = [row for row in table if row.requirement == "devices"]
    assert row.state == NOTE
    assert "drill" in row.remedy


@pytest.mark.parametrize(
    ("xml", "word"),
    [
        (domain(memory=HUGE), "memory"),
        (domain(memory="9" * 19), "memory"),
        (domain(vcpus=HUGE), "vcpu"),
        (domain(f"<interface type='bridge'><driver queues='{HUGE}'/></interface>"), "queues"),
        (domain(more=f"<memoryBacking><hugepages><page size='{HUGE}'/></hugepages></memoryBacking>"), "memory"),
    ],
)
def test_a_number_without_end_is_refused_in_few_words(xml: str, word: str) -> None:
    with pytest.raises(DomainXmlError, match=word) as refusal:
        seen(xml)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("name", [*INACTIVE, *RUNNING])
def test_no_number_of_a_domain_without_an_end_ends_in_a_traceback(name: str) -> None:
    """Each of those in libvirt's own dumps, made endless: as attribute, as text, and in a set."""
    xml, read = fixture(name), 0
    for number in re.finditer(r"(?<=[='\">,-])[0-9]+(?=[,'\"<-])", xml):
        with contextlib.suppress(*result.FAILURES):
            described(f"{xml[: number.start()]}{HUGE}{xml[number.end() :]}", None)
        read += 1
    assert read > 3


def test_incoming_twice_is_no_standby() -> None:
    xml, record = domain(more=arguments("-incoming", "-incoming", "defer")), standby_record()
    assert reading.has_incoming(standby_of(xml, record))
    assert not reading.has_incoming(editing.unprotect(standby_of(xml, record)))


def standby_record() -> Record:
    ends = Endpoint("kvm2", "m2", "10.0.0.2"), Endpoint("kvm1", "m1", "10.0.0.1")
    disks = (DiskRecord("vda", "qcow2", "/s/vda", 1 << 20, "/s/active", "/s/hidden"),)
    return Record("secondary", 1, None, *ends, 21600, disks, (), False, 2000)


def test_a_standby_has_none_of_the_sockets_and_ports_of_its_primarys_run() -> None:
    run = "/var/lib/libvirt/qemu/domain-7-web1/vnc.sock"
    chosen = "/run/web1.sock"
    displays = (
        "<graphics type='vnc' port='5900' autoport='yes' websocket='5700'>"
        "<listen type='address' address='127.0.0.1'/></graphics>"
        f"<graphics type='vnc' socket='{run}'><listen type='socket' socket='{run}'/></graphics>"
        f"<graphics type='spice'><listen type='socket' socket='{chosen}'/></graphics>"
        "<graphics type='vnc' port='5999' autoport='no' websocket='5799'/>"
    )
    found = etree.fromstring(standby_of(domain(displays), standby_record())).findall("devices/graphics")
    assert [(one.get("port"), one.get("websocket"), one.get("socket")) for one in found] == [
        ("-1", "-1", None),
        (None, None, None),
        (None, None, None),
        ("5999", "5799", None),
    ]
    assert [listen.get("socket") for one in found for listen in one.iterfind("listen")] == [None, None, chosen]
