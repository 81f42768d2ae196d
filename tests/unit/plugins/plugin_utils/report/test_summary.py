# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import PHASES
from ansible_collections.lockstep.colo.plugins.plugin_utils.report import document, summary
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded
from ansible_collections.lockstep.colo.tests.unit.plugins.plugin_utils.report import cases

SYNCING = "still unprotected; its disks are being copied"
LOCKSTEP = "in lockstep with its standby"
AGAIN = "is protected: it serves from kvm2"
FROZEN = "is not in lockstep with its other half; its clients may be frozen"


def sentence(**options: Any) -> str:
    return cases.built(**options)["summary"]["sentence"]


def numbers(**options: Any) -> dict[str, tuple[str, str]]:
    return {one["label"]: (one["value"], one["tone"]) for one in summary.numbers(cases.built(**options))}


@pytest.mark.parametrize(
    ("primary", "secondary", "words", "tone"),
    [
        ("unprotected-primary", "unprotected-secondary", "web1 runs on kvm1, unprotected.", "warning"),
        ("syncing-primary", "syncing-secondary", f"web1 runs on kvm1, {SYNCING}.", "warning"),
        ("protected-primary", "protected-secondary", f"web1 is protected: it serves from kvm1, {LOCKSTEP}.", "good"),
        ("protected-again-primary", "protected-again-secondary", f"web1 {AGAIN}, {LOCKSTEP}.", "good"),
        ("peer-frozen-primary", None, "web1 stands still on kvm1: it waits for a checkpoint with its standby.", "bad"),
        ("protected-primary", None, f"web1 on kvm1 {FROZEN}.", "bad"),
        (None, "protected-secondary", f"web1 {FROZEN}.", "bad"),
        (None, "failed-over-secondary", "web1 serves from kvm2, unprotected.", "warning"),
        ("powered-off-primary", "stale-secondary", "web1 does not run; the newest copy is on kvm2.", "bad"),
        ("degraded-unasked-primary", None, "It is not known how web1 is now.", "unknown"),
        (None, None, "It is not known how web1 is now.", "unknown"),
    ],
)  # fmt: skip
def test_how_the_pair_is(primary: str | None, secondary: str | None, words: str, tone: str) -> None:
    found = cases.built(after=cases.side(primary, secondary))["summary"]
    assert (found["sentence"], found["tone"]) == (words, tone)


def test_a_survivor_that_nobody_hears_is_not_said_to_serve() -> None:
    tasks = [cases.task(unheard=["nothing that NIC 52:54:00:00:00:01 of the guest sends leaves this host by eth0"])]
    found = document.build({**cases.FAILOVER, "tasks": tasks}, cases.MADE)["summary"]
    assert found["sentence"].startswith("web1 runs on kvm2, unprotected, and clients do not reach it")
    assert found["tone"] == "bad"


def stopped(name: str, **changes: Any) -> dict[str, Any]:
    found = cases.result(name)
    seen = found["observation"]
    seen["domain"]["state"] = "paused"
    seen["monitor"] = changes.get("monitor", {**seen["monitor"], "running": False, "status": "paused"})
    return {**found, "observation": {**seen, **changes}}


@pytest.mark.parametrize("name", ["unprotected-primary", "described-primary", "syncing-primary", "failed-over-primary"])
def test_a_guest_that_stands_still_is_not_said_to_run_or_serve(name: str) -> None:
    seen = stopped(name)
    host = seen["observation"]["host"]["name"]
    found = cases.built(after={host: seen})["summary"]
    assert (found["sentence"], found["tone"]) == (f"web1 stands still on {host}, unprotected.", "bad")


def test_a_guest_of_which_nothing_answers_is_not_said_to_run() -> None:
    silent = stopped("unprotected-primary", monitor=None, monitor_problem="no answer")
    silent["observation"]["domain"]["state"] = "running"
    assert cases.built(after={"kvm1": silent})["summary"]["sentence"] == "web1 is unprotected."


def test_every_phase_has_its_words() -> None:
    assert set(summary.STATES) == set(PHASES)
    for phase in PHASES:
        for holder in ("kvm1", None):
            found = cases.built(verdict={"phase": phase, "holder": holder, "problems": []})["summary"]
            assert found["phase"] == phase
            assert "None" not in found["sentence"]
            assert "{" not in found["sentence"]


def test_a_failover_says_since_when_and_what_it_cost() -> None:
    assert document.build(cases.FAILOVER, cases.MADE)["summary"] == {
        "sentence": "web1 serves from kvm2, unprotected, since 2026-11-23 02:14 UTC; clients were without an answer "
        "for 16.2 s; no acknowledged write was lost (5556 checked).",
        "tone": "warning",
        "phase": "failed_over",
        "holder": "kvm2",
        "since": "2026-11-23T02:14:15.500Z",  # a second after the first observation, which was two before the end
    }


