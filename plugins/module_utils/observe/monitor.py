# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking QEMU itself, by queries that change nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..errors import LibvirtError, QmpError, Timeout
from ..host.hypervisor import Hypervisor
from ..lockstep import graph
from ..lockstep.proxy import SETTINGS
from ..observation.depth import ASKS_QEMU, BRIEF, FREEING, GIVEN_UP, THOROUGH
from ..observation.seen import Bitmap, Domain, Job, Migration, Monitor, Node, Observation

# Every QMP command an observation sends. None of them changes anything; the no-change test holds libvirtd's log
# against this list.
PURE_QUERIES = (
    "qom-get",
    "qom-list",
    "query-block-exports",
    "query-block-jobs",
    "query-blockstats",
    "query-chardev",
    "query-colo-status",
    "query-iothreads",
    "query-jobs",
    "query-migrate",
    "query-migrate-capabilities",
    "query-migrate-parameters",
    "query-named-block-nodes",
    "query-status",
    "query-version",
    "query-xen-replication-status",
    "x-debug-query-block-graph",
)
MONITOR_DEADLINE = 3.0  # seconds; a healthy QEMU answers a query in milliseconds, under checkpoints in tenths
GIVEN_UP_DEADLINE = 1.0  # seconds; the clients wait, and the other host may serve them
STATUS_POLL = 0.02  # seconds
IN_CHECKPOINT = "colo"  # the run state between a checkpoint's stop and its resume, and of a pair that is stalled
CHECKPOINT_PATIENCE = 3.0  # seconds


def _asker(hypervisor: Hypervisor, domain: Domain, deadline: float = MONITOR_DEADLINE) -> Callable[..., Any]:
    """How QEMU is asked here: a query's name and arguments to what it returns, with one deadline for all."""

    def ask(command: str, **arguments: Any) -> Any:
        return hypervisor.qmp(domain.name, command, arguments, deadline=deadline)

    return ask


def _brief_monitor(hypervisor: Hypervisor, domain: Domain) -> dict[str, Any]:
    ask = _asker(hypervisor, domain)
    try:
        status = ask("query-status")
        monitor = Monitor(
            status=status["status"],
            running=status["running"],
            version="",
            colo=ask("query-colo-status")["mode"],
            exports=_exports(ask("query-block-exports")),
            objects=_objects(ask("qom-list", path="/objects")),
        )
    except (Timeout, LibvirtError) as error:
        return {"monitor_problem": error.what}
    return {"monitor": monitor}


