# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A record as the XML that a domain carries.

It shows one level for each layer that QEMU has, in the words that libvirt uses for disks where it has words for them.
A record and its XML say exactly the same: from_xml() refuses what to_xml() would not have written.
"""

from __future__ import annotations

from copy import deepcopy

from .images import OVERLAY_FORMAT
from .pair import DiskRecord, Endpoint, NicRecord, Record
from .schema import NAMESPACE, VocabularyError, etree, validate

PREFIX = "colo"
ROOT = "pair"


def to_element(record: Record) -> etree._Element:
    """The record as an lxml element in our namespace."""
    pair = etree.Element(_tag(ROOT), nsmap={PREFIX: NAMESPACE})
    pair.set("role", record.role)
    pair.set("generation", str(record.generation))
    if record.complete is not None:
        pair.set("complete", str(record.complete))
    if record.handed_over:
        pair.set("handed-over", "yes")
    pair.set("checkpoint-delay", str(record.checkpoint_delay))
    if record.uncompared is not None:
        pair.set("uncompared", record.uncompared)
    for name, end in (("local", record.local), ("peer", record.peer)):
        _add(pair, name, host=end.host, machine_id=end.machine_id, address=end.address)
    _write_channels(pair, record)
    for disk in record.disks:
        _write_disk(pair, record, disk)
        _write_hidden_disks(pair, disk)
    _write_original(pair, record)
    return pair


def to_xml(record: Record) -> str:
    """The record as text, the same text for the same record."""
    element = to_element(record)
    etree.indent(element)
    return etree.tostring(element, encoding="unicode")


def from_xml(source: str | etree._Element) -> Record:
    """Read a record, with the namespace or, as virDomainGetMetadata returns it, without one."""
    element = _renewed(_qualified(_parse(source) if isinstance(source, str) else source))
    validate(element)
    record = _read_pair(element)
    difference = _difference(element, to_element(record))
    if difference is not None:
        raise VocabularyError(difference)
    return record


# Writing


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _add(parent: etree._Element, tag: str, /, **attributes: str) -> etree._Element:
    given = {key.replace("_", "-"): value for key, value in attributes.items()}
    return etree.SubElement(parent, _tag(tag), given)


def _write_channels(pair: etree._Element, record: Record) -> None:
    channels = _add(pair, "channels", first_port=str(record.first_port))
    if record.credentials is not None:
        channels.set("credentials", record.credentials)
    if record.clear_proxy:
        channels.set("proxy", "clear")
    for channel in record.channels():
        element = _add(
            channels,
            "channel",
            kind=channel.kind,
            listener=channel.listener,
            address=channel.address,
            port=str(channel.port),
        )
        if channel.nic is not None:
            element.set("nic", channel.nic)


def _write_disk(pair: etree._Element, record: Record, disk: DiskRecord) -> None:
    """The layers from the guest's device down to the image, as they are in this role."""
    if record.role == "alone":
        plain = _add(pair, "disk", type=_image_type(disk.path))
        _write_own_image(plain, disk)
        _add(plain, "target", dev=disk.target)
        return
    votes = "2" if record.role == "primary" else "1"
    quorum = _add(pair, "disk", type="quorum", vote_threshold=votes, read_pattern="fifo")
    if record.role == "primary":
        _write_own_image(_add(quorum, "backingStore", type=_image_type(disk.path)), disk)
        _write_remote_image(_add(quorum, "backingStore", type="replication", mode="primary"), record, disk)
    else:
        replication = _add(quorum, "backingStore", type="replication", mode="secondary", top=disk.target)
        _add(replication, "reference", dev=_active(disk), index="0")
    _add(quorum, "target", dev=disk.target)


def _write_own_image(parent: etree._Element, disk: DiskRecord) -> None:
    """The libvirt disk's own image, with what must be known of it before it is opened."""
    _add(parent, "reference", dev=disk.target, index="0")
    _write_image(parent, disk.format, disk.virtual_size, disk.path)


def _write_remote_image(parent: etree._Element, record: Record, disk: DiskRecord) -> None:
    """The secondary's export of its image, which is raw bytes whatever the image's format is."""
    export = next(channel for channel in record.channels() if channel.kind == "nbd")
    store = _add(parent, "backingStore", type="network")
    _add(store, "format", type="raw")
    source = _add(store, "source", protocol="nbd", name=disk.target)
    _add(source, "host", name=export.address, port=str(export.port))


