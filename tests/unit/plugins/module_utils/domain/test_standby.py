# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The standby's domain, from dumps of running domains and from generated ones."""

from __future__ import annotations

import copy
import dataclasses
import itertools

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain import editing, reading
from ansible_collections.lockstep.colo.plugins.module_utils.domain.described import described
from ansible_collections.lockstep.colo.plugins.module_utils.domain.standby import (
    standby_of,
    standby_to_start,
)
from ansible_collections.lockstep.colo.plugins.module_utils.domain.tree import DomainXmlError
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import DiskRecord, Endpoint, NicRecord, Record
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.domain_strategies import (
    QEMU,
    domains,
    fixture,
    records_of,
)
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.work import lines_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

KVM1 = Endpoint("kvm1", "m1", "10.0.0.1")
KVM2 = Endpoint("kvm2", "m2", "10.0.0.2")
FORMS = ["rich.live", "rich", "plain-running.live", "q35", "standby.live"]
WITH_DATA = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


def record(text: str, **changes: object) -> Record:
    disks = tuple(
        DiskRecord(disk.target, disk.format or "raw", f"/s/{disk.target}.img", 1 << 20, "/s/active", "/s/hidden")
        for disk in reading.disks(text)
        if disk.device == "disk"
    )
    nics = tuple(NicRecord(nic.mac, "vhost", True) for nic in reading.nics(text))
    values = Record("secondary", 3, None, KVM2, KVM1, 21600, disks, nics, False, 2000)
    return dataclasses.replace(values, **changes)  # type: ignore[arg-type]


def standby(name: str) -> tuple[str, etree._Element]:
    text = fixture(name)
    after = standby_of(text, record(text))
    return after, etree.fromstring(after)


def arguments(root: etree._Element) -> list[str]:
    return [arg.get("value") for arg in root.iter(f"{{{QEMU}}}arg")]


@pytest.mark.parametrize("name", FORMS)
def test_a_standby_is_the_same_machine(name: str) -> None:
    before, (after, _root) = fixture(name), standby(name)
    for question in (
        reading.name,
        reading.uuid,
        reading.machine,
        reading.memory_bytes,
        reading.vcpus,
        reading.emulator,
    ):
        assert question(after) == question(before)
    for tag in ("address", "controller", "model", "boot", "serial"):
        one, other = (etree.fromstring(text).iterfind(f"devices//{tag}") for text in (before, after))
        assert [dict(element.attrib) for element in one] == [dict(element.attrib) for element in other]


@pytest.mark.parametrize("name", FORMS)
def test_nothing_of_the_run_is_inherited(name: str) -> None:
    _after, root = standby(name)
    assert "id" not in root.attrib
    assert [alias.get("name") for alias in root.iter("alias") if not alias.get("name").startswith("ua-")] == []
    assert not root.xpath("//interface/target[starts-with(@dev, 'vnet') or not(@*)]")
    assert not root.xpath("//seclabel | //@portid | //@tty | //@state | //source/@index | //backingStore/@index")
    assert not [path for path in root.xpath("//source/@path") if path.startswith(("/dev/pts/", "/run/libvirt/"))]
    assert set(root.xpath("//graphics/@port")) <= {"-1"}


@pytest.mark.parametrize("name", FORMS)
def test_its_disks_are_its_own_whole_images(name: str) -> None:
    before = {disk.target: disk for disk in reading.disks(fixture(name))}
    after, root = standby(name)
    for disk in reading.disks(after):
        if disk.device != "disk":
            assert disk.source == before[disk.target].source
            continue
        assert (disk.type, disk.source) == ("file", f"/s/{disk.target}.img")
        assert disk.format == (before[disk.target].format or "raw")
        element = next(e for e in root.iterfind("devices/disk") if e.find("target").get("dev") == disk.target)
        chained = f"//disk[target/@dev='{disk.target}']/backingStore"
        told = bool(etree.fromstring(fixture(name)).xpath(chained))
        assert [(dict(backing.attrib), len(backing)) for backing in element.findall("backingStore")] == [({}, 0)] * told


@pytest.mark.parametrize("name", FORMS)
def test_it_waits_for_the_primary_and_says_so(name: str) -> None:
    after, root = standby(name)
    assert [pair for pair in itertools.pairwise(arguments(root)) if "-incoming" in pair] == [("-incoming", "defer")]
    known = reading.read_record(after)
    assert known.incoming_added
    kept = {"incoming_added": False, "metadata_before": False, "commandline_before": False}
    assert dataclasses.replace(known, **kept) == record(fixture(name))
    assert {nic.driver for nic in reading.nics(after) if nic.model == "virtio"} <= {"qemu"}


