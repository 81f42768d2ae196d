# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a standby's log says, by what QEMU 10.0.13 wrote on the lab.

A connection for the disks was reset, and made anew; then it was cut for good, and 5 s later the primary's QEMU ended.
"""

from __future__ import annotations

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import received
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep.received import LOCKSTEP, Log
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import FIXTURES

LINES = (FIXTURES / "standby.log").read_text(encoding="utf-8").partition(LOCKSTEP)[2].splitlines(keepends=True)
RESET, CUT = 1795689008.170024, 1795689027.902190
ANEW = pytest.approx(1795689008.174408 - RESET)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (1, Log()),
        (2, Log(ended=(RESET,))),
        (3, Log(away=ANEW)),
        (4, Log(away=ANEW, ended=(CUT,))),
        (len(LINES), Log(away=ANEW, ended=(CUT,))),
    ],
    ids=["nothing yet", "reset", "made anew", "cut", "and lost"],
)
def test_connections_that_end_and_are_made_anew(lines: int, found: Log) -> None:
    assert received.read("".join(LINES[:lines])) == found


def test_of_two_disks_one_is_made_anew() -> None:
    ended, anew = LINES[1], LINES[2]
    assert received.read(ended + ended + anew) == Log(away=ANEW, ended=(RESET,))
    assert received.read(anew + ended + anew) == Log(away=ANEW), "one that connects first makes nothing anew"


def test_the_longest_absence_counts() -> None:
    late = LINES[2].replace("1795689008", "1795689011")
    assert received.read(LINES[1] + late + LINES[1] + LINES[2]).away == pytest.approx(3.004384)


def test_a_write_that_failed_is_told_with_its_reason() -> None:
    """By QEMU 7.2.22, of an export on a device without room; later ones name the event otherwise."""
    logged = (FIXTURES / "standby-7.2.log").read_text(encoding="utf-8")
    assert received.read(logged) == Log(failed="ENOSPC")
    assert received.read(logged.replace("structured_error", "chunk_error")) == Log(failed="ENOSPC")
    assert received.read(logged.partition("\n")[0]) == Log()


def test_an_error_of_the_disk_is_told_from_a_request_that_cannot_be_met() -> None:
    logged = (FIXTURES / "standby-7.2.log").read_text(encoding="utf-8")
    assert received.disk_failed(logged) == "ENOSPC"
    assert received.disk_failed(logged.replace("28 (ENOSPC)", "95 (ENOTSUP)")) is None
    assert received.disk_failed("") is None
