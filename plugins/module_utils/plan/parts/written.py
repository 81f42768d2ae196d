# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of a sync that sends what was written since both images were the same: by a bitmap of QEMU's. Pure.

The mirror has begun before the bitmap is closed, so that every write is in one of them at least. A process of this host
reads through an export of QEMU's what the bitmap names (host/written.py). Until that is over the bitmap stays, closed,
by which a run that follows one that was cut off knows how far it came.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from ...lockstep import bitmaps, graph, states
from ...observation.seen import Observation
from ...record.wanted import Wanted
from ..step import Step, qmp, wait

GRANULARITY = 65536  # bytes; what is compared, or noted as written, is not smaller


def source(wanted: Wanted, seen: Observation, target: str, generation: int) -> dict[str, Any]:
    """From where the process reads it, as its arguments."""
    return {
        "socket_path": _socket(seen),
        "export": graph.written(target),
        "bitmap": bitmaps.since(generation),
        "speed": wanted.sync_speed,
    }


def _socket(seen: Observation) -> str:
    return f"{seen.monitor.socket_directory or states.UNKNOWN_DIRECTORY}/colo-written.sock"


def under_way(seen: Observation) -> tuple[str, ...]:
    """The disks of which the sync has begun so, and is not known to be over."""
    jobs = (disk.target for disk in seen.record.disks if graph.sync_job(disk.target) in seen.monitor.jobs)
    return tuple(target for target in jobs if bitmaps.of(seen, target))


def read(seen: Observation, targets: Collection[str]) -> list[Step]:
    """Have what was written to these disks, up to now, be read."""
    monitor, steps = seen.monitor, []
    for target in targets:
        for name, bitmap in bitmaps.of(seen, target).items():
            if bitmap.recording:
                where = {"node": bitmaps.node(seen, target), "name": name}
                title = f"disk {target}: close the note of what was written"
                steps.append(qmp(title, "block-dirty-bitmap-disable", where))
    exported = [target for target in targets if graph.written(target) in monitor.exports]
    if targets and not exported:
        server = {"addr": {"type": "unix", "data": {"path": _socket(seen)}}}
        steps.append(qmp("let a process of this host read what was written", "nbd-server-start", server))
    for target in targets:
        if target not in exported:
            export = {
                "type": "nbd",
                "id": graph.written(target),
                "name": graph.written(target),
                "node-name": bitmaps.node(seen, target),
                "writable": False,
                "bitmaps": list(bitmaps.of(seen, target)),
            }
            steps.append(qmp(f"disk {target}: let what was written be read", "block-export-add", export))
    return steps


def sent(wanted: Wanted, seen: Observation, targets: Collection[str]) -> list[Step]:
    """Wait until the standby has what was written to these disks, and forget it."""
    if not targets:
        return []
    how = {"uuid": seen.domain.uuid, "targets": list(targets), "speed": wanted.sync_speed}
    jobs = [graph.sync_job(target) for target in targets]
    title = "wait for what was written to be on the standby"
    return [wait(title, "sent", wanted.sync_wait, jobs=jobs, **how), _unread(), *_removed(seen, targets)]


def forgotten(seen: Observation, targets: Iterable[str]) -> list[Step]:
    """Take such notes of these disks back, as far as they are there: what is copied otherwise has no use for them."""
    monitor, targets = seen.monitor, list(targets)
    exported = any(graph.written(target) in monitor.exports for target in targets)
    return [*([_unread()] if exported else []), *_removed(seen, targets)]


def _unread() -> Step:
    return qmp("let nobody read what was written any more", "nbd-server-stop")


def _removed(seen: Observation, targets: Iterable[str]) -> list[Step]:
    return [
        qmp(
            f"disk {target}: forget what was written",
            "block-dirty-bitmap-remove",
            {"node": bitmaps.node(seen, target), "name": name},
        )
        for target in targets
        for name in bitmaps.of(seen, target)
    ]
