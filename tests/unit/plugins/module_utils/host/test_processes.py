# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU processes, told by their command lines."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.host import processes

UUID = str(uuid.uuid4())  # of no guest of this machine
LIVES = "import time; time.sleep(60)"


@pytest.fixture
def qemu():
    with subprocess.Popen([sys.executable, "-c", LIVES, "-name", "web1", "-uuid", UUID]) as process:
        # The kernel wakes who started it a moment before /proc has its command line.
        deadline = time.monotonic() + 10
        while not Path(f"/proc/{process.pid}/cmdline").read_bytes() and time.monotonic() < deadline:
            time.sleep(0.001)
        yield process
        process.kill()


def test_a_process_is_found_by_the_uuid_that_it_was_started_with(qemu: subprocess.Popen[bytes]) -> None:
    assert qemu.pid in processes.emulators(UUID)
    assert qemu.pid not in processes.emulators(str(uuid.uuid4()))


def test_one_that_names_the_uuid_otherwise_is_left_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", LIVES, UUID]) as other:
        assert other.pid not in processes.emulators(UUID)
        processes.end_emulators(UUID, 5)
        assert other.poll() is None
        other.kill()


def test_it_has_ended_on_return(qemu: subprocess.Popen[bytes]) -> None:
    processes.end_emulators(UUID, 5)
    assert processes.emulators(UUID) == ()
    assert qemu.wait(1) == -9


def test_a_process_has_open_what_it_opened_until_it_has_ended(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    with (tmp_path / "image").open("w") as image, subprocess.Popen([sys.executable, "-c", LIVES], stdin=image) as other:
        there = processes.Held(-1, f"{other.pid} 1")
        assert processes.has_open(there, image.name)
        assert not any(processes.has_open(there, str(tmp_path / name)) for name in ("other", "none"))
        other.kill()
        other.wait(5)
        assert not processes.has_open(there, image.name)
