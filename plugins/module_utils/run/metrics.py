# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host's watcher measures, in Prometheus' text format: for a file of node_exporter's, or for a port. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..record.pair import PHASES
from ..verdict import copies, vigil

PREFIX = "lockstep_colo_"

HELP = {
    "written_timestamp_seconds": ("gauge", "When the watcher of this host wrote this"),
    "certificate_end_timestamp_seconds": ("gauge", "When the certificate of this host, or its authority's, ends"),
    "pair_certificate_end_timestamp_seconds": ("gauge", "In lockstep, when the certificate that QEMU shows ends"),
    "half": ("gauge", "1 for the role that this host has in the pair, and the host that has the other half"),
    "phase": ("gauge", "1 for the phase of the pair as this host alone can tell it, 0 for the others"),
    "holder": ("gauge", "Whether this host's copy is the guest's, as far as it and the other host have said"),
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


def text(keepers: Iterable[Any], now: float, clock: float, certificate_ends: float | None = None) -> str:
    """All metrics of this host and its pairs.

    ``now``: time.monotonic(). ``clock`` and ``certificate_ends``: seconds since the epoch; None for no certificate.
    """
    lines: dict[str, list[str]] = {
        "written_timestamp_seconds": [_line("written_timestamp_seconds", "", round(clock, 3))]
    }
    if certificate_ends is not None:
        name = "certificate_end_timestamp_seconds"
        lines[name] = [_line(name, "", round(certificate_ends))]
    for keeper in keepers:
        if keeper.half is not None and keeper.record is not None:
            for name, value, more in _of(keeper, now):
                lines.setdefault(name, []).append(_line(name, _labels({"domain": keeper.domain, **more}), value))
    parts = []
    for name, (kind, words) in HELP.items():
        if name in lines:
            parts += [f"# HELP {PREFIX}{name} {words}", f"# TYPE {PREFIX}{name} {kind}", *lines[name]]
    return "\n".join(parts) + "\n"


def _of(keeper: Any, now: float) -> Iterator[tuple[str, Any, dict[str, str]]]:
    """(name, value, labels besides the domain's) of each metric of one pair."""
    half, record, seen, counted, told = keeper.half, keeper.record, keeper.seen, keeper.counted, keeper.told
    yield "half", 1, {"role": half.role, "peer": record.peer.host}
    last = counted.since if counted.last is None else counted.last
    still = last is not None and (now - last) * 1000 > 2 * record.checkpoint_delay
    phase = vigil.phase(
        half, copying=bool(seen.job_total), still=still, survivor=keeper.survivor, degraded=keeper.degraded
    )
    yield from (("phase", int(one == phase), {"phase": one}) for one in PHASES)
    yield "holder", int(copies.holds(half, keeper.theirs, record.handed_over)), {}
    yield "generation", half.generation, {}
    flags = {
        "qemu_running": half.running, "qemu_answers": half.answers, "lockstep": half.lockstep,
        "automation": keeper.guarded, "peer_heard": told.hears,
    }  # fmt: skip
    if half.role == "secondary":
        flags["promotable"] = half.complete
    if half.role == "primary":
        flags["lacks_writes"] = half.lacks
    yield from ((name, int(value), {}) for name, value in flags.items())
    if half.lockstep and (shown := keeper.shown):
        yield "pair_certificate_end_timestamp_seconds", round(shown.ends), {}
    yield "checkpoints_total", counted.whole, {}
    if counted.last is not None:
        yield "checkpoint_age_seconds", round(now - counted.last, 3), {}
    if seen.job_total:
        yield "sync_done_bytes", seen.job_done, {}
        yield "sync_total_bytes", seen.job_total, {}
    if told.last_action == "serve":
        yield "failover_milliseconds", told.last_ms, {}


def _line(name: str, labels: str, value: Any) -> str:
    return f"{PREFIX}{name}{labels} {value}"


def _labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
