# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small model of what steps do to an observation, with the refusals of QEMU that matter for their order.

It is held against recordings of a real QEMU in test_model.py. It answers two questions about any plan: does it keep
the rules, and where does a run that is killed after some step leave the pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ansible_collections.lockstep.colo.plugins.module_utils.domain.reading import read_record
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import abilities, frames, graph
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import (
    Barrier,
    Job,
    Monitor,
    Node,
    Observation,
)
from ansible_collections.lockstep.colo.plugins.module_utils.plan.step import Plan, Step
from ansible_collections.lockstep.colo.plugins.module_utils.record import xml as record_xml

MAX_ROUNDS = 8


class Broken(AssertionError):
    """A step that QEMU would refuse, or that would harm the guest."""


def need(condition: object, words: str) -> None:
    if not condition:
        raise Broken(words)


def copied_to(target: str) -> set[str]:
    """Where a disk may be copied to."""
    return {graph.nbd(target), graph.copy(target)}


def attached_to(seen: Observation) -> dict[str, str | None]:
    return {disk.target: disk.node for disk in seen.domain.disks}


def walk(seen: Observation, steps: Iterable[Step]) -> Iterable[Observation]:
    """The observation before the first step and after each, up to a pivot."""
    yield seen
    for step in steps:
        seen = after(seen, step)
        yield seen
        if step.pivot:
            return


def settle(seen: Observation, decide: Callable[[Observation], Plan]) -> Observation:
    """Carry out plans, each up to its pivot, until one comes to its end."""
    for _round in range(MAX_ROUNDS):
        plan = decide(seen)
        *_before, seen = walk(seen, plan.steps)
        if not any(step.pivot for step in plan.steps):
            return seen
    raise Broken("no end of pivots")


def after(seen: Observation, step: Step) -> Observation:
    """What ``step`` makes of ``seen``."""
    return _ACTIONS[step.action](seen, **step.arguments)


def _monitor(seen: Observation, **changes: Any) -> Observation:
    need(seen.monitor is not None, "no QEMU to ask")
    if "running" in changes:
        seen = replace(seen, domain=replace(seen.domain, state="running" if changes["running"] else "paused"))
    return replace(seen, monitor=replace(seen.monitor, **changes))


def _same(seen: Observation, **_arguments: Any) -> Observation:
    return seen


def _record(seen: Observation, xml: str | None, live: bool, marked: bool = False) -> Observation:
    record = record_xml.from_xml(xml) if xml else None
    live_record = record if live else seen.domain.live_record
    return replace(seen, domain=replace(seen.domain, record=record, live_record=live_record))


def _define(seen: Observation, xml: str) -> Observation:
    return replace(seen, domain=replace(seen.domain, inactive_xml=xml, record=read_record(xml)))


def _mark(seen: Observation, directory: str, marker: Any) -> Observation:
    return replace(seen, marker=marker, directory=directory)


def _release(seen: Observation, peer: str, ports: list[int]) -> Observation:
    return replace(seen, peer_sockets=())


def _bar(seen: Observation, uuid: str, taps: list[str], passed: list[str]) -> Observation:
    return replace(seen, barrier=Barrier(tuple(taps), tuple(passed)))


def _unbar(seen: Observation, uuid: str) -> Observation:
    need(seen.monitor is None or seen.monitor.migration.status != "colo", "what is not compared is let out in lockstep")
    return replace(seen, barrier=None)


def _link(seen: Observation, device: str, up: bool) -> Observation:
    nics = tuple(replace(nic, tap_up=up) if nic.tap == device else nic for nic in seen.domain.nics)
    return replace(seen, domain=replace(seen.domain, nics=nics))


def _destroy(seen: Observation) -> Observation:
    disks = tuple(replace(disk, node=None) for disk in seen.domain.disks)
    domain = replace(seen.domain, state="shutoff", live_xml=None, live_record=None, disks=disks)
    images = {path: replace(image, in_use=False) for path, image in seen.images.items()}
    host = replace(seen.host, ports=())
    return replace(seen, domain=domain, monitor=None, host=host, peer_sockets=(), images=images)


