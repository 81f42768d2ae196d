# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was seen of a domain on one host, as data: the only input of verdict and plan.

Filled by ``observe``, printed by ``colo_info``, handed from one host to the other as ``peer``, recorded for tests.
Sizes are bytes, ports TCP ports, delays milliseconds, link speeds Mbit/s. What a recording of an earlier version does
not have is unknown: None, or nothing of a list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from ..record.pair import COMPARED, Record
from .automation import Automation
from .depth import ASKS_QEMU, THOROUGH
from .format import number

MONITOR_CHARDEV = "charmonitor"  # libvirt's name for it
DISCONNECTED = "disconnected:"  # before the address of a socket in query-chardev that nobody is connected with
# QEMU's run state once a write has failed, and the disk's error policy has stopped the guest: resumed, it writes that
# once more. In lockstep the next checkpoint ends QEMU ("invalid runstate transition: 'io-error' -> 'colo'").
STOPPED_BY_A_DISK = "io-error"
AFTER_THAT = "See to the disk and its space, let the guest go on (virsh resume), and run again"

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def check_uuid(text: str) -> None:
    """ValueError for what libvirt does not write as a UUID: it becomes the name of a directory."""
    if not _UUID.fullmatch(text):
        raise ValueError(f"{text[:60]!r} is no UUID")


@dataclass(frozen=True)
class Emulator:
    """The QEMU binary; ``missing`` names what COLO needs and this build does not have."""

    path: str
    version: str
    missing: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()  # the machine types that it has
    options: tuple[str, ...] = ()  # those of a socket that not every build has
    requires: tuple[str, ...] = ()  # the capabilities of a migration without which it refuses x-colo


@dataclass(frozen=True)
class Cpu:
    """The host's processor as /proc/cpuinfo has it."""

    model: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Link:
    """How fast the hardware below an address is, in Mbit/s."""

    address: str
    speed: int


@dataclass(frozen=True)
class HugePages:
    """The host's pages of one size, and how many of them are free."""

    size: int  # bytes
    free: int
    default: bool


@dataclass(frozen=True)
class ForwardDelay:
    """Seconds that a port of a bridge listens, and again learns, before packets pass; 0 without STP."""

    bridge: str
    seconds: float


@dataclass(frozen=True)
class Carried:
    """VLANs, from the ``first`` to the ``last``, whose frames a port of a bridge sends on, with or without a tag."""

    first: int
    last: int
    tagged: bool = True


@dataclass(frozen=True)
class Lan:
    """What a bridge leads to."""

    bridge: str
    mtu: int  # the least of its own and its uplinks'
    uplinks: tuple[str, ...] = ()  # its ports by which frames leave the host
    vlans: tuple[int, ...] = ()  # those that its uplinks are in
    dead: tuple[str, ...] = ()  # uplinks that are down, or have no carrier
    up: bool | None = None
    filters: bool = False  # it keeps VLANs apart, each port being in some of them
    own: int | None = None  # the VLAN that a tap is put into which names none (default_pvid); None: none
    carried: tuple[Carried, ...] | None = None  # by its uplinks, of one that filters; None: unknown
    hears: tuple[str, ...] = ()  # MAC addresses of the peer's guest from which frames have come in by an uplink


@dataclass(frozen=True)
class KnownDomain:
    """A domain of this libvirt, whether it runs or not."""

    name: str
    uuid: str


@dataclass(frozen=True)
class Network:
    """A network of libvirt's, by its name, and where it leads."""

    name: str
    active: bool
    bridge: str | None  # None for one that has none, such as of forward mode hostdev
    forward: str | None  # None for one that leads nowhere


@dataclass(frozen=True)
class StartHook:
    """libvirt's hook that the role host installs; without a ``digest`` (SHA-256) there is none.

    ``known``: to the daemon that drives QEMU, which looks for hooks when it starts.
    """

    digest: str | None = None
    executable: bool = False
    known: bool = False


