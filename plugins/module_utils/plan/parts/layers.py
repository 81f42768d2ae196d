# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Steps that slide layers under and out of the disks of a domain, and that add and remove a NIC's proxy. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ...lockstep import abilities, channels, graph, own_node, states
from ...lockstep.proxy import Part
from ...lockstep.states import FINISHING, Drift
from ...observation.seen import Disk, Monitor, Observation, Shown
from ...record.pair import IOTHREAD
from ..step import Step, qmp, wait

ALONE_TIMEOUT = 30.0  # seconds for a migration to be ended
# Seconds. A standby tries again each second; what it sent into a network that was cut it sends again after up to 32.
CONNECT_TIMEOUT = 60.0


def slide_in(seen: Observation, layers: Callable[[Disk], list[dict[str, Any]]]) -> list[Step]:
    """Put the layers, whose last is the quorum, under every replicated disk, in one pause of the guest.

    Works from any state that a run which was killed left behind.
    """
    todo = [disk for disk in states.replicated(seen) if disk.node != graph.quorum(disk.target)]
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
    own = {disk.target: own_node.libvirt_node(seen.monitor, disk) for disk in states.replicated(seen)}
    todo = [disk for disk in states.replicated(seen) if disk.node != own[disk.target]]
    steps = []
    for disk in states.replicated(seen):
        steps += [delete_node(name) for kind in graph.TOP_FIRST if (name := kind(disk.target)) in seen.monitor.nodes]
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
    parks |= {graph.park(disk.target) for disk in states.replicated(seen) if graph.park(disk.target) in nodes}
    return [*steps, *(delete_node(park) for park in sorted(parks))]


def unpark(seen: Observation) -> list[Step]:
    """Give a guest that stands still on park nodes its disks back as they are now, whatever was to become of them."""
    steps = []
    for disk in states.replicated(seen):
        if disk.node == graph.park(disk.target):
            quorum = graph.quorum(disk.target)
            if quorum in seen.monitor.nodes:
                steps.append(_attach(disk, quorum))
                continue
            kinds = (graph.replication, graph.active, graph.hidden)
            steps += [delete_node(name) for kind in kinds if (name := kind(disk.target)) in seen.monitor.nodes]
            steps.append(_attach(disk, own_node.libvirt_node(seen.monitor, disk)))
    if _to_resume(seen):
        steps.append(qmp("let the guest go on", "cont"))
    return steps


def _to_resume(seen: Observation) -> bool:
    return states.stopped_by_us(seen) and seen.monitor.status != FINISHING


def _attach(disk: Disk, node: str) -> Step:
    title = f"disk {disk.target}: attach the guest's device to {node}"
    arguments = {"path": f"/machine/peripheral/{disk.alias}", "property": "drive", "value": node}
    return qmp(title, "qom-set", arguments)


def delete_node(node: str) -> Step:
    """Remove a block node, which nothing may use any more."""
    return qmp(f"remove layer {node}", "blockdev-del", {"node-name": node})


def forget_job(name: str) -> Step:
    return qmp(f"forget {name}", "job-dismiss", {"id": name})


def set_link(tap: str, *, up: bool) -> Step:
    """Set a tap of this host up or down."""
    return Step(f"set the link of {tap} {'up' if up else 'down'}", "link", {"device": tap, "up": up})


def note_shown(seen: Observation) -> list[Step]:
    """Note which certificate the credentials are read from that are added next, where there are any."""
    known = seen.host.certificate
    if seen.record.credentials is None or known is None or known.installed is None:
        return []
    about = {"uuid": seen.domain.uuid, "certificate": Shown(known.ends, known.installed)}
    return [Step("note which certificate the pair shows from now on", "note_shown", about)]


def add_part(part: Part) -> Step:
    """Add a socket, a filter or a comparison."""
    return qmp(f"add {part.what}", "object-add" if part.object else "chardev-add", part.arguments)


def mend_proxies(seen: Observation) -> list[Step]:
    """What somebody took out of, or changed in, the packet proxies of a pair in lockstep: put back, in its place."""
    return [step for drift in states.drifted(seen) for step in _mend(seen, drift)]


def admit_peer(seen: Observation) -> list[Step]:
    """Have what is left of the credentials of an earlier pair admit the peer of this one."""
    return [step for drift in states.of_another_peer(seen) for step in _mend(seen, drift)]


def _mend(seen: Observation, drift: Drift) -> list[Step]:
    part = drift.part
    if drift.deaf:
        sockets = {one.name: socket for one, socket in states.connecting(seen)}
        if part.name in sockets:
            return connect_anew(seen, part, sockets[part.name])
        return [_remove_object(part.name), _add_in_place(seen, part)]
    if drift.key is None:
        return [_add_in_place(seen, part)]
    path = {"path": f"/objects/{part.name}", "property": drift.key, "value": drift.wanted}
    return [qmp(drift.mending, "qom-set", path)]


