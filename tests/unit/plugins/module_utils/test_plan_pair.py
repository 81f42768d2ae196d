# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plans of colo_pair, carried out on the model from every recorded state and from wherever a run may be killed."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils import (
    generation,
    graph,
    layers,
    plan_lockstep,
    plan_primary,
    plan_standby,
    plan_undo,
    verdict,
)
from ansible_collections.lockstep.colo.plugins.module_utils.observation import Checkpoints, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.step import Plan, Refusal, Step
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils import model
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import WANTED, recorded

LISTENING = recorded("listening-secondary")
STATES = [
    "described-primary", "stopped-primary", "one-parked-primary", "parked-primary", "parked-with-quorum-primary",
    "half-in-primary", "attached-stopped-primary", "going-on-with-parks-primary", "quorum-in-primary",
    "connected-primary", "syncing-primary", "mirror-ready-primary", "migrating-primary", "pre-switchover-primary",
    "one-concluded-primary", "one-attached-primary", "all-attached-primary", "filters-in-primary",
]  # fmt: skip
PROTECTED = ["protected-primary", "protected-again-primary", "peer-frozen-primary"]
STANDBYS = [
    "described-secondary", "started-secondary", "one-parked-secondary", "parked-secondary", "half-in-secondary",
    "layered-secondary", "exporting-secondary", "listening-secondary",
]  # fmt: skip


def titles(plan: Plan) -> list[str]:
    return [step.title for step in plan.steps]


def commands(plan: Plan) -> list[str]:
    return [step.arguments.get("command", step.action) for step in plan.steps]


def delays(plan: Plan) -> list[int]:
    """The checkpoint delays that it sets."""
    given = [step.arguments["arguments"] for step in plan.steps if step.arguments.get("arguments")]
    return [arguments["x-checkpoint-delay"] for arguments in given if "x-checkpoint-delay" in arguments]


def primary(seen: Observation) -> Plan:
    if generation.pauses(generation.running(seen)):
        return plan_primary.primary(WANTED, seen, LISTENING)
    standby = "incomplete-secondary" if seen.monitor.migration.status == "colo" else "listening-secondary"
    return plan_primary.primary(WANTED, seen, without_pause(standby))


def without_pause(name: str) -> Observation:
    """A recording as a QEMU would have it that cannot pause for the switch."""
    seen = recorded(name)
    return replace(seen, monitor=replace(seen.monitor, version="7.2.22"))


def in_lockstep(seen: Observation) -> bool:
    return (
        seen.monitor.migration.status == "colo"
        and seen.monitor.running
        and all(layers.attached(seen.monitor, disk.target) for disk in seen.record.disks)
        and all(disk.node == graph.quorum(disk.target) for disk in seen.domain.disks)
        and not seen.monitor.jobs
        and all(layers.has(seen.monitor, part) for part in layers.proxy_parts(seen))
        and not any(node.endswith("-copy") for node in seen.monitor.nodes)
        and not any(node.endswith("-park") for node in seen.monitor.nodes)
    )


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
    return list(model.walk(seen, primary(seen).steps))


# The primary


@pytest.mark.parametrize("name", STATES)
def test_from_every_half_way_state_one_run_reaches_lockstep(name: str) -> None:
    assert in_lockstep(model.settle(recorded(name), primary))


@pytest.mark.parametrize("name", STATES)
def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(name: str) -> None:
    for left in stretch(recorded(name)):
        if left.monitor.migration.status not in ("colo", "device"):
            assert in_lockstep(model.settle(left, primary))


@pytest.mark.parametrize("name", STATES)
def test_a_guest_is_freed_from_wherever_a_step_fails(name: str) -> None:
    before = recorded("described-primary")
    for left in stretch(recorded(name)):
        assert alone(model.settle(left, lambda now: plan_undo.rescue(before, now)))


@pytest.mark.parametrize("name", [*STATES, *PROTECTED])
def test_undoing_leaves_an_ordinary_domain_from_anywhere_and_killed_anywhere(name: str) -> None:
    def absent(seen: Observation) -> Plan:
        return plan_undo.absent(seen, None)

    for left in model.walk(recorded(name), absent(recorded(name)).steps):
        assert alone(model.settle(left, absent))


