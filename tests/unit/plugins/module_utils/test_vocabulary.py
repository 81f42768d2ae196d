# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import dataclasses
import json

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils import record_xml, schema
from ansible_collections.lockstep.colo.plugins.module_utils.schema import NAMESPACE, VocabularyError
from ansible_collections.lockstep.colo.plugins.module_utils.vocabulary import (
    PORT_RANGE,
    Channel,
    DiskRecord,
    Endpoint,
    NicRecord,
    Record,
)
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.domain_strategies import records
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

KVM1 = Endpoint("kvm1", "m1", "10.0.0.1")
KVM2 = Endpoint("kvm2", "m2", "10.0.0.2")
NICS = (NicRecord("52:54:00:00:00:01", "vhost", True), NicRecord("52:54:00:00:00:02", None, False))
STANDBY_DISK = DiskRecord("vda", "raw", "/i/vda.raw", 1 << 30, "/i/vda.active", "/i/vda.hidden")
STRAY_CHANNEL = '<colo:channel kind="nbd" listener="primary" address="a" port="1"/>'


def record(role: str = "primary", **changes: object) -> Record:
    local, peer = (KVM2, KVM1) if role == "secondary" else (KVM1, KVM2)
    values: dict[str, object] = {
        "role": role,
        "generation": 3,
        "complete": 3,
        "local": local,
        "peer": peer,
        "first_port": 21600,
        "disks": (STANDBY_DISK if role == "secondary" else DiskRecord("vda", "qcow2", "/i/vda.qcow2", 1 << 30),),
        "nics": NICS,
        "autostart_before": True,
        "checkpoint_delay": 2000,
    }
    return Record(**{**values, **changes})  # type: ignore[arg-type]


@given(records())
def test_a_record_and_its_xml_say_the_same(given_record: Record) -> None:
    text = record_xml.to_xml(given_record)
    assert record_xml.from_xml(text) == given_record
    assert record_xml.to_xml(record_xml.from_xml(text)) == text
    schema.validate(record_xml.to_element(given_record))


@given(records())
def test_a_record_survives_json(given_record: Record) -> None:
    assert Record.from_dict(json.loads(json.dumps(given_record.to_dict()))) == given_record


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(records(), st.data())
def test_xml_that_is_changed_is_another_record_or_none(given_record: Record, data: st.DataObject) -> None:
    """Nothing that is read is ignored."""
    root = record_xml.to_element(given_record)
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
        read = record_xml.from_xml(root)
    except VocabularyError:
        return
    assert etree.tostring(record_xml.to_element(read)) == etree.tostring(root)


@pytest.mark.parametrize("role", ["primary", "secondary", "alone"])
def test_an_unknown_element_or_attribute_is_refused_wherever_it_is(role: str) -> None:
    text = record_xml.to_xml(
        record(role, incoming_added=True, credentials="tls", metadata_before=True, commandline_before=True)
    )
    for number, _element in enumerate(etree.fromstring(text).iter()):
        root = etree.fromstring(text)
        list(root.iter())[number].set("surprise", "1")
        with pytest.raises(VocabularyError, match="surprise"):
            record_xml.from_xml(root)
        root = etree.fromstring(text)
        etree.SubElement(list(root.iter())[number], f"{{{NAMESPACE}}}surprise")
        with pytest.raises(VocabularyError, match=r"surprise|has child elements"):
            record_xml.from_xml(root)


OPTIONAL = {("pair", "complete"), ("channels", "credentials"), ("driver", "name")}


@pytest.mark.parametrize("role", ["primary", "secondary", "alone"])
def test_a_required_attribute_is_required(role: str) -> None:
    text = record_xml.to_xml(record(role, credentials="tls"))
    for number, element in enumerate(etree.fromstring(text).iter()):
        for key in element.attrib:
            if (etree.QName(element).localname, key) in OPTIONAL:
                continue
            root = etree.fromstring(text)
            del list(root.iter())[number].attrib[key]
            with pytest.raises(VocabularyError):
                record_xml.from_xml(root)


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
    ],
)
def test_a_refusal_names_line_and_reason(role: str, old: str, new: str, reason: str) -> None:
    text = record_xml.to_xml(record(role))
    assert old in text
    with pytest.raises(VocabularyError, match=reason):
        record_xml.from_xml(text.replace(old, new, 1))