def _write_hidden_disks(pair: etree._Element, disk: DiskRecord) -> None:
    """The images over a standby's own one. The guest has no such disks, so they have a name and no target."""
    if disk.active is None or disk.hidden is None:
        return
    _add(_write_hidden_disk(pair, disk, _active(disk), disk.active), "reference", dev=_hidden(disk), index="0")
    below = _write_hidden_disk(pair, disk, _hidden(disk), disk.hidden)
    below.set("type", _image_type(disk.path))
    _write_own_image(below, disk)


def _write_hidden_disk(pair: etree._Element, disk: DiskRecord, name: str, path: str) -> etree._Element:
    """Write one, and return its still empty backing store."""
    element = _add(pair, "hiddenDisk", type=_image_type(path))
    _add(element, "name", dev=name)
    # The three images of a standby must have the same size, or replication stalls without a word.
    _write_image(element, OVERLAY_FORMAT, disk.virtual_size, path)
    return _add(element, "backingStore")


def _write_image(parent: etree._Element, image_format: str, size: int, path: str) -> None:
    _add(parent, "format", type=image_format)
    _add(parent, "capacity", unit="bytes").text = str(size)
    _add(parent, "source").set("dev" if _image_type(path) == "block" else "file", path)


def _write_original(pair: etree._Element, record: Record) -> None:
    """What was there before, in libvirt's own words, and then what was added that nothing else shows."""
    original = _add(pair, "original", autostart="yes" if record.autostart_before else "no")
    for nic in record.nics:
        interface = _add(original, "interface")
        if nic.uplink is not None:
            interface.set("uplink", "yes" if nic.uplink else "no")
        _add(interface, "mac", address=nic.mac)
        if nic.driver_element_before:
            driver = _add(interface, "driver")
            if nic.driver_before is not None:
                driver.set("name", nic.driver_before)
    if record.metadata_before:
        _add(original, "metadata")
    if record.commandline_before:
        _add(original, "commandline")
    if record.incoming_added:
        _add(pair, "incoming", uri="defer")


def _active(disk: DiskRecord) -> str:
    return f"{disk.target}-active"


def _hidden(disk: DiskRecord) -> str:
    return f"{disk.target}-hidden"


def _image_type(path: str) -> str:
    """libvirt's type of a disk with this path. What is under /dev is a device: no image file is ever created there."""
    return "block" if path.startswith("/dev/") else "file"


# Reading. The schema has been applied before, and the result is compared with what it would be written as.


def _parse(text: str) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, encoding="utf-8")
    try:
        element = etree.fromstring(text.encode("utf-8"), parser)
    except (etree.XMLSyntaxError, UnicodeError) as error:
        raise VocabularyError(f"not XML: {error}") from error
    if element.getroottree().docinfo.doctype:
        raise VocabularyError("it has a document type, as no record does")
    return element


def _qualified(element: etree._Element) -> etree._Element:
    """libvirt takes the namespace away when it hands out a domain's metadata: give it back, on a copy."""
    if element.tag != ROOT:
        return element
    copy = deepcopy(element)
    copy.tail = None
    for node in copy.iter(etree.Element):
        if etree.QName(node).namespace is None:
            node.tag = _tag(node.tag)
    return copy


def _renewed(pair: etree._Element) -> etree._Element:
    """The record as it is written today, on a copy: up to 0.1 one vote sufficed on the primary as well."""
    if pair.get("role") != "primary":
        return pair
    copy = deepcopy(pair)
    copy.tail = None
    for quorum in copy.iterfind(_tag("disk")):
        if quorum.get("vote-threshold") == "1":
            quorum.set("vote-threshold", "2")
    return copy