def _add_iothread(seen: Observation, number: int) -> Observation:
    name = f"iothread{number}"
    need(name not in seen.monitor.iothreads, f"{name} is there")
    return _monitor(seen, iothreads=(*seen.monitor.iothreads, name))


def _del_iothread(seen: Observation, number: int) -> Observation:
    compares = [name for name, kind in seen.monitor.objects.items() if kind == "colo-compare"]
    need(not compares, f"{compares} still use the I/O thread")
    return _monitor(seen, iothreads=tuple(name for name in seen.monitor.iothreads if name != f"iothread{number}"))


def _wait(seen: Observation, until: str, **arguments: Any) -> Observation:
    monitor = seen.monitor
    if until in ("ready", "concluded"):
        need(set(arguments["jobs"]) <= set(monitor.jobs), f"a wait for jobs that are not there: {arguments['jobs']}")
        reached = {name: replace(monitor.jobs[name], status=until) for name in arguments["jobs"]}
        seen = _monitor(seen, jobs={**monitor.jobs, **reached})
        return _end_mirrors(seen, arguments["jobs"]) if until == "concluded" else seen
    if until == "migration":
        status = arguments["status"][0]
        if status == "colo" and monitor.migration.status == "active":
            _need_layers(seen)
            copies = {name for name, job in monitor.jobs.items() if job.status == "ready" and not job.error}
            wanted = {graph.sync_job(disk.target) for disk in seen.record.disks}
            need(copies == wanted, f"up to lockstep only {copies} reach the standby")
        running = {"pre-switchover": False, "cancelled": True, "colo": True}[status]
        words = "running" if running else "finish-migrate"
        seen = _monitor(seen, migration=replace(monitor.migration, status=status), running=running, status=words)
        return _monitor(seen, colo="primary") if status == "colo" else seen
    if until == "committed":
        nodes = dict(monitor.nodes)
        for layer, overlay in arguments["layers"].items():
            if layer not in nodes or overlay not in nodes[layer].children.values():
                continue
            # The commit of active and hidden takes both out from between the replication layer and libvirt's node.
            hidden = nodes[overlay].children["backing"]
            below = nodes[hidden].children["backing"]
            nodes[layer] = replace(nodes[layer], children={"file": below})
        return _monitor(seen, nodes=nodes)
    if until == "alone":
        need(monitor.migration.status != "colo", "still in lockstep")
        return _monitor(seen, running=True, status="running")
    if until == "connected":
        missing = [name for name in arguments["names"] if name not in monitor.chardevs]
        need(not missing, f"a wait for sockets that are not there: {missing}")
        return seen
    need(until == "checkpoint" and monitor.migration.status == "colo", f"no checkpoint comes: {monitor.migration}")
    return seen


def _qmp(seen: Observation, command: str, arguments: dict[str, Any]) -> Observation:
    need(seen.monitor is not None, f"{command} without QEMU")
    return _COMMANDS[command](seen, seen.monitor, arguments)


def _stop(seen: Observation, monitor: Monitor, _arguments: dict[str, Any]) -> Observation:
    return _monitor(seen, running=False, status="paused")


def _cont(seen: Observation, monitor: Monitor, _arguments: dict[str, Any]) -> Observation:
    parked = [target for target, node in attached_to(seen).items() if node == graph.park(target)]
    need(not parked, f"the guest would run on park nodes: {parked}")
    need(monitor.status != "inmigrate", "a QEMU that waits for its guest cannot run")
    need(monitor.status != "finish-migrate", "Migration is not finalized yet")
    need(monitor.migration.status != "colo", "cont does not help in lockstep")
    return _monitor(seen, running=True, status="running")


