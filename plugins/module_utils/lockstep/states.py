# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a QEMU in lockstep, or on its way, is seen to be in: its layers, its proxies, its copying. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..errors import ColoError
from ..observation.seen import DISCONNECTED, STOPPED_BY_A_DISK, Disk, Domain, Monitor, Observation
from ..record.pair import Record
from . import abilities, channels, graph
from .proxy import Part, Proxy

MIGRATING = ("setup", "active", "pre-switchover", "device")
CANCELLING = "cancelling"
IDLE = ("none", "completed", "cancelled", "failed")

JOB_FILTERS = ("mirror_top", "commit_top")
UNKNOWN_DIRECTORY = "(the directory of the domain's monitor)"  # of a QEMU that is still to be started
# Run states of QEMU in which a guest that stands still cannot be resumed.
INCOMING = "inmigrate"  # waits for its guest: there is nothing to resume
FINISHING = "finish-migrate"  # the migration stopped the guest: cont is refused until that ends or is cancelled
INTERNAL_ERROR = "internal-error"  # cont is refused until it is reset
# Others that nothing of ours brings about.
PANICKED, SHUT_DOWN, SLEEPS, WATCHDOG = "guest-panicked", "shutdown", "suspended", "watchdog"
BY_OTHERS = (INCOMING, STOPPED_BY_A_DISK, INTERNAL_ERROR, PANICKED, SHUT_DOWN, SLEEPS, WATCHDOG)


def replicated(seen: Observation) -> list[Disk]:
    """The domain's disks that the record names, in the record's order."""
    by_target = {disk.target: disk for disk in seen.domain.disks}
    missing = [disk.target for disk in seen.record.disks if disk.target not in by_target]
    if missing:
        raise ColoError(
            f"the record names disk {', '.join(missing)}, which the running domain does not have",
            remedy="Run lockstep.colo.unprotect, and lockstep.colo.deploy with the disks that the domain has",
        )
    return [below_filters(seen.monitor, by_target[disk.target]) for disk in seen.record.disks]


def below_filters(monitor: Monitor | None, disk: Disk) -> Disk:
    """The disk with the node that counts: a job at work, such as a mirror, has a filter of its own between it and the
    device, which must stay there. Attached past it, the device would write what the mirror does not see."""
    node = disk.node
    while monitor and node in monitor.nodes and monitor.nodes[node].driver in JOB_FILTERS:
        node = monitor.nodes[node].children["backing"]
    return replace(disk, node=node)


def attached(monitor: Monitor, target: str) -> tuple[str, str] | None:
    """The quorum that the replication layer of a disk is a child of, and under which name, such as ``children.1``.

    In a pair that an earlier version formed that is the disk's own quorum.
    """
    for parent in (graph.remote(target), graph.quorum(target)):
        for name, node in monitor.nodes[parent].children.items() if parent in monitor.nodes else ():
            if node == graph.replication(target):
                return parent, name
    return None


def one_write_suffices(monitor: Monitor, target: str) -> bool:
    """Whether an earlier version put its quorum under the disk, for which the standby's success was enough."""
    return graph.quorum(target) in monitor.nodes and graph.remote(target) not in monitor.nodes


def stopped_by_us(seen: Observation) -> bool:
    """A guest that stands still in the middle of a change of layers, or because its checkpoint never came."""
    monitor = seen.monitor
    return not (monitor.running or monitor.status in BY_OTHERS) and any(map(graph.is_ours, monitor.nodes))


def is_up(seen: Observation) -> bool:
    """Whether something of the pair is in the running QEMU of this host."""
    return seen.monitor is not None and any(map(graph.is_ours, [*seen.monitor.nodes, *seen.monitor.chardevs]))


def half_taken_over(seen: Observation) -> bool:
    """Whether a failover to this host was cut off: its link may be down, or its writes be in an overlay yet."""
    if seen.record.role != "alone" or seen.monitor is None:
        return False
    overlays = any(graph.active(disk.target) in seen.monitor.nodes for disk in seen.record.disks)
    return overlays or held_back(seen)