def _read_pair(pair: etree._Element) -> Record:
    complete = pair.get("complete")
    images, hidden = _own_images(pair), _hidden_paths(pair)
    channels = _child(pair, "channels")
    original = _child(pair, "original")
    return Record(
        role=pair.get("role"),
        generation=int(pair.get("generation")),
        complete=None if complete is None else int(complete),
        local=_read_endpoint(_child(pair, "local")),
        peer=_read_endpoint(_child(pair, "peer")),
        first_port=int(channels.get("first-port")),
        disks=tuple(
            _read_disk(pair, target.get("dev"), images, hidden)
            for target in pair.iterfind(f"{_tag('disk')}/{_tag('target')}")
        ),
        nics=tuple(_read_nic(interface) for interface in original.iterfind(_tag("interface"))),
        autostart_before=original.get("autostart") == "yes",
        checkpoint_delay=int(pair.get("checkpoint-delay")),
        incoming_added=pair.find(_tag("incoming")) is not None,
        credentials=channels.get("credentials"),
        clear_proxy=channels.get("proxy") == "clear",
        metadata_before=original.find(_tag("metadata")) is not None,
        commandline_before=original.find(_tag("commandline")) is not None,
        handed_over=pair.get("handed-over") == "yes",
        uncompared=pair.get("uncompared"),
    )


def _read_endpoint(element: etree._Element) -> Endpoint:
    return Endpoint(element.get("host"), element.get("machine-id"), element.get("address"))


def _own_images(pair: etree._Element) -> dict[str, etree._Element]:
    """Each disk's own image, which in every role is described where it is referred to; by the disk's target."""
    found: dict[str, etree._Element] = {}
    for reference in pair.iter(_tag("reference")):
        image = reference.getparent()
        if image.find(_tag("source")) is not None:
            found.setdefault(reference.get("dev"), image)
    return found


def _hidden_paths(pair: etree._Element) -> dict[str, str]:
    """The images over a standby's own ones, by their names."""
    found: dict[str, str] = {}
    for disk in pair.iterfind(_tag("hiddenDisk")):
        found.setdefault(_child(disk, "name").get("dev"), _read_path(disk))
    return found


def _read_disk(
    pair: etree._Element, target: str, images: dict[str, etree._Element], hidden: dict[str, str]
) -> DiskRecord:
    image = images.get(target)
    if image is None:
        raise VocabularyError(f"{_line(pair)}nothing refers to the image of disk {target}")
    return DiskRecord(
        target=target,
        format=_child(image, "format").get("type"),
        path=_read_path(image),
        virtual_size=int(_child(image, "capacity").text),
        active=hidden.get(f"{target}-active"),
        hidden=hidden.get(f"{target}-hidden"),
    )


def _read_path(image: etree._Element) -> str:
    source = _child(image, "source")
    return source.get("file") or source.get("dev")


def _read_nic(interface: etree._Element) -> NicRecord:
    driver = interface.find(_tag("driver"))
    name = None if driver is None else driver.get("name")
    uplink = interface.get("uplink")
    known = None if uplink is None else uplink == "yes"
    return NicRecord(_child(interface, "mac").get("address"), name, driver is not None, known)


def _child(element: etree._Element, name: str) -> etree._Element:
    found = element.find(_tag(name))
    if found is None:
        raise VocabularyError(f"{_line(element)}no <{name}>")
    return found


def _line(element: etree._Element) -> str:
    return f"line {element.sourceline}: " if element.sourceline else ""


def _difference(given: etree._Element, written: etree._Element) -> str | None:
    """Where `given` is not what this record is written as: a port off the layout, a size that differs, a stray disk."""
    name = etree.QName(given).localname
    if given.tag != written.tag:
        return f"{_line(given)}<{name}> where <{etree.QName(written).localname}> belongs"
    for key in sorted({*given.attrib, *written.attrib}):
        if given.get(key) != written.get(key):
            return f"{_line(given)}<{name}> has {key}={given.get(key)!r} where {written.get(key)!r} belongs"
    if (given.text or "").strip() != (written.text or "").strip():
        return f"{_line(given)}<{name}> has {(given.text or '').strip()!r} where {written.text!r} belongs"
    children, expected = list(given.iterchildren(etree.Element)), list(written.iterchildren(etree.Element))
    for child, other in zip(children, expected, strict=False):
        difference = _difference(child, other)
        if difference is not None:
            return difference
    if len(children) != len(expected):
        return f"{_line(given)}<{name}> has {len(children)} children where {len(expected)} belong"
    return None
