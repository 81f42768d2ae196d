# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person is told to run next, from recorded halves of a pair."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Heard, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import pair
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.command import CONFIRMED, command
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

LOST = "-e colo_lost=kvm1 -e colo_fence_confirmed=kvm1"
POWER = "Take the power from kvm1, and see that it has none."


def off(seen: Observation, ended_by: str = "crashed") -> Observation:
    return replace(seen, monitor=None, domain=replace(seen.domain, state="shutoff", ended_by=ended_by))


PRIMARY, STANDBY = recorded("protected-primary"), recorded("protected-secondary")
LEFT = replace(STANDBY, heard=Heard("2026-11-28 09:00:00 UTC", 60.0))
SURVIVOR = recorded("failed-over-secondary")


@pytest.mark.parametrize(
    ("one", "other", "fence_tasks", "line", "first"),
    [
        (PRIMARY, STANDBY, CONFIRMED, "", ""),
        (None, SURVIVOR, CONFIRMED, "deploy --limit kvm,web1", ""),
        (None, LEFT, CONFIRMED, f"failover --limit web1 {LOST}", POWER),
        (None, LEFT, "/etc/fence.yml", "failover --limit web1 -e colo_lost=kvm1", ""),
        (off(PRIMARY), STANDBY, CONFIRMED, f"failover --limit web1 {LOST}", ""),
        (off(PRIMARY), STANDBY, "/etc/fence.yml", f"failover --limit web1 {LOST} -e colo_fence_tasks={CONFIRMED}", ""),
        (off(PRIMARY, "shutdown"), off(STANDBY), CONFIRMED, "start --limit web1", ""),
        (off(PRIMARY), None, CONFIRMED, "start --limit web1", "Bring kvm2 back, which may have a newer copy; or, if"),
        (None, off(STANDBY), CONFIRMED, "start --limit web1", "Bring kvm1 back: it has the guest's own copy."),
        (None, None, CONFIRMED, "status --limit web1", ""),
    ],
)
def test_what_is_next_can_be_pasted(
    one: Observation | None, other: Observation | None, fence_tasks: str, line: str, first: str
) -> None:
    next_one = pair.pair(one, other).next
    found = command(next_one, "web1", {"kvm1": one, "kvm2": other}, ["/etc/my pairs.yml"], fence_tasks)
    assert shlex.join(found.words) == (f"ansible-playbook -i '/etc/my pairs.yml' lockstep.colo.{line}" if line else "")
    assert found.first.startswith(first)
    assert bool(found.first) is bool(first)


def test_a_cut_off_failover_is_run_again_for_the_same_lost_host() -> None:
    found = command("failover", "web1", {"kvm1": off(PRIMARY), "kvm2": SURVIVOR}, [], CONFIRMED)
    assert shlex.join(found.words) == f"ansible-playbook lockstep.colo.failover --limit web1 {LOST}"


def test_what_no_playbook_is_called_is_not_pasted() -> None:
    assert command("../evil", "web1", {"kvm1": None, "kvm2": None}, [], CONFIRMED).words == ()
