# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plans of colo_failover, from the recorded loss of either host."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain import reading
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import graph, own_node, states
from ansible_collections.lockstep.colo.plugins.module_utils.observation.depth import BRIEF
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan import describe, survive
from ansible_collections.lockstep.colo.plugins.module_utils.plan.parts import undo
from ansible_collections.lockstep.colo.plugins.module_utils.plan.plan import Plan
from ansible_collections.lockstep.colo.plugins.module_utils.plan.step import Step
from ansible_collections.lockstep.colo.plugins.module_utils.plan.survive import Fence, failover
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import PORTS_PER_PAIR
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import pair, remarks
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Refusal
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils import rules
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import WANTED, fenced, heard_just_now
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded as as_it_was

FENCED = fenced("kvm1")
STANDBY, PRIMARY = "protected-secondary", "protected-again-primary"  # both on kvm2; the peer is kvm1
SURVIVORS = [STANDBY, PRIMARY]
PORTS = list(range(21600, 21600 + PORTS_PER_PAIR))
LOST = "degraded-unasked-secondary", "degraded-unasked-primary"


def recorded(name: str) -> Observation:
    return heard_just_now(as_it_was(name))


def plan(seen: Observation) -> Plan:
    return failover(seen, FENCED)


def command(step: Step) -> str:
    return step.arguments.get("command", step.action)


def titles(steps: Plan) -> list[str]:
    return [step.title for step in steps.steps]


@pytest.mark.parametrize("left", ["degraded-unasked-secondary", "powered-off-primary", "unprotected-secondary"])
def test_a_qemu_that_does_not_answer_is_left_to_the_error(left: str) -> None:
    """A rescue that fails by itself would hide what went wrong."""
    assert survive.rescue(recorded(STANDBY), recorded(left)).steps == ()


def test_a_standby_that_has_ended_is_refused_though_the_kernel_still_has_its_connections() -> None:
    seen = recorded("degraded-unasked-secondary")
    assert seen.peer_sockets
    ended = replace(seen, domain=replace(seen.domain, state="shutoff"))
    with pytest.raises(Refusal, match="a secondary that is powered_off cannot fail over"):
        plan(ended)


def test_a_primary_that_was_to_change_sides_goes_on_alone_when_it_loses_its_standby() -> None:
    seen = recorded(PRIMARY)
    giving = replace(seen, domain=replace(seen.domain, record=replace(seen.record, handed_over=True)))
    assert plan(giving).after.record == plan(seen).after.record


def serving(steps: tuple[Step, ...]) -> int:
    found = [at for at, step in enumerate(steps) if step.serves]
    assert len(found) == 1
    return found[0]


def ordinary(seen: Observation) -> bool:
    monitor = seen.monitor
    return (
        seen.record.role == "alone"
        and seen.domain.live_record == seen.record
        and monitor.running
        and monitor.colo == "none"
        and "x-colo" not in monitor.migration.capabilities
        and not any(map(graph.is_ours, [*monitor.nodes, *monitor.objects, *monitor.chardevs, *monitor.jobs]))
        and all(not graph.is_ours(disk.node) for disk in seen.domain.disks)
        and all(nic.tap_up for nic in seen.domain.nics)
        and monitor.iothreads == ()
        and monitor.exports == ()
        and not reading.has_incoming(seen.domain.inactive_xml)
    )


@pytest.mark.parametrize("name", SURVIVORS)
def test_a_guest_is_stopped_only_when_no_migration_will_resume_it(name: str) -> None:
    steps = plan(recorded(name)).steps
    (stop,) = [at for at, step in enumerate(steps) if command(step) == "stop"]
    assert steps[stop - 1].arguments == {"until": "alone"}


@pytest.mark.parametrize("name", SURVIVORS)
def test_nothing_else_begins_from_a_failover_that_was_cut_off(name: str) -> None:
    seen = recorded(name)
    steps = plan(seen).steps
    left = [one for one in rules.walk(seen, steps) if one.record.role == "alone"]
    cut_off = [one for one in left if states.half_taken_over(one)]
    assert cut_off
    for one in cut_off:
        assert pair.phase(one) == "degraded"
        assert "run it again" in " ".join(remarks.problems(one))
        with pytest.raises(Refusal, match="was cut off"):
            undo.absent(one, None)
        with pytest.raises(Refusal, match="was cut off"):
            describe.primary(WANTED, one, recorded("unprotected-secondary"))
    done = rules.settle(seen, plan)
    assert ordinary(done)
    assert not states.half_taken_over(done)
    for one in left:
        if not any(nic.tap_up for nic in one.domain.nics) or any(map(graph.is_ours, one.monitor.objects)):
            assert one in cut_off, "a guest that nobody reaches"