def test_the_whole_way_in_its_order() -> None:
    found = commands(primary(recorded("described-primary")))
    order = [
        "add_iothread", "chardev-add", "wait", "stop", "qom-set", "cont", "reach", "blockdev-mirror",
        "migrate-set-capabilities", "migrate", "block-job-cancel", "x-blockdev-change", "object-add",
        "migrate-continue",
    ]  # fmt: skip
    assert "wait" in found[found.index("blockdev-mirror") : found.index("migrate")], "for the full sync"
    assert [found.index(name) for name in order] == sorted(found.index(name) for name in order)
    assert found[-2:] == ["wait", "migrate-set-parameters"]
    *_before, proof, delay = primary(recorded("described-primary")).steps
    assert proof.arguments["until"] == "checkpoint"
    assert delay.arguments["arguments"] == {"x-checkpoint-delay": 2000}


def test_the_first_checkpoint_comes_soon_since_clients_wait_for_it() -> None:
    assert delays(primary(recorded("described-primary"))) == [plan_lockstep.FIRST_DELAY, 2000]


# The primary whose QEMU cannot pause for the switch


def live() -> list[Observation]:
    """Every place where its run can be killed; lockstep begins before the last of them."""
    return stretch(without_pause("described-primary"))


def test_the_whole_way_without_a_pause_for_the_switch() -> None:
    plan = primary(without_pause("described-primary"))
    found = commands(plan)
    order = ["reach", "blockdev-mirror", "x-blockdev-change", "migrate", "block-job-cancel", "object-add"]
    assert [found.index(name) for name in order] == sorted(found.index(name) for name in order)
    assert "stop" not in found[found.index("reach") :], "the guest runs while its memory is copied"
    assert "migrate-continue" not in found
    assert titles(plan)[-3:] == [
        "have the first checkpoint soon",
        "see a whole checkpoint",
        "checkpoint at least every 2000 ms",
    ]
    assert delays(plan) == [2000, plan_lockstep.FIRST_DELAY, 2000]


def test_without_a_pause_a_run_that_is_killed_anywhere_is_finished_by_the_next() -> None:
    for left in live():
        assert in_lockstep(model.settle(left, primary))
    assert not primary(live()[-1]).changes


def test_without_a_pause_a_guest_is_freed_from_wherever_a_step_fails() -> None:
    before = without_pause("described-primary")
    for left in live():
        assert alone(model.settle(left, lambda now: plan_undo.rescue(before, now)))
        assert alone(model.settle(left, lambda now: plan_undo.absent(now, None)))


def test_a_lockstep_in_which_disks_are_still_copied_is_syncing() -> None:
    begun = [replace(left, peer_sockets=("10.77.0.2:21600",)) for left in live() if left.monitor.colo == "primary"]
    assert {(bool(left.monitor.jobs), verdict.phase(left)) for left in begun} == {
        (True, "syncing"),
        (False, "protected"),
    }


def test_check_mode_does_not_take_a_copy_that_is_to_end_for_one_that_goes_on() -> None:
    assert verdict.phase(primary(recorded("syncing-primary")).after) == "protected"


def test_a_lockstep_with_a_copy_that_is_not_whole_is_begun_again() -> None:
    seen = next(left for left in live() if left.monitor.colo == "primary")
    failed = {"status": "concluded", "error": "Input/output error"}
    jobs = {name: replace(job, **failed) for name, job in seen.monitor.jobs.items()}
    plan = primary(replace(seen, monitor=replace(seen.monitor, jobs=jobs)))
    assert "end the lockstep" in titles(plan)
    assert plan.steps[-1].pivot


def test_the_guest_stands_still_once_for_all_disks() -> None:
    plan = primary(recorded("described-primary"))
    assert commands(plan).count("stop") == commands(plan).count("cont") == 1
    inside = plan.steps[commands(plan).index("stop") + 1 : commands(plan).index("cont")]
    assert {step.arguments["command"] for step in inside} == {"qom-set", "blockdev-add"}
    assert len([step for step in inside if step.arguments["command"] == "qom-set"]) == 4


def test_nothing_is_made_twice() -> None:
    for name in ("quorum-in-primary", "mirror-ready-primary"):
        assert "stop" not in commands(primary(recorded(name))), name
    assert "blockdev-mirror" not in commands(primary(recorded("mirror-ready-primary")))
    assert "migrate" not in commands(primary(recorded("pre-switchover-primary")))


