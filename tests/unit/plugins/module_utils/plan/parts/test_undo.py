# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What frees a guest and ends a pair, from every recorded state and from wherever a run may be killed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan.parts import undo
from ansible_collections.lockstep.colo.plugins.module_utils.plan.plan import Plan
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Refusal
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils import rules
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.pair_plans import (
    PROTECTED,
    STATES,
    alone,
    commands,
    live,
    stretch,
    titles,
    without_pause,
)
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded


@pytest.mark.parametrize("name", STATES)
def test_a_guest_is_freed_from_wherever_a_step_fails(name: str) -> None:
    before = recorded("described-primary")
    for left in stretch(recorded(name)):
        assert alone(rules.settle(left, lambda now: undo.rescue_from_entering(before, now)))


@pytest.mark.parametrize("name", [*STATES, *PROTECTED])
def test_undoing_leaves_an_ordinary_domain_from_anywhere_and_killed_anywhere(name: str) -> None:
    def absent(seen: Observation) -> Plan:
        return undo.absent(seen, None)

    for left in rules.walk(recorded(name), absent(recorded(name)).steps):
        assert alone(rules.settle(left, absent))


@pytest.mark.parametrize("name", [*STATES, *PROTECTED])
def test_a_step_of_the_undoing_that_fails_leaves_the_guest_free_all_the_same(name: str) -> None:
    before = recorded(name)
    for left in rules.walk(before, undo.absent(before, None).steps):
        assert alone(rules.settle(left, lambda now: undo.rescue_from_undoing(before, now)))


def test_a_standby_that_cannot_be_ended_has_no_guest_to_be_freed() -> None:
    seen = recorded("protected-secondary")
    assert undo.rescue_from_undoing(seen, seen).steps == ()


def test_without_a_pause_a_guest_is_freed_from_wherever_a_step_fails() -> None:
    before = without_pause("described-primary")
    for left in live():
        assert alone(rules.settle(left, lambda now: undo.rescue_from_entering(before, now)))
        assert alone(rules.settle(left, lambda now: undo.absent(now, None)))


def test_what_frees_the_guest_comes_before_what_cleans_up() -> None:
    plan = undo.absent(recorded("protected-primary"), None)
    serving = next(at for at, step in enumerate(plan.steps) if step.serves)
    before = commands(plan)[: serving + 1]
    order = ["yank", "block-job-cancel", "x-blockdev-change", "x-colo-lost-heartbeat", "wait", "object-del"]
    assert set(before) == set(order)
    assert before[:4] == ["yank", "block-job-cancel"] * 2, "of each of its disks"
    assert before[4:] == sorted(before[4:], key=order.index)
    assert "object-del" not in commands(plan)[serving + 1 :]


def test_a_pair_that_was_in_lockstep_is_never_freed_by_a_rescue() -> None:
    seen = recorded("protected-primary")
    assert undo.rescue_from_entering(seen, seen).steps == ()


def test_a_qemu_that_does_not_answer_is_freed_from_its_connections_first() -> None:
    seen = recorded("protected-primary")
    silent = replace(seen, monitor=None, monitor_problem="QEMU did not answer")
    plan = undo.rescue_from_entering(recorded("described-primary"), silent)
    assert [(step.action, step.pivot) for step in plan.steps] == [("release", True)]
    assert plan.steps[0].arguments["peer"] == "10.77.0.2"
    with pytest.raises(Refusal):
        undo.rescue_from_entering(recorded("described-primary"), replace(silent, peer_sockets=()))


def test_a_standby_in_lockstep_is_not_ended() -> None:
    with pytest.raises(Refusal, match="the standby is in lockstep"):
        undo.absent(recorded("protected-secondary"), recorded("protected-primary"))
    with pytest.raises(Refusal, match="the standby is in lockstep"):
        undo.absent(recorded("protected-secondary"), None)
    assert titles(undo.absent(recorded("protected-secondary"), recorded("described-primary"))) == ["end the standby"]


def test_there_may_be_nothing_to_end() -> None:
    for name in ("unprotected-primary", "unprotected-secondary", "described-secondary", "stale-primary"):
        assert undo.absent(recorded(name), None).steps == ()
    assert not undo.absent(recorded("described-primary"), None).changes


def test_a_copy_that_hangs_ends_with_its_connection() -> None:
    """block-job-cancel does not come back to what the other host never answers."""
    seen = recorded("syncing-primary")
    titled = [title for title in titles(undo.absent(seen, None)) if not title.startswith("remove socket ")]
    order = [
        "cancel colo-vda-sync", "cancel colo-vdb-sync", "end the connections of the copying",
        "reset the connections with 10.77.0.2", "wait for the end of colo-vda-sync",
    ]  # fmt: skip
    at = titled.index(order[0])
    assert titled[at : at + 5] == order
    ended = next(step for step in undo.absent(seen, None).steps if step.title == order[2])
    nodes = {one["node-name"] for one in ended.arguments["arguments"]["instances"]}
    assert nodes == {name for name, node in seen.monitor.nodes.items() if node.driver == "nbd"}


@pytest.mark.parametrize("name", [*STATES, *PROTECTED])
def test_connections_are_reset_once_and_before_anybody_connects_anew(name: str) -> None:
    """QEMU's clients connect again within a second: sockets that are not removed at once would be closed unseen."""
    done = commands(undo.absent(recorded(name), None))
    assert done.count("release") <= 1
    if "chardev-remove" in done:
        at = done.index("release") + 1
        assert done[at : at + done.count("chardev-remove")] == ["chardev-remove"] * done.count("chardev-remove")


def test_a_standby_that_only_writes_to_a_socket_is_told_that_it_ends() -> None:
    """Without a reset QEMU's client of the comparison stayed with the closed one, and the next deploy waited for it."""
    steps = undo.undo(recorded("protected-primary")).steps
    order = [step.arguments.get("command", step.action) for step in steps]
    assert order.index("release") < order.index("chardev-remove")
