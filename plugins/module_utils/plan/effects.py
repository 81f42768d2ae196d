# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What plans bring about: the observations that should follow from them. Pure."""

from __future__ import annotations

from dataclasses import replace

from ..lockstep import abilities, graph, states
from ..lockstep.frames import barrier
from ..observation.seen import Disk, Migration, Monitor, Node, Observation
from ..record.address import endpoint


def with_proxies(seen: Observation) -> Monitor:
    """The monitor as it will be once all parts are added."""
    parts = states.proxy_parts(seen)
    objects = {part.name: part.arguments["qom-type"] for part in parts if part.object}
    chardevs = {part.name: "" for part in parts if not part.object}
    monitor = seen.monitor
    return replace(monitor, objects={**monitor.objects, **objects}, chardevs={**monitor.chardevs, **chardevs})


def ended(seen: Observation) -> Observation:
    """What is known of a standby once it has ended: its ports and images are free, removed files gone."""
    ours = {channel.port for channel in seen.record.channels()}
    host = replace(seen.host, ports=tuple(port for port in seen.host.ports if port not in ours))
    images = {path: replace(image, in_use=False) for path, image in seen.images.items()}
    off = replace(seen.domain, state="shutoff", live_xml=None, live_record=None, deleted=())
    return replace(seen, host=host, images=images, domain=off, monitor=None, peer_sockets=())


def alone(seen: Observation) -> Observation:
    """The guest runs by itself, on a QEMU that has nothing of the pair any more."""
    monitor = seen.monitor
    migration = replace(monitor.migration, status="completed", capabilities=())
    kept = {name: node for name, node in monitor.nodes.items() if not graph.is_ours(name)}
    after = replace(monitor, status="running", running=True, colo="none", migration=migration, nodes=kept, jobs={})
    return replace(seen, monitor=after, barrier=None)


def started(seen: Observation, peer: Observation) -> Observation:
    """What is known of the standby before it runs: the device names are the primary's, the rest is filled in later."""
    names = {disk.target: disk.alias for disk in peer.domain.disks}
    aliases = {nic.mac: nic.alias for nic in peer.domain.nics}
    disks = tuple(
        replace(disk, alias=names.get(disk.target), node=f"(the node of {disk.target})", virtual_size=_size(seen, disk))
        for disk in seen.domain.disks
    )
    nics = tuple(
        replace(nic, alias=aliases.get(nic.mac), tap=f"(the tap of {nic.mac})", tap_up=True) for nic in seen.domain.nics
    )
    monitor = Monitor(states.INCOMING, False, "", "none", Migration())
    return replace(seen, domain=replace(seen.domain, state="paused", disks=disks, nics=nics), monitor=monitor)


def _size(seen: Observation, disk: Disk) -> int | None:
    return next((known.virtual_size for known in seen.record.disks if known.target == disk.target), None)


def listening(seen: Observation) -> Observation:
    """A standby that is whole and waits for its primary."""
    exports = tuple(graph.export(disk.target) for disk in seen.record.disks)
    on = tuple(sorted(abilities.standby_capabilities(seen)))
    migration = replace(seen.monitor.migration, status="setup", capabilities=on)
    monitor = replace(with_proxies(seen), exports=exports, migration=migration)
    chosen = {disk.target for disk in seen.record.disks}
    disks = tuple(
        replace(disk, node=graph.quorum(disk.target)) if disk.target in chosen else disk for disk in seen.domain.disks
    )
    ours = {channel.port for channel in seen.record.channels() if channel.listener == "secondary"}
    host = replace(seen.host, ports=tuple(sorted(ours.union(seen.host.ports))))
    return replace(seen, host=host, monitor=monitor, domain=replace(seen.domain, disks=disks), barrier=None)


def in_lockstep(seen: Observation) -> Observation:
    """The primary of a pair in lockstep, every disk replicated and every channel connected."""
    delay, on = seen.record.checkpoint_delay, tuple(sorted(abilities.primary_capabilities(seen)))
    migration = replace(seen.monitor.migration, status="colo", capabilities=on, checkpoint_delay=delay)
    layered = {
        graph.remote(disk.target): Node(
            "quorum", children={"children.0": graph.spare(disk.target), "children.1": graph.replication(disk.target)}
        )
        for disk in seen.record.disks
    }
    before = with_proxies(seen)
    monitor = replace(before, colo="primary", migration=migration, nodes={**before.nodes, **layered}, jobs={})
    connections = tuple(endpoint(channel.address, channel.port) for channel in seen.record.channels())
    return replace(seen, monitor=monitor, peer_sockets=seen.peer_sockets or connections, barrier=barrier(seen))