def held_back(seen: Observation) -> bool:
    """Whether a link is down, or a filter or an export left, that a guest has while it is one half of a pair."""
    down = any(nic.tap and not nic.tap_up for nic in seen.domain.nics)
    parts = set(seen.monitor.objects) - set(channels.CREDENTIALS)
    return down or bool(seen.monitor.exports) or any(map(graph.is_ours, parts))


def proxies(seen: Observation) -> list[Proxy]:
    """The proxy of each replicated NIC, from the record's channels and the running domain's aliases."""
    directory = (seen.monitor and seen.monitor.socket_directory) or UNKNOWN_DIRECTORY
    return list(_proxies(seen.domain, seen.record, directory, abilities.options(seen)))


def _proxies(domain: Domain, record: Record, directory: str, options: tuple[str, ...]) -> Iterator[Proxy]:
    by_mac = {nic.mac: nic for nic in domain.nics}
    ports = {(channel.kind, channel.nic): channel for channel in record.channels()}
    for known in record.nics:
        nic = by_mac.get(known.mac)
        if nic is None or nic.alias is None:
            raise ColoError(
                f"the record names NIC {known.mac}, which the running domain does not have",
                remedy="Run lockstep.colo.unprotect and lockstep.colo.deploy, so that the record has the domain's NICs",
            )
        yield Proxy(nic.alias, nic.model, ports["mirror", known.mac], ports["compare", known.mac], directory, options)


def has(monitor: Monitor, part: Part) -> bool:
    """Whether a part is there, by its name."""
    return part.name in (monitor.objects if part.object else monitor.chardevs)


def proxy_parts(seen: Observation) -> list[Part]:
    """What the proxies of all NICs consist of on this side of the pair, in the order to add; credentials come first."""
    known = [Part(arguments["id"], arguments, object=True) for arguments in channels.credentials(seen.record)]
    if seen.record.role == "primary":
        after = [proxy.primary(proxy.rewriter in seen.monitor.objects) for proxy in proxies(seen)]
    else:
        follows = seen.monitor is not None and seen.monitor.colo == "secondary"
        after = [proxy.secondary(follows) for proxy in proxies(seen)]
    return [*known, *(part for parts in after for part in parts)]


def sockets(seen: Observation) -> list[str]:
    """The names of the sockets of all proxies on this side of the pair."""
    return [part.name for part in proxy_parts(seen) if not part.object]


def consistent(monitor: Monitor, target: str) -> bool:
    """Whether a disk's sync can go on from here."""
    if one_write_suffices(monitor, target):
        return False
    job = monitor.jobs.get(graph.sync_job(target))
    replicating = attached(monitor, target) is not None
    idle, paused = monitor.migration.status in IDLE, monitor.migration.status == "pre-switchover"
    if job is None:
        connected = graph.nbd(target) in monitor.nodes
        return (idle and not connected) or (replicating and paused)
    connected = copy_target(monitor, target) in monitor.nodes
    if abilities.pauses(monitor.version):
        # A copy that ended counts only while the guest stands still.
        going_on = paused if replicating or job.status == "concluded" else connected
    else:
        going_on = connected and job.status != "concluded" and (replicating or idle)
    return job.error is None and going_on


def copying_failed(monitor: Monitor) -> bool:
    """Whether a pair got into lockstep with a copy that is not whole."""
    return any(job.error for name, job in monitor.jobs.items() if graph.is_sync(name))


def copy_target(monitor: Monitor, target: str) -> str:
    """The node that a disk's sync writes to, by the way in which this QEMU gets into lockstep and what it compares."""
    own = not abilities.pauses(monitor.version) or graph.copy(target) in monitor.nodes
    return graph.copy(target) if own else graph.nbd(target)


def listens(seen: Observation) -> bool:
    """Whether a standby is whole and waits for its primary: migration, exports, layers and network proxy."""
    monitor = seen.monitor
    return (
        monitor.status == INCOMING
        and monitor.migration.status != "none"
        and abilities.X_COLO in monitor.migration.capabilities
        and all(graph.export(disk.target) in monitor.exports for disk in seen.record.disks)
        and all(disk.node == graph.quorum(disk.target) for disk in replicated(seen))
        and all(has(monitor, part) and not deaf(monitor, part) for part in proxy_parts(seen))
        and not any(of_another_peer(seen))
        and not of_other_tls(seen.domain, seen.record)
        and _open_ports(seen) <= set(seen.host.ports)
    )


