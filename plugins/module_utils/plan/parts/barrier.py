# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Steps that keep back, and let pass again, what a guest sends and COLO does not compare. Pure.

Only a primary in lockstep has the rule: the standby's links are down, and what its guest sends goes to the comparison
and nowhere else. Once it is promoted it runs alone, and what it says is true of itself.
"""

from __future__ import annotations

from dataclasses import replace

from ...lockstep import uncompared
from ...observation.seen import Observation
from ..step import Step


def keep_back(seen: Observation) -> list[Step]:
    """Put the barrier up that a primary in lockstep is to have, as it is to be; take it down where none is."""
    wanted = uncompared.barrier(seen)
    if wanted is None:
        return let_pass(seen)
    if seen.barrier == wanted:
        return []
    title = f"let nothing pass from the guest on {', '.join(wanted.taps)} but what is compared"
    return [Step(title, "bar", {"uuid": seen.domain.uuid, "taps": list(wanted.taps), "passed": list(wanted.passed)})]


def supposed(seen: Observation) -> Observation:
    """With the barrier that may be there, where it was not looked for: a guest that could serve does not wait for that.

    No harm where there is none: what is not there can be taken down, too.
    """
    return replace(seen, barrier=uncompared.barrier(seen))


def let_pass(seen: Observation) -> list[Step]:
    """Take the barrier down, where one was seen."""
    if seen.barrier is None:
        return []
    return [Step("let everything pass that the guest sends", "unbar", {"uuid": seen.domain.uuid})]