@dataclass(frozen=True)
class Certificate:
    """The one by which a host is known on the channels of its pairs; ``problem`` says why it has none, in words.

    ``begins`` and ``ends`` are seconds since the epoch, between which it and its CA's are both in force.
    """

    problem: str | None = None
    subject: str = ""
    client: str = ""  # subject of the one that it connects with
    begins: float = 0.0
    ends: float = 0.0
    addresses: tuple[str, ...] = ()
    authority: str = ""  # SHA-256 of the subject and public key of the CA that issued it
    authorities: tuple[str, ...] = ()  # the same of all that this host knows, it included
    installed: float | None = None  # seconds since the epoch, when its file was written here


@dataclass(frozen=True)
class Shown:
    """The certificate that a QEMU was given credentials from, in seconds since the epoch: when it ends, and when it had
    been installed, by which it is told from others."""

    ends: float
    installed: float


@dataclass(frozen=True)
class Host:
    """What was seen of the host itself. What was not looked at has its default: None, where that tells nothing."""

    name: str
    machine_id: str
    libvirt: str | None = None
    emulator: Emulator | None = None
    memory_available: int = 0
    addresses: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()  # of the collection's range, in use by anybody
    reserved: tuple[int, ...] = ()  # first ports of the other domains' pairs
    bridges: tuple[str, ...] = ()
    forward_delays: tuple[ForwardDelay, ...] = ()
    links: tuple[Link, ...] = ()  # of the addresses of which the speed is known
    lans: tuple[Lan, ...] = ()
    networks: tuple[Network, ...] | None = None
    network_filters: tuple[str, ...] | None = None
    libvirt_guests: str | None = None  # what it does with running guests when the host shuts down
    domains: tuple[KnownDomain, ...] = ()  # all that this host has
    listeners: tuple[str, ...] | None = None  # ADDRESS:PORT of every TCP socket that listens
    clock: float | None = None  # seconds since the epoch, as this host has it
    cpu: Cpu | None = None
    processors: tuple[int, ...] = ()  # that are online, by their numbers
    numa_nodes: tuple[int, ...] = ()
    kvm: bool | None = None  # whether there is /dev/kvm
    apparmor: bool | None = None  # whether libvirt confines its guests with AppArmor
    huge_pages: tuple[HugePages, ...] = ()
    nftables: bool | None = None
    start_hook: StartHook | None = None
    certificate: Certificate | None = None
    apparmor_rules: tuple[str, ...] = ()  # directories that the local rules for every guest let QEMU write to

    def speed(self, address: str | None) -> int | None:
        """Mbit/s of the link with this address; None where it is not known."""
        return next((link.speed for link in self.links if link.address == address), None)


@dataclass(frozen=True)
class Disk:
    """A disk as the domain's XML has it, its size in bytes, and what a running QEMU says of it."""

    target: str
    device: str
    type: str
    source: str | None
    format: str | None
    bus: str
    readonly: bool
    shareable: bool
    alias: str | None = None
    node: str | None = None  # the block node under the device now; None when the domain does not run
    virtual_size: int | None = None
    failed_writes: int = 0  # writes and flushes that failed for the guest since its QEMU was started

    @property
    def written(self) -> bool:
        """Whether the guest can write to it, so that it has to be replicated."""
        return self.device == "disk" and not self.readonly


@dataclass(frozen=True)
class Nic:
    """A NIC as the domain's XML has it; the tap and the state of its link only while the domain runs."""

    mac: str
    model: str
    type: str
    bridge: str | None
    driver: str | None
    driver_element: bool
    queues: int
    alias: str | None = None
    tap: str | None = None
    tap_up: bool | None = None
    network: str | None = None  # libvirt's, by which it is on its bridge
    vlans: tuple[int, ...] = ()  # those that its XML puts it into


@dataclass(frozen=True)
class Image:
    """An image file, sizes in bytes; ``exists`` alone is known of one that is not there."""

    path: str
    exists: bool
    format: str | None = None
    virtual_size: int | None = None
    in_use: bool = False
    inode: int | None = None
    allocated: int | None = None  # what it takes of its filesystem already


@dataclass(frozen=True)
class Space:
    """Bytes free for QEMU's user in a directory, which may not be there yet; ``filesystem``: st_dev of stat(2)."""

    available: int
    filesystem: str
    files: int | None = None  # that may still be made there; None: as many as there is space for, or unknown
    read_only: bool = False
    in_the_way: str | None = None  # a path of it that is there and is no directory


