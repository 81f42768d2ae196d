# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest that stands still is never said to run, or to serve: by whatever it was stopped, and who looks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.depth import SILENT
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan import survive
from ansible_collections.lockstep.colo.plugins.module_utils.run import result
from ansible_collections.lockstep.colo.plugins.module_utils.run.converge import Result
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import guest, pair, remarks
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.course import course
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Refusal
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.standing import standing
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils import rules
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import fenced, recorded

# What QEMU says, and what has the guest go on.
BY_OTHERS = {
    "paused": "virsh resume",
    "io-error": "space, then virsh resume",
    "internal-error": "virsh reset",
    "guest-panicked": "virsh reset",
    "suspended": "virsh dompmwakeup",
    "watchdog": "virsh resume",
}
SURVIVORS = ["failed-over-primary", "failed-over-secondary"]


def stopped(seen: Observation | str, status: str) -> Observation:
    seen = recorded(seen) if isinstance(seen, str) else seen
    monitor = replace(seen.monitor, running=False, status=status)
    return replace(seen, domain=replace(seen.domain, state="paused"), monitor=monitor)


def mute(name: str) -> Observation:
    return replace(recorded(name), monitor=None, monitor_problem="QEMU did not answer query-status within 3 s")


@pytest.mark.parametrize("name", SURVIVORS)
@pytest.mark.parametrize("status", BY_OTHERS)
def test_a_survivor_that_stands_still_is_said_to_and_why(name: str, status: str) -> None:
    seen = stopped(name, status)
    found = pair.pair(seen, None)
    assert (found.phase, found.holder, found.next) == ("degraded", seen.host.name, "deploy")
    said = " ".join(found.problems)
    assert BY_OTHERS[status] in said
    assert "runs alone" not in said
    assert BY_OTHERS[status] in standing(seen, in_charge=False).why
    assert any(BY_OTHERS[status] in words for words in result.unheard(Result(seen, seen)))


@pytest.mark.parametrize("name", SURVIVORS)
def test_a_survivor_whose_qemu_does_not_answer_is_not_said_to_run(name: str) -> None:
    found = pair.pair(mute(name), None)
    assert found.phase == "degraded"
    assert not any("runs alone" in words for words in found.problems)
    assert any("whether it goes on is not known" in words for words in found.problems)


@pytest.mark.parametrize("name", SURVIVORS)
def test_one_that_was_not_asked_is_as_libvirt_has_it(name: str) -> None:
    seen = replace(recorded(name), monitor=None, depth=SILENT)
    assert pair.phase(seen) == "failed_over"
    paused = replace(seen, domain=replace(seen.domain, state="paused"))
    assert pair.phase(paused) == "degraded"
    assert "libvirt says paused" in " ".join(remarks.problems(paused))


def test_one_that_is_off_is_not_said_to_run() -> None:
    seen = recorded("powered-off-primary")
    assert seen.record.role == "alone"
    assert not any("runs alone" in words for words in remarks.problems(seen))


@pytest.mark.parametrize("name", SURVIVORS)
@pytest.mark.parametrize("status", BY_OTHERS)
def test_a_failover_that_has_nothing_left_to_do_for_it_refuses_and_says_how_it_is(name: str, status: str) -> None:
    with pytest.raises(Refusal, match=BY_OTHERS[status]):
        survive.failover(stopped(name, status), None)


@pytest.mark.parametrize("name", SURVIVORS)
def test_nothing_is_left_of_it_that_a_playbook_could_finish(name: str) -> None:
    def words(seen: Observation) -> tuple[str, ...]:
        return course("unprotect", ("kvm1", "kvm2"), (seen, recorded("unprotected-secondary"))).next

    assert "finish" in words(recorded(name))
    assert "finish" not in words(stopped(name, "paused"))
    assert "unprotect" in words(stopped(name, "paused"))


def cut_off() -> list[Observation]:
    """Where a failover was cut off with the guest stopped by it."""
    seen = recorded("protected-again-primary")
    plan = survive.failover(seen, fenced(seen.record.peer.host))
    return [
        one for one in rules.walk(seen, plan.steps) if one.record.role == "alone" and one.monitor.status == "paused"
    ]


def test_where_the_stop_was_ours_the_next_failover_has_it_go_on() -> None:
    assert cut_off()
    for seen in cut_off():
        assert "run again what was run last" in " ".join(remarks.problems(seen))
        assert rules.settle(seen, lambda now: survive.failover(now, None)).monitor.running


@pytest.mark.parametrize("status", sorted(set(BY_OTHERS) - {"paused"}))
def test_what_we_did_not_stop_we_do_not_have_go_on(status: str) -> None:
    for seen in cut_off():
        steps = survive.failover(stopped(seen, status), None).steps
        assert "cont" not in [step.arguments.get("command") for step in steps]


@pytest.mark.parametrize("name", ["unprotected-primary", "described-primary"])
@pytest.mark.parametrize("status", BY_OTHERS)
def test_an_ordinary_guest_that_stands_still_is_a_problem(name: str, status: str) -> None:
    found = pair.pair(stopped(name, status), recorded("unprotected-secondary"))
    assert found.phase == "unprotected"
    assert any(words.startswith("kvm1: ") and BY_OTHERS[status] in words for words in found.problems)
    assert not any("stands still" in words for words in pair.pair(recorded(name), None).problems)


def test_an_ordinary_guest_whose_qemu_does_not_answer_is_a_problem() -> None:
    assert any("query-status" in words for words in pair.pair(mute("unprotected-primary"), None).problems)


@pytest.mark.parametrize(
    "seen",
    [
        recorded("listening-secondary"),
        recorded("failed-over-secondary"),
        stopped("protected-primary", "colo"),  # as at each checkpoint
        stopped("protected-secondary", "colo"),
        recorded("powered-off-primary"),
        recorded("unprotected-secondary"),
    ],
    ids=lambda seen: f"{seen.host.name} {seen.record.role if seen.record else 'none'}",
)
def test_a_standby_and_a_checkpoint_are_no_guest_that_stands_still(seen: Observation) -> None:
    assert guest.still(seen) is None


def test_the_words_fit_into_a_list_and_into_a_refusal() -> None:
    found: Any = guest.still(stopped("unprotected-primary", "paused"))
    assert found.in_a_line.endswith("(QEMU says paused): see who stopped it, and why; virsh resume lets it go on")
    assert str(found).endswith("(QEMU says paused). See who stopped it, and why; virsh resume lets it go on")