# Who may be promoted


@pytest.mark.parametrize("name", [*SURVIVORS, *LOST])
@pytest.mark.parametrize(
    ("fence", "words"),
    [
        (None, "not proven that kvm1 is down"),
        (Fence("kvm1"), "not proven that kvm1 is down"),
        (fenced("kvm2"), "kvm2 was fenced, and the peer is kvm1"),
    ],
)
def test_nobody_serves_without_the_proof_that_the_peer_is_down(name: str, fence: Fence | None, words: str) -> None:
    with pytest.raises(Refusal, match=words):
        failover(recorded(name), fence)


@pytest.mark.parametrize("name", SURVIVORS)
def test_the_operator_may_take_it_upon_himself(name: str) -> None:
    assert titles(failover(recorded(name), None, unfenced=True)) == titles(plan(recorded(name)))


@pytest.mark.parametrize("unfenced", [False, True])
def test_a_standby_that_has_not_completed_a_checkpoint_is_never_promoted(unfenced: bool) -> None:
    seen = recorded("incomplete-secondary")
    assert pair.phase(seen) == "protected"
    with pytest.raises(Refusal, match="has not completed a checkpoint since its last sync"):
        failover(seen, FENCED, unfenced)


@pytest.mark.parametrize("unfenced", [False, True])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("described-primary", "a primary that is unprotected cannot fail over"),
        ("quorum-in-primary", "a primary that is unprotected cannot fail over"),
        ("powered-off-primary", "a alone that is powered_off cannot fail over"),
        ("stale-primary", "a primary that is powered_off cannot fail over"),
        ("described-secondary", "a secondary that is powered_off cannot fail over"),
        ("started-secondary", "a secondary that is listening cannot fail over"),
        ("listening-secondary", "a secondary that is listening cannot fail over"),
        ("syncing-secondary", "a secondary that is listening cannot fail over"),
    ],
)
def test_other_phases_are_refused_with_those_it_applies_to(name: str, words: str, unfenced: bool) -> None:
    seen = recorded(name)
    with pytest.raises(Refusal, match=words) as raised:
        failover(seen, fenced(seen.record.peer.host), unfenced)
    assert "primary: protected, stalled, degraded, syncing; secondary: protected, stalled, degraded" in str(
        raised.value
    )


@pytest.mark.parametrize("name", ["unprotected-primary", "unprotected-secondary"])
def test_what_is_no_pair_is_refused(name: str) -> None:
    with pytest.raises(Refusal, match=r"not part of a pair|no such domain"):
        plan(recorded(name))


def test_a_primary_that_syncs_may_go_on_alone() -> None:
    seen = recorded("syncing-primary")
    found = failover(seen, fenced("kvm2"))
    assert ordinary(walk_to_the_end(seen, fenced("kvm2")))
    assert "block-job-cancel" in [command(step) for step in found.steps]


# A peer that is gone in silence


@pytest.mark.parametrize("name", LOST)
def test_the_connections_are_reset_before_qemu_is_asked_anything(name: str) -> None:
    seen = recorded(name)
    assert seen.monitor is None
    assert seen.peer_sockets
    found = plan(seen)
    assert [(step.action, step.pivot) for step in found.steps] == [("release", True)]
    assert found.steps[0].arguments == {
        "peer": "10.77.0.1",
        "ports": PORTS,
    }


@pytest.mark.parametrize("name", [STANDBY, PRIMARY, "syncing-primary"])
def test_connections_are_reset_once_nothing_is_left_to_make_new_ones(name: str) -> None:
    seen = recorded(name)
    steps = failover(seen, fenced(seen.record.peer.host)).steps
    *_to_end_a_copy, at = [at for at, step in enumerate(steps) if step.action == "release"]
    *_earlier, then = rules.walk(seen, steps[:at])
    assert not any(map(graph.is_ours, then.monitor.chardevs))
    assert not any(node.driver == "nbd" for node in then.monitor.nodes.values())


