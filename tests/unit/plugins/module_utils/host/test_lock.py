# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import multiprocessing
import signal
import time
from multiprocessing.synchronize import Event

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.host import lock, until_reboot


def hold(held: Event) -> None:
    with lock.lock("web1", "the first", 0):
        held.set()
        time.sleep(60)


@pytest.fixture
def other_run(tmp_path, monkeypatch):
    """Another process that works on web1."""
    monkeypatch.setattr(until_reboot, "RUN_DIRECTORY", str(tmp_path))
    fork = multiprocessing.get_context("fork")
    held = fork.Event()
    process = fork.Process(target=hold, args=(held,), daemon=True)
    process.start()
    assert held.wait(10)
    yield process
    process.kill()
    process.join()


def test_a_second_run_is_refused_with_the_name_of_the_first(other_run) -> None:
    with pytest.raises(ColoError, match="another run works on this domain: the first"), lock.lock("web1", "me", 0.2):
        pytest.fail("two runs at once")
    with lock.lock("web2", "me", 0):
        pass  # another domain


def test_the_lock_goes_with_its_holder(other_run) -> None:
    other_run.kill()
    with lock.lock("web1", "me", 10) as ended:
        assert ended is None


def test_what_is_urgent_ends_the_other_run_and_says_whose_it_was(other_run) -> None:
    with lock.lock("web1", "me", 10, end_other=True) as ended:
        assert ended == "the first"
    other_run.join(10)
    assert other_run.exitcode == -signal.SIGKILL