def connect_anew(seen: Observation, part: Part, socket: Part) -> list[Step]:
    """Give a filter another connection with the other host; what is sent meanwhile does not come to it.

    QEMU reads nothing of a connection over which it mirrors packets: on an idle NIC it would not notice that this one
    has ended, and not take the next (chardev/char-socket.c: G_IO_HUP alone is watched). A reset it does notice. One of
    the answers is closed instead, with all that was sent: the comparison has to read it to the end of a packet.
    """
    steps = [_remove_object(part.name)] if states.has(seen.monitor, part) else []
    if states.has(seen.monitor, socket):
        if "indev" in part.arguments and not states.apart(seen, socket):
            steps.append(_reset(seen.record.peer.address, socket))
        steps.append(remove_socket(socket.name))
    return [*steps, add_part(socket), _add_in_place(seen, part)]


def _reset(peer: str, socket: Part) -> Step:
    where = {"peer": peer, "ports": [_port(socket)]}
    return Step(f"reset the connection of {socket.name} with {peer}", "release", where)


def _port(socket: Part) -> int | None:
    """None for one within this host."""
    where = socket.arguments["backend"]["data"]["addr"]["data"].get("port")
    return None if where is None else int(where)


def see_connected(seen: Observation, names: list[str], timeout: float = CONNECT_TIMEOUT) -> list[Step]:
    """Wait until each of these sockets is connected with the other host, in the words of its kernel as well as QEMU's.

    QEMU does not see the end of a connection that it does not read, and says nothing of who is at the other end.
    """
    if not names:
        return []
    ports = [_port(part) for part in states.proxy_parts(seen) if part.name in names]
    where = {"peer": seen.record.peer.address, "ports": sorted({port for port in ports if port})}
    return [wait("see that the standby is connected with each socket", "connected", timeout, names=names, **where)]


def _add_in_place(seen: Observation, part: Part) -> Step:
    parts = states.proxy_parts(seen)
    place = _place(seen.monitor, part, parts[parts.index(part) + 1 :])
    return add_part(replace(part, arguments={**part.arguments, **place}))


def _place(monitor: Monitor, part: Part, later: list[Part]) -> dict[str, str]:
    """Where a filter goes: packets pass the filters of a NIC in their order, and QEMU appends one that has no place."""
    netdev = part.arguments.get("netdev")
    behind = [
        one.name for one in later if netdev and one.arguments.get("netdev") == netdev and states.has(monitor, one)
    ]
    return {"position": f"id={behind[0]}", "insert": "before"} if behind else {}


def remove_objects(monitor: Monitor) -> list[Step]:
    """Remove our filters and what compares their packets: whatever of them is there, from whichever role.

    First what leads packets to the comparison, and only after it what takes from it those that it lets go of.
    """
    ours = (name for name in monitor.objects if graph.is_ours(name) and name not in channels.CREDENTIALS)
    ours = sorted(ours, key=_order_of_removal)
    return [_remove_object(name) for name in ours]


def _remove_object(name: str) -> Step:
    return qmp(f"remove {name}", "object-del", {"id": name})


def _order_of_removal(name: str) -> tuple[int, str]:
    return 0 if name.endswith("-f-in") else 1 if name.endswith("-compare") else 2, name


def remove_sockets(monitor: Monitor) -> list[Step]:
    """Remove the sockets of the packet proxies, whichever are there."""
    ours = sorted(name for name in monitor.chardevs if graph.is_ours(name))
    return list(map(remove_socket, ours))


def remove_socket(name: str) -> Step:
    return qmp(f"remove socket {name}", "chardev-remove", {"id": name})


def add_iothread(monitor: Monitor) -> list[Step]:
    """Add the I/O thread in which packets are compared, where it is not there."""
    if f"iothread{IOTHREAD}" in monitor.iothreads:
        return []
    return [Step("add the I/O thread of the packet comparison", "add_iothread", {"number": IOTHREAD})]


def remove_iothread(monitor: Monitor) -> list[Step]:
    """Remove that I/O thread, where it is there."""
    if f"iothread{IOTHREAD}" not in monitor.iothreads:
        return []
    return [Step("remove the I/O thread of the packet comparison", "del_iothread", {"number": IOTHREAD})]


def migrate_by_colo(capabilities: Iterable[str]) -> Step:
    """Have the next migration be one into lockstep, with these capabilities."""
    return _set_capabilities("make the migration one for COLO", capabilities, on=True)


def encrypt_migration(credentials: dict[str, Any]) -> list[Step]:
    """Have the migration use these TLS options of ``channels``; nothing where there are none."""
    title = "have the migration encrypted, and both ends proven"
    return [qmp(title, "migrate-set-parameters", credentials)] if credentials else []


def migrate_ordinarily(monitor: Monitor) -> list[Step]:
    """Turn off what migrations into lockstep had turned on, and forget the pair's credentials.

    With x-colo left on, virsh save would wait for ever (our measurement). Credentials go once nothing has them.
    """
    names = abilities.left_on(monitor)
    steps = [_set_capabilities("make migrations ordinary again", names, on=False)] if names else []
    ours = [name for name in channels.CREDENTIALS if name in monitor.objects]
    if ours:
        title = "let migrations go without the pair's credentials"
        steps.append(qmp(title, "migrate-set-parameters", channels.NO_CREDENTIALS))
    return steps + [qmp(f"remove {name}", "object-del", {"id": name}) for name in ours]


def _set_capabilities(title: str, names: Iterable[str], *, on: bool) -> Step:
    wanted = [{"capability": name, "state": on} for name in names]
    return qmp(title, "migrate-set-capabilities", {"capabilities": wanted})
