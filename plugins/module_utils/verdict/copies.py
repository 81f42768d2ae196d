# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host's copy of a domain is: how old, how whole, and whether the guest runs from it. Pure."""

from __future__ import annotations

from ..observation.seen import Observation
from . import current

FIRST_GENERATION = 1


def generation(primary: Observation) -> int:
    """That of the primary's copy, which a record will have once it is described."""
    return primary.record.generation if primary.record else FIRST_GENERATION


def completed(seen: Observation) -> bool:
    """Whether this standby has completed a checkpoint since its last sync, so that it may be promoted.

    Only what was written down counts: a standby that merely runs may have been left behind by a primary that went on
    alone.
    """
    return seen.record.complete == seen.record.generation


def outlived(primary: Observation, standby: Observation) -> bool:
    """Whether a standby has the guest as it ran last, and the primary ended otherwise than by its guest's will."""
    ended = not primary.domain.active and not primary.domain.powered_itself_off
    in_lockstep = standby.monitor is not None and standby.monitor.colo == "secondary" and completed(standby)
    return ended and in_lockstep and not any(current.cut_from_disks(standby))


def runs_a_guest(seen: Observation) -> bool:
    """Whether this host runs the domain, and not as a standby."""
    return bool(seen.domain and seen.domain.active) and not (seen.record and seen.record.role == "secondary")


def given_away(seen: Observation) -> bool:
    """Whether a primary ended here for its standby to take over: the newest copy is no longer this one."""
    return seen.record.handed_over and not seen.domain.active


def guest_is_there(seen: Observation, peer: Observation) -> bool:
    """Whether the peer, and not this host, has the guest or its newest copy."""

    def rank(one: Observation) -> tuple[bool, int, bool]:
        standby = one.record is not None and one.record.role == "secondary"
        return one.domain is not None and not standby, one.generation, bool(one.domain and one.domain.active)

    return rank(peer) > rank(seen)
