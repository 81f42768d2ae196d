# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest that stands still because a write to its disk failed: it is resumed by hand, and nothing else is done."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan import protect
from ansible_collections.lockstep.colo.plugins.module_utils.plan.parts import undo
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import remarks
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Refusal
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import WANTED, recorded

LISTENING = recorded("listening-secondary")


def stopped(name: str) -> Observation:
    seen = recorded(name)
    monitor = replace(seen.monitor, status="io-error", running=False)
    return replace(seen, domain=replace(seen.domain, state="paused"), monitor=monitor)


@pytest.mark.parametrize("name", ["described-primary", "syncing-primary", "mirror-ready-primary"])
def test_it_is_not_taken_into_lockstep(name: str) -> None:
    with pytest.raises(Refusal, match=r"a write of the guest to a disk failed, which stopped it.*virsh resume"):
        protect.primary(WANTED, stopped(name), LISTENING)


@pytest.mark.parametrize("name", ["syncing-primary", "mirror-ready-primary"])
def test_what_is_taken_from_it_leaves_it_as_its_disk_left_it(name: str) -> None:
    plan = undo.undo(stopped(name))
    assert not [step for step in plan.steps if step.arguments.get("command") in ("stop", "cont")]
    assert not any(name.startswith("colo-") for name in plan.after.monitor.nodes)


def test_status_says_so_and_what_to_do() -> None:
    assert [words for words in remarks.problems(stopped("described-primary")) if "virsh resume" in words]
    assert not [words for words in remarks.problems(recorded("described-primary")) if "virsh resume" in words]
