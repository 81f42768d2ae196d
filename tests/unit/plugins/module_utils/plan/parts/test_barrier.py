# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is not compared is kept back in lockstep, and at no other time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import uncompared
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Barrier, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan import change_sides, describe, listen, protect, survive
from ansible_collections.lockstep.colo.plugins.module_utils.plan.parts.undo import absent, undo
from ansible_collections.lockstep.colo.plugins.module_utils.plan.plan import Plan
from ansible_collections.lockstep.colo.plugins.module_utils.record.wanted import Wanted
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import remarks
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils import rules
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.pair_plans import (
    alone,
    commands,
    primary,
    without_pause,
)
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import (
    WANTED,
    dropping,
    fenced,
    recorded,
)

STANDBY = recorded("protected-secondary")
FENCE = fenced("kvm2")
DROPPING = dropping(recorded("protected-primary"))
KEPT = replace(DROPPING, barrier=uncompared.barrier(DROPPING))
LEFT = Barrier(("7", "8"), ("arp", "ip"))  # of a guest that has ended
BEGINNINGS = [recorded("described-primary"), without_pause("described-primary")]


def treating(seen: Observation, treatment: str | None) -> Observation:
    return replace(seen, domain=replace(seen.domain, record=replace(seen.record, uncompared=treatment)))


def kept(plan: Plan) -> list[dict[str, Any]]:
    return [step.arguments for step in plan.steps if step.action == "bar"]


@pytest.mark.parametrize("seen", BEGINNINGS)
def test_it_is_kept_back_before_the_guest_is_sent(seen: Observation) -> None:
    plan = primary(dropping(seen))
    order = commands(plan)
    assert order.index("bar") < order.index("migrate")
    assert order.index("bar") > max(at for at, command in enumerate(order) if command == "blockdev-mirror")
    taps = sorted(nic.tap for nic in seen.domain.nics)
    assert kept(plan) == [{"uuid": seen.domain.uuid, "taps": taps, "passed": ["arp", "ip"]}]
    assert plan.after.barrier == Barrier(tuple(taps), ("arp", "ip"))


@pytest.mark.parametrize("seen", BEGINNINGS)
def test_wherever_a_run_is_killed_the_next_one_keeps_it_back_or_lets_go(seen: Observation) -> None:
    stops = list(rules.walk(dropping(seen), primary(dropping(seen)).steps))
    assert len({stop.barrier for stop in stops}) == 2
    for stop in stops:
        if stop.monitor.migration.status != "colo":
            after = rules.settle(stop, primary)
            assert after.monitor.migration.status == "colo"
            assert after.barrier == uncompared.barrier(after)
        freed = rules.settle(stop, undo)
        assert alone(freed)
        assert freed.barrier is None


@pytest.mark.parametrize("treatment", [None, "allow"])
def test_what_is_allowed_passes(treatment: str | None) -> None:
    assert not kept(primary(treating(recorded("described-primary"), treatment)))


@pytest.mark.parametrize("barrier", [None, Barrier(), LEFT])
def test_what_somebody_took_away_or_changed_is_put_back_in_lockstep(barrier: Barrier | None) -> None:
    plan = protect.primary(WANTED, replace(KEPT, barrier=barrier), STANDBY)
    assert commands(plan) == ["bar", "wait"]
    assert commands(protect.primary(WANTED, KEPT, STANDBY)) == ["wait"]


def test_a_choice_that_was_changed_is_carried_out_in_lockstep() -> None:
    assert commands(protect.primary(WANTED, treating(KEPT, "allow"), STANDBY)) == ["unbar", "wait"]
    asked = replace(WANTED, uncompared="allow")
    plan = describe.primary(asked, KEPT, dropping(STANDBY))
    assert plan.after.record.uncompared == "allow"
    assert [step.action for step in plan.steps] == ["define", "record"]


@pytest.mark.parametrize("seen", [KEPT, DROPPING])
def test_a_survivor_lets_everything_pass_once_it_serves_without_a_look_before(seen: Observation) -> None:
    plan = survive.failover(seen, FENCE)
    order = commands(plan)
    serves = next(at for at, step in enumerate(plan.steps) if step.serves)
    assert order.index("unbar") > serves
    assert plan.after.barrier is None
    assert "unbar" not in commands(survive.failover(treating(KEPT, "allow"), FENCE))


def test_what_a_failover_left_that_was_cut_off_passes_after_the_next_one() -> None:
    left = replace(recorded("failed-over-primary"), barrier=KEPT.barrier)
    assert commands(survive.failover(left, None)) == ["unbar"]


def test_a_promotion_asks_nothing_of_nftables() -> None:
    plan = survive.failover(dropping(STANDBY), fenced("kvm1"))
    assert not {"bar", "unbar"} & set(commands(plan))


def test_nothing_is_left_by_unprotect() -> None:
    assert commands(absent(KEPT, None)).count("unbar") == 1
    described = replace(dropping(recorded("described-primary")), barrier=LEFT)
    plan = describe.plain("primary", described, None)
    assert commands(plan)[0] == "unbar"
    assert plan.after.barrier is None


def test_a_primary_that_handed_over_leaves_nothing() -> None:
    plan = change_sides.hand_over(KEPT, dropping(STANDBY), change_sides.Handover("a word"))
    assert commands(plan)[-3:] == ["hand_over", "wait", "unbar"]
    assert plan.after.barrier is None


def test_a_standby_takes_away_what_a_primary_left_that_was_here_before() -> None:
    seen = replace(recorded("described-secondary"), barrier=LEFT)
    steps = commands(listen.secondary(Wanted(), seen, recorded("described-primary")))
    assert "unbar" in steps
    assert "unbar" not in commands(
        listen.secondary(Wanted(), recorded("described-secondary"), recorded("described-primary"))
    )


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (KEPT, None),
        (replace(KEPT, barrier=None), "the rule of nftables is gone"),
        (replace(KEPT, barrier=Barrier()), "deploy puts it back"),
        (treating(KEPT, "allow"), "colo_uncompared is allow"),
        (treating(KEPT, None), "protected by an earlier version"),
        (dropping(recorded("described-primary")), None),
        (dropping(STANDBY), None),
    ],
)
def test_status_says_what_may_be_undone_by_a_failover(seen: Observation, words: str | None) -> None:
    found = [note for note in remarks.problems(seen) if "over IPv6" in note]
    assert len(found) == (words is not None)
    assert words is None or (words in found[0] and found[0].startswith("kvm1: "))