def test_a_sync_at_work_is_only_waited_for() -> None:
    plan = primary(recorded("syncing-primary"))
    assert plan.steps[0].arguments["until"] == "ready"
    assert plan.steps[0].arguments["jobs"] == ["colo-vda-sync", "colo-vdb-sync"]


def test_the_speed_of_the_sync_is_as_wanted() -> None:
    def mirrors(speed: int) -> list[Step]:
        plan = plan_primary.primary(replace(WANTED, sync_speed=speed), recorded("described-primary"), LISTENING)
        return [step for step in plan.steps if step.arguments.get("command") == "blockdev-mirror"]

    assert [step.arguments["arguments"]["speed"] for step in mirrors(1 << 20)] == [1 << 20] * 2
    assert all("speed" not in step.arguments["arguments"] for step in mirrors(0))
    assert all(step.arguments["arguments"]["auto-dismiss"] is False for step in mirrors(0))


@pytest.mark.parametrize("again", ["", "-again"])
def test_a_protected_pair_is_only_looked_at(again: str) -> None:
    seen, peer = recorded(f"protected{again}-primary"), recorded(f"protected{again}-secondary")
    plan = plan_primary.primary(WANTED, seen, peer)
    assert not plan.changes
    assert titles(plan) == ["see a whole checkpoint"]
    assert plan_standby.secondary(WANTED, peer, seen).steps == ()


def test_what_should_follow_needs_nothing_more() -> None:
    plan = primary(recorded("described-primary"))
    peer = plan_standby.secondary(WANTED, recorded("protected-secondary"), plan.after).after
    assert not plan_primary.primary(WANTED, plan.after, peer).changes


def test_a_checkpoint_delay_that_drifted_is_set_again_and_nothing_else() -> None:
    seen = recorded("protected-primary")
    drifted = replace(
        seen, monitor=replace(seen.monitor, migration=replace(seen.monitor.migration, checkpoint_delay=1))
    )
    plan = plan_primary.primary(WANTED, drifted, recorded("protected-secondary"))
    assert commands(plan) == ["migrate-set-parameters", "wait"]


def test_after_a_failover_the_filters_go_before_the_rewriters_that_stayed() -> None:
    plan = plan_primary.primary(WANTED, recorded("described-again-primary"), listening_again())
    filters = [
        step.arguments["arguments"]
        for step in plan.steps
        if step.arguments.get("command") == "object-add" and "filter" in step.arguments["arguments"]["qom-type"]
    ]
    assert {item["position"] for item in filters} == {"id=rewriter-net0", "id=rewriter-net1"}
    assert in_lockstep(
        model.settle(
            recorded("described-again-primary"), lambda seen: plan_primary.primary(WANTED, seen, listening_again())
        )
    )
    assert set(recorded("protected-again-primary").monitor.objects) >= {"rewriter-net0", "rewriter-net1"}


def listening_again() -> Observation:
    """The listening standby, as it would be after a change of sides."""
    return replace(
        LISTENING,
        host=recorded("described-again-secondary").host,
        domain=replace(LISTENING.domain, record=recorded("described-again-secondary").record),
    )


@pytest.mark.parametrize(
    "peer", ["described-secondary", "started-secondary", "layered-secondary", "exporting-secondary"]
)
def test_nothing_begins_before_the_standby_listens(peer: str) -> None:
    with pytest.raises(Refusal, match="no standby listens on kvm2"):
        plan_primary.primary(WANTED, recorded("described-primary"), recorded(peer))


def test_what_does_not_belong_together_is_refused() -> None:
    described = recorded("described-primary")
    with pytest.raises(Refusal, match="Run colo_disk with role primary first"):
        primary(recorded("unprotected-primary"))
    with pytest.raises(Refusal, match="is the secondary of its pair, not the primary"):
        primary(LISTENING)
    with pytest.raises(Refusal, match="has no record of this pair"):
        plan_primary.primary(WANTED, described, recorded("unprotected-secondary"))
    with pytest.raises(Refusal, match="the records differ: generation"):
        plan_primary.primary(WANTED, described, listening_again())
    silent = replace(described, monitor=None, monitor_problem="QEMU did not answer")
    with pytest.raises(Refusal, match="monitor does not answer: QEMU did not answer"):
        primary(silent)