def test_without_the_end_of_the_task_the_time_is_about() -> None:
    task = {**cases.task(), "ended": None}
    found = cases.built(after=cases.side(None, "failed-over-secondary"), tasks=[task])["summary"]
    assert "since about 2026-11-23 02:14 UTC" in found["sentence"]
    assert found["since"] == "2026-11-23T02:14:01.000Z"


def test_without_any_time_no_time_is_said() -> None:
    task = {**cases.task(), "started": None, "ended": None}
    assert "since" not in sentence(after=cases.side(None, "failed-over-secondary"), tasks=[task])


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        ({"acknowledged": 9, "checked": 8, "lost": 0}, "; no acknowledged write was lost (8 checked)."),
        ({"acknowledged": 9, "lost": [4]}, "; 1 acknowledged write was lost (9 checked)."),
        ({"acknowledged": 9, "lost_count": 2}, "; 2 acknowledged writes were lost (9 checked)."),
        ({"acknowledged": 9}, "; whether acknowledged writes were lost was not checked."),
        ({"acknowledged": 0, "lost": 0}, "; no write was acknowledged, so that nothing can be said of losses."),
        ({"boots": 1}, "standby."),
    ],
)
def test_what_became_of_the_writes(probe: dict[str, Any], words: str) -> None:
    assert sentence(after=cases.side("protected-primary", "protected-secondary"), probe=probe).endswith(words)


def test_a_lost_write_is_bad_whatever_else_went_well() -> None:
    found = cases.built(
        after=cases.side("protected-primary", "protected-secondary"), probe={"acknowledged": 9, "lost": 1}
    )
    assert found["summary"]["tone"] == "bad"


def test_a_task_that_failed_comes_first() -> None:
    failed = {"title": "Serve from the survivor", "host": "kvm2", "result": {"failed": True, "msg": "no fence"}}
    found = cases.built(runbook="failover", after=cases.side(None, "protected-secondary"), tasks=[failed])["summary"]
    assert found["sentence"].startswith(
        "Failover did not come to its end: 'Serve from the survivor' failed on kvm2; web1 is not in lockstep"
    )
    assert found["tone"] == "bad"


# The numbers


def test_the_numbers_of_a_failover() -> None:
    found = {one["label"]: one["value"] for one in summary.numbers(document.build(cases.FAILOVER, cases.MADE))}
    assert found == {
        "free to serve after": "1.00 s",
        "outage for clients": "16.2 s",
        "writes acknowledged": "5556",
        "of these lost": "0",
        "boots seen": "1",
        "phase": "failed_over",
        "generation": "2",
        "steps carried out": "2",
        "time in the modules": "2.00 s",
        "fence of kvm1": "verified",
    }


def test_checkpoints_a_minute() -> None:
    seen = recorded("protected-primary").checkpoints
    rate = f"{60 * seen.count / seen.seconds:.0f}"
    assert numbers(after=cases.side("protected-primary", "protected-secondary"))["checkpoints a minute"] == (rate, "")
    assert numbers(after=cases.side("peer-frozen-primary", None))["checkpoints a minute"] == ("0", "bad")


def test_what_was_not_given_is_not_known() -> None:
    assert numbers(runbook="failover")["outage for clients"] == ("not known", "")
    assert numbers()["phase"] == ("not known", "")
    assert "outage for clients" not in numbers(runbook="deploy")


def test_what_failed_does_not_say_how_many_steps_it_carried_out() -> None:
    failed = {"title": "x", "result": {"failed": True}}
    assert numbers(tasks=[failed])["steps carried out"] == ("not known", "bad")
    assert numbers(tasks=[cases.task(), failed])["steps carried out"] == ("at least 2", "bad")
    assert numbers(tasks=[])["phase"] == ("not known", "")


@pytest.mark.parametrize(
    ("fence", "value"),
    [
        ({"proof": {"rc": 0}}, ("verified", "good")),
        ({"ground": "command", "proof": {"rc": 1, "failed": True}}, ("not verified", "bad")),
        ({"ground": "command", "proof": {"skipped": True}}, ("not verified", "bad")),
        ({"ground": "command"}, ("not verified", "bad")),
        ({"ground": "ended"}, ("verified", "good")),
        ({"ground": "confirmed", "confirmed": "kvm1"}, ("confirmed by a person", "warning")),
        ({}, ("not known", "")),
    ],
)
def test_a_fence_is_verified_or_not_and_a_persons_word_is_called_one(fence: dict, value: tuple[str, str]) -> None:
    assert numbers(fence={"host": "kvm1", **fence})["fence of kvm1"] == value


def test_a_guest_that_booted_twice_was_restarted() -> None:
    assert numbers(probe={"boots": 2})["boots seen"] == ("2", "bad")
