# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vocabulary of a pair: its phases, its roles, its channels, and the record of it that a domain's XML carries.

The record's XML shows one level for each layer that QEMU has, in the words that libvirt uses for disks where it has
words for them. A record and its XML say exactly the same: from_xml() refuses what to_xml() would not have written.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .schema import NAMESPACE, VocabularyError, etree, validate

PREFIX = "colo"
ROOT = "pair"

PHASES = (
    "unprotected",
    "listening",
    "syncing",
    "protected",
    "stalled",
    "degraded",
    "failed_over",
    "powered_off",
    "stale",
)
ROLES = ("primary", "secondary", "alone")
CHANNEL_KINDS = ("migration", "nbd", "mirror", "compare")

# Below Linux's ephemeral ports (32768 and up) and below libvirt's migration ports (49152-49215).
PORT_RANGE = range(21600, 23200)
PORTS_PER_PAIR = 16
# What a host needs to know until it reboots. The libvirt hook of the role host knows the directory too.
RUN_DIRECTORY = "/run/lockstep-colo"
# The I/O thread that compares packets: a number no domain uses by itself, so that ours is known again after a run that
# was killed.
IOTHREAD = 990
# The last port of a pair is for a switchover: there the standby hears that the primary has ended.
HANDOVER_PORT = PORTS_PER_PAIR - 1
MAX_NICS = (HANDOVER_PORT - 2) // 2

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_TARGET = re.compile(r"[A-Za-z0-9_]+")
_FORMAT = re.compile(r"[a-z0-9][a-z0-9-]*")
# What XML 1.0 cannot hold, and line breaks and tabs, which an attribute does not keep everywhere.
_UNWRITABLE = re.compile(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Endpoint:
    """One end of the pair."""

    host: str
    machine_id: str
    address: str

    def __post_init__(self) -> None:
        for field in ("host", "machine_id", "address"):
            _text(getattr(self, field), f"an endpoint's {field}")


@dataclass(frozen=True)
class Channel:
    """One TCP connection between the two ends, named by who listens."""

    kind: str
    listener: str
    address: str
    port: int
    credentials: str | None = None
    nic: str | None = None


@dataclass(frozen=True)
class DiskRecord:
    """One replicated disk: the image of this host, and on a standby the two images that QEMU lays over it."""

    target: str
    format: str
    path: str
    virtual_size: int
    active: str | None = None
    hidden: str | None = None

    def __post_init__(self) -> None:
        _match(_TARGET, self.target, "a disk's target")
        _match(_FORMAT, self.format, f"the format of disk {self.target}")
        _whole(self.virtual_size, f"the virtual size of disk {self.target}")
        _path(self.path, f"the path of disk {self.target}")
        if (self.active is None) != (self.hidden is None):
            raise VocabularyError(f"disk {self.target} has only one of its active and hidden images")
        if self.active is not None and self.hidden is not None:
            _path(self.active, f"the active image of disk {self.target}")
            _path(self.hidden, f"the hidden image of disk {self.target}")


@dataclass(frozen=True)
class NicRecord:
    """A replicated NIC, and what its <driver> was before: absent, without a name, or with one."""

    mac: str
    driver_before: str | None
    driver_element_before: bool

    def __post_init__(self) -> None:
        _match(_MAC, self.mac, "a NIC's MAC address")
        _flag(self.driver_element_before, f"driver_element_before of NIC {self.mac}")
        if self.driver_before is not None:
            _text(self.driver_before, f"the original driver of NIC {self.mac}")
            if not self.driver_element_before:
                raise VocabularyError(f"NIC {self.mac} has an original driver name but no original driver element")


@dataclass(frozen=True)
class Record:
    """What was done to a domain on this host, enough for a survivor without an inventory."""

    role: str
    generation: int
    complete: int | None
    local: Endpoint
    peer: Endpoint
    first_port: int
    disks: tuple[DiskRecord, ...]
    nics: tuple[NicRecord, ...]
    autostart_before: bool
    checkpoint_delay: int
    incoming_added: bool = False
    credentials: str | None = None
    # Whether the domain had these elements before us: only the XML knows, and domain.settle() fills it in.
    metadata_before: bool = False
    commandline_before: bool = False
    # A primary that ends, or has ended, for the standby to take over: from then on its copy is the older one.
    handed_over: bool = False

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise VocabularyError(f"role {self.role!r} is none of {', '.join(ROLES)}")
        _whole(self.generation, "the generation")
        _whole(self.checkpoint_delay, "the checkpoint delay")
        if self.complete is not None:
            _whole(self.complete, "the completed generation")
        for field in ("autostart_before", "incoming_added", "metadata_before", "commandline_before", "handed_over"):
            _flag(getattr(self, field), field)
        if self.handed_over and self.role != "primary":
            raise VocabularyError(f"a {self.role} has nothing to hand over")
        if self.credentials is not None:
            _text(self.credentials, "the credentials")
        self._check_ports()
        self._check_devices()

    def _check_ports(self) -> None:
        _whole(self.first_port, "the first port")
        if self.first_port not in PORT_RANGE or self.first_port + PORTS_PER_PAIR - 1 not in PORT_RANGE:
            raise VocabularyError(
                f"first port {self.first_port}: a pair's {PORTS_PER_PAIR} ports "
                f"must lie within {PORT_RANGE.start}-{PORT_RANGE.stop - 1}"
            )
        if len(self.nics) > MAX_NICS:
            raise VocabularyError(f"{len(self.nics)} NICs: a pair's ports suffice for {MAX_NICS}")

    def _check_devices(self) -> None:
        _unique((disk.target for disk in self.disks), "disk")
        _unique((nic.mac for nic in self.nics), "NIC")
        if self.role == "secondary":
            for disk in self.disks:
                if disk.active is None:
                    raise VocabularyError(f"disk {disk.target} of a secondary has no active and hidden images")

    def channels(self) -> tuple[Channel, ...]:
        """Every connection of the pair. A survivor alone has none, only the ports that are kept for its next peer."""
        if self.role == "alone":
            return ()
        primary, secondary = (self.local, self.peer) if self.role == "primary" else (self.peer, self.local)
        by_port: list[tuple[str, str, Endpoint, str | None]] = [
            ("migration", "secondary", secondary, None),
            ("nbd", "secondary", secondary, None),
        ]
        for nic in self.nics:
            by_port.append(("mirror", "primary", primary, nic.mac))
            by_port.append(("compare", "primary", primary, nic.mac))
        return tuple(
            Channel(kind, listener, end.address, self.first_port + number, self.credentials, mac)
            for number, (kind, listener, end, mac) in enumerate(by_port)
        )

    def to_element(self) -> etree._Element:
        """The record as an lxml element in our namespace."""
        return _write_pair(self)

    def to_xml(self) -> str:
        """The record as text, the same text for the same record."""
        element = self.to_element()
        etree.indent(element)
        return etree.tostring(element, encoding="unicode")

    @classmethod
    def from_xml(cls, source: str | etree._Element) -> Record:
        """Read a record, with the namespace or, as virDomainGetMetadata returns it, without one."""
        element = _qualified(_parse(source) if isinstance(source, str) else source)
        validate(element)
        record = _read_pair(element)
        difference = _difference(element, record.to_element())
        if difference is not None:
            raise VocabularyError(difference)
        return record

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON has it."""
        data = dataclasses.asdict(self)
        return {**data, "disks": list(data["disks"]), "nics": list(data["nics"])}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        values = _known(cls, data)
        for field in ("local", "peer"):
            values[field] = _build(Endpoint, values.get(field))
        for field, kind in (("disks", DiskRecord), ("nics", NicRecord)):
            if not isinstance(values.get(field), (list, tuple)):
                raise VocabularyError(f"a record's {field} are not a list")
            values[field] = tuple(_build(kind, item) for item in values[field])
        return _construct(cls, values)


# Checks of single values


def _text(value: object, what: str) -> None:
    if not isinstance(value, str) or not value:
        raise VocabularyError(f"{what} is {value!r}, not a text")
    if _UNWRITABLE.search(value):
        raise VocabularyError(f"{what} is {value!r}, which XML cannot hold")


def _path(value: object, what: str) -> None:
    _text(value, what)
    if not str(value).startswith("/"):
        raise VocabularyError(f"{what} is {value!r}, not an absolute path")


def _match(pattern: re.Pattern[str], value: object, what: str) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise VocabularyError(f"{what} is {value!r}")


def _whole(value: object, what: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise VocabularyError(f"{what} is {value!r}, not a whole number")


def _flag(value: object, what: str) -> None:
    if not isinstance(value, bool):
        raise VocabularyError(f"{what} is {value!r}, not true or false")


def _unique(names: Iterator[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise VocabularyError(f"{what} {name} is there twice")
        seen.add(name)


# Dictionaries


def _known(kind: type, data: object) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise VocabularyError(f"{kind.__name__} is {data!r}, not a mapping")
    unknown = sorted(set(data) - {field.name for field in dataclasses.fields(kind)})
    if unknown:
        raise VocabularyError(f"{kind.__name__} has no {', '.join(map(str, unknown))}")
    return dict(data)


def _construct(kind: type, values: dict[str, Any]) -> Any:
    required = [f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING]
    missing = [name for name in required if name not in values]
    if missing:
        raise VocabularyError(f"{kind.__name__} lacks {', '.join(missing)}")
    return kind(**values)


def _build(kind: type, data: object) -> Any:
    return _construct(kind, _known(kind, data))


# Writing


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _add(parent: etree._Element, tag: str, /, **attributes: str) -> etree._Element:
    given = {key.replace("_", "-"): value for key, value in attributes.items()}
    return etree.SubElement(parent, _tag(tag), given)


def _write_pair(record: Record) -> etree._Element:
    pair = etree.Element(_tag(ROOT), nsmap={PREFIX: NAMESPACE})
    pair.set("role", record.role)
    pair.set("generation", str(record.generation))
    if record.complete is not None:
        pair.set("complete", str(record.complete))
    if record.handed_over:
        pair.set("handed-over", "yes")
    pair.set("checkpoint-delay", str(record.checkpoint_delay))
    for name, end in (("local", record.local), ("peer", record.peer)):
        _add(pair, name, host=end.host, machine_id=end.machine_id, address=end.address)
    _write_channels(pair, record)
    for disk in record.disks:
        _write_disk(pair, record, disk)
        _write_hidden_disks(pair, disk)
    _write_original(pair, record)
    return pair


def _write_channels(pair: etree._Element, record: Record) -> None:
    channels = _add(pair, "channels", first_port=str(record.first_port))
    if record.credentials is not None:
        channels.set("credentials", record.credentials)
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
    quorum = _add(pair, "disk", type="quorum", vote_threshold="1", read_pattern="fifo")
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
    _write_image(element, "qcow2", disk.virtual_size, path)
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
        return etree.fromstring(text.encode("utf-8"), parser)
    except (etree.XMLSyntaxError, UnicodeError) as error:
        raise VocabularyError(f"not XML: {error}") from error


def _qualified(element: etree._Element) -> etree._Element:
    """libvirt takes the namespace away when it hands out a domain's metadata: give it back, on a copy."""
    if element.tag != ROOT:
        return element
    copy = etree.fromstring(etree.tostring(element, with_tail=False))
    for node in copy.iter(etree.Element):
        if etree.QName(node).namespace is None:
            node.tag = _tag(node.tag)
    return copy


def _read_pair(pair: etree._Element) -> Record:
    complete = pair.get("complete")
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
            _read_disk(pair, target.get("dev")) for target in pair.iterfind(f"{_tag('disk')}/{_tag('target')}")
        ),
        nics=tuple(_read_nic(interface) for interface in original.iterfind(_tag("interface"))),
        autostart_before=original.get("autostart") == "yes",
        checkpoint_delay=int(pair.get("checkpoint-delay")),
        incoming_added=pair.find(_tag("incoming")) is not None,
        credentials=channels.get("credentials"),
        metadata_before=original.find(_tag("metadata")) is not None,
        commandline_before=original.find(_tag("commandline")) is not None,
        handed_over=pair.get("handed-over") == "yes",
    )


