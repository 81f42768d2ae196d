# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy that sends only what differs: when it is chosen, what it consists of, and that it leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import abilities, graph
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Compared, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan import listen, protect
from ansible_collections.lockstep.colo.plugins.module_utils.plan.parts import undo
from ansible_collections.lockstep.colo.plugins.module_utils.plan.plan import Plan
from ansible_collections.lockstep.colo.plugins.module_utils.plan.step import Step
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import CHANGED, FULL
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import resync
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils import rules
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.pair_plans import (
    LISTENING,
    STATES,
    commands,
    without_pause,
)
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import WANTED, recorded

COMPARING = replace(WANTED, resync=CHANGED)
TARGETS = [disk.target for disk in WANTED.disks]
PORT = resync.port(LISTENING.record)
OLD = 900 << 20  # bytes of an image that a host had before


def with_images(seen: Observation, allocated: int | None = OLD) -> Observation:
    return replace(seen, images={path: replace(one, allocated=allocated) for path, one in seen.images.items()})


def telling(seen: Observation) -> Observation:
    """A standby with old images, whose host says what is in them."""
    return with_images(replace(seen, host=replace(seen.host, ports=(*seen.host.ports, PORT))))


def primary(seen: Observation) -> Plan:
    if abilities.pauses(abilities.running(seen)):
        return protect.primary(COMPARING, seen, telling(LISTENING))
    standby = "incomplete-secondary" if seen.monitor.migration.status == "colo" else "listening-secondary"
    return protect.primary(COMPARING, seen, telling(without_pause(standby)))


def of(plan: Plan, name: str) -> list[Step]:
    return [step for step in plan.steps if name in (step.action, step.arguments.get("command"))]


def mirrors(plan: Plan) -> list[dict]:
    return [step.arguments["arguments"] for step in of(plan, "blockdev-mirror")]


def copies(seen: Observation) -> list[str]:
    return [name for name in seen.monitor.nodes if name.endswith("-copy")]


def secondary(wanted: object, seen: Observation) -> Plan:
    return listen.secondary(wanted, seen, recorded("described-primary"))


@pytest.mark.parametrize("seen", [recorded("described-primary"), without_pause("described-primary")])
def test_each_disk_is_compared_and_what_differs_copied(seen: Observation) -> None:
    plan = primary(seen)
    assert [step.arguments["target"] for step in of(plan, "begin_sieve")] == TARGETS
    assert [mirror["target"] for mirror in mirrors(plan)] == [graph.copy(target) for target in TARGETS]
    assert {mirror["sync"] for mirror in mirrors(plan)} == {"full"}, "what QEMU copies is everything"
    assert {mirror["granularity"] for mirror in mirrors(plan)} == {65536}, "else a whole cluster never comes at once"
    found = commands(plan)
    assert found.index("begin_sieve") < found.index("blockdev-mirror")
    for step in of(plan, "begin_sieve"):
        arguments = step.arguments
        assert arguments["sums"] == PORT
        assert arguments["size"] == next(d.virtual_size for d in seen.record.disks if d.target == arguments["target"])


@pytest.mark.parametrize("seen", [recorded("described-primary"), without_pause("described-primary")])
def test_qemu_does_not_begin_by_making_a_hole_of_all_that_the_standby_has(seen: Observation) -> None:
    """As it does where a mirror's target can unmap: block/mirror.c, mirror_dirty_init."""
    layers = [step.arguments["arguments"] for step in of(primary(seen), "blockdev-add")]
    found = [layer for layer in layers if layer["node-name"] in map(graph.copy, TARGETS)]
    assert len(found) == len(TARGETS)
    for layer in found:
        assert layer["server"]["type"] == "unix"
        assert not {"discard", "detect-zeroes"} & set(layer)


@pytest.mark.parametrize("name", STATES)
def test_from_every_half_way_state_one_run_reaches_lockstep_and_leaves_no_copy(name: str) -> None:
    seen = rules.settle(recorded(name), primary)
    assert seen.monitor.migration.status == "colo"
    assert not copies(seen)


