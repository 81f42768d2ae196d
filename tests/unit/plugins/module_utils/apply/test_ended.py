# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a guest on a host that is given up: nothing is taken for ended that still runs."""

from __future__ import annotations

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.apply.steps import Apply
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.host import processes
from ansible_collections.lockstep.colo.plugins.module_utils.plan.step import Step


def carry_out(action: str) -> None:
    Apply(None, "web1", 0.0)._carry_out(Step("", action, {"uuid": "u"}, 7.0))


def test_a_qemu_that_is_left_is_no_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "emulators", lambda uuid: (41, 42))
    with pytest.raises(ColoError, match=r"QEMU still runs \(process 41, 42\)"):
        carry_out("see_ended")
    monkeypatch.setattr(processes, "emulators", lambda uuid: ())
    carry_out("see_ended")


def test_it_is_ended_within_the_time_of_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(processes, "end_emulators", lambda *arguments: asked.append(arguments))
    carry_out("end_emulator")
    assert asked == [("u", 7.0)]
