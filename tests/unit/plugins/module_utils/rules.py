# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The refusals of QEMU that matter for the order of steps, and what would harm the guest.

With the effects of the steps (plan/effects.py) they answer two questions about any plan: does it keep the rules, and
where does a run that is killed after some step leave the pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import abilities, graph, uncompared
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Monitor, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan import effects
from ansible_collections.lockstep.colo.plugins.module_utils.plan.plan import Plan
from ansible_collections.lockstep.colo.plugins.module_utils.plan.step import Step

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
    """What ``step`` makes of ``seen``; Broken where it may not come then."""
    _RULES.get(step.action, _anything)(seen, **step.arguments)
    return effects.after(seen, step)


def _anything(seen: Observation, **_arguments: Any) -> None:
    """Whatever was seen, it does no harm."""


def _unbar(seen: Observation, uuid: str) -> None:
    need(seen.monitor is None or seen.monitor.migration.status != "colo", "what is not compared is let out in lockstep")


def _add_iothread(seen: Observation, number: int) -> None:
    need(f"iothread{number}" not in seen.monitor.iothreads, f"iothread{number} is there")


def _del_iothread(seen: Observation, number: int) -> None:
    compares = [name for name, kind in seen.monitor.objects.items() if kind == "colo-compare"]
    need(not compares, f"{compares} still use the I/O thread")


def _wait(seen: Observation, until: str, **arguments: Any) -> None:
    if until in ("off", "listening"):
        return
    monitor = seen.monitor
    need(monitor is not None, "no QEMU to ask")
    if until in ("ready", "concluded"):
        need(set(arguments["jobs"]) <= set(monitor.jobs), f"a wait for jobs that are not there: {arguments['jobs']}")
    if until == "migration" and arguments["status"][0] == "colo" and monitor.migration.status == "active":
        _need_layers(seen)
        copies = {name for name, job in monitor.jobs.items() if job.status == "ready" and not job.error}
        wanted = {graph.sync_job(disk.target) for disk in seen.record.disks}
        need(copies == wanted, f"up to lockstep only {copies} reach the standby")
    if until == "alone":
        need(monitor.migration.status != "colo", "still in lockstep")
    if until == "connected":
        missing = [name for name in arguments["names"] if name not in monitor.chardevs]
        need(not missing, f"a wait for sockets that are not there: {missing}")
    if until == "checkpoint":
        need(monitor.migration.status == "colo", f"no checkpoint comes: {monitor.migration}")


def _qmp(seen: Observation, command: str, arguments: dict[str, Any]) -> None:
    need(seen.monitor is not None, f"{command} without QEMU")
    _COMMANDS.get(command, _any_command)(seen, seen.monitor, arguments)


def _any_command(_seen: Observation, _monitor: Monitor, _arguments: dict[str, Any]) -> None:
    """QEMU takes it at any time."""


def _cont(seen: Observation, monitor: Monitor, _arguments: dict[str, Any]) -> None:
    parked = [target for target, node in attached_to(seen).items() if node == graph.park(target)]
    need(not parked, f"the guest would run on park nodes: {parked}")
    need(monitor.status != "inmigrate", "a QEMU that waits for its guest cannot run")
    need(monitor.status != "finish-migrate", "Migration is not finalized yet")
    need(monitor.migration.status != "colo", "cont does not help in lockstep")


