# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Steps that slide layers under and out of the disks of a domain, and that add and remove a NIC's proxy. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from ...errors import ColoError
from ...lockstep import abilities, graph
from ...lockstep.proxy import Part, Proxy
from ...observation.seen import Disk, Domain, Monitor, Observation
from ...record.pair import IOTHREAD, Record
from ..step import Step, qmp, wait
from .own_node import libvirt_node

JOB_FILTERS = ("mirror_top", "commit_top")
ALONE_TIMEOUT = 30.0  # seconds for a migration to be ended
UNKNOWN_DIRECTORY = "(the directory of the domain's monitor)"  # of a QEMU that is still to be started
# Run states of QEMU in which a guest that stands still cannot be resumed.
INCOMING = "inmigrate"  # waits for its guest: there is nothing to resume
SWITCHING = "finish-migrate"  # the migration stopped the guest: cont is refused until that ends or is cancelled


def replicated(seen: Observation) -> list[Disk]:
    """The domain's disks that the record names, in the record's order."""
    by_target = {disk.target: disk for disk in seen.domain.disks}
    missing = [disk.target for disk in seen.record.disks if disk.target not in by_target]
    if missing:
        raise ColoError(
            f"the record names disk {', '.join(missing)}, which the running domain does not have",
            remedy="Run colo_disk again with the disks that the domain has",
        )
    return [below_filters(seen.monitor, by_target[disk.target]) for disk in seen.record.disks]


def below_filters(monitor: Monitor | None, disk: Disk) -> Disk:
    """The disk with the node that counts: a job at work, such as a mirror, has a filter of its own between it and the
    device, which must stay there. Attached past it, the device would write what the mirror does not see."""
    node = disk.node
    while monitor and node in monitor.nodes and monitor.nodes[node].driver in JOB_FILTERS:
        node = monitor.nodes[node].children["backing"]
    return replace(disk, node=node)


def attached(monitor: Monitor, target: str) -> str | None:
    """The name under which the replication layer is a child of the disk's quorum, such as ``children.1``."""
    quorum = monitor.nodes.get(graph.quorum(target))
    for name, node in quorum.children.items() if quorum else ():
        if node == graph.replication(target):
            return name
    return None


def stopped_by_us(seen: Observation) -> bool:
    """A guest that stands still in the middle of a change of layers, or because its checkpoint never came."""
    monitor = seen.monitor
    return not monitor.running and monitor.status != INCOMING and any(map(graph.is_ours, monitor.nodes))


def half_taken_over(seen: Observation) -> bool:
    """Whether a failover to this host was cut off: its link may be down, or its writes be in an overlay yet."""
    if seen.record.role != "alone" or seen.monitor is None:
        return False
    overlays = any(graph.active(disk.target) in seen.monitor.nodes for disk in seen.record.disks)
    return overlays or held_back(seen)


def held_back(seen: Observation) -> bool:
    """Whether a link is down, or a filter or an export left, that a guest has while it is one half of a pair."""
    down = any(nic.tap and not nic.tap_up for nic in seen.domain.nics)
    return down or bool(seen.monitor.exports) or any(map(graph.is_ours, seen.monitor.objects))


def slide_in(seen: Observation, layers: Callable[[Disk], list[dict[str, Any]]]) -> list[Step]:
    """Put the layers, whose last is the quorum, under every replicated disk, in one pause of the guest.

    Works from any state that a run which was killed left behind.
    """
    todo = [disk for disk in replicated(seen) if disk.node != graph.quorum(disk.target)]
    steps = []
    for disk in todo:
        for layer in layers(disk):
            if layer["node-name"] not in seen.monitor.nodes:
                title = f"disk {disk.target}: add layer {layer['node-name']} ({layer['driver']})"
                steps.append(qmp(title, "blockdev-add", layer))
        steps.append(_attach(disk, graph.quorum(disk.target)))
    return _around(seen, todo, steps)