@pytest.mark.parametrize("begin", [recorded("described-primary"), without_pause("described-primary")])
def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(begin: Observation) -> None:
    for left in rules.walk(begin, primary(begin).steps):
        if left.monitor.migration.status != "device":
            seen = rules.settle(left, primary)
            assert seen.monitor.migration.status == "colo"
            assert not copies(seen)


def test_a_copy_that_is_given_up_ends_its_processes_once_qemu_lets_go_of_them() -> None:
    """A process that is stuck keeps QEMU's job, whatever QEMU is told (SIGSTOP, our measurement with 10.0)."""
    begin = recorded("described-primary")
    for left in rules.walk(begin, primary(begin).steps):
        if any(job.status == "running" for job in left.monitor.jobs.values()):
            found = commands(undo.undo(left))
            break
    assert found.index("yank") < found.index("end_sieve") < found.index("wait")
    assert "end_sieve" not in commands(undo.undo(recorded("syncing-primary")))


@pytest.mark.parametrize(
    ("wanted", "standby"),
    [
        (replace(WANTED, resync=FULL), telling(LISTENING)),
        (WANTED, telling(LISTENING)),
        (COMPARING, with_images(LISTENING)),
        (COMPARING, with_images(telling(LISTENING), 196 << 10)),
        (COMPARING, with_images(telling(LISTENING), None)),
    ],
    ids=["full", "default", "nobody to ask", "empty image", "unknown image"],
)
def test_otherwise_everything_is_copied(wanted: object, standby: Observation) -> None:
    seen = recorded("described-primary")
    plan = protect.primary(wanted, seen, standby)
    assert not of(plan, "begin_sieve")
    assert [mirror["target"] for mirror in mirrors(plan)] == [graph.nbd(target) for target in TARGETS]
    assert plan.steps == protect.primary(WANTED, seen, LISTENING).steps


def test_what_was_compared_before_is_not_said_of_a_full_copy() -> None:
    seen = replace(recorded("described-primary"), compared={"vda": Compared("", 1, 1, 1, 0)})
    assert [step.arguments["target"] for step in of(protect.primary(WANTED, seen, LISTENING), "forget_compared")] == [
        "vda"
    ]
    assert not of(primary(seen), "forget_compared")


def test_one_disk_may_be_compared_and_another_not() -> None:
    record = LISTENING.record
    standby, empty = telling(LISTENING), record.disks[1].path
    standby = replace(standby, images={**standby.images, empty: replace(standby.images[empty], allocated=0)})
    plan = protect.primary(COMPARING, recorded("described-primary"), standby)
    assert [mirror["target"] for mirror in mirrors(plan)] == [graph.copy(TARGETS[0]), graph.nbd(TARGETS[1])]


@pytest.mark.parametrize("name", ["described-secondary", "listening-secondary"])
def test_a_standby_with_old_images_has_its_host_say_what_is_in_them(name: str) -> None:
    seen = with_images(recorded(name))
    plan = secondary(COMPARING, seen)
    (step,) = of(plan, "begin_sums")
    assert step.arguments["port"] == PORT
    assert step.arguments["peer"] == seen.record.peer.address
    assert step.arguments["images"] == {
        disk.target: {"path": disk.path, "format": disk.format} for disk in seen.record.disks
    }
    assert plan.steps[-1] is step, "then the standby listens, and its QEMU is there to end with"
    assert not of(secondary(WANTED, seen), "begin_sums")
    assert not of(secondary(COMPARING, with_images(seen, 0)), "begin_sums")


def test_a_standby_that_was_there_before_is_started_anew_unless_a_copy_is_under_way() -> None:
    """What a copy that failed has sent may reach that QEMU after its disks were compared."""
    seen = telling(recorded("listening-secondary"))
    found = commands(secondary(COMPARING, seen))
    assert found[0] == "destroy"
    assert found.index("start_paused") < found.index("begin_sums")
    assert not listen.secondary(COMPARING, seen, recorded("syncing-primary")).changes


def test_a_standby_that_has_ended_says_nothing_any_more() -> None:
    seen = telling(recorded("listening-secondary"))
    (ended,) = list(rules.walk(seen, [Step("", "destroy")]))[1:]
    assert not ended.host.ports
