# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model against recordings of a real QEMU: carried out on it, the plan passes through the states that were seen."""

from __future__ import annotations

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import graph, states
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan import listen, protect, survive
from ansible_collections.lockstep.colo.plugins.module_utils.plan.step import qmp
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils import model
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import (
    STANDBY_STEPS,
    SWITCH_STEPS,
    SYNC_STEPS,
    WANTED,
    fenced,
    heard_just_now,
    recorded,
)

# The model knows no memory that is on its way.
PRIMARY = {title: name for title, name in {**SYNC_STEPS, **SWITCH_STEPS}.items() if name != "migrating-primary"}


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
        seen = model.after(seen, step)
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
    *_before, last = model.walk(started, plan.steps)
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
    *_before, last = model.walk(recorded(before), plan.steps)
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
def test_the_model_refuses_what_harms(name: str, step: object, words: str) -> None:
    with pytest.raises(model.Broken, match=words):
        model.after(recorded(name), step)
