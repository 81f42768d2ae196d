# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each QMP command of a plan brings about, as QEMU's own queries show it afterwards. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ..lockstep import graph
from ..observation.seen import Bitmap, Job, Monitor, Node, Observation

PERIPHERAL, OBJECTS = "/machine/peripheral/", "/objects/"
MIRROR = "mirror_top"  # the driver of the filter that a copying job lays over a node
BEFORE_WRITE = "copy-before-write"  # that of a backup's


def _with(seen: Observation, **changes: Any) -> Observation:
    """With what QEMU says changed; libvirt sees whether the guest runs."""
    if "running" in changes and seen.domain:
        state = "running" if changes["running"] else "paused"
        seen = replace(seen, domain=replace(seen.domain, state=state))
    return replace(seen, monitor=replace(seen.monitor, **changes))


def _migrating(seen: Observation, **changes: Any) -> Observation:
    return _with(seen, migration=replace(seen.monitor.migration, **changes))


def _nothing(seen: Observation, _monitor: Monitor, _arguments: dict[str, Any]) -> Observation:
    return seen


def _stop(seen: Observation, _monitor: Monitor, _arguments: dict[str, Any]) -> Observation:
    return _with(seen, running=False, status="paused")


def _cont(seen: Observation, _monitor: Monitor, _arguments: dict[str, Any]) -> Observation:
    return _with(seen, running=True, status="running")


# Disks


def _move(seen: Observation, old: str | None, new: str) -> Observation:
    """A device that was on one node is on another."""
    disks = tuple(replace(disk, node=new) if disk.node == old else disk for disk in seen.domain.disks)
    return replace(seen, domain=replace(seen.domain, disks=disks))


