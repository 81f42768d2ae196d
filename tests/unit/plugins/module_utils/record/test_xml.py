# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import dataclasses

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.record import schema, xml
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import PKI_DIRECTORY, DiskRecord, Record
from ansible_collections.lockstep.colo.plugins.module_utils.record.schema import NAMESPACE, VocabularyError
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.a_record import STANDBY_DISK, record
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.domain_strategies import records
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.work import lines_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

STRAY_CHANNEL = '<colo:channel kind="nbd" listener="primary" address="a" port="1"/>'


@given(records())
def test_a_record_and_its_xml_say_the_same(given_record: Record) -> None:
    text = xml.to_xml(given_record)
    assert xml.from_xml(text) == given_record
    assert xml.to_xml(xml.from_xml(text)) == text
    schema.validate(xml.to_element(given_record))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(records(), st.data())
def test_xml_that_is_changed_is_another_record_or_none(given_record: Record, data: st.DataObject) -> None:
    """Nothing that is read is ignored."""
    root = xml.to_element(given_record)
    element = data.draw(st.sampled_from(list(root.iter())))
    change = data.draw(st.sampled_from(["attribute", "drop attribute", "element", "drop element", "text", "double"]))
    if change == "attribute":
        key = data.draw(st.sampled_from(["type", "port", "unknown"]))
        element.set(key, data.draw(st.sampled_from(["x", "1", "raw"])))
    elif change == "drop attribute" and element.attrib:
        del element.attrib[data.draw(st.sampled_from(sorted(element.attrib)))]
    elif change == "element":
        element.append(etree.Element(f"{{{NAMESPACE}}}{data.draw(st.sampled_from(['reference', 'unknown']))}"))
    elif change == "drop element" and element is not root:
        element.getparent().remove(element)
    elif change == "text":
        element.text = "7"
    elif change == "double" and element is not root:
        element.addnext(copy.deepcopy(element))
    try:
        read = xml.from_xml(root)
    except VocabularyError:
        return
    assert etree.tostring(xml.to_element(read)) == etree.tostring(root)


@pytest.mark.parametrize("role", ["primary", "secondary", "alone"])
def test_an_unknown_element_or_attribute_is_refused_wherever_it_is(role: str) -> None:
    text = xml.to_xml(
        record(role, incoming_added=True, credentials=PKI_DIRECTORY, metadata_before=True, commandline_before=True)
    )
    for number, _element in enumerate(etree.fromstring(text).iter()):
        root = etree.fromstring(text)
        list(root.iter())[number].set("surprise", "1")
        with pytest.raises(VocabularyError, match="surprise"):
            xml.from_xml(root)
        root = etree.fromstring(text)
        etree.SubElement(list(root.iter())[number], f"{{{NAMESPACE}}}surprise")
        with pytest.raises(VocabularyError, match=r"surprise|has child elements"):
            xml.from_xml(root)


OPTIONAL = {("pair", "complete"), ("channels", "credentials"), ("driver", "name")}


@pytest.mark.parametrize("role", ["primary", "secondary", "alone"])
def test_a_required_attribute_is_required(role: str) -> None:
    text = xml.to_xml(record(role, credentials=PKI_DIRECTORY))
    for number, element in enumerate(etree.fromstring(text).iter()):
        for key in element.attrib:
            if (etree.QName(element).localname, key) in OPTIONAL:
                continue
            root = etree.fromstring(text)
            del list(root.iter())[number].attrib[key]
            with pytest.raises(VocabularyError):
                xml.from_xml(root)


