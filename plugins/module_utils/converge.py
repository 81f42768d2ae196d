# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every front end does with the core: observe, plan, apply, and again where a step changed what is to be decided."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from .apply import Apply, Done
from .errors import ColoError
from .hypervisor import Hypervisor
from .observation import Observation
from .step import Plan, Step

MAX_ROUNDS = 8  # a plan that does not come to an end after this many observations is a defect


@dataclass
class Result:
    """What a run found, meant to do and did. ``served_after`` is seconds from the first observation."""

    before: Observation
    after: Observation
    steps: list[Step] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    changed: bool = False
    finished: bool = True
    served_after: float | None = None
    seconds: float = 0.0


def converge(
    hypervisor: Hypervisor,
    domain: str,
    observe: Callable[[], Observation],
    decide: Callable[[Observation], Plan],
    *,
    check: bool = False,
    rescue: Callable[[Observation], Plan] | None = None,
) -> Result:
    """Bring the domain to where ``decide`` wants it.

    ``check``: only say what would be done. ``rescue``: the plan that frees the guest when a step fails.
    """
    began = time.monotonic()
    seen = observe()
    plan = decide(seen)
    result = Result(seen, plan.after, list(plan.steps), changed=plan.changes)
    if check or not plan.steps:
        result.after = plan.after if check else seen
        return result
    apply = Apply(hypervisor, domain, began)
    try:
        _rounds(apply, plan, observe, decide, result)
    except ColoError as error:
        if rescue:
            _rescue(apply, observe, rescue, error)
        raise
    finally:
        result.done, result.changed = apply.outcome.done, apply.outcome.changed
    result.finished, result.served_after = apply.outcome.finished, apply.outcome.served_at
    result.after = replace(observe(), checkpoints=apply.outcome.checkpoints)
    result.seconds = round(time.monotonic() - began, 4)
    return result


def _rounds(
    apply: Apply, plan: Plan, observe: Callable[[], Observation], decide: Callable[[Observation], Plan], result: Result
) -> None:
    for number in range(MAX_ROUNDS):
        if number:
            result.steps += plan.steps
        if not apply.run(plan).pivoted:
            return
        plan = decide(observe())
    raise ColoError(f"no end after {MAX_ROUNDS} rounds of observing and planning", remedy="Please report this")


def _rescue(
    apply: Apply, observe: Callable[[], Observation], rescue: Callable[[Observation], Plan], error: ColoError
) -> None:
    """A change of the running pair failed half-way: give the guest back what it needs to go on alone."""
    try:
        for _round in range(MAX_ROUNDS):
            if not apply.run(rescue(observe())).pivoted:
                error.remedy = f"{error.remedy} The guest goes on, unprotected, as before".strip()
                return
    except ColoError as second:
        error.remedy = f"{error.remedy} Going back failed as well: {second}. Look at the guest now".strip()
