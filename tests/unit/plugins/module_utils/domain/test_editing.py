# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two laws of changing a domain's XML, and what is left alone."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain import editing, reading
from ansible_collections.lockstep.colo.plugins.module_utils.domain.tree import DomainXmlError
from ansible_collections.lockstep.colo.plugins.module_utils.record import xml as record_xml
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import Endpoint, NicRecord, Record
from ansible_collections.lockstep.colo.plugins.module_utils.record.schema import NAMESPACE, VocabularyError
from ansible_collections.lockstep.colo.plugins.module_utils.record.xml import PREFIX
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.domain_strategies import (
    QEMU,
    domains,
    fixture,
    records,
    records_of,
    roles,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

MAC = "52:54:00:00:00:01"
WITH_DATA = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


def nic(driver: str = "", model: str = "virtio") -> str:
    return f"<interface type='bridge'><mac address='{MAC}'/><model type='{model}'/>{driver}</interface>"


def xml(devices: str = "", *, metadata: str = "", commandline: str = "") -> str:
    args = f"<q:commandline xmlns:q='{QEMU}'>{commandline}</q:commandline>" if commandline else ""
    return (
        f"<domain type='kvm'><name>web1</name><uuid>u</uuid>{metadata}<memory unit='KiB'>1024</memory>"
        f"<devices>{devices}</devices>{args}</domain>"
    )


def record(role: str = "primary", *nics: NicRecord, **changes: object) -> Record:
    end = Endpoint("kvm1", "m1", "10.0.0.1")
    values = Record(role, 1, None, end, dataclasses.replace(end, host="kvm2"), 21600, (), nics, False, 2000)
    return dataclasses.replace(values, **changes)  # type: ignore[arg-type]


NIC = NicRecord(MAC, None, False)


def driver(text: str) -> dict[str, str] | None:
    element = etree.fromstring(text).find("devices/interface/driver")
    return None if element is None else dict(element.attrib)


def args(text: str) -> list[str]:
    return [arg.get("value") for arg in etree.fromstring(text).iter(f"{{{QEMU}}}arg")]


# The laws


@WITH_DATA
@given(domains, st.data())
def test_to_protect_twice_is_to_protect_once(before: str, data: st.DataObject) -> None:
    wanted = data.draw(records_of(before))
    once = editing.protect(before, wanted)
    assert editing.protect(once, wanted) == once
    assert editing.protect(once, reading.read_record(once)) == once


@WITH_DATA
@given(domains, st.data())
def test_unprotect_gives_back_the_xml_from_before(before: str, data: st.DataObject) -> None:
    """Whatever roles the domain has been through, and whatever the later records say of the time before."""
    text = editing.protect(before, data.draw(records_of(before)))
    for _turn in range(data.draw(st.integers(0, 2))):
        known = reading.read_record(text)
        again = data.draw(records(data.draw(roles)))
        forgetful = dataclasses.replace(again, nics=tuple(NicRecord(n.mac, "qemu", True) for n in known.nics))
        text = editing.protect(text, forgetful)
    assert reading.canonical(editing.unprotect(text)) == reading.canonical(before)


def set_driver(root: etree._Element, **attributes: str) -> None:
    for interface in root.iterfind("devices/interface"):
        element = interface.find("driver")
        if element is None:
            element = etree.SubElement(interface, "driver")
            interface.insert(interface.index(interface.find("model")) + 1, element)
        for key, value in attributes.items():
            element.set(key, value)


def drop_nics(root: etree._Element) -> None:
    for interface in root.findall("devices/interface"):
        interface.getparent().remove(interface)


def drop_drivers(root: etree._Element) -> None:
    for element in root.findall("devices/interface/driver"):
        element.getparent().remove(element)


def add_metadata(root: etree._Element) -> None:
    metadata = root.find("metadata")
    if metadata is None:
        metadata = etree.Element("metadata")
        heads = [child for child in root if child.tag in ("name", "uuid", "genid", "title", "description")]
        heads[-1].addnext(metadata)
    etree.SubElement(metadata, "{urn:new}thing", nsmap={"n": "urn:new"})


def add_env(root: etree._Element) -> None:
    commandline = root.find(f"{{{QEMU}}}commandline")
    if commandline is None:
        commandline = etree.Element(f"{{{QEMU}}}commandline", nsmap={"qemu": QEMU})
        others = [child for child in root if child.tag in (f"{{{QEMU}}}capabilities", f"{{{QEMU}}}override")]
        if others:  # libvirt writes it before them, wherever it stood
            others[0].addprevious(commandline)
        else:
            root.append(commandline)
    etree.SubElement(commandline, f"{{{QEMU}}}env", {"name": "NEW"}, nsmap={"qemu": QEMU})


CHANGES = {
    "vhost": lambda root: set_driver(root, name="vhost"),
    "option": lambda root: set_driver(root, rx_queue_size="512"),
    "no drivers": drop_drivers,
    "no NICs": drop_nics,
    "metadata": add_metadata,
    "environment": add_env,
    "memory": lambda root: root.find("memory").set("unit", "MiB"),
    "device": lambda root: etree.SubElement(root.find("devices"), "graphics", type="vnc", passwd="new"),
}


@pytest.mark.parametrize("change", CHANGES)
@WITH_DATA
@given(before=domains, data=st.data())
def test_what_the_user_changes_meanwhile_stays(before: str, change: str, data: st.DataObject) -> None:
    """Protect, change, unprotect is the change alone."""

    def changed(text: str) -> str:
        root = etree.fromstring(text)
        CHANGES[change](root)
        return etree.tostring(root.getroottree(), encoding="unicode")

    protected = changed(editing.protect(before, data.draw(records_of(before))))
    assert reading.canonical(editing.unprotect(protected)) == reading.canonical(changed(before))


def without_ours(text: str) -> str:
    """The XML less everything that may differ, removed by other means than the code's."""
    root = etree.fromstring(text)
    for element in root.findall(f"metadata/{{{NAMESPACE}}}pair"):
        element.getparent().remove(element)
    for element in root.findall("devices/interface/driver"):
        element.attrib.pop("name", None)
    for value in ("-incoming", "defer"):
        for element in root.findall(f"{{{QEMU}}}commandline/{{{QEMU}}}arg[@value='{value}']"):
            element.getparent().remove(element)
    for path in ("devices/interface/driver", f"{{{QEMU}}}commandline", "metadata"):
        for element in root.findall(path):
            if not len(element) and not element.attrib:
                element.getparent().remove(element)
    return reading.canonical(etree.tostring(root, encoding="unicode"))


@WITH_DATA
@given(domains, st.data())
def test_protect_touches_nothing_else(before: str, data: st.DataObject) -> None:
    after = editing.protect(before, data.draw(records_of(before)))
    assert without_ours(after) == without_ours(before)
    comments = [[node.text for node in etree.fromstring(text).iter(etree.Comment)] for text in (before, after)]
    assert comments[0] == comments[1]
    assert after.startswith("<!-- top -->") == before.startswith("<!-- top -->")


@WITH_DATA
@given(domains, st.data())
def test_what_is_written_is_what_is_read(before: str, data: st.DataObject) -> None:
    wanted = data.draw(records_of(before))
    settled = editing.settle(before, wanted)
    assert reading.read_record(editing.protect(before, wanted)) == settled
    assert editing.settle(before, settled) == settled
    kept = {field: getattr(wanted, field) for field in ("incoming_added", "metadata_before", "commandline_before")}
    assert dataclasses.replace(settled, **kept) == wanted


@WITH_DATA
@given(domains, st.data())
def test_a_protected_domain_has_what_libvirt_must_know(before: str, data: st.DataObject) -> None:
    wanted = data.draw(records_of(before))
    after = editing.protect(before, wanted)
    ours = {item.mac for item in wanted.nics}
    for old, new in zip(reading.nics(before), reading.nics(after), strict=True):
        assert new.driver == ("qemu" if new.mac in ours and new.model.startswith("virtio") else old.driver)
    incoming = [pair for pair in itertools.pairwise(args(after)) if pair[0] == "-incoming"]
    if wanted.role == "secondary":
        assert incoming == [("-incoming", "defer")]
    else:
        assert incoming == [pair for pair in itertools.pairwise(args(before)) if pair[0] == "-incoming"]


@given(domains)
def test_a_domain_without_a_record_is_left_as_it_is(before: str) -> None:
    assert reading.read_record(before) is None
    assert editing.unprotect(before) is before


@given(records())
def test_the_text_for_set_metadata_is_the_record_without_its_namespace(given_record: Record) -> None:
    text = editing.with_metadata_element(given_record)
    assert record_xml.from_xml(text) == given_record
    root = etree.fromstring(text)
    assert all(etree.QName(element).namespace is None for element in root.iter())
    # What libvirt makes of it: the key as prefix, and every element without a namespace into the URI's.
    injected = text.replace("</", f"</{PREFIX}:").replace("<", f"<{PREFIX}:").replace(f"<{PREFIX}:/", "</")
    injected = injected.replace("<colo:pair", f"<colo:pair xmlns:{PREFIX}='{NAMESPACE}'", 1)
    assert record_xml.from_xml(injected) == given_record


# Single cases


def test_an_empty_metadata_element_that_was_there_stays() -> None:
    before = xml(metadata="<metadata/>")
    assert "<metadata" in editing.unprotect(editing.protect(before, record()))
    assert "<metadata" not in editing.unprotect(editing.protect(xml(), record()))


def test_the_record_keeps_its_place_among_others() -> None:
    before = xml(
        metadata=f"<metadata><a:a xmlns:a='urn:a'/>{record_xml.to_xml(record())}text<b:b xmlns:b='urn:b'/></metadata>"
    )
    after = editing.protect(before, record("alone"))
    metadata = etree.fromstring(after).find("metadata")
    assert [etree.QName(child).localname for child in metadata] == ["a", "pair", "b"]
    assert "text" in "".join(metadata.itertext())
    assert "text" in "".join(etree.fromstring(editing.unprotect(after)).find("metadata").itertext())


def test_our_arguments_stand_before_the_environment_as_libvirt_writes_them() -> None:
    after = editing.protect(xml(commandline="<q:arg value='-s'/><q:env name='A'/>"), record("secondary"))
    commandline = etree.fromstring(after).find(f"{{{QEMU}}}commandline")
    assert [child.get("value") or child.get("name") for child in commandline] == ["-s", "-incoming", "defer", "A"]


def test_our_arguments_stand_before_what_else_qemu_is_told() -> None:
    """Where libvirt writes them, so that the XML that is read back is the XML that was defined."""
    root = etree.fromstring(editing.protect(fixture("capabilities"), record("secondary")))
    assert [etree.QName(child).localname for child in root][-3:] == ["commandline", "capabilities", "override"]


def test_a_standby_that_is_promoted_loses_incoming() -> None:
    standby = editing.protect(xml(), record("secondary"))
    assert args(standby) == ["-incoming", "defer"]
    assert reading.has_incoming(standby)
    promoted = editing.protect(standby, dataclasses.replace(reading.read_record(standby), role="alone"))
    assert QEMU not in promoted
    assert not reading.has_incoming(promoted)
    assert not reading.read_record(promoted).incoming_added


def test_incoming_is_removed_though_the_metadata_alone_was_changed_before() -> None:
    """A survivor writes its generation first, by virDomainSetMetadata; the XML follows when the guest runs."""
    standby = editing.protect(xml(), record("secondary"))
    kept = dataclasses.replace(reading.read_record(standby), role="alone", generation=2)
    root = etree.fromstring(standby)
    metadata = root.find("metadata")
    metadata.replace(metadata[0], record_xml.to_element(kept))
    text = etree.tostring(root, encoding="unicode")
    assert reading.read_record(text) == kept
    assert args(editing.protect(text, kept)) == []


def test_an_incoming_of_the_users_own_stays() -> None:
    before = xml(commandline="<q:arg value='-incoming'/><q:arg value='defer'/>")
    standby = editing.protect(before, record("secondary"))
    assert not reading.read_record(standby).incoming_added
    assert args(editing.protect(standby, record("alone"))) == ["-incoming", "defer"]
    assert args(editing.unprotect(standby)) == ["-incoming", "defer"]


@pytest.mark.parametrize("value", ["<q:arg value='tcp:0:1'/>", ""])
def test_another_incoming_is_refused_for_a_standby_and_left_alone_otherwise(value: str) -> None:
    before = xml(commandline=f"<q:arg value='-incoming'/>{value}")
    with pytest.raises(DomainXmlError, match="-incoming"):
        editing.protect(before, record("secondary"))
    assert args(editing.unprotect(editing.protect(before, record()))) == args(before)


def test_an_incoming_that_the_user_changed_stays() -> None:
    text = editing.protect(xml(), record("secondary")).replace('value="defer"', 'value="tcp:0:1"')
    assert args(editing.unprotect(text)) == ["-incoming", "tcp:0:1"]


@pytest.mark.parametrize(
    ("before", "protected"),
    [
        ("", {"name": "qemu"}),
        ("<driver/>", {"name": "qemu"}),
        ("<driver name='vhost' queues='1'/>", {"name": "qemu", "queues": "1"}),
        ("<driver name='qemu'/>", {"name": "qemu"}),
    ],
)
def test_a_virtio_nic_is_taken_from_vhost_and_given_back(before: str, protected: dict[str, str]) -> None:
    text = xml(nic(before))
    known = reading.nics(text)[0]
    after = editing.protect(text, record("primary", NicRecord(MAC, known.driver, known.driver_element)))
    assert driver(after) == protected
    assert reading.canonical(editing.unprotect(after)) == reading.canonical(text)


def test_a_nic_that_is_not_virtio_has_no_driver() -> None:
    text = xml(nic(model="e1000"))
    assert driver(editing.protect(text, record("primary", NIC))) is None


def test_a_driver_that_the_user_gave_to_a_nic_that_is_not_virtio_stays() -> None:
    protected = editing.protect(xml(nic(model="e1000")), record("primary", NIC))
    changed = protected.replace('<model type="e1000"/>', '<model type="e1000"/><driver name="qemu"/>')
    assert driver(changed) == {"name": "qemu"}
    assert driver(editing.unprotect(changed)) == {"name": "qemu"}


def test_the_xml_is_believed_rather_than_the_record_on_a_driver_that_is_not_ours() -> None:
    after = editing.protect(xml(nic("<driver name='vhost'/>")), record("primary", NIC))
    assert reading.read_record(after).nics == (NicRecord(MAC, "vhost", True),)


def test_the_first_original_is_kept() -> None:
    once = editing.protect(xml(nic()), record("primary", NIC))
    seen = reading.nics(once)[0]
    again = editing.protect(once, record("primary", NicRecord(MAC, seen.driver, seen.driver_element)))
    assert reading.read_record(again).nics == (NIC,)


def test_a_driver_that_the_user_set_meanwhile_is_the_new_original() -> None:
    once = editing.protect(xml(nic()), record("primary", NIC)).replace('name="qemu"', 'name="vhost"')
    again = editing.protect(once, record("primary", NIC))
    assert driver(again) == {"name": "qemu"}
    assert driver(editing.unprotect(again)) == {"name": "vhost"}


def test_a_record_of_a_domain_whose_driver_is_ours_already_is_believed() -> None:
    """The metadata can be lost by itself; the originals are then known from elsewhere."""
    after = editing.protect(xml(nic("<driver name='qemu'/>")), record("primary", NIC))
    assert driver(editing.unprotect(after)) is None


def test_a_nic_that_is_not_there_is_refused_unless_it_was() -> None:
    with pytest.raises(DomainXmlError, match=MAC):
        editing.protect(xml(), record("primary", NIC))
    protected = etree.fromstring(editing.protect(xml(nic()), record("primary", NIC)))
    drop_nics(protected)
    gone = etree.tostring(protected, encoding="unicode")
    assert reading.read_record(editing.protect(gone, record("alone", NIC))).role == "alone"


def test_a_mac_address_is_found_in_capitals() -> None:
    text = xml(nic().replace(MAC, "52:54:00:AA:BB:CC"))
    assert reading.nics(text)[0].mac == "52:54:00:aa:bb:cc"
    after = editing.protect(text, record("primary", dataclasses.replace(NIC, mac="52:54:00:aa:bb:cc")))
    assert driver(after) == {"name": "qemu"}


def test_passwords_stay() -> None:
    before = fixture("metadata")
    assert etree.fromstring(before).find("devices/graphics").get("passwd") == 's3cr<t"&'
    after = editing.protect(before, record("secondary"))
    assert etree.fromstring(after).find("devices/graphics").get("passwd") == 's3cr<t"&'


@pytest.mark.parametrize("root", ["pair", "other"])
def test_a_broken_record_is_refused_by_everything(root: str) -> None:
    text = xml(metadata=f"<metadata>\n<x:{root} xmlns:x='{NAMESPACE}'/></metadata>")
    for change in (reading.read_record, editing.unprotect, lambda text: editing.protect(text, record())):
        with pytest.raises(VocabularyError, match="line 2"):
            change(text)


def test_a_record_of_another_version_is_not_mistaken_for_none() -> None:
    text = xml(metadata="<metadata><x:pair xmlns:x='urn:lockstep:colo:2'/></metadata>")
    with pytest.raises(VocabularyError, match="urn:lockstep:colo:2"):
        reading.read_record(text)


def test_two_records_are_refused() -> None:
    text = xml(metadata=f"<metadata>{record_xml.to_xml(record())}{record_xml.to_xml(record())}</metadata>")
    with pytest.raises(VocabularyError, match="second record"):
        reading.read_record(text)