@pytest.mark.parametrize("name", FORMS)
def test_a_standby_of_a_standby_is_itself(name: str) -> None:
    after, _root = standby(name)
    assert standby_of(after, reading.read_record(after)) == after


@WITH_DATA
@given(domains, st.data())
def test_a_standby_is_protected_already(before: str, data: st.DataObject) -> None:
    after = standby_of(before, data.draw(records_of(before, "secondary")))
    assert editing.protect(after, reading.read_record(after)) == after
    assert standby_of(after, reading.read_record(after)) == after


@WITH_DATA
@given(domains, st.data())
def test_a_promoted_standby_ends_as_the_primary_was_before(before: str, data: st.DataObject) -> None:
    """The whole way: the primary is protected, its standby made, promoted and unprotected. The images differ."""
    primary = editing.protect(before, data.draw(records_of(before, "primary")))
    known = reading.read_record(primary)
    wanted = data.draw(records_of(before, "secondary"))
    made = standby_of(primary, dataclasses.replace(wanted, nics=known.nics))
    alone = editing.protect(made, dataclasses.replace(reading.read_record(made), role="alone"))
    assert without_disks(editing.unprotect(alone)) == without_disks(before)


def without_disks(text: str) -> str:
    """Without the user's own -incoming too: a standby has that only once, and it is ours."""
    root = etree.fromstring(text)
    for element in root.findall("devices/disk"):
        element.getparent().remove(element)
    commandline = root.find(f"{{{QEMU}}}commandline")
    if commandline is not None:
        args = commandline.findall(f"{{{QEMU}}}arg")
        for flag, value in itertools.pairwise(args):
            if flag.get("value") == "-incoming":
                commandline.remove(flag)
                commandline.remove(value)
        if not len(commandline):
            root.remove(commandline)
    return reading.canonical(etree.tostring(root, encoding="unicode"))


def test_a_chain_becomes_one_image() -> None:
    assert "base.qcow2" in fixture("rich.live")
    assert "base.qcow2" not in standby("rich.live")[0]


def test_a_network_is_a_network_again() -> None:
    """The live XML calls it a bridge, which the other host's network of that name need not be."""
    assert fixture("rich.live").count("type='bridge'") == 3
    after, _root = standby("rich.live")
    assert [(nic.type, nic.source) for nic in reading.nics(after)] == [
        ("bridge", "br0"),
        ("network", "fixnet"),
        ("network", "fixnet"),
    ]


def test_names_that_somebody_gave_are_kept() -> None:
    after, root = standby("rich.live")
    assert reading.nics(after)[0].tap == "webtap0"
    assert reading.disks(after)[0].alias == "ua-root"
    assert list(root.xpath("//source/@path")) == ["/var/log/libvirt/qemu/fix-serial.log"]
    assert root.find("devices/graphics").get("passwd") == "secret"


def test_the_original_driver_is_the_one_of_the_record() -> None:
    after, _root = standby("rich.live")
    assert {nic.driver_before for nic in reading.read_record(after).nics} == {"vhost"}
    assert reading.nics(editing.unprotect(after))[0].driver == "vhost"


def test_qcow2_options_do_not_go_to_another_format() -> None:
    text = fixture("disks")
    wanted = record(text)
    disks = tuple(dataclasses.replace(disk, format="raw") for disk in wanted.disks)
    as_qcow2, as_raw = standby_of(text, wanted), standby_of(text, dataclasses.replace(wanted, disks=disks))
    assert {disk.format for disk in reading.disks(as_raw) if disk.device == "disk"} == {"raw"}
    for option in ("metadata_cache", "discard_no_unref"):
        assert option in as_qcow2
        assert option not in as_raw


@pytest.mark.parametrize("name", ["rich.live", "plain-running.live", "standby.live"])
def test_it_is_started_with_images_in_which_holes_stay_holes(name: str) -> None:
    text = fixture(name)
    wanted = record(text)
    started, persistent = (etree.fromstring(make(text, wanted)) for make in (standby_to_start, standby_of))
    for target in (disk.target for disk in wanted.disks):
        now, always = (root.find(f"devices/disk/target[@dev='{target}']/../driver") for root in (started, persistent))
        assert now.get("discard") == always.get("discard", "unmap")
        now.attrib.pop("discard")
        always.attrib.pop("discard", None)
    assert etree.tostring(started) == etree.tostring(persistent)