@pytest.mark.parametrize(
    ("role", "old", "new", "reason"),
    [
        ("primary", 'port="21603"', 'port="21699"', r"line 8: <channel> has port='21699' where '21603' belongs"),
        ("primary", 'unit="bytes">1073741824<', 'unit="bytes">many<', r"line 16: .*capacity"),
        ("secondary", 'unit="bytes">1073741824<', 'unit="bytes">1<', r"line 21: <capacity> has '1' where '1073741824'"),
        ("secondary", 'top="vda"', 'top="vdb"', r"line 13: <backingStore> has top='vdb' where 'vda' belongs"),
        (
            "alone",
            '<colo:channels first-port="21600"/>',
            f'<colo:channels first-port="21600">{STRAY_CHANNEL}</colo:channels>',
            r"line 4: <channels> has 1 children where 0 belong",
        ),
        ("primary", "quorum", "quarum", r"line 12: .*disk"),
        ("primary", 'role="primary"', 'role="boss"', r"line 1: .*role"),
        ("primary", "urn:lockstep:colo:1", "urn:lockstep:colo:2", r"line 1: "),
        ("primary", "</colo:pair>", "", r"not XML"),
        ("primary", "<colo:pair", "<!DOCTYPE pair [<!ENTITY x 'y'>]><colo:pair", r"document type"),
    ],
)
def test_a_refusal_names_line_and_reason(role: str, old: str, new: str, reason: str) -> None:
    text = xml.to_xml(record(role))
    assert old in text
    with pytest.raises(VocabularyError, match=reason):
        xml.from_xml(text.replace(old, new, 1))


def layers(element: etree._Element, root: etree._Element) -> object:
    """The block graph that this XML describes, references followed."""
    if element is None:
        return None
    tag = f"{{{NAMESPACE}}}"
    reference = element.find(f"{tag}reference")
    if reference is not None and reference.get("dev", "").endswith(("-active", "-hidden")):
        for disk in root.iterfind(f"{tag}hiddenDisk"):
            if disk.find(f"{tag}name").get("dev") == reference.get("dev"):
                below = layers(disk, root)
                return below if element.get("type") is None else (element.get("type"), below)
    children = [layers(child, root) for child in element.iterfind(f"{tag}backingStore")]
    image = element.find(f"{tag}format")
    label = element.get("type") if image is None else f"{element.get('type')} {image.get('type')}"
    return (label, *children) if children else label


@pytest.mark.parametrize(
    ("role", "graph"),
    [
        ("primary", ("quorum", "file qcow2", ("replication", "network raw"))),
        ("secondary", ("quorum", ("replication", ("file qcow2", ("file qcow2", "file raw"))))),
        ("alone", "file qcow2"),
    ],
)
def test_the_xml_shows_every_layer_with_its_format(role: str, graph: object) -> None:
    root = xml.to_element(record(role))
    assert layers(root.find(f"{{{NAMESPACE}}}disk"), root) == graph


def test_an_image_on_a_device_is_of_type_block() -> None:
    text = xml.to_xml(record(disks=(DiskRecord("vda", "raw", "/dev/vg/lv", 1),)))
    assert '<colo:source dev="/dev/vg/lv"/>' in text
    assert '<colo:backingStore type="block">' in text


def test_metadata_as_libvirt_hands_it_out_has_no_namespace() -> None:
    plain = xml.to_xml(record()).replace(f' xmlns:colo="{NAMESPACE}"', "").replace("colo:", "")
    assert plain.startswith("<pair role=")
    assert xml.from_xml(plain) == record()


@pytest.mark.parametrize("role", ["primary", "secondary", "alone"])
def test_twice_as_many_disks_are_twice_the_work(role: str) -> None:
    """It was four times: 500 disks took 2.4 s."""
    few, many = (_lines(_text_of(role, disks)) for disks in (100, 200))
    assert many < 2.2 * few


def _text_of(role: str, disks: int) -> str:
    a_disk = STANDBY_DISK if role == "secondary" else record().disks[0]
    named = tuple(dataclasses.replace(a_disk, target=f"vd{number}") for number in range(disks))
    return xml.to_xml(record(role, disks=named))


def _lines(text: str) -> int:
    xml.from_xml(text)  # compiles the schema
    return lines_of(lambda: xml.from_xml(text))


def test_a_number_has_a_bound() -> None:
    """Python refuses to read a number of 4,301 digits, and not as something that is wrong with a record."""
    for digits in (19, 20, 5000):
        text = xml.to_xml(record()).replace('generation="3"', f'generation="{"9" * digits}"')
        with pytest.raises(VocabularyError, match="generation"):
            xml.from_xml(text)
    with pytest.raises(VocabularyError, match="larger than"):
        record(generation=2**63)
