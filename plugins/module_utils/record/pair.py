# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vocabulary of a pair: its phases, its roles, its channels, and the record that each host keeps of it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import address
from .schema import VocabularyError

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
DROP, ALLOW = "drop", "allow"
TREATMENTS = (DROP, ALLOW)  # of frames that COLO does not compare, in lockstep
# Until somebody has chosen: a guest that is seen to serve with such frames is refused, and those of others are dropped.
REFUSE = "refuse"
CHOICES = (REFUSE, *TREATMENTS)
# Which channels are encrypted, on which both ends prove who they are: all, all but those of the packets, or none.
REQUIRED, EXCEPT_PROXY, OFF = "required", "except_proxy", "off"
TLS = (REQUIRED, EXCEPT_PROXY, OFF)
CHANNEL_KINDS = ("migration", "nbd", "mirror", "compare")
PROXY_KINDS = ("mirror", "compare")  # over which packets go

DIRECTORY = "/var/lib/libvirt/images/colo"  # of the standbys' images, where no other is stated
# Below Linux's ephemeral ports (32768 and up) and below libvirt's migration ports (49152-49215).
PORT_RANGE = range(21600, 23200)
PORTS_PER_PAIR = 16
# What a host needs to know until it reboots. The libvirt hook of the role host knows the directory too.
RUN_DIRECTORY = "/run/lockstep-colo"
# Where the role pki has a host's certificates, by the names that QEMU looks for. Nothing else is ever named to it.
PKI_DIRECTORY = "/etc/lockstep-colo/pki"
# The I/O thread that compares packets: a number no domain uses by itself, so that ours is known again after a run that
# was killed.
IOTHREAD = 990
# The last port of a pair is for a switchover: there the standby hears that the primary has ended.
HANDOVER_PORT = PORTS_PER_PAIR - 1
# The one before it is for a copy: there the standby's host says what is on its disks already.
SUMS_PORT = HANDOVER_PORT - 1
MAX_NICS = (SUMS_PORT - 2) // 2
# How a disk is copied to a standby that has an image of it: what differs, or everything.
CHANGED, FULL = "changed", "full"
RESYNCS = (FULL, CHANGED)
# How what differs is found: both images are compared, or it is what was written since they were the same.
COMPARED, WRITTEN = "compared", "written"
FORMATS = ("raw", "qcow2")  # of images: those of others can name further files of the host
MAX_NUMBER = 2**63 - 1  # of whatever is counted; the schema says the same

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
# It is part of a certificate's subject, in which these would begin another part (RFC 4514, 2.4).
_HOST = re.compile(r"[^\s,=+<>#;\"\\/-][^\s,=+<>#;\"\\/]*")
_TARGET = re.compile(r"[A-Za-z0-9_]+")
_FORMAT = re.compile("|".join(FORMATS))
# What XML 1.0 cannot hold, and line breaks and tabs, which an attribute does not keep everywhere.
_UNWRITABLE = re.compile(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Endpoint:
    """One end of the pair: its host, by the inventory's name and /etc/machine-id, and its replication address."""

    host: str
    machine_id: str
    address: str

    def __post_init__(self) -> None:
        _text(self.host, "an endpoint's host")
        _match(_HOST, self.host, "the name of an endpoint's host")
        _text(self.machine_id, "an endpoint's machine_id")
        _address(self.address, "an endpoint's address")


@dataclass(frozen=True)
class Channel:
    """One TCP connection between the two ends.

    ``kind``: mirror, compare, nbd or migration; ``listener``: the role that listens, at ``address`` and ``port``.
    ``nic``: the MAC address of the NIC whose packets go over it, where it is of one.
    """

    kind: str
    listener: str
    address: str
    port: int
    credentials: str | None = None  # the directory of certificates with which both ends prove who they are
    nic: str | None = None


@dataclass(frozen=True)
class DiskRecord:
    """One replicated disk: the image of this host, and on a standby the two images that QEMU lays over it.

    ``target``: libvirt's, such as vda; ``virtual_size`` in bytes.
    """

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
    """A replicated NIC, and what its <driver> was before: absent, without a name, or with one.

    ``uplink``: whether its bridge had one where the guest was when the pair was formed; None: an earlier version
    did not look.
    """

    mac: str
    driver_before: str | None
    driver_element_before: bool
    uplink: bool | None = None

    def __post_init__(self) -> None:
        _match(_MAC, self.mac, "a NIC's MAC address")
        _flag(self.driver_element_before, f"driver_element_before of NIC {self.mac}")
        if self.uplink is not None:
            _flag(self.uplink, f"uplink of NIC {self.mac}")
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
    # What is done with frames that COLO does not compare; an earlier version did nothing, and wrote nothing.
    uncompared: str | None = None
    # A primary that ends, or has ended, for the standby to take over: from then on its copy is the older one.
    handed_over: bool = False
    clear_proxy: bool = False  # the packets' channels do without the credentials

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise VocabularyError(f"role {self.role!r} is none of {', '.join(ROLES)}")
        _whole(self.generation, "the generation")
        _whole(self.checkpoint_delay, "the checkpoint delay")
        if self.complete is not None:
            _whole(self.complete, "the completed generation")
        for field in (
            "autostart_before",
            "incoming_added",
            "metadata_before",
            "commandline_before",
            "handed_over",
            "clear_proxy",
        ):
            _flag(getattr(self, field), field)
        if self.handed_over and self.role != "primary":
            raise VocabularyError(f"a {self.role} has nothing to hand over")
        if self.uncompared not in (None, *TREATMENTS):
            raise VocabularyError(f"uncompared frames are {self.uncompared!r}, none of {', '.join(TREATMENTS)}")
        if self.credentials not in (None, PKI_DIRECTORY):
            raise VocabularyError(f"the credentials are {self.credentials!r}, not {PKI_DIRECTORY}")
        if self.clear_proxy and self.credentials is None:
            raise VocabularyError("a pair without credentials has no channel that could do without")
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
            Channel(kind, listener, end.address, self.first_port + number, self._credentials_of(kind), mac)
            for number, (kind, listener, end, mac) in enumerate(by_port)
        )

    def _credentials_of(self, kind: str) -> str | None:
        return None if self.clear_proxy and kind in PROXY_KINDS else self.credentials

    @property
    def tls(self) -> str:
        """Which channels are encrypted, one of TLS."""
        if self.credentials is None:
            return OFF
        return EXCEPT_PROXY if self.clear_proxy else REQUIRED

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON has it."""
        data = dataclasses.asdict(self)
        return {**data, "disks": list(data["disks"]), "nics": list(data["nics"])}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        """The record that ``to_dict`` gave away; VocabularyError for anything else."""
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


def _address(value: object, what: str) -> None:
    try:
        address.check(str(value))
    except ValueError as error:
        raise VocabularyError(f"{what} is not an IP address without a device: {error}") from None


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
    if value > MAX_NUMBER:
        raise VocabularyError(f"{what} is larger than {MAX_NUMBER}")


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


def block(first: int) -> range:
    """The ports of the pair whose first port is ``first``."""
    return range(first, first + PORTS_PER_PAIR)
