# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan that tries a standby out, from recorded observations."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan import drill as plan_drill
from ansible_collections.lockstep.colo.plugins.module_utils.plan import listen, survive
from ansible_collections.lockstep.colo.plugins.module_utils.plan.drill import Questions
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import pair
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Refusal
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils import rules
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import fenced, recorded

PRIMARY, STANDBY = recorded("protected-primary"), recorded("protected-secondary")
ALONE = survive.failover(PRIMARY, fenced("kvm2")).after
EXPENDABLE = listen.expendable(STANDBY, PRIMARY).after


def drill(seen: Observation = EXPENDABLE, peer: Observation = ALONE, *addresses: str) -> plan_drill.Plan:
    return plan_drill.drill(seen, peer, Questions(addresses))


def test_a_standby_is_written_down_as_expendable_once_and_stays_in_lockstep() -> None:
    plan = listen.expendable(STANDBY, PRIMARY)
    assert [(step.action, step.arguments["live"]) for step in plan.steps] == [("record", True)]
    after = rules.after(STANDBY, plan.steps[0])
    assert not pair.completed(after)
    assert after.record.generation == STANDBY.record.generation
    assert listen.expendable(after, PRIMARY).steps == ()
    with pytest.raises(Refusal, match="is the primary of its pair, not the secondary"):
        listen.expendable(PRIMARY, None)


@pytest.mark.parametrize("how", [{"ended_by": "destroyed"}, {"ended_by": "crashed", "handed_over": True}])
def test_a_standby_that_has_the_guest_as_it_ran_last_is_not_expendable(how: dict) -> None:
    record = replace(PRIMARY.record, handed_over=how.pop("handed_over", False))
    ended = replace(PRIMARY, monitor=None, domain=replace(PRIMARY.domain, state="shutoff", record=record, **how))
    with pytest.raises(Refusal, match="has the guest as it ran last"):
        listen.expendable(STANDBY, ended)
    by_itself = replace(ended, domain=replace(ended.domain, ended_by="shutdown"))
    assert listen.expendable(STANDBY, by_itself).steps


def test_an_expendable_standby_is_never_promoted() -> None:
    with pytest.raises(Refusal, match="has not completed a checkpoint"):
        survive.failover(EXPENDABLE, fenced("kvm1"))


def test_nobody_hears_the_guest_that_is_tried_out() -> None:
    steps = drill().steps
    assert steps[0].action == "isolate"
    assert steps[0].arguments["devices"] == [nic.tap for nic in STANDBY.domain.nics]
    assert not [step for step in steps if step.action == "link"], "a link of the host's network would be raised"
    assert "announce-self" not in [step.arguments.get("command") for step in steps]


def test_it_is_promoted_asked_ended_and_looked_at_in_this_order() -> None:
    steps = drill(EXPENDABLE, ALONE, "10.77.0.50").steps
    actions = [step.action for step in steps]
    heartbeat = next(at for at, step in enumerate(steps) if step.arguments.get("command") == "x-colo-lost-heartbeat")
    ask = actions.index("ask_guest")
    assert 0 < heartbeat < ask < actions.index("destroy") < actions.index("check_image")
    assert steps[ask].arguments["devices"] == {nic.tap: nic.mac for nic in STANDBY.domain.nics}
    assert steps[ask].arguments["addresses"] == ["10.77.0.50"]
    assert [step.arguments["path"] for step in steps[actions.index("check_image") :]] == [
        disk.path for disk in STANDBY.record.disks
    ]


def test_its_layers_come_out_as_after_a_real_failover() -> None:
    *_before, last = rules.walk(EXPENDABLE, drill().steps[:-4])
    assert last.monitor.running
    assert not [node for node in last.monitor.nodes if node.startswith("colo-")]


def test_nothing_of_it_makes_the_copy_a_newer_one() -> None:
    for seen in rules.walk(EXPENDABLE, drill().steps):
        assert seen.record.role == "secondary"
        assert seen.generation < ALONE.generation
        assert pair.pair(ALONE, seen).holder == "kvm1"


@pytest.mark.parametrize("killed_after", range(len(drill().steps)))
def test_a_drill_that_is_killed_anywhere_leaves_a_standby_that_the_next_deploy_ends(killed_after: int) -> None:
    *_before, left = rules.walk(EXPENDABLE, drill().steps[: killed_after + 1])
    with pytest.raises(Refusal):
        survive.failover(left, fenced("kvm1"))


@pytest.mark.parametrize(
    ("seen", "peer", "words"),
    [
        (STANDBY, ALONE, "may still be promoted"),
        (EXPENDABLE, PRIMARY, "has not gone on alone"),
        (PRIMARY, ALONE, "does not have the standby"),
        (recorded("listening-secondary"), ALONE, "was not in lockstep"),
        (replace(EXPENDABLE, monitor=None), ALONE, "was not in lockstep"),
    ],
)
def test_what_is_not_safe_is_refused(seen: Observation, peer: Observation, words: str) -> None:
    with pytest.raises(Refusal, match=words):
        drill(seen, peer)


def test_only_addresses_can_be_asked() -> None:
    with pytest.raises(Refusal, match="fe80::1 is not an IPv4 address"):
        drill(EXPENDABLE, ALONE, "10.77.0.50", "fe80::1")