@pytest.mark.parametrize("name", SURVIVORS)
def test_they_are_reset_wherever_a_run_goes_on(name: str) -> None:
    """The record of a survivor that was cut off is one of a domain without a peer."""
    seen = recorded(name)
    again = [failover(one, FENCED).steps for one in rules.walk(seen, plan(seen).steps)]
    ports = [step.arguments["ports"] for steps in again for step in steps if step.action == "release"]
    assert len(ports) > 5
    assert all(one == PORTS for one in ports)


def test_a_qemu_that_was_asked_and_does_not_answer_is_not_decided_on() -> None:
    seen = replace(recorded(STANDBY), monitor=None, monitor_problem="QEMU did not answer query-status")
    with pytest.raises(Refusal, match="monitor does not answer: QEMU did not answer query-status"):
        plan(seen)


# The order


@pytest.mark.parametrize("name", SURVIVORS)
def test_the_new_generation_is_durable_before_the_heartbeat_ends(name: str) -> None:
    seen = recorded(name)
    steps = plan(seen).steps
    heartbeat = next(at for at, step in enumerate(steps) if command(step) == "x-colo-lost-heartbeat")
    assert [step.action for step in steps[:2]] == ["mark", "record"]
    assert heartbeat >= 2
    assert steps[0].arguments["marker"].generation == seen.record.generation + 1
    assert steps[0].arguments["marker"].role == "alone"
    assert steps[1].arguments["live"] is True
    *_before, written = rules.walk(seen, steps[:2])
    assert (written.record.role, written.record.generation) == ("alone", seen.record.generation + 1)


@pytest.mark.parametrize("name", SURVIVORS)
def test_one_step_lets_the_guest_serve_and_cleaning_up_comes_after_it(name: str) -> None:
    seen = recorded(name)
    steps = plan(seen).steps
    at = serving(steps)
    *_before, then = rules.walk(seen, steps[: at + 1])
    assert then.monitor.running
    assert then.monitor.colo == "none"
    assert all(nic.tap_up for nic in then.domain.nics)
    assert not any(graph.is_ours(name) for name in then.monitor.objects), "filters would still hold its packets"
    assert {command(step) for step in steps[: at + 1]} <= {
        "mark", "record", "nbd-server-stop", "x-colo-lost-heartbeat", "object-del", "link", "yank", "block-job-cancel",
        "x-blockdev-change", "wait",
    }  # fmt: skip


def test_a_standby_stops_serving_its_disks_before_it_takes_over() -> None:
    found = [command(step) for step in plan(recorded(STANDBY)).steps]
    assert found.index("nbd-server-stop") < found.index("x-colo-lost-heartbeat") < found.index("link")
    assert found.index("announce-self") == found.index("link") + len(recorded(STANDBY).domain.nics)


def test_a_primary_lets_go_of_the_standbys_disk_before_the_heartbeat() -> None:
    found = [command(step) for step in plan(recorded(PRIMARY)).steps]
    order = ["yank", "block-job-cancel", "x-blockdev-change", "x-colo-lost-heartbeat"]
    assert [found.index(name) for name in order] == sorted(found.index(name) for name in order)
    assert "nbd-server-stop" not in found


def test_layers_go_only_when_the_standbys_own_writes_are_merged() -> None:
    steps = plan(recorded(STANDBY)).steps
    merged = next(at for at, step in enumerate(steps) if step.arguments.get("until") == "committed")
    assert steps[merged].arguments["layers"] == {
        "colo-vda-replication": "colo-vda-active",
        "colo-vdb-replication": "colo-vdb-active",
    }
    assert min(at for at, step in enumerate(steps) if command(step) == "blockdev-del") > merged
    removed = [step.arguments["path"] for step in steps if step.action == "remove"]
    assert sorted(removed) == sorted(
        path for disk in recorded(STANDBY).record.disks for path in (disk.active, disk.hidden)
    )
    # Files that no record names any more would be nobody's, and the next standby would refuse to touch them.
    unused = max(at for at, step in enumerate(steps) if command(step) == "blockdev-del")
    forgotten = next(at for at, step in enumerate(steps) if step.action == "define")
    assert all(unused < at < forgotten for at, step in enumerate(steps) if step.action == "remove")


def test_the_rewriters_survive_for_the_connections_that_they_shift() -> None:
    seen = recorded(STANDBY)
    *_before, after = rules.walk(seen, plan(seen).steps)
    assert set(after.monitor.objects) >= {"rewriter-net0", "rewriter-net1"}
    assert set(recorded("failed-over-secondary").monitor.objects) >= {"rewriter-net0", "rewriter-net1"}


# The end, from anywhere


