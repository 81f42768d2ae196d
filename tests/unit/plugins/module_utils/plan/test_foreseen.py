# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What plans say that they come to is what was recorded of a real pair after they were carried out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.depth import BRIEF
from ansible_collections.lockstep.colo.plugins.module_utils.plan import listen, protect, survive
from ansible_collections.lockstep.colo.plugins.module_utils.plan.foreseen import differences
from ansible_collections.lockstep.colo.plugins.module_utils.plan.plan import Plan
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import (
    NAMES,
    WANTED,
    fenced,
    heard_just_now,
    recorded,
)


def fail_over(name: str, lost: str) -> Plan:
    return survive.failover(heard_just_now(recorded(name)), fenced(lost))


@pytest.mark.parametrize(
    ("plan", "left"),
    [
        (fail_over("protected-secondary", "kvm1"), "failed-over-secondary"),
        (fail_over("protected-again-primary", "kvm1"), "failed-over-primary"),
        (listen.secondary(WANTED, recorded("started-secondary"), recorded("described-primary")), "listening-secondary"),
        (
            listen.secondary(WANTED, recorded("described-secondary"), recorded("described-primary")),
            "listening-secondary",
        ),
        (
            protect.primary(WANTED, recorded("described-primary"), recorded("listening-secondary")),
            "protected-primary",
        ),
    ],
    ids=["a promotion", "a primary that goes on", "a standby half-way", "a standby", "lockstep"],
)
def test_what_was_foreseen_is_what_was_recorded(plan: Plan, left: str) -> None:
    assert plan.steps
    assert differences(plan.before, recorded(left))
    assert differences(plan.after, recorded(left)) == []


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_unforeseen_of_what_did_not_change(name: str) -> None:
    assert differences(recorded(name), recorded(name)) == []


def test_what_a_short_look_does_not_see_is_no_difference() -> None:
    seen = recorded("protected-primary")
    assert differences(seen, replace(seen, depth=BRIEF, domain=replace(seen.domain, autostart=True))) == []
