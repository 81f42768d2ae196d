# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host's copy of a domain is: how old, how whole, and whether the guest runs from it. Pure.

Who has the guest: ``holder``, for what is said of a pair; never a standby, nor a copy that was given away. ``newest``:
for what is written down of the pair, whatever the copy is. ``guests_host``: for what comes next, also where a host did
not answer or nothing is written down; which of two hosts the other's copy is made from. ``guest_is_there``: for one
host that was told of its peer; whether the guest is the peer's, and a standby's place here. ``holds``: as ``holder``,
for a watcher, which knows what is said of two halves and no more.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..observation.seen import Observation
from ..observation.word import Half
from . import current

FIRST_GENERATION = 1


def of_two_domains(one: Observation | None, other: Observation | None) -> bool:
    """Whether both hosts have a domain of the name, and not the same: a standby's is made with its primary's UUID."""
    return bool(one and other and one.domain and other.domain) and one.domain.uuid != other.domain.uuid


def generation_when_described(holder: Observation) -> int:
    """That of the guest's copy in the record which it has, or gets when the domain is described."""
    return holder.record.generation if holder.record else FIRST_GENERATION


def completed(seen: Observation) -> bool:
    """Whether this standby has completed a checkpoint since its last sync, so that it may be promoted.

    Only what was written down counts: a standby that merely runs may have been left behind by a primary that went on
    alone.
    """
    return seen.record.complete == seen.record.generation


def outlived(holder: Observation, standby: Observation) -> bool:
    """Whether a standby has the guest as it ran last, and the holder's ended otherwise than by the guest's own will."""
    return not holder.domain.active and not holder.domain.powered_itself_off and promotable(standby)


def promotable(standby: Observation) -> bool:
    """Whether a standby is in lockstep, and has all that a client was told of, as far as it knows."""
    in_lockstep = standby.monitor is not None and standby.monitor.colo == "secondary" and completed(standby)
    return in_lockstep and not any(current.lacks(standby))


def runs_a_guest(seen: Observation) -> bool:
    """Whether this host runs the domain, and not as a standby."""
    return bool(seen.domain and seen.domain.active) and not (seen.record and seen.record.role == "secondary")


def given_away(seen: Observation) -> bool:
    """Whether a primary ended here for its standby to take over: the newest copy is no longer this one."""
    return seen.record.handed_over and not seen.domain.active


# Whose copy is the guest's


def holder(seen: Iterable[Observation]) -> Observation | None:
    """Who has the guest: of the copies that are no standby's and were not given away, the newest."""
    return max(
        (one for one in seen if one.record and _claims(one.record.role, given_away(one))), key=_generation, default=None
    )


def holds(mine: Half, theirs: Half | None, handed_over: bool) -> bool:
    """Whether the guest's copy is the one of this half, as far as its host knows.

    ``theirs``: what the other host said last, None where it was never heard. ``handed_over``: as this half's record has
    it.
    """
    if not _claims(mine.role, mine.gave_way or (handed_over and not mine.running)):
        return False
    newer = theirs is not None and theirs.generation > mine.generation
    return not (newer and _claims(theirs.role, theirs.gave_way))


def _claims(role: str, gave_away: bool) -> bool:
    """Whether a copy of this role may be the guest's: it is no standby's, and was not given away."""
    return role != "secondary" and not gave_away


def newest(seen: Iterable[Observation]) -> Observation | None:
    """Who has the newest record of the pair, whatever its copy is."""
    return max((one for one in seen if one.record), key=lambda one: one.record.generation, default=None)


def guests_host(one: Observation | None, other: Observation | None) -> int:
    """Which of two, 0 or 1, has the copy that the other host's is or would be made from; None did not answer.

    Where all that is known is a standby, it is the other. Without a record an ordinary domain may be on either host, as
    after a change of sides and unprotect, or on both: the one whose images are marked as newer, or else that runs.
    """
    seen = dict(enumerate((one, other)))
    of_guest = {which: seen[which] for which in seen if seen[which] and _is_the_guests(seen[which])}
    if of_guest:
        return max(of_guest, key=lambda which: (_generation(of_guest[which]), not given_away(of_guest[which])))
    ordinary = [which for which in seen if seen[which] and seen[which].domain and not seen[which].record]
    standbys = [which for which in seen if seen[which] and seen[which].record]
    if ordinary:
        return max(ordinary, key=lambda which: _rank(seen[which]))
    return 1 - standbys[0] if standbys else 0


def _is_the_guests(seen: Observation) -> bool:
    return seen.record is not None and seen.record.role != "secondary"


def _generation(seen: Observation) -> int:
    return seen.generation


def guest_is_there(seen: Observation, peer: Observation) -> bool:
    """Whether the peer, and not this host, has the guest or its newest copy."""
    return _rank(peer) > _rank(seen)


def _rank(seen: Observation) -> tuple[bool, int, bool]:
    standby = seen.record is not None and seen.record.role == "secondary"
    return seen.domain is not None and not standby, seen.generation, bool(seen.domain and seen.domain.active)