def test_a_port_in_use_is_refused_until_it_is_ours() -> None:
    def taken(name: str) -> Observation:
        seen = recorded(name)
        port = next(channel.port for channel in seen.record.channels() if channel.listener == "primary")
        return replace(seen, host=replace(seen.host, ports=(port,)))

    with pytest.raises(Refusal, match="for the mirror channel, is in use on kvm1"):
        primary(taken("described-primary"))
    assert primary(taken("quorum-in-primary")).steps


# What frees the guest


def test_what_frees_the_guest_comes_before_what_cleans_up() -> None:
    plan = plan_undo.absent(recorded("protected-primary"), None)
    serving = next(at for at, step in enumerate(plan.steps) if step.serves)
    before = commands(plan)[: serving + 1]
    assert set(before) == {"x-blockdev-change", "x-colo-lost-heartbeat", "wait", "object-del"}
    assert before == sorted(before, key=["x-blockdev-change", "x-colo-lost-heartbeat", "wait", "object-del"].index)
    assert "object-del" not in commands(plan)[serving + 1 :]


def test_a_pair_that_was_in_lockstep_is_never_freed_by_a_rescue() -> None:
    seen = recorded("protected-primary")
    assert plan_undo.rescue(seen, seen).steps == ()


def test_a_qemu_that_does_not_answer_is_freed_from_its_connections_first() -> None:
    seen = recorded("protected-primary")
    silent = replace(seen, monitor=None, monitor_problem="QEMU did not answer")
    plan = plan_undo.rescue(recorded("described-primary"), silent)
    assert [(step.action, step.pivot) for step in plan.steps] == [("release", True)]
    assert plan.steps[0].arguments["peer"] == "10.77.0.2"
    with pytest.raises(Refusal):
        plan_undo.rescue(recorded("described-primary"), replace(silent, peer_sockets=()))


# The secondary


def started(seen: Observation, step: Step) -> Observation:
    """What a start brings is not for a model to know: the recorded one."""
    if step.action != "start_paused":
        return model.after(seen, step)
    fresh = recorded("started-secondary")
    return replace(fresh, domain=replace(fresh.domain, record=seen.record))


def secondary(seen: Observation) -> Plan:
    return plan_standby.secondary(WANTED, seen, recorded("described-primary"))


def listen(seen: Observation) -> tuple[Observation, list[str]]:
    done = []
    for _round in range(model.MAX_ROUNDS):
        pivoted = False
        for step in secondary(seen).steps:
            seen = started(seen, step)
            done.append(step.action)
            pivoted = step.pivot
            if pivoted:
                break
        if not pivoted:
            return seen, done
    raise AssertionError("no end")


@pytest.mark.parametrize("name", STANDBYS)
def test_from_every_half_way_state_the_standby_comes_to_listen(name: str) -> None:
    seen, done = listen(recorded(name))
    assert plan_primary.primary(WANTED, recorded("described-primary"), seen).steps
    assert secondary(seen).steps == ()
    assert all(nic.tap_up is False for nic in seen.domain.nics), "or its packets would reach the network"
    assert ("destroy" in done) is (name not in ("described-secondary", "started-secondary", "listening-secondary"))


def test_a_standby_that_is_killed_anywhere_is_made_to_listen_by_the_next_run() -> None:
    for left in model.walk(recorded("started-secondary"), secondary(recorded("started-secondary")).steps):
        seen, _done = listen(left)
        assert secondary(seen).steps == ()


def test_links_go_down_before_anything_else() -> None:
    up = recorded("started-secondary")
    up = replace(up, domain=replace(up.domain, nics=tuple(replace(nic, tap_up=True) for nic in up.domain.nics)))
    actions = [step.action for step in secondary(up).steps]
    assert actions[: len(up.domain.nics)] == ["link"] * len(up.domain.nics)


def test_the_port_for_the_guest_opens_last() -> None:
    assert commands(secondary(recorded("started-secondary")))[-1] == "migrate-incoming"


def test_a_standby_that_starts_again_is_incomplete_first() -> None:
    whole = recorded("protected-secondary")
    stopped = model.after(whole, Step("", "destroy"))
    plan = secondary(stopped)
    assert [step.action for step in plan.steps[:2]] == ["record", "start_paused"]
    assert model.after(stopped, plan.steps[0]).record.complete is None