@dataclass(frozen=True)
class Passage:
    """Whether packets of ``size`` bytes, the most that the link takes at once, come back from the peer."""

    size: int
    passes: bool


@dataclass(frozen=True)
class Marker:
    """The file beside the images on which a host writes, durably, which copy they are."""

    machine_id: str
    uuid: str
    generation: int
    role: str
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listen:
    """Where a domain's QEMU wants to listen; ``what`` in words, such as VNC. None: any address, any port."""

    what: str
    address: str | None
    port: int | None


@dataclass(frozen=True)
class Otherwise:
    """What a running domain has otherwise than its persistent XML, each in words; None where one has it not."""

    what: str  # such as "NIC 52:54:00:4d:00:32"
    running: str | None
    persistent: str | None


@dataclass(frozen=True)
class Domain:
    """A domain as libvirt has it, running or not, and what follows from its XML. Memory is bytes."""

    name: str
    uuid: str
    state: str  # libvirt's: running, paused, shutoff, ...
    persistent: bool
    autostart: bool
    machine: str
    memory: int
    vcpus: int
    emulator: str | None
    inactive_xml: str
    live_xml: str | None = None
    began: float | None = None  # seconds since the epoch, when its QEMU was started
    type: str | None = None  # libvirt's: kvm, qemu
    cpu_mode: str | None = None
    huge_page: int | None = None  # bytes of the pages that its memory is made of; 0: of the host's default size
    nvram: str | None = None  # of the UEFI variable store, libvirt's type: file, block, network
    nvram_digest: str | None = None  # SHA-256 of that file, while there is a QEMU that keeps it
    files: tuple[str, ...] = ()  # of the host, that a start needs besides the disks that the guest writes to
    processors: tuple[int, ...] = ()  # of the host, that it is bound to
    numa_nodes: tuple[int, ...] = ()  # of the host, that its memory is to be on
    partition: str | None = None  # of the host's resources, where it is not libvirt's own
    record: Record | None = None
    live_record: Record | None = None
    live_incoming: bool = False  # libvirt's live XML still carries -incoming from when it was a standby
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    unsupported: tuple[str, ...] = ()
    untried: dict[str, str] = field(default_factory=dict)  # what nobody has tried with COLO: its name, and in words
    foreign: dict[str, str] = field(default_factory=dict)  # files, programs and rights of the host that it asks for
    otherwise: tuple[Otherwise, ...] = ()
    listens: tuple[Listen, ...] = ()
    network_filters: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()  # and checkpoints: what libvirt keeps of them, on this host
    tainted: tuple[str, ...] = ()
    vhost: bool = False  # the running QEMU has /dev/vhost-net open
    saved_xml: str | None = None  # with which libvirt would restore the guest, where it has a managed save of it
    saved_by_us: bool = False  # a run of ours made that save and has not restored it
    ended_by: str | None = None  # of a domain that is shut off, libvirt's reason: shutdown, destroyed, crashed, ...
    deleted: tuple[str, ...] = ()  # files that the running QEMU has open and that are no longer there
    redacted: bool = False  # passwords were taken out of its XML before it was handed on
    last_words: tuple[str, ...] = ()  # of a QEMU that ended other than its guest or a person wanted: its log's end

    def __post_init__(self) -> None:
        check_uuid(self.uuid)

    @property
    def powered_itself_off(self) -> bool:
        """Whether its guest ended as it wanted to: no failure, and nothing to be recovered from elsewhere."""
        return self.ended_by == "shutdown"

    @property
    def active(self) -> bool:
        """Whether there is a QEMU process, with or without a running guest."""
        return self.state not in ("shutoff", "crashed")


@dataclass(frozen=True)
class Job:
    """A job of QEMU's, as query-jobs has it."""

    type: str
    status: str
    done: int = 0  # bytes
    total: int = 0  # bytes; grows while the guest writes
    error: str | None = None
    speed: int = 0  # bytes per second that a copying may move; 0: no limit


@dataclass(frozen=True)
class Node:
    """A block node of QEMU's, as query-named-block-nodes has it; its size in bytes."""

    driver: str
    file: str | None = None
    virtual_size: int | None = None
    children: dict[str, str] = field(default_factory=dict)  # child's name in the parent -> node name


