# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain.tree import DomainXmlError
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Host, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan.plan import Plan
from ansible_collections.lockstep.colo.plugins.module_utils.plan.step import Step, qmp
from ansible_collections.lockstep.colo.plugins.module_utils.record.schema import VocabularyError
from ansible_collections.lockstep.colo.plugins.module_utils.run.converge import MAX_ROUNDS, converge
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Problem, Refusal, refuse_if
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.apply.test_steps import Recording
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

SEEN = Observation(Host("kvm1", "m1"))
WANTED = replace(SEEN, directory="/projected")
START = Step("start", "destroy", pivot=True)


class Eyes:
    """Counts observations; each is told from the others by its host's memory."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> Observation:
        self.count += 1
        return Observation(Host("kvm1", "m1", memory_available=self.count))


def go(recording: Recording, eyes: Eyes, decide: Any, **options: Any) -> Any:
    return converge(recording, "web1", eyes, decide, **options)  # type: ignore[arg-type]


def test_check_mode_only_says_what_would_follow() -> None:
    recording, eyes = Recording(), Eyes()
    result = go(recording, eyes, lambda _seen: Plan((START, qmp("go", "cont")), WANTED), check=True)
    assert recording.calls == []
    assert eyes.count == 1
    assert result.after is WANTED
    assert [step.title for step in result.steps] == ["start", "go"]
    assert result.changed
    assert result.outcome.done == []


def test_an_empty_plan_changes_nothing_and_looks_once() -> None:
    recording, eyes = Recording(), Eyes()
    result = go(recording, eyes, lambda seen: Plan((), seen))
    assert (recording.calls, eyes.count, result.changed, result.outcome.finished) == ([], 1, False, True)
    assert result.after == result.before


def test_what_was_done_is_looked_at_afterwards() -> None:
    result = go(Recording(), Eyes(), lambda _seen: Plan((qmp("go", "cont"),), WANTED))
    assert result.before.host.memory_available == 1
    assert result.after.host.memory_available == 2
    assert result.changed


def test_a_pivot_is_followed_by_another_look_and_another_plan() -> None:
    recording, eyes = Recording(), Eyes()
    plans = [
        (START, qmp("guessed", "system_reset")),
        (qmp("known", "stop"), START, qmp("guess", "quit")),
        (qmp("go", "cont"),),
    ]
    seen_by_plan = []

    def decide(seen: Observation) -> Plan:
        seen_by_plan.append(seen.host.memory_available)
        return Plan(plans[len(seen_by_plan) - 1], WANTED)

    result = go(recording, eyes, decide)
    assert recording.commands == ["destroy", "stop", "destroy", "cont"]
    assert seen_by_plan == [1, 2, 3]
    assert [step.title for step in result.steps] == ["start", "known", "start", "go"]
    assert [done.title for done in result.outcome.done] == ["start", "known", "start", "go"]


def test_what_the_steps_before_a_pivot_left_unforeseen_is_told_as_well() -> None:
    listens = recorded("listening-secondary")
    plans = iter([Plan((START,), listens), Plan((), listens)])
    result = go(Recording(), lambda: listens, lambda _seen: next(plans))
    assert [words for words in result.unforeseen if words.startswith("active: True, foreseen was False")]


def test_pivots_without_end_are_a_defect_that_is_said() -> None:
    recording = Recording()
    with pytest.raises(ColoError, match=f"no end after {MAX_ROUNDS} rounds"):
        go(recording, Eyes(), lambda _seen: Plan((START,), WANTED))
    assert len(recording.calls) == MAX_ROUNDS


def test_a_refusal_changes_nothing_and_calls_for_no_rescue() -> None:
    def refuse(_seen: Observation) -> Plan:
        refuse_if([Problem("no", "Do not")])
        raise AssertionError

    rescued: list[Any] = []
    with pytest.raises(Refusal):
        go(Recording(), Eyes(), refuse, rescue=lambda *seen: rescued.append(seen))
    assert rescued == []


FAILING = Plan((qmp("halt it", "stop"), qmp("fail", "migrate")), WANTED)


def test_a_failure_half_way_is_rescued_from_what_is_seen_then_and_still_a_failure() -> None:
    recording, eyes, asked = Recording(migrate=ColoError("no")), Eyes(), []

    def rescue(before: Observation, now: Observation) -> Plan:
        asked.append((before.host.memory_available, now.host.memory_available))
        return Plan((qmp("free it", "cont"),), WANTED)

    with pytest.raises(ColoError, match=r"fail: no.*run again\. The domain does not run on kvm1"):
        go(recording, eyes, lambda _seen: FAILING, rescue=rescue)
    assert recording.commands == ["stop", "migrate", "cont"]
    assert asked == [(1, 2)]
    assert eyes.count == 3  # what is said of the guest was seen after its rescue


# What a look, or a plan, may end with besides a refusal: files, and texts of libvirt's and of ours.
UNEXPECTED = [OSError(5, "Input/output error"), DomainXmlError("no domain's XML"), VocabularyError("no record")]


@pytest.mark.parametrize("error", [ColoError("no answer"), *UNEXPECTED], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["look", "plan"])
def test_whatever_a_look_or_a_plan_behind_a_pivot_ends_with_the_guest_is_freed(error: Exception, where: str) -> None:
    recording, looks, plans = Recording(), Eyes(), []
    halted = Plan((replace(qmp("halt it", "stop"), pivot=True),), WANTED)

    def look() -> Observation:
        seen = looks()
        if where == "look" and looks.count == 2:
            raise error
        return seen

    def decide(_seen: Observation) -> Plan:
        plans.append(halted)
        if where == "plan" and len(plans) == 2:
            raise error
        return halted

    with pytest.raises(ColoError) as raised:
        go(recording, look, decide, rescue=lambda _before, _now: Plan((qmp("free it", "cont"),), WANTED))  # type: ignore[arg-type]
    assert recording.commands == ["stop", "cont"]
    assert str(error) in str(raised.value)
    assert "The domain does not run on kvm1" in str(raised.value)


@pytest.mark.parametrize("error", UNEXPECTED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["look", "plan"])
def test_the_first_reason_is_told_whatever_its_rescue_ends_with(error: Exception, where: str) -> None:
    def fail(*_seen: Observation) -> Any:
        raise error

    rescue = fail if where == "plan" else lambda _before, now: Plan((), now)
    with pytest.raises(ColoError, match=f"fail: the first reason.*Going back failed as well: .*{error.args[-1]}"):
        go(
            Recording(migrate=ColoError("the first reason")),
            Eyes(),
            lambda _seen: FAILING,
            rescue=rescue,
            look_to_free=fail if where == "look" else None,
        )


@pytest.mark.parametrize("error", [ColoError("no answer"), *UNEXPECTED], ids=lambda error: type(error).__name__)
def test_a_run_whose_last_look_fails_says_that_all_was_done_and_how_the_guest_is(error: Exception) -> None:
    recording, looks, own = Recording(), Eyes(), recorded("unprotected-primary")

    def look() -> Observation:
        if looks.count:
            raise error
        return looks()

    def rescue(*_seen: Observation) -> Plan:
        raise AssertionError("nothing was left half-way")

    with pytest.raises(ColoError) as raised:
        go(
            recording,
            look,  # type: ignore[arg-type]
            lambda _seen: Plan((qmp("go", "cont"),), WANTED),
            rescue=rescue,
            look_to_free=lambda: own,
        )
    assert recording.commands == ["cont"]
    assert str(error) in str(raised.value)
    assert "Every step was carried out" in str(raised.value)
    assert str(raised.value).endswith("The guest goes on on kvm1")


@pytest.mark.parametrize("standby", ["protected-secondary", "listening-secondary"])
def test_a_standby_is_not_taken_for_the_guest_where_the_last_look_fails(standby: str) -> None:
    looks = iter([recorded(standby), OSError(5, "Input/output error"), recorded(standby)])

    def look() -> Observation:
        found = next(looks)
        if isinstance(found, OSError):
            raise found
        return found

    with pytest.raises(ColoError, match=r"what they have come to$"):
        go(Recording(), look, lambda _seen: Plan((qmp("go", "cont"),), WANTED))  # type: ignore[arg-type]


def test_a_rescue_is_decided_on_a_look_of_its_own() -> None:
    eyes, own = Eyes(), recorded("unprotected-primary")
    with pytest.raises(ColoError, match="The guest goes on on kvm1"):
        go(
            Recording(migrate=ColoError("no")),
            eyes,
            lambda _seen: FAILING,
            rescue=lambda _before, now: Plan((), now),
            look_to_free=lambda: own,
        )
    assert eyes.count == 1


def test_a_rescue_may_have_pivots() -> None:
    recording = Recording(migrate=ColoError("no"))
    plans = iter([Plan((Step("reset", "destroy", pivot=True),), WANTED), Plan((qmp("free it", "cont"),), WANTED)])
    with pytest.raises(ColoError, match="fail: no"):
        go(recording, Eyes(), lambda _seen: FAILING, rescue=lambda _before, _now: next(plans))
    assert recording.commands == ["stop", "migrate", "destroy", "cont"]


def test_a_rescue_that_fails_says_both() -> None:
    recording = Recording(migrate=ColoError("no"), cont=ColoError("not either"))
    with pytest.raises(ColoError, match=r"fail: no.*Going back failed as well: free it: not either.*Look at the guest"):
        go(
            recording,
            Eyes(),
            lambda _seen: FAILING,
            rescue=lambda _before, _now: Plan((qmp("free it", "cont"),), WANTED),
        )


def test_a_wait_that_fails_before_any_change_is_not_rescued() -> None:
    rescued: list[Any] = []
    reach = Step("reach", "wait", {"until": "migration", "status": ["colo"]})
    with pytest.raises(ColoError, match="the migration failed"):
        go(
            Recording(query_migrate={"status": "failed"}),
            Eyes(),
            lambda _s: Plan((reach,), WANTED),
            rescue=lambda *seen: rescued.append(seen),
        )
    assert rescued == []


def test_the_time_of_serving_is_handed_on() -> None:
    plan = Plan((Step("go", "destroy", serves=True),), WANTED)
    assert go(Recording(), Eyes(), lambda _seen: plan).outcome.served_after is not None
    assert go(Recording(), Eyes(), lambda seen: Plan((), seen)).outcome.served_after is None


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (recorded("unprotected-primary"), "The guest goes on on kvm1"),
        (recorded("parked-primary"), r"stands still \(disk vda, vdb is parked\)"),
        (recorded("stopped-primary"), r"stands still \(QEMU says paused\)"),
        (replace(recorded("protected-primary"), monitor=None), "Whether the guest on kvm1 goes on is not known"),
        (recorded("powered-off-primary"), "The domain does not run on kvm2"),
    ],
)
def test_only_what_was_seen_is_said_of_the_guest(seen: Observation, words: str) -> None:
    with pytest.raises(ColoError, match=f"fail: no.*{words}"):
        go(
            Recording(migrate=ColoError("no")),
            lambda: seen,
            lambda _s: FAILING,
            rescue=lambda _before, now: Plan((), now),
        )
