# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which copy may be started when the guest runs nowhere: every case of two hosts that come back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan import listen, start
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Refusal
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded


def off(name: str, **record) -> Observation:
    seen = recorded(name)
    domain = replace(seen.domain, state="shutoff", live_xml=None, record=replace(seen.record, **record))
    return replace(seen, domain=domain, monitor=None, peer_sockets=())


PRIMARY, SECONDARY = off("protected-primary"), off("protected-secondary")
STALE, SURVIVOR = recorded("stale-primary"), off("failed-over-secondary")


def refused(seen: Observation, peer: Observation | None, unproven: bool = False) -> str:
    with pytest.raises(Refusal) as refusal:
        start.start(seen, peer, unproven)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("seen", "peer"),
    [(PRIMARY, SECONDARY), (SURVIVOR, STALE), (PRIMARY, recorded("unprotected-secondary"))],
    ids=["both lost power", "the survivor, its old primary back", "the peer has no copy"],
)
def test_the_provably_newest_is_started(seen: Observation, peer: Observation) -> None:
    plan = start.start(seen, peer)
    assert [(step.action, step.arguments) for step in plan.steps] == [("start", {"uuid": seen.domain.uuid})]
    assert plan.after.domain.state == "running"
    assert start.start(plan.after, peer).steps == ()


def test_an_older_copy_is_never_started() -> None:
    assert "this copy is stale: generation 1, and kvm2 has 2" in refused(STALE, SURVIVOR)


def test_a_peer_that_wrote_its_marker_and_died_has_the_newer_copy() -> None:
    begun = replace(SECONDARY, marker=replace(SECONDARY.marker, role="alone", generation=2))
    assert "stale" in refused(PRIMARY, begun)


def test_an_unreachable_peer_is_a_question_that_only_the_operator_answers() -> None:
    assert "it may have a newer copy" in refused(PRIMARY, None)
    assert "colo_start_unproven" in refused(PRIMARY, None)
    assert start.start(PRIMARY, None, unproven=True).steps


def test_the_operator_cannot_vouch_for_a_standby() -> None:
    assert "has the standby" in refused(SECONDARY, None, unproven=True)


def test_two_that_ran_alone_are_not_chosen_between() -> None:
    other = off("failed-over-secondary", role="alone")
    assert "ran alone" in refused(SURVIVOR, other)


def test_a_standby_that_still_has_the_guest_comes_first() -> None:
    assert "lockstep.colo.failover" in refused(PRIMARY, recorded("protected-secondary"))
    waiting = recorded("listening-secondary")
    assert start.start(PRIMARY, waiting).steps


def test_a_copy_that_was_given_away_is_not_started() -> None:
    given = off("protected-primary", handed_over=True)
    for peer in (recorded("protected-secondary"), SURVIVOR, None):
        assert "handed over to kvm2" in refused(given, peer)


def test_a_copy_that_was_given_away_and_never_taken_is_the_guests_again() -> None:
    given = off("protected-primary", handed_over=True)
    plan = start.start(given, SECONDARY)
    assert [step.action for step in plan.steps] == ["record", "start"]
    assert plan.steps[0].arguments["live"] is False
    assert not plan.after.record.handed_over
    assert start.start(given, None, unproven=True).after.record.generation == given.generation + 1


def test_a_domain_without_a_pair_is_left_to_virsh() -> None:
    assert "virsh start" in refused(recorded("unprotected-primary"), None)


def test_a_standby_that_has_the_guest_as_it_ran_last_is_not_passed_over() -> None:
    running = recorded("protected-secondary")
    assert "still has the guest as it ran last" in refused(PRIMARY, running)
    by_itself = replace(PRIMARY, domain=replace(PRIMARY.domain, ended_by="shutdown"))
    assert "may still be promoted" in refused(by_itself, running)
    expendable = listen.expendable(running, by_itself).after
    assert [step.action for step in start.start(by_itself, expendable).steps] == ["start"]


def test_a_guest_that_runs_already_needs_nothing_and_its_standby_stays_as_it_is() -> None:
    assert start.start(recorded("protected-primary"), recorded("protected-secondary")).steps == ()


@pytest.mark.parametrize("unproven", [False, True])
def test_a_second_guest_is_never_started(unproven: bool) -> None:
    older = recorded("protected-primary")
    assert "runs on kvm2" in refused(PRIMARY, recorded("failed-over-secondary"), unproven)
    assert "two guests would answer" in refused(SURVIVOR, older, unproven)
    assert "two guests would answer" in refused(SURVIVOR, recorded("unprotected-primary"), unproven)


def test_what_an_operator_vouched_for_has_a_generation_of_its_own() -> None:
    """So that the other host's copy, should it come back, is never taken for an older one, nor started beside it."""
    plan = start.start(PRIMARY, None, unproven=True)
    assert [step.action for step in plan.steps] == ["mark", "record", "start"]
    assert plan.steps[1].arguments["live"] is False
    assert (plan.after.record.role, plan.after.generation) == ("alone", PRIMARY.generation + 1)
    back = off("failed-over-secondary")
    assert "two guests would answer" in refused(back, plan.after)
    stopped = replace(plan.after, domain=replace(plan.after.domain, state="shutoff"))
    assert "ran alone" in refused(back, stopped)


def test_what_can_be_seen_is_not_vouched_for() -> None:
    assert "still has the guest as it ran last" in refused(PRIMARY, recorded("protected-secondary"), unproven=True)
    assert "this copy is stale" in refused(STALE, SURVIVOR, unproven=True)
