# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the plans of colo_pair share: recorded states, and plans in short."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import abilities, graph
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan import protect
from ansible_collections.lockstep.colo.plugins.module_utils.plan.plan import Plan
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils import rules
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import WANTED, recorded

LISTENING = recorded("listening-secondary")
STATES = [
    "described-primary", "stopped-primary", "one-parked-primary", "parked-primary", "parked-with-quorum-primary",
    "half-in-primary", "attached-stopped-primary", "going-on-with-parks-primary", "quorum-in-primary",
    "connected-primary", "syncing-primary", "mirror-ready-primary", "migrating-primary", "pre-switchover-primary",
    "one-concluded-primary", "one-attached-primary", "all-attached-primary", "filters-in-primary",
]  # fmt: skip
PROTECTED = ["protected-primary", "protected-again-primary", "peer-frozen-primary"]


def titles(plan: Plan) -> list[str]:
    return [step.title for step in plan.steps]


def commands(plan: Plan) -> list[str]:
    return [step.arguments.get("command", step.action) for step in plan.steps]


def primary(seen: Observation) -> Plan:
    if abilities.pauses(abilities.running(seen)):
        return protect.primary(WANTED, seen, LISTENING)
    standby = "incomplete-secondary" if seen.monitor.migration.status == "colo" else "listening-secondary"
    return protect.primary(WANTED, seen, without_pause(standby))


def without_pause(name: str) -> Observation:
    """A recording as a QEMU would have it that cannot pause before the entry."""
    seen = recorded(name)
    return replace(seen, monitor=replace(seen.monitor, version="7.2.22"))


def alone(seen: Observation) -> bool:
    """An ordinary domain whose guest runs: nothing of ours is left but a rewriter."""
    monitor = seen.monitor
    return (
        monitor.running
        and not any(map(graph.is_ours, [*monitor.nodes, *monitor.objects, *monitor.chardevs, *monitor.jobs]))
        and all(not graph.is_ours(disk.node) for disk in seen.domain.disks)
        and "x-colo" not in monitor.migration.capabilities
        and monitor.iothreads == ()
        and monitor.migration.status != "colo"
    )


def stretch(seen: Observation) -> list[Observation]:
    """Every place where a run of this plan can be killed."""
    return list(rules.walk(seen, primary(seen).steps))


def live() -> list[Observation]:
    """Every place where its run can be killed; lockstep begins before the last of them."""
    return stretch(without_pause("described-primary"))
