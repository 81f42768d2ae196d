# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two sides of a switchover, from recorded observations."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain import editing as xml
from ansible_collections.lockstep.colo.plugins.module_utils.domain import reading
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan import change_sides, protect, survive
from ansible_collections.lockstep.colo.plugins.module_utils.record.wanted import Wanted
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import pair
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Refusal
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import fenced, heard_just_now, recorded

PRIMARY, SECONDARY = recorded("protected-primary"), recorded("protected-secondary")
HANDOVER = change_sides.Handover("secret", 30.0)
NOTING = replace(HANDOVER, note=True)


def actions(plan) -> list[str]:
    return [step.action for step in plan.steps]


def given_away(seen: Observation) -> Observation:
    return change_sides.hand_over(seen, SECONDARY, HANDOVER).after


def test_the_primary_ends_only_after_it_wrote_that_its_copy_is_given_away() -> None:
    plan = change_sides.hand_over(PRIMARY, SECONDARY, HANDOVER)
    assert actions(plan) == ["wait", "record", "hand_over", "wait", "unbar"]
    assert (plan.steps[0].arguments["until"], plan.steps[0].timeout) == ("listening", 30.0)
    assert 'handed-over="yes"' in plan.steps[1].arguments["xml"]
    hand = plan.steps[2].arguments
    assert hand["uuid"] == PRIMARY.domain.uuid
    assert hand["token"] == "secret"
    assert hand["images"] == [], "it is not made to stand still for nothing"
    assert (hand["address"], hand["port"]) == ("10.77.0.2", PRIMARY.record.first_port + 15)
    assert pair.phase(plan.after) == "stale"
    assert change_sides.hand_over(plan.after, SECONDARY, HANDOVER).steps == ()


def test_the_standby_waits_before_anything_is_changed() -> None:
    plan = change_sides.take_over(SECONDARY, HANDOVER)
    assert actions(plan)[0] == "receive_handover"
    assert plan.steps[0].timeout == 30.0
    assert plan.steps[0].arguments["peer"] == "10.77.0.1"
    alone = survive.failover(heard_just_now(SECONDARY), fenced("kvm1"))
    assert plan.steps[1:] == alone.steps
    assert plan.after.record.role == "alone"


def test_where_its_images_may_spare_a_copy_something_it_is_noted_how_it_left_them() -> None:
    plan = change_sides.hand_over(PRIMARY, SECONDARY, NOTING)
    assert actions(plan) == ["wait", "record", "hand_over", "wait", "unbar", "note_left"]
    assert plan.steps[2].arguments["images"] == [disk.path for disk in PRIMARY.record.disks]
    assert plan.steps[-1].arguments == {"uuid": PRIMARY.domain.uuid, "generation": PRIMARY.record.generation}


def test_what_is_written_is_noted_from_before_the_promotion_on() -> None:
    """It writes what the standby's own guest has written, and what it had not promised yet of the primary's."""
    found = change_sides.take_over(SECONDARY, NOTING)
    assert actions(found)[1] == "note_writes"
    assert found.steps[1].arguments == {"name": f"colo-since-{SECONDARY.record.generation}"}
    assert "x-colo-lost-heartbeat" in [step.arguments.get("command") for step in found.steps[2:]]


def test_both_meet_at_the_same_port() -> None:
    here = change_sides.hand_over(PRIMARY, SECONDARY, HANDOVER).steps[2].arguments
    there = change_sides.take_over(SECONDARY, HANDOVER).steps[0].arguments
    assert {key: here[key] for key in ("address", "port", "token")} == {
        key: there[key] for key in ("address", "port", "token")
    }
    assert here["port"] not in [channel.port for channel in PRIMARY.record.channels()]


@pytest.mark.parametrize(
    ("seen", "peer"),
    [
        (PRIMARY, recorded("listening-secondary")),
        (recorded("syncing-primary"), SECONDARY),
        (recorded("peer-frozen-primary"), SECONDARY),
        (SECONDARY, PRIMARY),
        (recorded("unprotected-primary"), SECONDARY),
        (
            PRIMARY,
            replace(SECONDARY, domain=replace(SECONDARY.domain, record=replace(SECONDARY.record, complete=None))),
        ),
    ],
    ids=["a standby that listens", "a sync", "a frozen peer", "the standby", "no pair", "no checkpoint"],
)
def test_only_a_healthy_pair_changes_sides(seen: Observation, peer: Observation) -> None:
    with pytest.raises(Refusal) as refusal:
        change_sides.hand_over(seen, peer, HANDOVER)
    assert all(problem.remedy for problem in refusal.value.problems)


@pytest.mark.parametrize(
    "name", ["protected-primary", "listening-secondary", "incomplete-secondary", "unprotected-primary"]
)
def test_only_a_standby_in_lockstep_waits(name: str) -> None:
    with pytest.raises(Refusal):
        change_sides.take_over(recorded(name), HANDOVER)


def test_a_standby_that_could_not_be_told_leaves_the_primary_the_guests_copy() -> None:
    record = replace(PRIMARY.record, handed_over=True)
    still_here = replace(PRIMARY, domain=replace(PRIMARY.domain, record=record))
    plan = change_sides.keep(PRIMARY, still_here)
    assert actions(plan) == ["record"]
    assert "handed-over" not in plan.steps[0].arguments["xml"]
    assert change_sides.keep(PRIMARY, PRIMARY).steps == ()
    assert change_sides.keep(PRIMARY, given_away(PRIMARY)).steps == ()


def test_a_copy_that_was_given_away_is_not_the_pairs() -> None:
    gone = given_away(PRIMARY)
    assert pair.pair(gone, SECONDARY).holder is None
    survivor = change_sides.take_over(SECONDARY, HANDOVER).after
    assert pair.pair(gone, survivor).holder == "kvm2"
    assert any("stale" in problem for problem in pair.pair(gone, survivor).problems)
    with pytest.raises(Refusal, match="is shutoff, not running"):
        protect.primary(Wanted(), gone, SECONDARY)


def test_the_mark_survives_the_xml() -> None:
    record = replace(PRIMARY.record, handed_over=True)
    assert reading.read_record(xml.protect(PRIMARY.domain.inactive_xml, record)).handed_over
