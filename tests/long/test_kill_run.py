# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is killed leaves nothing at work: Ansible's workers, each in a session of its own, go with it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / part) for part in ("lab", "integration")]

from colo_bed import kill_run  # noqa: E402

WORKER = "setsid sh -c 'sleep 60 & echo $!; wait' & echo $!; wait"


def ended(process: str) -> bool:
    """Whether it is gone, or only waits for whoever reaps it."""
    status = Path("/proc", process, "status")
    return not status.exists() or "\nState:\tZ" in status.read_text(encoding="utf-8")


def test_nothing_that_it_has_begun_goes_on() -> None:
    with subprocess.Popen(["sh", "-c", WORKER], stdout=subprocess.PIPE, text=True, start_new_session=True) as run:
        begun = [run.stdout.readline().strip(), run.stdout.readline().strip()]
        assert not any(map(ended, begun))
        kill_run(run)
    deadline = time.monotonic() + 10
    while not all(map(ended, begun)):
        assert time.monotonic() < deadline, begun
        time.sleep(0.05)


def test_of_a_run_that_is_over_nothing_is_killed() -> None:
    with subprocess.Popen(["true"]) as run:
        run.wait()
        kill_run(run)
    assert run.returncode == 0