@pytest.mark.parametrize("role", ["primary", "secondary"])
def test_both_ends_see_the_same_four_channels(role: str) -> None:
    assert record(role).channels() == (
        Channel("migration", "secondary", "10.0.0.2", 21600),
        Channel("nbd", "secondary", "10.0.0.2", 21601),
        Channel("mirror", "primary", "10.0.0.1", 21602, nic="52:54:00:00:00:01"),
        Channel("compare", "primary", "10.0.0.1", 21603, nic="52:54:00:00:00:01"),
        Channel("mirror", "primary", "10.0.0.1", 21604, nic="52:54:00:00:00:02"),
        Channel("compare", "primary", "10.0.0.1", 21605, nic="52:54:00:00:00:02"),
    )


def test_a_survivor_alone_has_no_channels_and_keeps_its_ports() -> None:
    alone = record("alone")
    assert alone.channels() == ()
    assert record_xml.from_xml(record_xml.to_xml(alone)).first_port == 21600


def test_every_channel_has_the_credentials() -> None:
    assert {channel.credentials for channel in record(credentials="tls").channels()} == {"tls"}


@given(records())
def test_a_pair_stays_within_its_block_of_ports(given_record: Record) -> None:
    ports = [channel.port for channel in given_record.channels()]
    assert len(set(ports)) == len(ports)
    assert all(given_record.first_port <= port < given_record.first_port + 16 and port in PORT_RANGE for port in ports)


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
    root = record_xml.to_element(record(role))
    assert layers(root.find(f"{{{NAMESPACE}}}disk"), root) == graph


def test_an_image_on_a_device_is_of_type_block() -> None:
    text = record_xml.to_xml(record(disks=(DiskRecord("vda", "raw", "/dev/vg/lv", 1),)))
    assert '<colo:source dev="/dev/vg/lv"/>' in text
    assert '<colo:backingStore type="block">' in text


def test_metadata_as_libvirt_hands_it_out_has_no_namespace() -> None:
    plain = record_xml.to_xml(record()).replace(f' xmlns:colo="{NAMESPACE}"', "").replace("colo:", "")
    assert plain.startswith("<pair role=")
    assert record_xml.from_xml(plain) == record()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"role": "boss"}, "role"),
        ({"generation": -1}, "generation"),
        ({"generation": True}, "generation"),
        ({"complete": "3"}, "completed generation"),
        ({"first_port": 21599}, "21600-23199"),
        ({"first_port": 23185}, "21600-23199"),
        ({"nics": tuple(NicRecord(f"52:54:00:00:00:{n:02x}", None, False) for n in range(8))}, "8 NICs"),
        ({"nics": NICS + NICS[:1]}, "twice"),
        ({"disks": (STANDBY_DISK, STANDBY_DISK)}, "twice"),
        ({"role": "secondary"}, "no active and hidden"),
        ({"autostart_before": "no"}, "autostart_before"),
        ({"credentials": ""}, "credentials"),
        ({"checkpoint_delay": 1.5}, "checkpoint delay"),
    ],
)
def test_a_record_that_cannot_be_is_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(VocabularyError, match=reason):
        dataclasses.replace(record(), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "build",
    [
        lambda: Endpoint("", "m", "a"),
        lambda: Endpoint("two\nlines", "m", "a"),
        lambda: Endpoint("h\x00", "m", "a"),
        lambda: DiskRecord("vda-active", "raw", "/i", 1),
        lambda: DiskRecord("vda", "raw", "relative", 1),
        lambda: DiskRecord("vda", "", "/i", 1),
        lambda: DiskRecord("vda", "raw", "/i", 1, active="/a"),
        lambda: NicRecord("52:54:00:AA:00:01", None, False),
        lambda: NicRecord("52:54:00:aa:00:01", "vhost", False),
    ],
)
def test_a_part_that_cannot_be_is_refused(build: object) -> None:
    with pytest.raises(VocabularyError):
        build()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "not a mapping"),
        ({}, "lacks|not a mapping"),
        ({**record().to_dict(), "extra": 1}, "extra"),
        ({**record().to_dict(), "disks": None}, "not a list"),
        ({**record().to_dict(), "local": {"host": "a"}}, "machine_id"),
        ({key: value for key, value in record().to_dict().items() if key != "generation"}, "generation"),
    ],
)
def test_a_dictionary_that_is_no_record_is_refused(data: object, reason: str) -> None:
    with pytest.raises(VocabularyError, match=reason):
        Record.from_dict(data)  # type: ignore[arg-type]
