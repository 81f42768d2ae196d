# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of colo_fence: which guest is ended on a host that is given up, and which is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan.give_up import give_up, give_way
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import fence
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.fence import Fence, objections
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Refusal
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

PRIMARY, STANDBY = recorded("protected-primary"), recorded("protected-secondary")


def changed(seen: Observation, state: str = "running", ended_by: str | None = None, **record: object) -> Observation:
    domain = replace(seen.domain, state=state, ended_by=ended_by, record=replace(seen.record, **record))
    return replace(seen, domain=domain)


@pytest.mark.parametrize(
    ("lost", "survivor"),
    [
        (PRIMARY, STANDBY),
        (STANDBY, PRIMARY),
        (changed(PRIMARY, "shutoff"), STANDBY),
        (changed(STANDBY, "shutoff"), PRIMARY),
        (changed(PRIMARY, "shutoff", handed_over=True), STANDBY),
        (replace(PRIMARY, domain=None, marker=None), STANDBY),
    ],
    ids=["primary", "standby", "primary that is off", "standby that is off", "done before", "no domain"],
)
def test_what_follows_is_the_proof_for_the_survivor(lost: Observation, survivor: Observation) -> None:
    plan = give_up(lost, survivor)
    assert list(objections(survivor, Fence(lost.host.name, ground=fence.ENDED), plan.after)) == []
    runs = lost.domain is not None and lost.domain.active
    assert ("end_emulator" in [step.action for step in plan.steps]) is runs
    assert [step.arguments for step in plan.steps if step.action == "see_ended"] == [{"uuid": survivor.domain.uuid}]


def test_it_is_ended_before_libvirt_is_told_anything_for_which_it_waits() -> None:
    actions = [step.action for step in give_up(PRIMARY, STANDBY).steps]
    assert actions == ["end_emulator", "wait", "see_ended", "record"]


def test_nothing_changes_where_it_is_given_up() -> None:
    assert not give_up(changed(PRIMARY, "shutoff", handed_over=True), STANDBY).changes


@pytest.mark.parametrize(
    ("lost", "survivor", "words"),
    [
        (changed(PRIMARY, role="alone", generation=2), STANDBY, "kvm1 has a newer copy .* went on alone"),
        (changed(PRIMARY, generation=2), STANDBY, "kvm1 has a newer copy"),
        (PRIMARY, changed(STANDBY, complete=None), "has not completed a checkpoint"),
        (PRIMARY, changed(STANDBY, "shutoff"), "does not run on kvm2"),
        (PRIMARY, recorded("unprotected-secondary"), "kvm2 has no half of this pair"),
        (changed(PRIMARY, "shutoff", "shutdown"), STANDBY, "powered itself off"),
        (PRIMARY, changed(STANDBY, role="primary"), "both hosts have the primary"),
    ],
    ids=["alone", "newer", "incomplete", "standby off", "no pair", "powered off", "two primaries"],
)
def test_no_guest_is_ended_for_a_survivor_that_will_not_serve(
    lost: Observation, survivor: Observation, words: str
) -> None:
    with pytest.raises(Refusal, match=words):
        give_up(lost, survivor)


def test_no_primary_is_ended_whose_standby_lacks_a_write() -> None:
    for lost, survivor in (
        (replace(PRIMARY, standby_lacks="Input/output error"), STANDBY),
        (PRIMARY, replace(STANDBY, connections={"migration": 1, "nbd": 0})),
    ):
        with pytest.raises(Refusal, match=r"lacks? .*lockstep\.colo\.deploy"):
            give_up(lost, survivor)


def test_an_old_primary_is_ended_for_a_survivor_that_has_taken_over() -> None:
    survivor = changed(STANDBY, role="alone", generation=2, complete=None)
    plan = give_up(PRIMARY, survivor)
    assert [step.action for step in plan.steps] == ["end_emulator", "wait", "see_ended"]


@pytest.mark.parametrize("seen", [PRIMARY, STANDBY], ids=["primary", "standby"])
@pytest.mark.parametrize("end", [False, True])
def test_a_half_that_gives_way_sees_that_its_qemu_has_ended_before_it_says_so(seen: Observation, end: bool) -> None:
    plan = give_way(seen, end=end)
    assert [step.action for step in plan.steps] == [*(["end_emulator"] if end else []), "see_ended", "give_way"]
    note = plan.steps[-1].arguments["note"]
    assert (note.uuid, note.generation, note.role) == (seen.domain.uuid, seen.record.generation, seen.record.role)
    assert fence.given_up(plan.after)


@pytest.mark.parametrize(
    "seen", [changed(PRIMARY, role="alone"), replace(PRIMARY, domain=replace(PRIMARY.domain, record=None))]
)
def test_what_is_no_half_has_nothing_to_give_way_to(seen: Observation) -> None:
    with pytest.raises(Refusal, match="no half of a pair"):
        give_way(seen)
