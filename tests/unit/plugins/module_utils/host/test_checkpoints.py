# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time

from ansible_collections.lockstep.colo.plugins.module_utils.host.checkpoints import watch
from ansible_collections.lockstep.colo.plugins.module_utils.host.hypervisor import Event
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Checkpoints


class Events:
    """A hypervisor that has collected events already, and collects more."""

    def __init__(self, *collected: str) -> None:
        self.batches = [list(collected)]

    def watch(self, _name: str) -> None:
        pass

    def events(self, _domain: str, _patience: float = 0.0) -> list[Event]:
        return [Event(0.0, name, {}) for name in self.batches.pop(0)] if self.batches else []


def test_the_stop_and_resume_of_the_entry_are_no_checkpoint() -> None:
    assert watch(Events("STOP", "RESUME"), "web1", 0.05, enough=1).count == 0
    later = Events("STOP", "RESUME")
    later.batches += [["STOP"], ["RESUME"]]
    assert watch(later, "web1", 1.0, enough=1).count == 1


def test_the_first_checkpoint_is_waited_for_with_patience() -> None:
    class Slow(Events):
        def events(self, _domain: str, _patience: float = 0.0) -> list[Event]:
            time.sleep(0.02)
            return super().events(_domain)

    def seen(patience: float) -> Checkpoints:
        late = Slow()
        late.batches += [[]] * 5 + [["STOP"], ["RESUME"]] + [["STOP", "RESUME"]] * 50
        return watch(late, "web1", 0.05, patience=patience)

    assert (seen(0).count, seen(60).count) == (0, 1)
    assert seen(60).seconds < 10
    assert watch(Slow(), "web1", 0.05, patience=0.3).seconds >= 0.3
