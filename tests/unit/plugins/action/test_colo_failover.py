# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a survivor is told of a fence, and what is believed of it when it is heard later."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible_collections.lockstep.colo.plugins.action import colo_failover
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.fence import Fence, holds

SECRET = "pl4nted"
REGISTERED = {
    "changed": False, "failed": False, "rc": 0, "cmd": ["ipmitool", "-P", SECRET], "stdout": SECRET, "attempts": 1,
}  # fmt: skip


def run(answer: dict[str, Any], **arguments: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The result, and the options that its host was given."""
    task = SimpleNamespace(
        action="lockstep.colo.colo_failover", args={"name": "web1", "host": "kvm2", **arguments}, check_mode=False,
        async_val=0, environment=None, diff=False, delegate_to=None,
    )  # fmt: skip
    action = colo_failover.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    action._execute_module = MagicMock(return_value=answer)
    action._remote_expand_user = MagicMock(return_value="/root/.ansible_async")
    return action.run(task_vars={}), action._execute_module.call_args.kwargs["module_args"]


def test_the_survivor_is_told_how_the_proof_ended_and_no_more() -> None:
    fence = {"host": "kvm1", "proof": REGISTERED, "method": f"ipmitool -P {SECRET} chassis power off"}
    _result, given = run({"changed": False}, fence=fence)
    assert SECRET not in str(given)
    assert given["fence"]["method"] == "ipmitool (its options are not shown)"
    assert holds(Fence(**given["fence"]))


@pytest.mark.parametrize("spoilt", [{"rc": 1}, {"failed": True}, {"skipped": True}, {"unreachable": True}])
def test_what_spoils_a_proof_is_told(spoilt: dict[str, Any]) -> None:
    _result, given = run({"changed": False}, fence={"host": "kvm1", "proof": {**REGISTERED, **spoilt}})
    assert not holds(Fence(**given["fence"]))


@pytest.mark.parametrize("job", [{}, {"job": "17.4"}])
@pytest.mark.parametrize(("told", "believed"), [("kvm2", True), ("kvm1", False)])
def test_a_host_tells_of_itself_alone_also_later(job: dict[str, Any], told: str, believed: bool) -> None:
    result, _given = run({"finished": 1, "observation": {"host": {"name": told}}}, **job)
    assert ("observation" in result) is believed
    assert bool(result.get("failed")) is not believed