def _qom_set(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> None:
    if arguments["path"].startswith("/objects/"):
        return
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


def _blockdev_add(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> None:
    nodes = set(monitor.nodes)

    def add(layer: dict[str, Any]) -> str:
        name = layer["node-name"]
        need(name not in nodes, f"node {name} is there")
        below = [layer[key] for key in ("file", "backing", "image") if key in layer]
        children = [one if isinstance(one, str) else add(one) for one in below] + list(layer.get("children", ()))
        for child in children:
            need(child in nodes, f"no node {child} for {name}")
            if layer["driver"] == "quorum":
                using = [disk.target for disk in seen.domain.disks if disk.node == child]
                need(not using, f"permission conflict: the guest's device writes to {child}")
        nodes.add(name)
        return name

    add(arguments)


def _blockdev_del(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> None:
    name = arguments["node-name"]
    need(name in monitor.nodes, f"no node {name}")
    need(name not in attached_to(seen).values(), f"the guest's device is on {name}")
    above = [other for other, node in monitor.nodes.items() if name in node.children.values()]
    need(not above, f"{name} is used by {above}")
    busy = {graph.sync_job(target): {graph.quorum(target), *copied_to(target)} for target in attached_to(seen)}
    jobs = [job for job in monitor.jobs if monitor.jobs[job].status != "concluded" and name in busy.get(job, ())]
    need(not jobs, f"{jobs} copy from or to {name}")


def _change(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> None:
    parent = monitor.nodes[arguments["parent"]]
    if "node" in arguments:
        need(arguments["node"] in monitor.nodes, f"no node {arguments['node']}")
        need(parent.driver == "quorum", f"{arguments['parent']} is no quorum")
    else:
        need(arguments["child"] in parent.children, f"no child {arguments['child']}")
        need(len(parent.children) > 1, f"{arguments['child']} is the last of {arguments['parent']}")


def _mirror(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> None:
    for name in (arguments["device"], arguments["target"]):
        need(name in monitor.nodes, f"no node {name}")
    at_once = arguments.get("copy-mode") == "write-blocking"
    need(at_once is not abilities.pauses(monitor.version), "the standby would lack what is written in the entry")
    need(arguments["job-id"] not in monitor.jobs, f"job {arguments['job-id']} is there")


def _yank(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> None:
    for instance in arguments["instances"]:
        need(instance["node-name"] in monitor.nodes, f"Instance not found: {instance}")
        kinds = ((graph.nbd, graph.release_job), (graph.nbd, graph.sync_job), (graph.copy, graph.sync_job))
        pairs = [(node(disk.target), job(disk.target)) for disk in seen.record.disks for node, job in kinds]
        jobs = [monitor.jobs.get(name) for node, name in pairs if node == instance["node-name"]]
        at_work = any(job and job.status != "concluded" for job in jobs)
        need(at_work, "a write may wait for ever, and no job could be cancelled to end that")


def _backup(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> None:
    for name in (arguments["device"], arguments["target"]):
        need(name in monitor.nodes, f"no node {name}")
    need(arguments["sync"] == "none", "there is nothing to copy")
    need(arguments["job-id"] not in monitor.jobs, f"job {arguments['job-id']} is there")


def _cancel(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> None:
    need(arguments["device"] in monitor.jobs, f"no job {arguments['device']}")
    job = monitor.jobs[arguments["device"]]
    need(job.status != "concluded", f"{arguments['device']} has ended")
    need(arguments.get("force") or job.status == "ready", "a copy that is not whole would be ended as if it were")


def _dismiss(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> None:
    job = monitor.jobs.get(arguments["id"])
    need(job and job.status == "concluded", f"{arguments['id']} cannot be dismissed: {job}")


def _object_add(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> None:
    name = arguments["id"]
    need(name not in monitor.objects, f"object {name} is there")
    chardevs = [arguments[key] for key in ("indev", "outdev", "primary_in", "secondary_in") if key in arguments]
    missing = [label for label in chardevs if label not in monitor.chardevs]
    need(not missing, f"{name} without {missing}")
    need(arguments.get("iothread", monitor.iothreads or None) in (*monitor.iothreads, None, monitor.iothreads), name)
    if "position" in arguments:
        need(arguments["position"].removeprefix("id=") in monitor.objects, f"{arguments['position']} is not there")


def _object_del(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> None:
    need(arguments["id"] in monitor.objects, f"no object {arguments['id']}")


def _chardev_add(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> None:
    need(arguments["id"] not in monitor.chardevs, f"chardev {arguments['id']} is there")


def _chardev_remove(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> None:
    label = arguments["id"]
    need(label in monitor.chardevs, f"no chardev {label}")
    nic, _hyphen, part = label.removeprefix("colo-").partition("-")
    # Of a standby's each has one filter, named after it; what uses a primary's is removed before any of them.
    own = f"colo-{nic}-f-{part}" if part.startswith("red-") else f"colo-{nic}-"
    users = [name for name in monitor.objects if name.startswith(own)]
    need(not users, f"{label} is used by {users}")


def _capabilities(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> None:
    need(monitor.migration.status not in ("active", "pre-switchover", "colo"), "a migration is at work")


def _migrate(seen: Observation, monitor: Monitor, _arguments: dict[str, Any]) -> None:
    need("x-colo" in monitor.migration.capabilities, "an ordinary migration")
    need(not monitor.bitmaps, "what was written before may not be on the standby yet")
    asked = "pause-before-switchover" in monitor.migration.capabilities
    need(asked is abilities.pauses(monitor.version), f"{monitor.version} would not come to lockstep")
    not_ready = [name for name, job in monitor.jobs.items() if job.status != "ready"]
    need(not not_ready, f"the guest would go before its disks are copied: {not_ready}")


def _continue(seen: Observation, monitor: Monitor, _arguments: dict[str, Any]) -> None:
    need(monitor.migration.status == "pre-switchover", f"nothing to continue: {monitor.migration.status}")
    _need_layers(seen)
    compares = [name for name, kind in monitor.objects.items() if kind == "colo-compare"]
    need(len(compares) == len(seen.record.nics), f"packets are compared by {compares} alone")


def _need_layers(seen: Observation) -> None:
    need(uncompared.barrier(seen) in (None, seen.barrier), "what is not compared is let out in lockstep")
    for target in (disk.target for disk in seen.record.disks):
        remote = seen.monitor.nodes[graph.remote(target)]
        need(graph.replication(target) in remote.children.values(), f"{target} is not replicated")
        need(
            graph.spare(target) in remote.children.values(),
            f"{target}: the standby's loss would fail writes",
        )


def _lost_heartbeat(seen: Observation, monitor: Monitor, _arguments: dict[str, Any]) -> None:
    need(monitor.colo in ("primary", "secondary"), "no lockstep to end")


def _nbd_start(seen: Observation, _monitor: Monitor, arguments: dict[str, Any]) -> None:
    if arguments["addr"]["type"] == "unix":
        return
    _need_port(seen, int(arguments["addr"]["data"]["port"]))


def _need_port(seen: Observation, port: int) -> None:
    need(port not in seen.host.ports, f"port {port} is in use")


def _export(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> None:
    need(arguments["node-name"] in monitor.nodes, f"no node {arguments['node-name']}")
    for name in arguments.get("bitmaps", ()):
        bitmap = monitor.bitmaps[arguments["node-name"]][name]
        need(not bitmap.recording, f"Enabled bitmap {name} incompatible with readonly export")


def _bitmap_disable(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> None:
    need(arguments["name"] in monitor.bitmaps.get(arguments["node"], {}), f"Dirty bitmap not found: {arguments}")
    mirrored = [name for name, job in monitor.jobs.items() if job.type == "mirror" and job.status != "concluded"]
    need(mirrored, "what is written from now on would be noted nowhere")


def _bitmap_remove(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> None:
    need(arguments["name"] in monitor.bitmaps.get(arguments["node"], {}), f"Dirty bitmap not found: {arguments}")
    need(
        not any(name.endswith("-written") for name in monitor.exports),
        "Bitmap is currently in use by another operation",
    )


def _incoming(seen: Observation, monitor: Monitor, arguments: dict[str, Any]) -> None:
    need("x-colo" in monitor.migration.capabilities, "an ordinary migration")
    need(len(monitor.exports) == len(seen.record.disks), f"only {monitor.exports} are served")
    _need_port(seen, int(arguments["uri"].rpartition(":")[2]))


_RULES: dict[str, Callable[..., None]] = {
    "qmp": _qmp, "wait": _wait, "unbar": _unbar, "add_iothread": _add_iothread, "del_iothread": _del_iothread,
}  # fmt: skip
_COMMANDS: dict[str, Callable[[Observation, Monitor, dict[str, Any]], None]] = {
    "cont": _cont, "qom-set": _qom_set, "blockdev-add": _blockdev_add, "blockdev-del": _blockdev_del,
    "x-blockdev-change": _change, "blockdev-mirror": _mirror, "blockdev-backup": _backup, "block-job-cancel": _cancel,
    "job-dismiss": _dismiss, "yank": _yank,
    "object-add": _object_add, "object-del": _object_del, "chardev-add": _chardev_add,
    "chardev-remove": _chardev_remove, "migrate-set-capabilities": _capabilities, "migrate": _migrate,
    "migrate-continue": _continue, "x-colo-lost-heartbeat": _lost_heartbeat, "nbd-server-start": _nbd_start,
    "block-export-add": _export, "migrate-incoming": _incoming,
    "block-dirty-bitmap-disable": _bitmap_disable, "block-dirty-bitmap-remove": _bitmap_remove,
}  # fmt: skip
