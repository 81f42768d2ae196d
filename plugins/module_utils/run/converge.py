# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every front end does with the core: observe, plan, apply, and again where a step changed what to decide on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ..apply.steps import Apply, Outcome
from ..errors import ColoError
from ..host.hypervisor import Hypervisor
from ..observation.seen import Observation
from ..plan.effects import fold
from ..plan.foreseen import differences
from ..plan.plan import Plan
from ..plan.step import Step
from ..verdict import guest
from .failures import FAILURES, with_remedy

MAX_ROUNDS = 8  # a plan that does not come to an end after this many observations is a defect


Rescue = Callable[[Observation, Observation], Plan]


@dataclass
class Result:
    """What a run found, meant to do and did; ``changed`` in check mode what it would.

    ``unforeseen``: what came out otherwise than the effects of its steps said, at each look after some of them.
    """

    before: Observation
    after: Observation
    steps: list[Step] = field(default_factory=list)
    changed: bool = False
    seconds: float = 0.0
    outcome: Outcome = field(default_factory=Outcome)
    unforeseen: list[str] = field(default_factory=list)


def converge(
    hypervisor: Hypervisor,
    domain: str,
    observe: Callable[[], Observation],
    decide: Callable[[Observation], Plan],
    *,
    check: bool = False,
    rescue: Rescue | None = None,
    look_to_free: Callable[[], Observation] | None = None,
    began: float | None = None,
) -> Result:
    """Bring the domain to where ``decide`` wants it.

    ``check``: only say what would be done. ``rescue``: the plan, from the first observation and the present one, that
    frees the guest when a step fails, or what follows a pivot; ``look_to_free`` sees what that has to know, by default
    what ``observe`` sees. ``began``: time.monotonic() of what the run looked at before, for its times.
    """
    began = time.monotonic() if began is None else began
    seen = now = observe()
    rounds: list[tuple[Observation, tuple[Step, ...], Observation]] = []
    plan = decide(seen)
    result = Result(seen, seen, list(plan.steps), changed=plan.changes)
    if check:
        result.steps, result.after = _foreseen(plan, decide)
        return result
    with Apply(hypervisor, domain, began) as apply:
        outcome = result.outcome = apply.outcome
        try:
            for _round in range(MAX_ROUNDS):
                apply.run(plan)
                if not outcome.pivoted:
                    break
                before, now = now, observe()
                rounds.append((before, plan.up_to_pivot, now))
                plan = decide(now)
                result.steps[len(outcome.done) :] = plan.steps
            else:
                words = f"no end after {MAX_ROUNDS} rounds of observing and planning"
                raise ColoError(words, remedy="Please report this")
        except FAILURES as error:
            if not (rescue and outcome.changed):
                raise
            first = with_remedy(error)
            _free_the_guest(apply, look_to_free or observe, lambda now: rescue(seen, now), first)
            raise first from (None if first is error else error)
    result.changed = outcome.changed
    after = _look_after(observe, look_to_free or observe) if outcome.done else seen
    if outcome.finished and plan.steps:
        rounds.append((now, plan.steps, after))
    for before, steps, then in rounds:
        result.unforeseen += differences(before, fold(before, steps), then)
    result.after = replace(after, checkpoints=outcome.checkpoints, announced=outcome.announced or after.announced)
    result.seconds = round(time.monotonic() - began, 4)
    return result


def _look_after(observe: Callable[[], Observation], look_to_free: Callable[[], Observation]) -> Observation:
    """What all the steps have come to. Where that cannot be seen whole, how the guest is most often can."""
    try:
        return observe()
    except FAILURES as error:
        first = with_remedy(error)
        first.add("Every step was carried out; what could not be seen is what they have come to")
        with contextlib.suppress(*FAILURES):
            seen = look_to_free()
            if _has_the_guest(seen):
                first.add(guest.in_words(seen))
        raise first from (None if first is error else error)


def _has_the_guest(seen: Observation) -> bool:
    """A standby's QEMU runs without serving, and one that is taken away is no guest that was lost."""
    if seen.record is not None:
        return seen.record.role != "secondary"
    return seen.domain is not None and seen.domain.active


def _foreseen(plan: Plan, decide: Callable[[Observation], Plan]) -> tuple[list[Step], Observation]:
    """All the steps of a run that is not carried out, and what it would leave: a plan that ends where what follows has
    to be decided anew is followed by what is decided on what it should bring about."""
    steps, after = list(plan.steps), plan.after
    for _round in range(MAX_ROUNDS):
        if not (plan.steps and plan.steps[-1].pivot):
            break
        try:
            plan = decide(after)
        except ColoError:  # what only a look could tell
            break
        steps, after = [*steps, *plan.steps], plan.after
    return steps, after


def _free_the_guest(
    apply: Apply, observe: Callable[[], Observation], rescue: Callable[[Observation], Plan], error: ColoError
) -> None:
    """A change of the running pair failed half-way: free the guest, and see how it is then."""
    try:
        for _round in range(MAX_ROUNDS):
            seen = observe()
            plan = rescue(seen)
            if not plan.steps:
                break
            apply.run(plan)
            if not apply.outcome.pivoted:
                seen = observe()
                break
        error.add(guest.in_words(seen))
    except FAILURES as second:
        error.add(f"Going back failed as well: {second}. Look at the guest now")
