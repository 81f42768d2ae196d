# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The effects against recordings of a real QEMU: by them a plan passes through the states that were seen."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.apply.steps import Apply
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import graph, states
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan import (
    effects,
    effects_in_qemu,
    listen,
    protect,
    survive,
)
from ansible_collections.lockstep.colo.plugins.module_utils.plan.plan import Plan
from ansible_collections.lockstep.colo.plugins.module_utils.plan.step import qmp
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils import rules
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import (
    ENTRY_STEPS,
    STANDBY_STEPS,
    SYNC_STEPS,
    WANTED,
    fenced,
    heard_just_now,
    recorded,
)

# No effect is memory that is on its way.
PRIMARY = {title: name for title, name in {**SYNC_STEPS, **ENTRY_STEPS}.items() if name != "migrating-primary"}


def outline(seen: Observation) -> dict[str, object]:
    """What plans decide on, of what is ours."""
    monitor = seen.monitor
    ours = {name: node for name, node in monitor.nodes.items() if graph.is_ours(name)}
    return {
        "drives": {disk.target: disk.node for disk in states.replicated(seen)},
        "running": monitor.running,
        "nodes": {name: node.driver for name, node in ours.items()},
        "children": {
            name: set(node.children.values()) for name, node in ours.items() if node.driver in ("quorum", "replication")
        },
        "jobs": {name: job.status for name, job in monitor.jobs.items()},
        "objects": {name for name in monitor.objects if graph.is_ours(name) or name.startswith("rewriter")},
        "chardevs": {name for name in monitor.chardevs if graph.is_ours(name)},
        "migration": monitor.migration.status,
        "exports": set(monitor.exports),
    }


def passed(seen: Observation, steps: tuple, names: dict[str, str]) -> dict[str, Observation]:
    left = dict(names)
    found = {}
    for step in steps:
        seen = rules.after(seen, step)
        if step.title in left:
            found[left.pop(step.title)] = seen
    assert not left
    return found


def test_the_primarys_plan_passes_through_what_was_recorded() -> None:
    plan = protect.primary(WANTED, recorded("described-primary"), recorded("listening-secondary"))
    for name, seen in passed(recorded("described-primary"), plan.steps, PRIMARY).items():
        assert outline(seen) == outline(recorded(name)), name


def test_the_standbys_plan_passes_through_what_was_recorded() -> None:
    started = recorded("started-secondary")
    plan = listen.secondary(WANTED, started, recorded("described-primary"))
    for name, seen in passed(started, plan.steps, STANDBY_STEPS).items():
        assert outline(seen) == outline(recorded(name)), name
    *_before, last = rules.walk(started, plan.steps)
    assert outline(last) == outline(recorded("listening-secondary"))


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        ("protected-secondary", "failed-over-secondary", "kvm1"),
        ("protected-again-primary", "failed-over-primary", "kvm1"),
    ],
)
def test_a_failover_ends_where_a_real_one_did(before: str, after: str, lost: str) -> None:
    plan = survive.failover(heard_just_now(recorded(before)), fenced(lost))
    *_before, last = rules.walk(recorded(before), plan.steps)
    expected = outline(recorded(after))
    assert {**outline(last), "migration": expected["migration"]} == expected


@pytest.mark.parametrize(
    ("name", "step", "words"),
    [
        ("parked-primary", qmp("", "cont"), "would run on park nodes: .'vda', 'vdb'."),
        ("one-parked-primary", qmp("", "cont"), "would run on park nodes: .'vda'."),
        ("quorum-in-primary", qmp("", "blockdev-del", {"node-name": "colo-vda"}), "the guest's device is on colo-vda"),
        ("protected-primary", qmp("", "blockdev-del", {"node-name": "colo-vda-nbd"}), "is used by"),
        ("protected-primary", qmp("", "cont"), "does not help in lockstep"),
        ("protected-primary", qmp("", "object-add", {"id": "colo-net0-compare"}), "is there"),
        ("protected-primary", qmp("", "chardev-remove", {"id": "colo-net0-mirror"}), "is used by"),
        ("syncing-primary", qmp("", "migrate"), "ordinary migration"),
        ("syncing-primary", qmp("", "block-job-cancel", {"device": "colo-vda-sync"}), "not whole"),
    ],
)
def test_the_rules_refuse_what_harms(name: str, step: object, words: str) -> None:
    with pytest.raises(rules.Broken, match=words):
        rules.after(recorded(name), step)


def test_what_a_standby_held_goes_with_it() -> None:
    standby = recorded("protected-secondary")
    ours = {channel.port for channel in standby.record.channels()}
    other = max(ours) + 1000
    held = replace(
        standby,
        host=replace(standby.host, ports=(*standby.host.ports, *ours, other)),
        domain=replace(standby.domain, deleted=(standby.record.disks[0].active,)),
    )
    after = effects.ended(held)
    assert held.removed_images
    assert held.peer_sockets
    assert any(image.in_use for image in held.images.values())
    assert not after.removed_images
    assert not after.peer_sockets
    assert not any(image.in_use for image in after.images.values())
    assert other in after.host.ports
    assert not ours & set(after.host.ports)
    assert not after.domain.active
    assert after.monitor is None
    assert after.domain.live_xml is None
    assert after.domain.live_record is None


PLANS = Path(effects.__file__).parent
MAKERS = {"Step": 1, "qmp": 1, "wait": 1}  # functions that make a step, and which argument names what it does
# Methods of apply.steps.Apply that others of it call.
HELPERS = {"carry_out", "ask", "forget_notes", "see_checkpoint", "see_that_no_disk_failed", "settled", "files"}


def planned(maker: str) -> Iterator[str]:
    """Every name with which a plan makes a step by ``maker``, wherever in the plans."""
    for path in PLANS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == maker:
                named = node.args[MAKERS[maker]]
                choices = [named.body, named.orelse] if isinstance(named, ast.IfExp) else [named]
                yield from (one.value for one in choices if isinstance(one, ast.Constant))


def test_every_action_has_a_hand_in_apply_and_an_effect() -> None:
    methods = {name for name in vars(Apply) if name.startswith("_") and not name.startswith(("__", "_until"))}
    hands = {name.removeprefix("_") for name in methods}
    assert set(planned("Step")) | {"qmp", "wait"} == set(effects.ACTIONS)
    assert set(effects.ACTIONS) == hands - HELPERS
    assert hands >= HELPERS


def test_every_command_of_a_plan_has_an_effect() -> None:
    assert set(planned("qmp")) == set(effects_in_qemu.COMMANDS)


def test_every_wait_has_a_hand_in_apply_and_an_effect() -> None:
    hands = {name.removeprefix("_until_") for name in vars(Apply) if name.startswith("_until_")} - {"jobs"}
    assert set(planned("wait")) == set(effects.WAITS)
    assert set(effects.WAITS) == hands | {"checkpoint"}


def test_what_a_plan_comes_to_is_the_fold_of_its_steps() -> None:
    seen = heard_just_now(recorded("protected-secondary"))
    plan = survive.failover(seen, fenced("kvm1"))
    assert plan.after == effects.fold(seen, plan.steps)
    assert plan.after.marker.generation == plan.after.record.generation == seen.generation + 1
    assert Plan((), seen).after is seen


def test_of_a_qemu_that_was_not_asked_nothing_is_known_afterwards() -> None:
    seen = replace(recorded("protected-primary"), monitor=None)
    assert effects.after(seen, qmp("", "cont")).monitor is None