def _read_endpoint(element: etree._Element) -> Endpoint:
    return Endpoint(element.get("host"), element.get("machine-id"), element.get("address"))


def _read_disk(pair: etree._Element, target: str) -> DiskRecord:
    """The own image is described where it is referred to, in every role."""
    for reference in pair.iter(_tag("reference")):
        image = reference.getparent()
        if reference.get("dev") == target and image.find(_tag("source")) is not None:
            return DiskRecord(
                target=target,
                format=_child(image, "format").get("type"),
                path=_read_path(image),
                virtual_size=int(_child(image, "capacity").text),
                active=_read_hidden_path(pair, f"{target}-active"),
                hidden=_read_hidden_path(pair, f"{target}-hidden"),
            )
    raise VocabularyError(f"{_line(pair)}nothing refers to the image of disk {target}")


def _read_hidden_path(pair: etree._Element, name: str) -> str | None:
    for disk in pair.iterfind(_tag("hiddenDisk")):
        if _child(disk, "name").get("dev") == name:
            return _read_path(disk)
    return None


def _read_path(image: etree._Element) -> str:
    source = _child(image, "source")
    return source.get("file") or source.get("dev")


def _read_nic(interface: etree._Element) -> NicRecord:
    driver = interface.find(_tag("driver"))
    name = None if driver is None else driver.get("name")
    return NicRecord(_child(interface, "mac").get("address"), name, driver is not None)


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