def of_other_tls(domain: Domain, record: Record) -> bool:
    """Whether the running QEMU was told of other TLS than the ``record`` has: QEMU does not say what its sockets do."""
    return domain.live_record is not None and domain.live_record.tls != record.tls


def _open_ports(seen: Observation) -> set[int]:
    """Those on which this standby has to listen; for its guest only until the primary has connected.

    QEMU waits on in the same state when it was refused the port, and when a listener was ended from outside.
    """
    connected = seen.monitor.migration.status not in ("none", "setup")
    kinds = ("nbd",) if connected else ("nbd", "migration")
    return {channel.port for channel in seen.record.channels() if channel.kind in kinds}


def deaf(monitor: Monitor, part: Part) -> bool:
    """Whether a filter does not read its socket any more, for it was closed once.

    Where QEMU connects it anew, nothing else shows that what comes over it is not taken (net/filter-mirror.c; our
    measurement: 10.0.13; 11.1.3 reads on). When the kernel's buffers are full (180 kB) the other end waits in a write,
    and its guest and monitor with it. So in lockstep it is not connected anew (proxy.NEVER_SECONDS).
    """
    return part.object and has(monitor, part) and part.arguments.get("indev") in monitor.unread


def connecting(seen: Observation) -> Iterator[tuple[Part, Part]]:
    """The filters of a standby that get or send packets over the network, each with its socket."""
    parts = proxy_parts(seen)
    sockets = {part.name: part for part in parts if part.connects}
    for part in parts:
        socket = sockets.get(part.arguments.get("indev")) or sockets.get(part.arguments.get("outdev"))
        if part.object and socket:
            yield part, socket


def apart(seen: Observation, socket: Part) -> bool:
    """Whether a socket is there, and nobody is connected with it."""
    return seen.monitor.chardevs.get(socket.name, "").startswith(DISCONNECTED)


def unanswered(seen: Observation) -> bool:
    """Whether the answers of a standby's guest, in lockstep, do not get to their comparison any more.

    That connection cannot be made anew: the comparison goes on within the packet with which the last one was closed,
    takes what follows for its rest, and ends with "oversized packet received" (our measurement: 10.0.13, 11.1.3).
    """
    return any("outdev" in part.arguments and apart(seen, socket) for part, socket in connecting(seen))


@dataclass(frozen=True)
class Drift:
    """A part of a packet proxy that somebody took out, or changed: its setting ``key`` is ``found``, not ``wanted``.

    Without a key the part is not there, or ``deaf``: nothing comes to it over its socket.
    """

    part: Part
    key: str | None = None
    found: Any = None
    wanted: Any = None
    deaf: bool = False

    @property
    def mending(self) -> str:
        """What puts it right, in plain words."""
        if self.deaf:
            return f"make {self.part.name} anew, which gets no packets, for its socket was closed"
        if self.key is None:
            return f"add {self.part.what}"
        return f"set {self.key} of {self.part.name} back from {self.found} to {self.wanted}"


def drifted(seen: Observation) -> Iterator[Drift]:
    """What is not as it was added in the packet proxies of a pair in lockstep, in the order to put it right."""
    closed = {part.name for part, socket in connecting(seen) if "indev" in part.arguments and apart(seen, socket)}
    for part in proxy_parts(seen):
        if part.name in closed or deaf(seen.monitor, part):
            yield Drift(part, deaf=True)
            continue
        if not has(seen.monitor, part):
            yield Drift(part)
            continue
        yield from _changed(seen.monitor, part)


def of_another_peer(seen: Observation) -> Iterator[Drift]:
    """What is left of the credentials of a pair with another peer: they would admit that one, and not this."""
    for part in proxy_parts(seen):
        if part.name in channels.CREDENTIALS and has(seen.monitor, part):
            yield from _changed(seen.monitor, part)


def _changed(monitor: Monitor, part: Part) -> Iterator[Drift]:
    found = monitor.settings.get(part.name, {}) if part.object else {}
    for key, value in part.settings.items():
        if found.get(key, value) != value:
            yield Drift(part, key, found[key], value)
