# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a playbook goes on from a pair: all that the roles branch on. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..observation.seen import Observation
from .copies import given_away, source
from .pair import phase


@dataclass(frozen=True)
class Course:
    """``source`` is the host whose copy the other's, ``standby``'s, is or would be made from; by their names.

    ``answered`` are those of the two of which something was seen, the source first, and ``silent`` the others.
    ``alone``: the guest runs there outside of a pair, since a failover. ``gave_away``: it has ended there, for the
    standby to take over. ``finish``: a failover to it is seen to its end before anything else. ``resume``: its guest
    stands still since a run was cut off, and can go on before all is looked at again. ``outdates``: the standby is to
    be kept from being promoted before the guest is started without it. ``deserted``: its standby has ended, for which
    the clients wait.
    """

    source: str
    standby: str
    answered: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    alone: bool = False
    gave_away: bool = False
    finish: bool = False
    resume: bool = False
    outdates: bool = False
    deserted: bool = False


def course(names: tuple[str, str], seen: tuple[Observation | None, Observation | None]) -> Course:
    """Of the two hosts of a pair, by their ``names``, and what was seen of each; None for one that did not answer."""
    first = source(*seen)
    here, there = (names[first], names[1 - first]), (seen[first], seen[1 - first])
    holder, other = there
    answered = tuple(name for name, half in zip(here, there, strict=True) if half is not None)
    known = Course(*here, answered, tuple(name for name in here if name not in answered))
    if holder is None or holder.domain is None or holder.record is None:
        return known
    alone = holder.record.role == "alone"
    return replace(
        known,
        alone=alone,
        gave_away=given_away(holder),
        finish=alone and holder.domain.active,
        resume=_stands_still(holder) and other is not None and phase(other) == "listening",
        outdates=not holder.domain.active and other is not None and _standby_is_up(other),
        deserted=_is_frozen(holder) and other is not None and not (other.domain and other.domain.active),
    )


def _stands_still(holder: Observation) -> bool:
    stopped = holder.monitor is not None and not holder.monitor.running
    return stopped and phase(holder) in ("unprotected", "syncing")


def _is_frozen(holder: Observation) -> bool:
    in_pair = holder.record.role == "primary" and holder.domain.active
    return in_pair and phase(holder) in ("degraded", "stalled")


def _standby_is_up(seen: Observation) -> bool:
    return seen.record is not None and seen.record.role == "secondary" and seen.domain.active