def slide_out(seen: Observation) -> list[Step]:
    """Give every replicated disk back to the node that libvirt made for it, in one pause of the guest.

    The layers go while the disk is parked: a replication layer that has been through a failover writes to that node.
    """
    own = {disk.target: libvirt_node(seen.monitor, disk) for disk in replicated(seen)}
    todo = [disk for disk in replicated(seen) if disk.node != own[disk.target]]
    steps = []
    for disk in replicated(seen):
        kinds = (graph.quorum, graph.replication, graph.active, graph.hidden, graph.nbd, graph.copy)
        steps += [delete_node(name) for kind in kinds if (name := kind(disk.target)) in seen.monitor.nodes]
    steps += [_attach(disk, own[disk.target]) for disk in todo]
    return _around(seen, todo, steps)


def _around(seen: Observation, disks: Iterable[Disk], inner: list[Step]) -> list[Step]:
    """``inner`` with the guest stopped and the disks parked, and the guest going on afterwards."""
    disks = list(disks)
    nodes = seen.monitor.nodes
    steps = []
    for disk in disks:
        if graph.park(disk.target) not in nodes:
            layer = graph.park_layer(disk.target, disk.virtual_size)
            steps.append(qmp(f"disk {disk.target}: add the park node", "blockdev-add", layer))
    resume = (bool(disks) and seen.monitor.running) or _to_resume(seen)
    if disks and seen.monitor.running:
        # A migration that is still being ended would resume the guest, on its park nodes.
        steps.append(wait("see that nothing but us will resume the guest", "alone", ALONE_TIMEOUT))
        steps.append(qmp("stop the guest", "stop"))
    steps += [_attach(disk, graph.park(disk.target)) for disk in disks if disk.node != graph.park(disk.target)]
    steps += inner
    if resume:
        steps.append(qmp("let the guest go on", "cont"))
    parks = {graph.park(disk.target) for disk in disks}
    parks |= {graph.park(disk.target) for disk in replicated(seen) if graph.park(disk.target) in nodes}
    return [*steps, *(delete_node(park) for park in sorted(parks))]


def unpark(seen: Observation) -> list[Step]:
    """Give a guest that stands still on park nodes its disks back as they are now, whatever was to become of them."""
    steps = []
    for disk in replicated(seen):
        if disk.node == graph.park(disk.target):
            quorum = graph.quorum(disk.target)
            if quorum in seen.monitor.nodes:
                steps.append(_attach(disk, quorum))
                continue
            kinds = (graph.replication, graph.active, graph.hidden)
            steps += [delete_node(name) for kind in kinds if (name := kind(disk.target)) in seen.monitor.nodes]
            steps.append(_attach(disk, libvirt_node(seen.monitor, disk)))
    if _to_resume(seen):
        steps.append(qmp("let the guest go on", "cont"))
    return steps


def _to_resume(seen: Observation) -> bool:
    return stopped_by_us(seen) and seen.monitor.status != SWITCHING


def _attach(disk: Disk, node: str) -> Step:
    title = f"disk {disk.target}: attach the guest's device to {node}"
    arguments = {"path": f"/machine/peripheral/{disk.alias}", "property": "drive", "value": node}
    return qmp(title, "qom-set", arguments)


def delete_node(node: str) -> Step:
    return qmp(f"remove layer {node}", "blockdev-del", {"node-name": node})


def set_link(tap: str, *, up: bool) -> Step:
    return Step(f"set the link of {tap} {'up' if up else 'down'}", "link", {"device": tap, "up": up})


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
                remedy="Run colo_disk again, so that the record has the domain's NICs",
            )
        yield Proxy(nic.alias, nic.model, ports["mirror", known.mac], ports["compare", known.mac], directory, options)


def has(monitor: Monitor, part: Part) -> bool:
    return part.name in (monitor.objects if part.object else monitor.chardevs)


def add_part(part: Part) -> Step:
    if part.object:
        return qmp(f"add {part.arguments['qom-type']} {part.name}", "object-add", part.arguments)
    return qmp(f"add socket {part.name}", "chardev-add", part.arguments)


def mend_proxies(seen: Observation) -> list[Step]:
    """What somebody took out of, or changed in, the packet proxies of a pair in lockstep: put back, in its place."""
    return list(_mend_parts(seen.monitor, proxy_parts(seen)))


