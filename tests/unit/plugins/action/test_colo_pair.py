# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible_collections.lockstep.colo.plugins.action import colo_pair


def run(*results: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    task = SimpleNamespace(
        action="lockstep.colo.colo_pair",
        args={"name": "web1", **arguments},
        check_mode=False,
        async_val=0,
        environment=None,
        diff=False,
        delegate_to=None,
    )
    action = colo_pair.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    action._execute_module = MagicMock(side_effect=results)
    return action.run(task_vars={})


@pytest.mark.parametrize(
    "unreadable",
    [
        {"failed": True, "rc": 137, "msg": "Module result deserialization failed: No start of json char found"},
        {
            "failed": True,
            "rc": 1,
            "msg": "MODULE FAILURE",
            "module_stdout": "/bin/sh: line 1: 4711 Killed  python3\r\n",
        },
    ],
)
def test_a_run_that_another_one_ended_says_by_what_and_what_to_look_at(unreadable: dict[str, Any]) -> None:
    found = run(unreadable)
    assert found["failed"]
    assert "a failover that was fenced" in found["msg"]
    assert "lockstep.colo.status" in found["msg"]


def test_what_a_module_says_itself_stays() -> None:
    assert run({"failed": True, "msg": "host kvm1: no"})["msg"] == "host kvm1: no"


def test_no_progress_that_a_host_makes_up_ends_the_run_with_a_traceback() -> None:
    assert run({"finished": False, "sync": {"vda": 7, "vdb": {"done": "x"}}}, {"finished": True})["changed"] is False


def test_a_long_sync_is_waited_for_by_short_runs() -> None:
    found = run({"finished": False, "changed": True, "steps": ["a"]}, {"finished": True, "steps": ["b"]})
    assert (found["changed"], found["steps"]) == (True, ["a", "b"])


def test_what_is_compared_is_said_to_be_and_what_of_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(colo_pair.display, "display", shown.append)
    part = {"finished": False, "sync": {"vda": {"done": 50 << 20, "total": 100 << 20}}}
    run({**part, "compared": {"vda": {"moved": 3 << 20}, "vdb": 7}}, part, {"finished": True})
    assert shown == ["web1: 50.0 % of 100 MiB compared, 3 MiB sent", "web1: 50.0 % of 100 MiB copied"]


def test_a_copying_that_its_limit_keeps_from_ending_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(colo_pair.display, "display", shown.append)

    def at(done: int, total: int) -> dict[str, Any]:
        return {"finished": False, "sync": {"vda": {"done": done << 20, "total": total << 20}}}

    run(at(10, 100), at(20, 100), at(30, 110), {"finished": True}, sync_speed="200000")
    assert ["raise that" in line for line in shown] == [False, False, True]
    run(at(10, 100), at(20, 110), {"finished": True})
    assert "raise that" not in shown[-1]


@pytest.mark.parametrize(("told", "believed"), [("kvm1", True), ("kvm3", False), ({}, False)])
def test_a_host_tells_of_itself_alone(told: object, believed: bool) -> None:
    found = run({"changed": False, "finished": True, "observation": {"host": {"name": told}}}, host="kvm1")
    assert ("observation" in found) is believed
    assert bool(found.get("failed")) is not believed


def test_a_step_is_of_the_host_that_was_asked() -> None:
    assert run({"title": "End the guest on kvm2", "host": "kvm2"}, host="kvm1")["host"] == "kvm1"
