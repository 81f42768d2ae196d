# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a cluster manager is to see one host's half of a pair, and whether it may be promoted now. Pure.

``promoted`` is a copy that is the guest's, and runs; ``degraded`` one that does so without a standby in lockstep.
``unpromoted`` is a standby that runs, or, where the manager has this half in its charge, an image that waits;
``stopped`` is neither. The score is of a copy that may be promoted as it was seen now, never by a word of the past.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..observation.seen import Observation
from . import current, guest
from .copies import completed
from .pair import phase
from .problem import Problem

PROMOTED, DEGRADED, UNPROMOTED, STOPPED = "promoted", "degraded", "unpromoted", "stopped"
STATES = (PROMOTED, DEGRADED, UNPROMOTED, STOPPED)
HAS_THE_GUEST = 1000  # the score of the copy that the guest runs from
COULD_TAKE_IT = 100  # the score of a standby that may be promoted once the other host is proven to be gone


@dataclass(frozen=True)
class Standing:
    """One of the states above, the promotion score (None: it may not be promoted), and why it is no better."""

    state: str
    score: int | None = None
    why: str = ""


def standing(seen: Observation, in_charge: bool) -> Standing:
    """How the half that was ``seen`` stands; ``in_charge``: the cluster manager has started it here."""
    at_rest = UNPROMOTED if in_charge else STOPPED
    if seen.domain is None or seen.record is None:
        return Standing(at_rest, why="the domain is not part of a pair here: deploy makes it one")
    if seen.record.role == "secondary":
        doubts = [problem.what for problem in unfit(seen)]
        state = UNPROMOTED if seen.domain.active else at_rest
        return Standing(state, None if doubts else COULD_TAKE_IT, "; ".join(doubts))
    if not seen.domain.active:
        return Standing(at_rest, why=f"the guest does not run here, {phase(seen)}: the playbook start starts it")
    state = phase(seen)
    if state == "protected":
        return Standing(PROMOTED, HAS_THE_GUEST)
    stopped = guest.still(seen)
    return Standing(
        DEGRADED, HAS_THE_GUEST, f"{state}: {stopped.in_a_line if stopped else 'it has no standby in lockstep'}"
    )


def unfit(seen: Observation, within: float = current.PROMOTE_WITHIN) -> Iterator[Problem]:
    """Why this standby could not take the guest over, whatever has become of its primary.

    ``within``: seconds of silence after which it may have been left behind.
    """
    if not seen.domain.active:
        yield guest.off(seen.host.name, "Run lockstep.colo.deploy", ": it has nothing of the guest but an older image")
    elif not completed(seen):
        yield Problem("the standby has not completed a checkpoint since its last sync", "Run lockstep.colo.deploy")
    elif phase(seen) not in ("protected", "degraded"):
        yield Problem(f"the standby is {phase(seen)}", "Run lockstep.colo.deploy")
    else:
        yield from current.lacks(seen)
        yield from current.left_behind(seen, within)


def could_go_on(seen: Observation) -> bool:
    """Whether a primary, or standby, is one that goes on alone once the other host is proven to be gone."""
    if seen.record is None or not seen.domain.active or seen.record.role == "alone":
        return False
    if seen.record.role == "secondary":
        return not any(unfit(seen))
    return not seen.asked or phase(seen) in ("protected", "stalled", "degraded", "syncing")
