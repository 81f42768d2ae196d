# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host's watcher measures, as the text that Prometheus' node_exporter takes from a file. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

PREFIX = "lockstep_colo_"


def text(keepers: Iterable[Any], now: float) -> str:
    """All metrics of these pairs in Prometheus' text format; empty without a pair. ``now``: time.monotonic()."""
    lines: dict[str, list[str]] = {}
    for keeper in keepers:
        if keeper.half is None:
            continue
        label = f'domain="{_escaped(keeper.domain)}"'
        for name, value, more in _of(keeper, now):
            lines.setdefault(name, []).append(f"{PREFIX}{name}{{{label}{more}}} {value}")
    parts = []
    for name, (kind, words) in HELP.items():
        if name in lines:
            parts += [f"# HELP {PREFIX}{name} {words}", f"# TYPE {PREFIX}{name} {kind}", *lines[name]]
    return "\n".join(parts) + "\n" if parts else ""


HELP = {
    "half": ("gauge", "1 for the role that this host has in the pair"),
    "generation": ("gauge", "Which copy this host has: the higher, the newer"),
    "qemu_running": ("gauge", "Whether the domain has a QEMU here"),
    "qemu_answers": ("gauge", "Whether that QEMU answers"),
    "lockstep": ("gauge", "Whether that QEMU says that it is in lockstep"),
    "promotable": ("gauge", "Of a standby, whether it is written down that it may be promoted"),
    "lacks_writes": ("gauge", "Of a primary, whether its standby lacks writes of the guest"),
    "automation": ("gauge", "Whether the watcher guards the pair"),
    "peer_heard": ("gauge", "Whether the watcher of the other host is heard"),
    "checkpoints_total": ("counter", "Whole checkpoints since the watcher began"),
    "checkpoint_age_seconds": ("gauge", "Seconds since the last whole checkpoint"),
    "sync_done_bytes": ("gauge", "Bytes that the first copying of the disks has copied"),
    "sync_total_bytes": ("gauge", "Bytes that it has to copy"),
    "failover_milliseconds": ("gauge", "How long the watcher's last failover took, from QEMU's end to the free guest"),
}


def _of(keeper: Any, now: float) -> Iterator[tuple[str, Any, str]]:
    half, seen, counted, told = keeper.half, keeper.seen, keeper.counted, keeper.told
    yield "half", 1, f',role="{half.role}"'
    yield "generation", half.generation, ""
    flags = {
        "qemu_running": half.running, "qemu_answers": half.answers, "lockstep": half.lockstep,
        "automation": keeper.guarded, "peer_heard": told.hears,
    }  # fmt: skip
    if half.role == "secondary":
        flags["promotable"] = half.complete
    if half.role == "primary":
        flags["lacks_writes"] = half.lacks
    yield from ((name, int(value), "") for name, value in flags.items())
    yield "checkpoints_total", counted.whole, ""
    if counted.last is not None:
        yield "checkpoint_age_seconds", round(now - counted.last, 3), ""
    if seen.job_total:
        yield "sync_done_bytes", seen.job_done, ""
        yield "sync_total_bytes", seen.job_total, ""
    if told.last_action == "serve":
        yield "failover_milliseconds", told.last_ms, ""


def _escaped(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