def _qom_set(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    node = arguments["value"]
    alias = arguments["path"].removeprefix("/machine/peripheral/")
    disk = next(disk for disk in seen.domain.disks if disk.alias == alias)
    need(arguments["property"] == "drive", "only drives are set")
    need(node in monitor.nodes, f"no node {node}")
    need(not monitor.running, "a disk is changed under a running guest")
    mirrored = [name for name, other in monitor.nodes.items() if other.driver == "mirror_top" and node != name]
    mirrored = [name for name in mirrored if {node, disk.node} & {name, *monitor.nodes[name].children.values()}]
    need(not mirrored, f"the guest would write to {node} past the mirror {mirrored}")
    direct = node.startswith("libvirt-")
    above = [name for name, other in monitor.nodes.items() if node in other.children.values()]
    above = [name for name in above if name.startswith("colo-")]
    need(not (direct and above), f"{node} is written by {above}")
    disks = tuple(replace(item, node=node) if item == disk else item for item in seen.domain.disks)
    return replace(seen, domain=replace(seen.domain, disks=disks))


def _blockdev_add(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    nodes = dict(monitor.nodes)

    def add(layer: dict[str, Any]) -> str:
        name = layer["node-name"]
        need(name not in nodes, f"node {name} is there")
        children = {}
        for key in ("file", "backing", "image"):
            if key in layer:
                children[key] = layer[key] if isinstance(layer[key], str) else add(layer[key])
        children |= {f"children.{at}": child for at, child in enumerate(layer.get("children", ()))}
        for child in children.values():
            need(child in nodes, f"no node {child} for {name}")
            if layer["driver"] == "quorum":
                using = [disk.target for disk in seen.domain.disks if disk.node == child]
                need(not using, f"permission conflict: the guest's device writes to {child}")
        nodes[name] = Node(layer["driver"], layer.get("filename"), layer.get("size"), children)
        return name

    add(arguments)
    return _monitor(seen, nodes=nodes)


def _blockdev_del(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    name = arguments["node-name"]
    need(name in monitor.nodes, f"no node {name}")
    need(name not in attached_to(seen).values(), f"the guest's device is on {name}")
    above = [other for other, node in monitor.nodes.items() if name in node.children.values()]
    need(not above, f"{name} is used by {above}")
    busy = {graph.sync_job(target): {graph.quorum(target), *copied_to(target)} for target in attached_to(seen)}
    jobs = [job for job in monitor.jobs if monitor.jobs[job].status != "concluded" and name in busy.get(job, ())]
    need(not jobs, f"{jobs} copy from or to {name}")
    # What was made in one command with it, such as a protocol node, goes with it.
    gone = {name, f"{name}-file"}
    return _monitor(seen, nodes={other: node for other, node in monitor.nodes.items() if other not in gone})


def _change(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    parent = monitor.nodes[arguments["parent"]]
    if "node" in arguments:
        need(arguments["node"] in monitor.nodes, f"no node {arguments['node']}")
        need(parent.driver == "quorum", f"{arguments['parent']} is no quorum")
        children = {**parent.children, "children.1": arguments["node"]}
    else:
        need(arguments["child"] in parent.children, f"no child {arguments['child']}")
        need(len(parent.children) > 1, f"{arguments['child']} is the last of {arguments['parent']}")
        children = {name: child for name, child in parent.children.items() if name != arguments["child"]}
    return _monitor(seen, nodes={**monitor.nodes, arguments["parent"]: replace(parent, children=children)})


def _mirror(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    for name in (arguments["device"], arguments["target"]):
        need(name in monitor.nodes, f"no node {name}")
    at_once = arguments.get("copy-mode") == "write-blocking"
    need(at_once is not abilities.pauses(monitor.version), "the standby would lack what is written in the switch")
    need(arguments["job-id"] not in monitor.jobs, f"job {arguments['job-id']} is there")
    # QEMU lays a filter of the job over the node; the device moves up to it, and down again when the job ends.
    source, above = arguments["device"], f"#block-{arguments['device']}"
    nodes = {**monitor.nodes, above: Node("mirror_top", None, None, {"backing": source})}
    seen = _monitor(seen, nodes=nodes, jobs={**monitor.jobs, arguments["job-id"]: Job("mirror", "running")})
    return _move(seen, source, above)


def _move(seen: Observation, old: str, new: str) -> Observation:
    disks = tuple(replace(disk, node=new) if disk.node == old else disk for disk in seen.domain.disks)
    return replace(seen, domain=replace(seen.domain, disks=disks))


def _end_mirrors(seen: Observation, jobs: Iterable[str]) -> Observation:
    for target in (disk.target for disk in seen.domain.disks):
        if graph.sync_job(target) in jobs:
            for name, node in seen.monitor.nodes.items():
                if node.driver == "mirror_top" and graph.quorum(target) in node.children.values():
                    seen = _move(seen, name, graph.quorum(target))
                    nodes = {other: kept for other, kept in seen.monitor.nodes.items() if other != name}
                    seen = _monitor(seen, nodes=nodes)
    return seen


def _cancel(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    need(arguments["device"] in monitor.jobs, f"no job {arguments['device']}")
    job = monitor.jobs[arguments["device"]]
    need(job.status != "concluded", f"{arguments['device']} has ended")
    need(arguments.get("force") or job.status == "ready", "a copy that is not whole would be ended as if it were")
    return seen


def _dismiss(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    job = monitor.jobs.get(arguments["id"])
    need(job and job.status == "concluded", f"{arguments['id']} cannot be dismissed: {job}")
    return _monitor(seen, jobs={name: other for name, other in monitor.jobs.items() if name != arguments["id"]})


def _object_add(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    name = arguments["id"]
    need(name not in monitor.objects, f"object {name} is there")
    chardevs = [arguments[key] for key in ("indev", "outdev", "primary_in", "secondary_in") if key in arguments]
    missing = [label for label in chardevs if label not in monitor.chardevs]
    need(not missing, f"{name} without {missing}")
    need(arguments.get("iothread", monitor.iothreads or None) in (*monitor.iothreads, None, monitor.iothreads), name)
    if "position" in arguments:
        need(arguments["position"].removeprefix("id=") in monitor.objects, f"{arguments['position']} is not there")
    return _monitor(seen, objects={**monitor.objects, name: arguments["qom-type"]})


def _object_del(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    need(arguments["id"] in monitor.objects, f"no object {arguments['id']}")
    return _monitor(seen, objects={name: kind for name, kind in monitor.objects.items() if name != arguments["id"]})


def _chardev_add(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    need(arguments["id"] not in monitor.chardevs, f"chardev {arguments['id']} is there")
    return _monitor(seen, chardevs={**monitor.chardevs, arguments["id"]: "socket"})


def _chardev_remove(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    label = arguments["id"]
    need(label in monitor.chardevs, f"no chardev {label}")
    nic = label.split("-")[1]
    users = [name for name in monitor.objects if name.startswith(f"colo-{nic}-")]
    need(not users, f"{label} is used by {users}")
    left = {name: kind for name, kind in monitor.chardevs.items() if name != label}
    if not any(map(graph.is_ours, left)):
        seen = replace(seen, host=replace(seen.host, ports=()))
    return _monitor(seen, chardevs=left)


def _capabilities(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    need(monitor.migration.status not in ("active", "pre-switchover", "colo"), "a migration is at work")
    on = set(monitor.migration.capabilities)
    for item in arguments["capabilities"]:
        (on.add if item["state"] else on.discard)(item["capability"])
    return _monitor(seen, migration=replace(monitor.migration, capabilities=tuple(sorted(on))))


def _parameters(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    return _monitor(seen, migration=replace(monitor.migration, checkpoint_delay=arguments["x-checkpoint-delay"]))


def _migrate(seen: Observation, monitor: Monitor, _arguments: dict[str, Any]) -> Observation:
    need("x-colo" in monitor.migration.capabilities, "an ordinary migration")
    asked = "pause-before-switchover" in monitor.migration.capabilities
    need(asked is abilities.pauses(monitor.version), f"{monitor.version} would not come to lockstep")
    not_ready = [name for name, job in monitor.jobs.items() if job.status != "ready"]
    need(not not_ready, f"the guest would go before its disks are copied: {not_ready}")
    return _monitor(seen, migration=replace(monitor.migration, status="active"))


def _continue(seen: Observation, monitor: Monitor, _arguments: dict[str, Any]) -> Observation:
    need(monitor.migration.status == "pre-switchover", f"nothing to continue: {monitor.migration.status}")
    _need_layers(seen)
    compares = [name for name, kind in monitor.objects.items() if kind == "colo-compare"]
    need(len(compares) == len(seen.record.nics), f"packets are compared by {compares} alone")
    return _monitor(seen, migration=replace(monitor.migration, status="device"))


def _need_layers(seen: Observation) -> None:
    need(frames.barrier(seen) in (None, seen.barrier), "what is not compared is let out in lockstep")
    for target in (disk.target for disk in seen.record.disks):
        remote = seen.monitor.nodes[graph.remote(target)]
        need(graph.replication(target) in remote.children.values(), f"{target} is not replicated")
        need(
            graph.spare(target) in remote.children.values(),
            f"{target}: the standby's loss would fail writes",
        )


def _migrate_cancel(seen: Observation, monitor: Monitor, _arguments: dict[str, Any]) -> Observation:
    return _monitor(seen, migration=replace(monitor.migration, status="cancelling"))


def _lost_heartbeat(seen: Observation, monitor: Monitor, _arguments: dict[str, Any]) -> Observation:
    need(monitor.colo in ("primary", "secondary"), "no lockstep to end")
    standby = monitor.colo == "secondary"
    migration = replace(monitor.migration, status="completed")
    running = monitor.running or standby
    if standby:  # with the lockstep end the jobs inside the replication layers, and their filters
        inside = {name for name, node in monitor.nodes.items() if name[0] == "#" and _over_ours(node)}
        seen = _monitor(seen, nodes={name: node for name, node in monitor.nodes.items() if name not in inside})
    return _monitor(seen, colo="none", migration=migration, running=running, status="running" if running else "paused")


def _over_ours(node: Node) -> bool:
    return any(map(graph.is_ours, node.children.values()))


def _nbd_start(seen: Observation, _monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    return _on_port(seen, int(arguments["addr"]["data"]["port"]))


def _on_port(seen: Observation, port: int) -> Observation:
    need(port not in seen.host.ports, f"port {port} is in use")
    return replace(seen, host=replace(seen.host, ports=(*seen.host.ports, port)))


def _nbd_stop(seen: Observation, monitor: Monitor, _arguments: dict[str, Any]) -> Observation:
    return _monitor(seen, exports=())


def _export(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> Observation:
    need(arguments["node-name"] in monitor.nodes, f"no node {arguments['node-name']}")
    return _monitor(seen, exports=(*monitor.exports, arguments["id"]))


def _incoming(seen: Observation, monitor: Monitor, _arguments: dict[str, Any]) -> Observation:
    need("x-colo" in monitor.migration.capabilities, "an ordinary migration")
    need(len(monitor.exports) == len(seen.record.disks), f"only {monitor.exports} are served")
    seen = _on_port(seen, int(_arguments["uri"].rpartition(":")[2]))
    return _monitor(seen, migration=replace(monitor.migration, status="setup"))


def _nothing(seen: Observation, _monitor: Monitor, _arguments: dict[str, Any]) -> Observation:
    return seen


_ACTIONS: dict[str, Callable[..., Observation]] = {
    "qmp": _qmp, "wait": _wait, "reach": _same, "remove": _same, "make_directory": _same, "create_image": _same,
    "isolate": _same, "ask_guest": _same, "check_image": _same, "see_announced": _same,
    "record": _record, "define": _define, "mark": _mark, "release": _release, "link": _link, "destroy": _destroy,
    "add_iothread": _add_iothread, "del_iothread": _del_iothread, "bar": _bar, "unbar": _unbar,
}  # fmt: skip
_COMMANDS: dict[str, Callable[[Observation, Monitor, dict[str, Any]], Observation]] = {
    "stop": _stop, "cont": _cont, "qom-set": _qom_set, "blockdev-add": _blockdev_add, "blockdev-del": _blockdev_del,
    "x-blockdev-change": _change, "blockdev-mirror": _mirror, "block-job-cancel": _cancel, "job-dismiss": _dismiss,
    "object-add": _object_add, "object-del": _object_del, "chardev-add": _chardev_add,
    "chardev-remove": _chardev_remove, "migrate-set-capabilities": _capabilities,
    "migrate-set-parameters": _parameters, "migrate": _migrate, "migrate-continue": _continue,
    "migrate_cancel": _migrate_cancel, "x-colo-lost-heartbeat": _lost_heartbeat, "nbd-server-stop": _nbd_stop,
    "nbd-server-start": _nbd_start, "block-export-add": _export, "migrate-incoming": _incoming,
    "announce-self": _nothing,
}  # fmt: skip