def proxy_parts(seen: Observation) -> list[Part]:
    """What the proxies of all NICs consist of on this side of the pair, in the order to add."""
    if seen.record.role == "primary":
        return [part for proxy in proxies(seen) for part in proxy.primary(proxy.rewriter in seen.monitor.objects)]
    return [part for proxy in proxies(seen) for part in proxy.secondary()]


def with_proxies(seen: Observation) -> Monitor:
    """The monitor as it will be once all parts are added."""
    parts = proxy_parts(seen)
    objects = {part.name: part.arguments["qom-type"] for part in parts if part.object}
    chardevs = {part.name: "" for part in parts if not part.object}
    monitor = seen.monitor
    return replace(monitor, objects={**monitor.objects, **objects}, chardevs={**monitor.chardevs, **chardevs})


def _mend_parts(monitor: Monitor, parts: list[Part]) -> Iterator[Step]:
    for at, part in enumerate(parts):
        if not has(monitor, part):
            yield add_part(replace(part, arguments={**part.arguments, **_place(monitor, part, parts[at + 1 :])}))
            continue
        found = monitor.settings.get(part.name, {}) if part.object else {}
        for key, value in part.settings.items():
            if found.get(key, value) != value:
                path = {"path": f"/objects/{part.name}", "property": key, "value": value}
                yield qmp(f"set {key} of {part.name} back from {found[key]} to {value}", "qom-set", path)


def _place(monitor: Monitor, part: Part, later: list[Part]) -> dict[str, str]:
    """Where a filter goes: packets pass the filters of a NIC in their order, and QEMU appends one that has no place."""
    netdev = part.arguments.get("netdev")
    behind = [one.name for one in later if netdev and one.arguments.get("netdev") == netdev and has(monitor, one)]
    return {"position": f"id={behind[0]}", "insert": "before"} if behind else {}


def remove_objects(monitor: Monitor) -> list[Step]:
    """Remove our filters and what compares their packets: whatever of them is there, from whichever role.

    First what leads packets to the comparison, and only after it what takes from it those that it lets go of.
    """
    ours = sorted((name for name in monitor.objects if graph.is_ours(name)), key=_order_of_removal)
    return [qmp(f"remove {name}", "object-del", {"id": name}) for name in ours]


def _order_of_removal(name: str) -> tuple[int, str]:
    return 0 if name.endswith("-f-in") else 1 if name.endswith("-compare") else 2, name


def remove_sockets(monitor: Monitor) -> list[Step]:
    ours = sorted(name for name in monitor.chardevs if graph.is_ours(name))
    return [qmp(f"remove socket {name}", "chardev-remove", {"id": name}) for name in ours]


def add_iothread(monitor: Monitor) -> list[Step]:
    if f"iothread{IOTHREAD}" in monitor.iothreads:
        return []
    return [Step("add the I/O thread of the packet comparison", "add_iothread", {"number": IOTHREAD})]


def remove_iothread(monitor: Monitor) -> list[Step]:
    if f"iothread{IOTHREAD}" not in monitor.iothreads:
        return []
    return [Step("remove the I/O thread of the packet comparison", "del_iothread", {"number": IOTHREAD})]


def migrate_by_colo(capabilities: Iterable[str]) -> Step:
    return _set_capabilities("make the migration one for COLO", capabilities, on=True)


def migrate_ordinarily(monitor: Monitor) -> list[Step]:
    """With x-colo left on, virsh save would wait for ever (our measurement)."""
    names = abilities.left_on(monitor)
    return [_set_capabilities("make migrations ordinary again", names, on=False)] if names else []


def _set_capabilities(title: str, names: Iterable[str], *, on: bool) -> Step:
    wanted = [{"capability": name, "state": on} for name in names]
    return qmp(title, "migrate-set-capabilities", {"capabilities": wanted})


def ended(seen: Observation) -> Observation:
    """What is known of a standby once it has ended: its ports and images are free, removed files gone."""
    ours = {channel.port for channel in seen.record.channels()}
    host = replace(seen.host, ports=tuple(port for port in seen.host.ports if port not in ours))
    images = {path: replace(image, in_use=False) for path, image in seen.images.items()}
    off = replace(seen.domain, state="shutoff", live_xml=None, live_record=None, deleted=())
    return replace(seen, host=host, images=images, domain=off, monitor=None, peer_sockets=())