def test_what_check_mode_projects_for_a_standby_lets_the_primary_be_planned() -> None:
    plan = secondary(recorded("described-secondary"))
    assert plan.steps[0].action == "start_paused"
    assert plan_primary.primary(WANTED, recorded("described-primary"), plan.after).steps


@pytest.mark.parametrize("proof", [None, Checkpoints(30.0, 0)])
def test_a_standby_is_complete_only_when_a_whole_checkpoint_was_seen(proof: Checkpoints | None) -> None:
    seen, peer = recorded("incomplete-secondary"), recorded("protected-primary")
    assert peer.checkpoints.count > 0
    plan = plan_standby.secondary(WANTED, seen, peer)
    assert [step.action for step in plan.steps] == ["record"]
    after = model.after(seen, plan.steps[0])
    assert after.record.complete == after.record.generation
    assert plan_standby.secondary(WANTED, seen, replace(peer, checkpoints=proof)).steps == ()


def test_a_standby_that_its_primary_left_behind_is_ended() -> None:
    standby = recorded("protected-secondary")
    assert plan_standby.secondary(WANTED, standby, recorded("described-primary")).steps[0].action == "destroy"
    for peer in ("protected-primary", "pre-switchover-primary"):
        assert "destroy" not in [step.action for step in plan_standby.secondary(WANTED, standby, recorded(peer)).steps]


def test_a_standby_in_lockstep_is_not_ended() -> None:
    with pytest.raises(Refusal, match="the standby is in lockstep"):
        plan_undo.absent(recorded("protected-secondary"), recorded("protected-primary"))
    with pytest.raises(Refusal, match="the standby is in lockstep"):
        plan_undo.absent(recorded("protected-secondary"), None)
    assert titles(plan_undo.absent(recorded("protected-secondary"), recorded("described-primary"))) == [
        "end the standby"
    ]


def test_there_may_be_nothing_to_end() -> None:
    for name in ("unprotected-primary", "unprotected-secondary", "described-secondary", "stale-primary"):
        assert plan_undo.absent(recorded(name), None).steps == ()
    assert not plan_undo.absent(recorded("described-primary"), None).changes


def test_planning_reads_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("time", "monotonic", "sleep"):
        monkeypatch.setattr(time, name, lambda *_given: pytest.fail("a clock in a plan"))
    assert primary(recorded("described-primary")) == primary(recorded("described-primary"))


# What somebody did behind our back


def test_a_primary_whose_standby_was_ended_lets_its_guest_go_and_begins_again_with_the_new_one() -> None:
    seen = recorded("protected-primary")
    plan = primary(seen)
    assert "end the lockstep" in titles(plan)
    assert plan.steps[-1].pivot
    assert any(step.serves for step in plan.steps)


def test_a_primary_whose_standby_is_gone_is_left_to_a_fence() -> None:
    gone = replace(LISTENING, monitor=None, domain=replace(LISTENING.domain, state="shutoff"))
    with pytest.raises(Refusal, match=r"no longer in lockstep. .*fence that host and run colo_failover"):
        plan_primary.primary(WANTED, recorded("protected-primary"), gone)


def test_a_dry_run_shows_the_new_standby_as_well() -> None:
    """What follows the end of the old one: the primary's plan needs a peer that listens."""
    seen = recorded("protected-secondary")
    lacking = replace(seen, domain=replace(seen.domain, deleted=(seen.record.disks[0].hidden,)))
    plan = plan_standby.secondary(WANTED, lacking, recorded("protected-primary"))
    assert "start_paused" in [step.action for step in plan.steps]
    assert plan.after.monitor.status == layers.INCOMING
    plan_primary.primary(WANTED, recorded("protected-primary"), plan.after)


@pytest.mark.parametrize("name", ["protected-secondary", "listening-secondary", "started-secondary"])
def test_a_standby_whose_image_was_removed_is_made_anew(name: str) -> None:
    seen = recorded(name)
    path = seen.record.disks[0].hidden
    lacking = replace(seen, domain=replace(seen.domain, deleted=("/tmp/x", path)))
    plan = plan_standby.secondary(WANTED, lacking, recorded("protected-primary"))
    assert plan.steps[0].action == "destroy"
    assert plan.steps[0].pivot
    other = replace(seen, domain=replace(seen.domain, deleted=("/tmp/x",)))
    assert "destroy" not in [
        step.action for step in plan_standby.secondary(WANTED, other, recorded("protected-primary")).steps
    ]