def _exports(reply: list[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(item["id"] for item in reply)


def _objects(reply: list[dict[str, Any]]) -> dict[str, str]:
    return {item["name"]: item["type"].removeprefix("child<").rstrip(">") for item in reply}


def _settings(ask: Callable[..., Any], objects: dict[str, str]) -> dict[str, dict[str, Any]]:
    """What was set of each part of a packet proxy that can be changed while it is at work."""
    return {
        name: {key: ask("qom-get", path=f"/objects/{name}", property=key) for key in SETTINGS[kind]}
        for name, kind in objects.items()
        if kind in SETTINGS
    }


def added(hypervisor: Hypervisor, seen: Observation) -> Observation:
    """``seen`` with what QEMU says, as deep as it goes; or with why QEMU does not answer."""
    domain = seen.domain
    if seen.depth == GIVEN_UP and seen.record and seen.record.role == "primary":
        return replace(seen, standby_lacks=_standby_lacks(hypervisor, domain))
    if seen.depth not in ASKS_QEMU:
        return seen
    if seen.depth == BRIEF:
        return replace(seen, **_brief_monitor(hypervisor, domain))
    patience = CHECKPOINT_PATIENCE if seen.depth in (FREEING, THOROUGH) else 0
    try:
        monitor, nodes = read_monitor(hypervisor, domain, patience)
        failed = _failed_writes(_asker(hypervisor, domain)("query-blockstats"))
    except (Timeout, LibvirtError) as error:
        return replace(seen, monitor_problem=error.what)
    disks = tuple(
        replace(
            disk,
            node=nodes.get(disk.target),
            virtual_size=_size(monitor, nodes.get(disk.target)),
            failed_writes=failed.get(disk.alias, 0),
        )
        for disk in domain.disks
    )
    return replace(seen, monitor=monitor, domain=replace(domain, disks=disks))


def _failed_writes(stats: list[dict[str, Any]]) -> dict[str, int]:
    """By the device's alias; QEMU names a device by its path, /machine/peripheral/ALIAS/... (query-blockstats)."""
    found = {}
    for device in stats:
        alias = device.get("qdev", "").removeprefix("/machine/peripheral/").partition("/")[0]
        kinds = ("failed_wr_operations", "failed_flush_operations")
        found[alias] = sum(device["stats"].get(kind, 0) for kind in kinds)
    return found


def _size(monitor: Monitor, node: str | None) -> int | None:
    return monitor.nodes[node].virtual_size if node in monitor.nodes else None


def read_monitor(hypervisor: Hypervisor, domain: Domain, patience: float) -> tuple[Monitor, dict[str, str]]:
    """QEMU's own view, and the block node under each disk's device: QOM is the only truth about that.

    ``patience``: seconds to wait for a guest that stands still to go on, as it does after each checkpoint.
    """
    ask = _asker(hypervisor, domain)
    status = _status(ask, patience)
    version = ask("query-version")["qemu"]
    colo = ask("query-colo-status")["mode"]
    objects = _objects(ask("qom-list", path="/objects"))
    block_graph = ask("x-debug-query-block-graph")
    named = ask("query-named-block-nodes", flat=True)
    chardevs = ask("query-chardev")
    monitor = Monitor(
        status=status["status"],
        running=status["running"],
        version=f"{version['major']}.{version['minor']}.{version['micro']}",
        colo=colo,
        lost_writes=_lost_writes(ask) if colo == "primary" else None,
        migration=migration(ask),
        nodes=_nodes(named, block_graph),
        bitmaps=_bitmaps(named),
        writers=_writers(block_graph),
        jobs=_jobs(ask),
        exports=_exports(ask("query-block-exports")),
        objects=objects,
        settings=_settings(ask, objects),
        chardevs={item["label"]: item["filename"] for item in chardevs},
        unread=tuple(item["label"] for item in chardevs if not item["frontend-open"]),
        iothreads=tuple(item["id"] for item in ask("query-iothreads")),
    )
    nodes = {}
    for disk in domain.disks:
        if disk.alias:
            try:
                nodes[disk.target] = ask("qom-get", path=f"/machine/peripheral/{disk.alias}", property="drive")
            except QmpError:  # a floppy's device has another path; it is never replicated
                continue
    return monitor, nodes


def _lost_writes(ask: Callable[..., Any]) -> str | None:
    """Why a write of this primary did not reach the standby, or None.

    QEMU's replication layer keeps the error of its child and tells the guest nothing; checkpoints go on all the same,
    though the standby's disk then lacks what its memory has (our measurement: 7.2, 10.0). This is where it can be seen
    later on, and the only command for it.
    """
    state = ask("query-xen-replication-status")
    return (state.get("desc") or "QEMU gives no reason") if state["error"] else None


def _standby_lacks(hypervisor: Hypervisor, domain: Domain) -> str | None:
    """The same of a primary that is about to be given up; None too where its QEMU does not answer at once."""
    try:
        return _lost_writes(_asker(hypervisor, domain, GIVEN_UP_DEADLINE))
    except (Timeout, LibvirtError, QmpError):
        return None


def _status(ask: Callable[..., Any], patience: float) -> dict[str, Any]:
    deadline = time.monotonic() + patience
    while True:
        status = ask("query-status")
        if status["status"] != IN_CHECKPOINT or time.monotonic() >= deadline:
            return status
        time.sleep(STATUS_POLL)


def migration(ask: Callable[..., Any]) -> Migration:
    """What QEMU says of its migration."""
    state = ask("query-migrate")
    # 7.2 has no state for one that waits for the guest, only where it listens; later ones say "setup" as well.
    waits = "setup" if "socket-address" in state else "none"
    return Migration(
        status=state.get("status", waits),
        error=state.get("error-desc"),
        capabilities=tuple(item["capability"] for item in ask("query-migrate-capabilities") if item["state"]),
        checkpoint_delay=ask("query-migrate-parameters").get("x-checkpoint-delay"),
        blocked=tuple(state.get("blocked-reasons", ())),
    )


def _jobs(ask: Callable[..., Any]) -> dict[str, Job]:
    """By their names; how fast one may be is asked only where disks are copied."""
    found = ask("query-jobs")
    copied = any(job["type"] == "mirror" for job in found)
    speeds = {job["device"]: job["speed"] for job in ask("query-block-jobs")} if copied else {}
    return {
        job["id"]: Job(
            job["type"],
            job["status"],
            job["current-progress"],
            job["total-progress"],
            job.get("error"),
            speeds.get(job["id"], 0),
        )
        for job in found
    }


def _nodes(named: list[dict[str, Any]], block_graph: dict[str, Any]) -> dict[str, Node]:
    names = {item["id"]: item["name"] for item in block_graph["nodes"] if item["type"] == "block-driver"}
    children: dict[str, dict[str, str]] = {}
    for edge in block_graph["edges"]:
        if edge["parent"] in names and edge["child"] in names:
            children.setdefault(names[edge["parent"]], {})[edge["name"]] = names[edge["child"]]
    return {
        item["node-name"]: Node(
            item["drv"], item["file"], item["image"]["virtual-size"], children.get(item["node-name"], {})
        )
        for item in named
    }


def _bitmaps(named: list[dict[str, Any]]) -> dict[str, dict[str, Bitmap]]:
    """Those of ours, by the node that they are on."""
    found = {
        item["node-name"]: {
            one["name"]: Bitmap(one["recording"] and not one.get("inconsistent", False))
            for one in item.get("dirty-bitmaps", ())
            if graph.is_ours(one.get("name", ""))
        }
        for item in named
    }
    return {node: bitmaps for node, bitmaps in found.items() if bitmaps}


def _writers(block_graph: dict[str, Any]) -> dict[str, str]:
    """Each device that may write, by its id or path in QEMU, to the node below it; jobs and exports have no name."""
    named = {item["id"]: item for item in block_graph["nodes"]}
    return {
        named[edge["parent"]]["name"]: named[edge["child"]]["name"]
        for edge in block_graph["edges"]
        if "write" in edge["perm"]
        and named[edge["parent"]]["type"] == "block-backend"
        and named[edge["parent"]]["name"]
    }
