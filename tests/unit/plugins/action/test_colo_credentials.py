# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the control node sends of a host's certificate and key, and what it says where that may stay there."""

from __future__ import annotations

import base64
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.lockstep.colo.plugins.action import colo_credentials
from ansible_collections.lockstep.colo.plugins.plugin_utils.guarded import SIGKILL


def run(path: Path, name: str, *, answers: Any = None, pipelined: bool = True, check: bool = False) -> Any:
    """What the action returns, and the module's arguments."""
    files = [{"name": name, "src": str(path), "owner": "root", "mode": "0600"}]
    task = SimpleNamespace(
        action="lockstep.colo.colo_credentials", args={"files": files}, check_mode=check, async_val=0, environment=None,
        diff=False, delegate_to=None,
    )  # fmt: skip
    action = colo_credentials.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    sent: dict[str, Any] = {}

    def module(**call: Any) -> dict[str, Any]:
        sent.update(call["module_args"])
        return answers or {"changed": True}

    action._execute_module = module  # type: ignore[method-assign]
    action._is_pipelining_enabled = lambda *_: pipelined  # type: ignore[method-assign]
    action._discovered_interpreter_key = None
    return action.run(task_vars={"inventory_hostname": "kvm1"}), sent


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    path.write_bytes(b"\xff planted")
    return path


def test_the_module_is_told_what_the_file_has_and_the_play_is_not(key: Path) -> None:
    result, sent = run(key, "server-key.pem")
    assert base64.b64decode(sent["files"][0]["content"]) == b"\xff planted"
    assert result == {"changed": True}


def test_one_that_cannot_be_read_is_sent_by_no_run_but_a_check(tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match="nothing was installed"):
        run(tmp_path / "none.pem", "server-key.pem")
    assert run(tmp_path / "none.pem", "server-key.pem", check=True)[1]["files"][0]["content"] is None


@pytest.mark.parametrize(("name", "warns"), [("server-key.pem", True), ("server-cert.pem", False)])
def test_a_key_that_may_stay_in_a_file_is_warned_of(key: Path, name: str, warns: bool) -> None:
    words = str(run(key, name, pipelined=False)[0].get("warnings"))
    assert ("the key of this host's certificate went to kvm1 in a file" in words) == warns


def test_a_run_that_was_killed_is_about_no_domain(key: Path) -> None:
    killed = {"failed": True, "rc": SIGKILL, "msg": "MODULE FAILURE", "module_stdout": ""}
    assert run(key, "server-key.pem", answers=killed)[0] == killed
