# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""However a module of Ansible's ends on a host, it brings back no facts, and no word that a terminal obeys."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail, AnsibleActionSkip, AnsibleConnectionFailure, AnsibleError
from ansible_collections.lockstep.colo.plugins.action import colo_builtin

SAID = {"ansible_facts": {"colo_fence_command": ["true"]}, "rc": 1}


def run(error: Exception, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    task = SimpleNamespace(
        action="lockstep.colo.colo_builtin", args={"module": "ansible.builtin.copy"}, check_mode=False, async_val=0,
        environment=None, diff=False, delegate_to=None,
    )  # fmt: skip
    action = colo_builtin.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    copy = MagicMock(run=MagicMock(side_effect=error))
    monkeypatch.setattr(action, "_action_of", lambda *_arguments: copy)
    return action.run(task_vars={})


@pytest.mark.parametrize(
    ("error", "how"),
    [
        (AnsibleActionFail("\x1b[2J", result=SAID), "failed"),
        (AnsibleActionSkip("\x1b[2J", result=SAID), "skipped"),
        (AnsibleError("\x1b[2J"), "failed"),
        (AnsibleConnectionFailure("\x1b[2J"), "unreachable"),
    ],
)
def test_an_error_is_a_result_like_any_other(error: Exception, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(error, monkeypatch)
    assert [key for key in ("failed", "skipped", "unreachable") if found.get(key)] == [how]
    assert "\ufffd[2J" in found["msg"]
    assert "\x1b" not in str(found)
    assert "ansible_facts" not in found


def test_what_its_action_does_not_understand_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AnsibleActionFail, match="was answered what it does not understand: KeyError"):
        run(KeyError("stat"), monkeypatch)
