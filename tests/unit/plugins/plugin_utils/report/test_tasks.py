# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.plugin_utils.report import tasks
from ansible_collections.lockstep.colo.tests.unit.plugins.plugin_utils.report import cases

STEP = cases.step("a", 0.1, 0.2)


def read(result: Any, **task: Any) -> dict[str, Any]:
    return tasks.read([{"title": "Do it", "host": "kvm1", **task, "result": result}])[0]


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        ({"steps": ["a"], "done": [STEP], "changed": True}, "done"),
        ({"steps": [], "done": [], "changed": False}, "nothing_to_do"),
        ({"steps": ["a"], "done": [], "changed": True}, "planned"),
        ({"steps": ["a", "b"], "done": [STEP], "finished": False}, "unfinished"),
        ({"failed": True, "msg": "no"}, "failed"),
        ({"unreachable": True, "msg": "no route"}, "unreachable"),
        ({"skipped": True}, "skipped"),
        ({"msg": "a module that says nothing of its steps"}, None),
        (None, None),
        ("a text", None),
    ],
)
def test_how_a_task_came_out(result: Any, outcome: str | None) -> None:
    assert read(result)["outcome"] == outcome


def test_only_a_failure_has_a_message_and_problems() -> None:
    said = {"msg": "no", "problems": [{"what": "it is full", "remedy": "Empty it", "disk": None}]}
    assert (read(said)["message"], read(said)["problems"]) == (None, [])
    failed = read({**said, "failed": True})
    assert (failed["message"], failed["problems"]) == ("no", ["it is full. Empty it"])


def test_the_runs_of_a_long_sync_are_told_apart() -> None:
    done = [
        cases.step("a", 1.0, 2.0),
        cases.step("b", 2.0, 31.0),
        cases.step("b", 0.5, 30.0),
        cases.step("c", 30.0, 30.1),
    ]
    found = read({"done": done, "steps": ["a", "b", "b", "c"], "seconds": 32.0})
    assert [[step["title"] for step in run] for run in found["runs"]] == [["a", "b"], ["b", "c"]]
    assert tasks.took(found) == 63.0


def test_times_that_overlap_by_their_rounding_are_one_run() -> None:
    assert len(read({"done": [cases.step("a", 0.1, 0.2001), cases.step("b", 0.2, 0.3)]})["runs"]) == 1


@pytest.mark.parametrize(
    "step", [None, {}, {"title": "a"}, {"title": "a", "began": "1", "ended": 2}, cases.step("a", 2, 1)]
)
def test_a_step_without_its_times_is_left_out(step: Any) -> None:
    assert read({"done": [step, STEP]})["runs"] == [[STEP]]


def test_what_a_result_has_besides_is_not_taken() -> None:
    found = read(
        {"observation": {"secret": "hunter2"}, "invocation": {"module_args": {"peer": "hunter2"}}, "stdout": "hunter2"}
    )
    assert "hunter2" not in str(found)


def test_times_are_utc_or_nothing() -> None:
    found = read({}, started="2026-11-23T03:14:00+01:00", ended="soon")
    assert (found["started"], found["ended"]) == ("2026-11-23T02:14:00.000Z", None)
    assert tasks.took(found) is None
