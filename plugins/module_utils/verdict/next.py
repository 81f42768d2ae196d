# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook that leads on from where a pair is. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from ..lockstep import states
from ..observation.seen import Observation
from .copies import outlived, runs_a_guest
from .hanging import hangs, way_out


def next_playbook(phase: str, holder: Observation | None, other: Observation | None) -> str:
    """The one to run next, by its name; empty where there is nothing to do.

    ``holder`` is what was seen of the host with the newest copy, ``other`` of the other one; None where it was not.
    ``failover`` wants the lost host fenced first.
    """
    if holder is not None and other is not None and runs_a_guest(holder) and runs_a_guest(other):
        return _of_two_guests(holder, other)
    if holder is not None and hangs(holder):
        return way_out(holder, other)[0]
    return LEADS_ON.get(phase, lambda *_seen: "deploy")(holder, other)


def _of_two_guests(holder: Observation, other: Observation) -> str:
    """A failover ends the one that a survivor has left behind; of others a person has to know whose writes are lost."""
    left_behind = other.record is not None and other.generation < holder.generation
    return "failover" if holder.record.role == "alone" and left_behind else "status"


def _powered_off(holder: Observation | None, other: Observation | None) -> str:
    return "failover" if other is not None and holder is not None and outlived(holder, other) else "start"


def _stalled(_holder: Observation | None, other: Observation | None) -> str:
    """With both hosts up, the guest is freed without anybody's power being cut; where its standby has ended, or does
    not answer, for a new one."""
    if other is None:
        return "failover"
    return "unprotect" if other.domain is not None and other.domain.active and not hangs(other) else "deploy"


def _degraded(holder: Observation | None, other: Observation | None) -> str:
    if holder is not None and holder.record.role == "alone":
        return "failover" if states.half_taken_over(holder) else "deploy"
    return "failover" if holder is None or other is None else "deploy"


def _stale(_holder: Observation | None, other: Observation | None) -> str:
    """It was handed over, and never taken over."""
    runs = other is not None and other.domain is not None and other.domain.active
    return "failover" if runs else "start"


# By the phase; whatever is not here, deploy leads on from.
LEADS_ON: Mapping[str, Callable[[Observation | None, Observation | None], str]] = MappingProxyType(
    {
        "protected": lambda *_seen: "", "powered_off": _powered_off, "stalled": _stalled, "degraded": _degraded,
        "stale": _stale,
    }
)  # fmt: skip
