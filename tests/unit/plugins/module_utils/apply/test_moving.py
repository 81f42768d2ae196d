# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.apply.moving import STILL, Moving
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError


def test_a_copy_that_stands_still_is_said_with_its_likely_cause() -> None:
    moving = Moving()
    for second in range(100):  # each byte counts
        moving.see(f"{second} of 100 bytes", float(second))
    moving.see("99 of 100 bytes", 99.0 + STILL - 0.1)
    with pytest.raises(ColoError, match=r"stands still for 20 s \(99 of 100 bytes\)") as raised:
        moving.see("99 of 100 bytes", 99.0 + STILL)
    assert "same MTU" in str(raised.value)


def test_a_copy_that_may_not_go_faster_is_not_said_to_stand_still() -> None:
    """With 64 KiB/s QEMU moves 16 MiB at a time, and then nothing for over four minutes (our measurement, 10.0.13)."""
    moving, speed = Moving(), 65536
    moving.see("16 of 256 MiB", 0.0, speed)
    moving.see("16 of 256 MiB", 275.0, speed)
    with pytest.raises(ColoError, match="stands still for 276 s"):
        moving.see("16 of 256 MiB", 276.0, speed)
