# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What leads on where the QEMU does not answer of the host that has the guest. Pure.

Nothing that has to ask it frees its guest. So a whole copy on the other host is not given up for it.
"""

from __future__ import annotations

from ..observation.seen import Observation
from . import copies


def hangs(seen: Observation) -> bool:
    """Whether this host's QEMU was asked, and does not answer."""
    return bool(seen.domain and seen.domain.active) and seen.monitor is None and seen.asked


def gives_way(holder: Observation, other: Observation | None) -> bool:
    """Whether a guest is to be ended for a standby that has all of it."""
    return (
        other is not None and hangs(holder) and _standby(other) and copies.promotable(other) and _as_new(other, holder)
    )


def way_out(holder: Observation, other: Observation | None) -> tuple[str, str]:
    """The playbook that leads on from a holder that hangs, and what that does or a person has to do."""
    here, there = holder.host.name, other.host.name if other else holder.record.peer.host
    if gives_way(holder, other):
        return "failover", f"lockstep.colo.failover with -e colo_lost={here} ends it there, and serves from {there}"
    if other is not None and _standby(other) and hangs(other) and copies.completed(other):
        return (
            "status",
            f"The standby on {there} does not answer either, and may be whole: see both logs, and look again",
        )
    if holder.peer_sockets:
        return "failover", f"It may wait for {there}: lockstep.colo.failover with -e colo_lost={there} lets go of it"
    return "status", (
        f"See QEMU's log on {here}; where it does not come to itself, end it there (virsh destroy), and run "
        "lockstep.colo.start"
    )


def _standby(seen: Observation) -> bool:
    return seen.record is not None and seen.record.role == "secondary"


def _as_new(other: Observation, holder: Observation) -> bool:
    return other.generation >= holder.generation