@dataclass(frozen=True)
class Bitmap:
    """A dirty bitmap of ours on a block node: whether it still takes up what is written there."""

    recording: bool


@dataclass(frozen=True)
class Migration:
    """QEMU's migration, as query-migrate and its kin have it; the checkpoint delay in milliseconds."""

    status: str = "none"
    error: str | None = None
    capabilities: tuple[str, ...] = ()  # those that are on
    checkpoint_delay: int | None = None
    blocked: tuple[str, ...] = ()  # why QEMU will not migrate, in its own words


@dataclass(frozen=True)
class Monitor:
    """What QEMU itself says of the running domain."""

    status: str
    running: bool
    version: str
    colo: str  # query-colo-status: none, primary, secondary
    migration: Migration = field(default_factory=Migration)
    nodes: dict[str, Node] = field(default_factory=dict)
    writers: dict[str, str] = field(default_factory=dict)  # a device that may write to its disk -> node name
    jobs: dict[str, Job] = field(default_factory=dict)
    exports: tuple[str, ...] = ()
    objects: dict[str, str] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)  # of our objects: what can be changed of them
    chardevs: dict[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()  # those of chardevs that nothing in QEMU reads (any more)
    iothreads: tuple[str, ...] = ()
    bitmaps: dict[str, dict[str, Bitmap]] = field(default_factory=dict)  # of ours: node name -> name -> bitmap
    # Of a primary in lockstep: why a write did not reach the standby, whose copy lacks it while checkpoints go on.
    lost_writes: str | None = None

    @property
    def socket_directory(self) -> str | None:
        """Where libvirt has this QEMU's monitor, ``unix:DIRECTORY/monitor.sock,server=on``; made anew at each start."""
        path = self.chardevs.get(MONITOR_CHARDEV, "").partition("unix:")[2].partition(",")[0]
        return path.rpartition("/")[0] or None


@dataclass(frozen=True)
class Barrier:
    """The rule of this host that keeps back what a guest sends and COLO does not compare.

    ``taps``: those it is in force for; none where somebody has changed it. ``passed``: what may pass, in nftables'
    words.
    """

    taps: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checkpoints:
    """Whole checkpoints (a stop and the resume that ended it) seen in a window of ``seconds``."""

    seconds: float
    count: int
    last: str | None = None  # UTC, ISO 8601


@dataclass(frozen=True)
class Trial:
    """What came of starting, and ending at once, a domain like the peer's on this host."""

    refused: str | None = None  # in libvirt's words; None where it started


@dataclass(frozen=True)
class Announced:
    """Where a guest is on the network by one of its NICs, as its host's bridge has it."""

    mac: str
    tap: str
    bridge: str | None = None  # of which the tap is a port
    learned: str | None = None  # the port at which the bridge has this address; None where it has it nowhere
    uplinks: tuple[str, ...] = ()  # ports of the bridge by which frames leave the host
    left: bool | None = None  # whether a frame of it went out by one of them; None: not watched
    answered: bool | None = None  # whether a frame to it came in by one of them; None: not watched

    def watched(self, left: bool, answered: bool) -> Announced:
        """The same place with what was watched: whether a frame of the guest has ``left`` its host, or one come."""
        return replace(self, left=left, answered=answered)


@dataclass(frozen=True)
class Heard:
    """When a standby last heard from its primary: ``at`` in words, by the clock of its host, ``seconds`` ago."""

    at: str
    seconds: float


@dataclass(frozen=True)
class Received:
    """What a standby's QEMU has logged, since lockstep began, of how its primary's writes came."""

    failed: str | None = None  # the first write that it could not carry out, in its words
    away: float | None = None  # seconds, the most, for which a connection was gone that was made anew
    # Of a connection that has ended and was not made anew: seconds from that to the last checkpoint or write that
    # changed a disk's hidden image; less than 0 where none did.
    gone: float | None = None


@dataclass(frozen=True)
class Compared:
    """How far the last copying of a disk is, or came, that sent a standby only what differs.

    Bytes, but ``at`` and ``way``: one of pair's COMPARED and WRITTEN.
    """

    at: str  # when that was noted, UTC, ISO 8601
    size: int  # of the disk
    compared: int  # more than ``size`` by what the guest wrote meanwhile
    moved: int
    saved: int  # that the standby had, and so were not sent
    way: str = COMPARED
    left: int | None = None  # that were written since both were the same and are not on the standby yet; None: unknown


@dataclass(frozen=True)
class Left:
    """Images that the guest's QEMU left here whole and flushed when the guest went to the other host, in the pair's
    ``generation``, and to which nobody has written since; a QEMU that waits for its primary may have them open."""

    generation: int
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Observation:
    """All that one look at one host saw of it and of one domain."""

    host: Host
    domain: Domain | None = None
    depth: str = THOROUGH  # how deep this look went, one of depth's
    monitor: Monitor | None = None
    monitor_problem: str | None = None
    images: dict[str, Image] = field(default_factory=dict)
    marker: Marker | None = None
    directory: str | None = None
    peer_sockets: tuple[str, ...] = ()  # established TCP connections of this pair's channels
    checkpoints: Checkpoints | None = None
    space: dict[str, Space] = field(default_factory=dict)  # by directory of images
    files: dict[str, bool] = field(default_factory=dict)  # whether this host has a file that the peer's domain needs
    accounts: dict[str, bool] = field(default_factory=dict)  # whether it has the user, the group of new images
    passage: Passage | None = None  # of large packets to the peer's replication address; None where none were sent
    connections: dict[str, int] | None = None  # that neither end has closed, by the kind of their channel
    stuck_sockets: tuple[str, ...] = ()  # those of peer_sockets over which nothing is acknowledged
    closed_sockets: tuple[str, ...] = ()  # those of peer_sockets that are not established (any more)
    # Of a primary that runs: for how many seconds nothing came from the peer over each connected channel of its packet
    # proxy, not even an acknowledgement, by port.
    quiet: dict[str, float] = field(default_factory=dict)
    barrier: Barrier | None = None
    uncompared: tuple[str, ...] | None = None  # kinds of frames it serves with that COLO does not compare; if watched
    latency: float | None = None  # milliseconds to the peer's replication address and back, the best of a few
    heard: Heard | None = None  # of a standby; None: unknown
    compared: dict[str, Compared] = field(default_factory=dict)  # by disk; since this host was started
    left: Left | None = None  # None: none, or not looked for
    trial: Trial | None = None  # None: not tried
    announced: tuple[Announced, ...] = ()  # of a guest that is to be reached here
    # Of a standby whose connections for its disks have ended in part: for how many seconds its primary's checkpoints
    # still came after the last write that reached a disk (the most of all disks), so that its copy lacks writes; less
    # than 0 where a write came last. None: it has them all, or nothing tells.
    without_writes: float | None = None
    received: Received | None = None  # of a standby; None: nothing is logged, or no longer from the beginning
    known_to_lack: bool = False  # a run has seen before that this standby lacks writes, and noted it
    standby_lacks: str | None = None  # of a primary that was asked this alone: why a write did not reach its standby
    automation: Automation | None = None  # what this host's watcher is told and says of it; None: not looked at
    format: int = field(default_factory=lambda: number(Observation))
    shown: Shown | None = None  # by the channels of the pair; None: unknown, or no QEMU was given credentials
    peer_answers: bool | None = None  # whether the kernel of the peer that is said to be lost answers; None: not asked

    @property
    def record(self) -> Record | None:
        return self.domain.record if self.domain else None

    @property
    def asked(self) -> bool:
        """Whether this look asked QEMU, which may not have answered; else no ``monitor`` says nothing of QEMU."""
        return self.depth in ASKS_QEMU or self.monitor_problem is not None

    @property
    def removed_images(self) -> tuple[str, ...]:
        """Images of the pair that the running QEMU has open and that somebody removed: they are lost when it ends."""
        disks = self.record.disks if self.record else ()
        images = {path for disk in disks for path in (disk.path, disk.active, disk.hidden)}
        return tuple(path for path in self.domain.deleted if path in images) if self.domain else ()

    @property
    def generation(self) -> int:
        """Which copy this host has: the higher, the newer; 0 for none.

        The marker is written before the record, which a run that was cut off may have left behind.
        """
        return max((known.generation for known in (self.record, self.marker) if known), default=0)