def test_an_image_on_a_device_is_of_type_block() -> None:
    text = fixture("plain-running.live")
    disk = DiskRecord("vda", "raw", "/dev/vg/standby", 1, "/s/a", "/s/h")
    found = reading.disks(standby_of(text, record(text, disks=(disk,))))[0]
    assert (found.type, found.source) == ("block", "/dev/vg/standby")


def test_twice_as_many_disks_are_twice_the_work() -> None:
    """It was four times: a standby of 500 took 0.7 s to make, and takes 0.25 s."""
    few, many = (many_disks(number) for number in (100, 200))
    assert lines_of(lambda: standby_of(many, record(many))) < 2.2 * lines_of(lambda: standby_of(few, record(few)))
    assert lines_of(lambda: described(many, many)) < 2.2 * lines_of(lambda: described(few, few))


def many_disks(number: int) -> str:
    root = etree.fromstring(fixture("plain-running.live"))
    place, one = root.find("devices"), root.find("devices/disk")
    for more in range(number):
        another = copy.deepcopy(one)
        another.find("target").set("dev", f"vdx{more}")
        place.append(another)
    return etree.tostring(root, encoding="unicode")


@pytest.mark.parametrize("name", ["seclabel", "seclabel-none", "seclabel-static"])
def test_a_label_that_somebody_asked_for_is_kept(name: str) -> None:
    _after, root = standby(name)
    before = etree.fromstring(fixture(name)).find("seclabel")
    assert dict(root.find("seclabel").attrib) == dict(before.attrib)
    assert root.findtext("seclabel/label") == before.findtext("label")


def test_a_base_label_is_kept_without_what_came_of_it() -> None:
    label = (
        "<seclabel type='dynamic' model='apparmor' relabel='yes'><label>libvirt-x</label>"
        "<imagelabel>libvirt-x</imagelabel><baselabel>/etc/apparmor.d/x</baselabel></seclabel>"
        "<seclabel type='none' model='dac'/>"
    )
    text = fixture("plain-running.live").replace("</devices>", "</devices>" + label)
    root = etree.fromstring(standby_of(text, record(text)))
    assert [(e.get("model"), [child.tag for child in e]) for e in root.findall("seclabel")] == [
        ("apparmor", ["baselabel"]),
        ("dac", []),
    ]


@pytest.mark.parametrize(
    ("resource", "left"),
    [
        ("<resource><partition>/machine</partition></resource>", None),
        ("<resource><partition>/production</partition></resource>", "/production"),
        ("<resource><partition>/machine</partition><fibrechannel appid='x'/></resource>", ""),
    ],
)
def test_the_cgroup_that_libvirt_chose_is_not_inherited(resource: str, left: str | None) -> None:
    text = fixture("plain-running.live").replace("<devices>", f"{resource}<devices>")
    element = etree.fromstring(standby_of(text, record(text))).find("resource")
    assert (None if element is None else element.findtext("partition", "")) == left


def test_a_live_xml_with_an_old_incoming_is_taken() -> None:
    """A survivor's live XML shows how it was once started, whatever its record says now."""
    text = fixture("standby.live")
    known = reading.read_record(text)
    survivor = editing.protect(text, dataclasses.replace(known, role="alone", incoming_added=False))
    root = etree.fromstring(survivor)
    commandline = root.find(f"{{{QEMU}}}commandline")
    for value in ("-incoming", "defer"):
        etree.SubElement(commandline, f"{{{QEMU}}}arg", value=value)
    after = standby_of(etree.tostring(root, encoding="unicode"), record(text))
    assert arguments(etree.fromstring(after)) == ["-incoming", "defer"]
    assert arguments(etree.fromstring(editing.unprotect(after))) == []


def test_it_is_made_for_a_secondary_only() -> None:
    text = fixture("plain-running.live")
    with pytest.raises(DomainXmlError, match="primary"):
        standby_of(text, record(text, role="primary"))


@pytest.mark.parametrize(
    "changes",
    [
        {"disks": (DiskRecord("vdz", "raw", "/s/x", 1, "/s/a", "/s/h"),)},
        {"nics": (NicRecord("52:54:00:ff:ff:ff", None, False),)},
    ],
)
def test_a_device_that_the_primary_does_not_have_is_refused(changes: dict[str, object]) -> None:
    text = fixture("plain-running.live")
    with pytest.raises(DomainXmlError, match=r"no (disk vdz|NIC with)"):
        standby_of(text, record(text, **changes))
