# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the control node refuses to make a certificate for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.lockstep.colo.plugins.action import colo_certificate


def run(home: Path, **arguments: Any) -> dict[str, Any]:
    task = SimpleNamespace(
        action="lockstep.colo.colo_certificate",
        args={"directory": str(home), "host": "kvm1", "address": "10.0.0.1", **arguments},
        check_mode=False,
        async_val=0,
        environment=None,
        diff=False,
        delegate_to=None,
    )
    action = colo_certificate.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    return action.run(task_vars={})


@pytest.mark.parametrize("days", [-1, 0, 36501, 10**7, 10**10])
def test_a_time_that_no_certificate_can_be_in_force_for_is_refused(tmp_path: Path, days: int) -> None:
    with pytest.raises(AnsibleActionFail, match=f"colo_pki_days is {days}, and has to be from 1 to 36500"):
        run(tmp_path / "pki", days=days)
    assert not (tmp_path / "pki").exists()


@pytest.mark.parametrize("days", [-(10**10), -1, 10**10])
def test_a_time_before_the_end_that_cannot_be_is_refused(tmp_path: Path, days: int) -> None:
    with pytest.raises(AnsibleActionFail, match=f"renew_before is {days}, and has to be from 0 to 36500"):
        run(tmp_path / "pki", renew_before=days)


def test_what_can_be_is_made(tmp_path: Path) -> None:
    assert run(tmp_path / "pki", days=36500, renew_before=36500)["changed"]