def _qom_set(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    path, key, value = arguments["path"], arguments["property"], arguments["value"]
    if path.startswith(OBJECTS):
        named = path.removeprefix(OBJECTS)
        return _with(seen, settings={**monitor.settings, named: {**monitor.settings.get(named, {}), key: value}})
    alias = path.removeprefix(PERIPHERAL)
    disks = tuple(replace(disk, node=value) if disk.alias == alias else disk for disk in seen.domain.disks)
    return replace(seen, domain=replace(seen.domain, disks=disks))


def _blockdev_add(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    nodes = dict(monitor.nodes)

    def add(layer: dict[str, Any]) -> str:
        children = {}
        for key in ("file", "backing", "image"):
            if key in layer:
                children[key] = layer[key] if isinstance(layer[key], str) else add(layer[key])
        children |= {f"children.{at}": child for at, child in enumerate(layer.get("children", ()))}
        nodes[layer["node-name"]] = Node(layer["driver"], layer.get("filename"), layer.get("size"), children)
        return layer["node-name"]

    add(arguments)
    return _with(seen, nodes=nodes)


def _blockdev_del(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    """What was made in one command with it, such as a protocol node, goes with it."""
    gone = {arguments["node-name"], f"{arguments['node-name']}-file"}
    return _with(seen, nodes={name: node for name, node in monitor.nodes.items() if name not in gone})


def _change(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    parent = monitor.nodes.get(arguments["parent"], Node("quorum"))
    if "node" in arguments:
        children = {**parent.children, "children.1": arguments["node"]}
    else:
        children = {name: child for name, child in parent.children.items() if name != arguments["child"]}
    return _with(seen, nodes={**monitor.nodes, arguments["parent"]: replace(parent, children=children)})


def _mirror(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    """QEMU lays a filter of the job over the node; the device moves up to it, and down again when the job ends."""
    source, above = arguments["device"], f"#block-{arguments['device']}"
    nodes = {**monitor.nodes, above: Node(MIRROR, None, None, {"backing": source})}
    job = Job("mirror", "running", speed=arguments.get("speed", 0))
    seen = _with(seen, nodes=nodes, jobs={**monitor.jobs, arguments["job-id"]: job})
    return _move(seen, source, above)


def _backup(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    source, target = arguments["device"], arguments["target"]
    nodes = {**monitor.nodes, f"#block-{source}": Node(BEFORE_WRITE, None, None, {"file": source, "target": target})}
    return _with(seen, nodes=nodes, jobs={**monitor.jobs, arguments["job-id"]: Job("backup", "running")})


def _set_speed(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    name = arguments["device"]
    return _with(seen, jobs={**monitor.jobs, name: replace(monitor.jobs[name], speed=arguments["speed"])})


def _cancel(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    """A copying says itself when it has ended; a job that does nothing has ended at once, and its filter goes."""
    name = arguments["device"]
    if monitor.jobs.get(name, Job("mirror", "ready")).type != "backup":
        return seen
    idle = {graph.idle(disk.target) for disk in seen.domain.disks if graph.release_job(disk.target) == name}
    kept = {
        other: node
        for other, node in monitor.nodes.items()
        if node.driver != BEFORE_WRITE or idle.isdisjoint(node.children.values())
    }
    return _with(seen, nodes=kept, jobs={**monitor.jobs, name: replace(monitor.jobs[name], status="concluded")})


def end_mirrors(seen: Observation, jobs: Iterable[str]) -> Observation:
    """What is seen once these ``jobs`` have ended: the filter of each is gone, its device is on the quorum."""
    jobs = set(jobs)
    for quorum in [graph.quorum(disk.target) for disk in seen.domain.disks if graph.sync_job(disk.target) in jobs]:
        for name, node in seen.monitor.nodes.items():
            if node.driver == MIRROR and quorum in node.children.values():
                kept = {other: one for other, one in seen.monitor.nodes.items() if other != name}
                seen = _with(_move(seen, name, quorum), nodes=kept)
                break
    return seen


def _dismiss(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    return _with(seen, jobs={name: job for name, job in monitor.jobs.items() if name != arguments["id"]})


# What was written


def _bitmap_disable(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    known = monitor.bitmaps.get(arguments["node"], {})
    closed = {**known, arguments["name"]: Bitmap(recording=False)}
    return _with(seen, bitmaps={**monitor.bitmaps, arguments["node"]: closed})


def _bitmap_remove(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    left = {name: one for name, one in monitor.bitmaps.get(arguments["node"], {}).items() if name != arguments["name"]}
    others = {node: known for node, known in monitor.bitmaps.items() if node != arguments["node"]}
    return _with(seen, bitmaps={**others, arguments["node"]: left} if left else others)


# Packets


def _object_add(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    objects = {**monitor.objects, arguments["id"]: arguments["qom-type"]}
    return _with(seen, objects=objects, unread=_without(monitor.unread, arguments.get("indev")))


def _object_del(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    gone = arguments["id"]
    return _with(
        seen,
        objects={name: kind for name, kind in monitor.objects.items() if name != gone},
        settings={name: known for name, known in monitor.settings.items() if name != gone},
    )


def _chardev_add(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    data = arguments["backend"]["data"]
    address = data.get("addr", {})
    if data.get("server") and address.get("type") == "inet":
        seen = _listening(seen, int(address["data"]["port"]))
    return _with(seen, chardevs={**monitor.chardevs, arguments["id"]: ""})


def _chardev_remove(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    left = {name: where for name, where in monitor.chardevs.items() if name != arguments["id"]}
    if not any(map(graph.is_ours, left)):
        seen = _without_ports(seen)
    return _with(seen, chardevs=left, unread=_without(monitor.unread, arguments["id"]))


def _without(labels: tuple[str, ...], one: str | None) -> tuple[str, ...]:
    return tuple(label for label in labels if label != one)


def _without_ports(seen: Observation) -> Observation:
    """Nobody listens for the pair here any more."""
    ours = {channel.port for channel in seen.record.channels()} if seen.record else set()
    return replace(seen, host=replace(seen.host, ports=tuple(port for port in seen.host.ports if port not in ours)))


# The migration


def _capabilities(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    on = set(monitor.migration.capabilities)
    for item in arguments["capabilities"]:
        (on.add if item["state"] else on.discard)(item["capability"])
    return _migrating(seen, capabilities=tuple(sorted(on)))


def _parameters(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    return _migrating(seen, checkpoint_delay=arguments.get("x-checkpoint-delay", monitor.migration.checkpoint_delay))


def _migration_is(status: str) -> Callable[..., Observation]:
    def reached(seen: Observation, _monitor: Monitor, _arguments: dict[str, Any]) -> Observation:
        return _migrating(seen, status=status)

    return reached


def _lost_heartbeat(seen: Observation, monitor: Monitor, _arguments: dict[str, Any]) -> Observation:
    """With a standby's lockstep end the jobs inside its replication layers, and their filters."""
    standby = monitor.colo == "secondary"
    if standby:
        kept = {name: node for name, node in monitor.nodes.items() if not (name.startswith("#") and _over_ours(node))}
        seen = _with(seen, nodes=kept)
    running = monitor.running or standby
    return _migrating(
        _with(seen, colo="none", running=running, status="running" if running else "paused"), status="completed"
    )


def _over_ours(node: Node) -> bool:
    return any(map(graph.is_ours, node.children.values()))


# A standby's doors


def _nbd_start(seen: Observation, _monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    if arguments["addr"]["type"] == "unix":
        return seen
    return _listening(seen, int(arguments["addr"]["data"]["port"]))


def _nbd_stop(seen: Observation, _monitor: Monitor, _arguments: dict[str, Any]) -> Observation:
    return _with(seen, exports=())


def _export(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    return _with(seen, exports=(*monitor.exports, arguments["id"]))


def _incoming(seen: Observation, _monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    return _migrating(_listening(seen, int(arguments["uri"].rpartition(":")[2])), status="setup")


def _listening(seen: Observation, port: int) -> Observation:
    return replace(seen, host=replace(seen.host, ports=tuple(sorted({*seen.host.ports, port}))))


COMMANDS: Mapping[str, Callable[[Observation, Monitor, dict[str, Any]], Observation]] = MappingProxyType(
    {
        "stop": _stop, "cont": _cont, "qom-set": _qom_set, "blockdev-add": _blockdev_add,
        "blockdev-del": _blockdev_del, "x-blockdev-change": _change, "blockdev-mirror": _mirror,
        "blockdev-backup": _backup, "block-job-cancel": _cancel, "block-job-set-speed": _set_speed,
        "job-dismiss": _dismiss, "object-add": _object_add,
        "object-del": _object_del, "chardev-add": _chardev_add, "chardev-remove": _chardev_remove,
        "migrate-set-capabilities": _capabilities, "migrate-set-parameters": _parameters,
        "migrate": _migration_is("active"), "migrate-continue": _migration_is("device"),
        "migrate_cancel": _migration_is("cancelling"), "x-colo-lost-heartbeat": _lost_heartbeat,
        "nbd-server-start": _nbd_start, "nbd-server-stop": _nbd_stop, "block-export-add": _export,
        "migrate-incoming": _incoming, "announce-self": _nothing,
        "trace-event-set-state": _nothing, "yank": _nothing,
        "block-dirty-bitmap-disable": _bitmap_disable, "block-dirty-bitmap-remove": _bitmap_remove,
    }
)  # fmt: skip