def walk_to_the_end(seen: Observation, fence: Fence | None = FENCED) -> Observation:
    return rules.settle(seen, lambda now: failover(now, fence))


@pytest.mark.parametrize("name", [*SURVIVORS, "protected-primary", "failed-over-secondary", "failed-over-primary"])
def test_a_survivor_ends_as_an_ordinary_domain(name: str) -> None:
    seen = recorded(name)
    assert ordinary(walk_to_the_end(seen, fenced(seen.record.peer.host)))


@pytest.mark.parametrize("name", [STANDBY, PRIMARY])
def test_a_failover_that_is_killed_anywhere_is_finished_by_the_next(name: str) -> None:
    steps = plan(recorded(name)).steps
    for at, left in enumerate(rules.walk(recorded(name), steps)):
        again = walk_to_the_end(left)
        assert ordinary(again), f"killed before {[step.title for step in steps[at:]][:1]}"
        assert again.record.generation == recorded(name).record.generation + 1


@pytest.mark.parametrize("name", SURVIVORS)
def test_once_written_down_no_fence_is_asked_for_again(name: str) -> None:
    *_before, left = rules.walk(recorded(name), plan(recorded(name)).steps[:2])
    assert failover(left, None).steps


@pytest.mark.parametrize("name", ["failed-over-secondary", "failed-over-primary"])
def test_a_survivor_that_is_done_is_left_alone(name: str) -> None:
    assert failover(recorded(name), None).steps == ()


@pytest.mark.parametrize("name", SURVIVORS)
def test_what_should_follow_needs_nothing_more(name: str) -> None:
    after = plan(recorded(name)).after
    assert pair.phase(after) == "failed_over"
    assert after.record.generation == recorded(name).record.generation + 1


@pytest.mark.parametrize("name", [STANDBY, PRIMARY])
def test_a_guest_is_freed_from_wherever_cleaning_up_fails(name: str) -> None:
    steps = plan(recorded(name)).steps
    at = serving(steps)
    for count, left in enumerate(rules.walk(recorded(name), steps)):
        if any(
            graph.hidden(target) in left.monitor.nodes and graph.quorum(target) not in left.monitor.nodes
            for target in rules.attached_to(left)
        ):
            continue  # while the layers go, a rescue cannot attach the disk below them; the next run takes them away
        rescue = survive.rescue(recorded(name), left)
        *_before, freed = rules.walk(left, rescue.steps)
        if count > at:
            assert freed.monitor.running
        assert not any(node == graph.park(target) for target, node in rules.attached_to(freed).items())
        assert ordinary(walk_to_the_end(freed))


def test_a_commit_at_work_does_not_hide_which_node_is_the_disks() -> None:
    seen = recorded(STANDBY)
    for disk in states.replicated(seen):
        assert own_node.libvirt_node(seen.monitor, disk).startswith("libvirt-")


@pytest.mark.parametrize("name", SURVIVORS)
def test_every_survivor_tells_where_its_guest_is_and_looks_whether_that_leaves_the_host(name: str) -> None:
    seen = recorded(name)
    steps = plan(seen).steps
    (told,) = [at for at, step in enumerate(steps) if command(step) == "announce-self"]
    assert told > serving(steps)
    assert steps[told + 1].action == "see_announced"
    assert steps[told + 1].arguments == {"taps": {nic.mac: nic.tap for nic in seen.domain.nics}}
    assert not steps[told + 1].changes


@pytest.mark.parametrize("name", ["protected-again-primary", "protected-secondary"])
def test_the_record_is_written_once_more_at_the_end_for_there_may_have_been_no_room_for_it(name: str) -> None:
    seen = heard_just_now(recorded(name))
    steps = failover(seen, fenced(seen.record.peer.host)).steps
    writes = [step for step in steps if step.action in ("record", "define")]
    assert writes[0].arguments["marked"]
    assert [step.action for step in writes[1:]] == ["define", "record"]


@pytest.mark.parametrize("name", [PRIMARY, "protected-primary"])
def test_a_primary_that_was_kept_in_view_is_free_first_and_looked_at_again_afterwards(name: str) -> None:
    seen = replace(recorded(name), depth=BRIEF)
    fence = fenced(seen.record.peer.host)
    steps = failover(seen, fence).steps
    assert [step.pivot for step in steps] == [*[False] * (len(steps) - 1), True]
    assert not [step.title for step in steps[: serving(steps)] if "layer" in step.title or "socket" in step.title]
