# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The primary's plan, carried out on the model from every recorded state and from wherever a run may be killed."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import graph, states
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan import listen, protect
from ansible_collections.lockstep.colo.plugins.module_utils.plan.parts import entry
from ansible_collections.lockstep.colo.plugins.module_utils.plan.plan import Plan
from ansible_collections.lockstep.colo.plugins.module_utils.plan.step import Step
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import pair
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Refusal
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils import rules
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.pair_plans import (
    LISTENING,
    STATES,
    commands,
    live,
    primary,
    stretch,
    titles,
    without_pause,
)
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import WANTED, recorded

RELEASED = [graph.release_job(disk.target) for disk in WANTED.disks]


def delays(plan: Plan) -> list[int]:
    """The checkpoint delays that it sets."""
    given = [step.arguments["arguments"] for step in plan.steps if step.arguments.get("arguments")]
    return [arguments["x-checkpoint-delay"] for arguments in given if "x-checkpoint-delay" in arguments]


def in_lockstep(seen: Observation) -> bool:
    return (
        seen.monitor.migration.status == "colo"
        and seen.monitor.running
        and all(states.attached(seen.monitor, disk.target) for disk in seen.record.disks)
        and all(disk.node == graph.quorum(disk.target) for disk in seen.domain.disks)
        and {name: job.status for name, job in seen.monitor.jobs.items()} == dict.fromkeys(RELEASED, "running")
        and all(states.has(seen.monitor, part) for part in states.proxy_parts(seen))
        and not any(node.endswith("-copy") for node in seen.monitor.nodes)
        and not any(node.endswith("-park") for node in seen.monitor.nodes)
    )


@pytest.mark.parametrize("name", STATES)
def test_from_every_half_way_state_one_run_reaches_lockstep(name: str) -> None:
    assert in_lockstep(rules.settle(recorded(name), primary))


@pytest.mark.parametrize("name", STATES)
def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(name: str) -> None:
    for left in stretch(recorded(name)):
        if left.monitor.migration.status not in ("colo", "device"):
            assert in_lockstep(rules.settle(left, primary))


def test_the_whole_way_in_its_order() -> None:
    found = commands(primary(recorded("described-primary")))
    order = [
        "add_iothread", "chardev-add", "wait", "stop", "qom-set", "cont", "see_answer", "blockdev-mirror",
        "migrate-set-capabilities", "migrate", "block-job-cancel", "x-blockdev-change", "object-add",
        "migrate-continue",
    ]  # fmt: skip
    assert "wait" in found[found.index("blockdev-mirror") : found.index("migrate")], "for the full sync"
    assert [found.index(name) for name in order] == sorted(found.index(name) for name in order)
    assert found[-2:] == ["wait", "migrate-set-parameters"]
    *_before, whole_checkpoint, delay = primary(recorded("described-primary")).steps
    assert whole_checkpoint.arguments["until"] == "checkpoint"
    assert delay.arguments["arguments"] == {"x-checkpoint-delay": 2000}


def test_the_first_checkpoint_comes_soon_since_clients_wait_for_it() -> None:
    assert delays(primary(recorded("described-primary"))) == [entry.FIRST_DELAY, 2000]


def test_the_whole_way_without_a_pause_before_the_entry() -> None:
    plan = primary(without_pause("described-primary"))
    found = commands(plan)
    order = ["see_answer", "blockdev-mirror", "x-blockdev-change", "migrate", "block-job-cancel", "object-add"]
    assert [found.index(name) for name in order] == sorted(found.index(name) for name in order)
    assert "stop" not in found[found.index("see_answer") :], "the guest runs while its memory is copied"
    assert "migrate-continue" not in found
    assert titles(plan)[-4:] == [
        "have the first checkpoint soon",
        "see that the standby is connected with each socket",
        "see a whole checkpoint",
        "checkpoint at least every 2000 ms",
    ]
    assert delays(plan) == [2000, entry.FIRST_DELAY, 2000]


def test_without_a_pause_a_run_that_is_killed_anywhere_is_finished_by_the_next() -> None:
    for left in live():
        assert in_lockstep(rules.settle(left, primary))
    assert not primary(live()[-1]).changes


def test_a_lockstep_in_which_disks_are_still_copied_is_syncing() -> None:
    begun = [replace(left, peer_sockets=("10.77.0.2:21600",)) for left in live() if left.monitor.colo == "primary"]
    assert {(any(map(graph.is_sync, left.monitor.jobs)), pair.phase(left)) for left in begun} == {
        (True, "syncing"),
        (False, "degraded"),  # until there is what compares its packets
        (False, "protected"),
    }


def test_check_mode_does_not_take_a_copy_that_is_to_end_for_one_that_goes_on() -> None:
    assert pair.phase(primary(recorded("syncing-primary")).after) == "protected"


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
        plan = protect.primary(replace(WANTED, sync_speed=speed), recorded("described-primary"), LISTENING)
        return [step for step in plan.steps if step.arguments.get("command") == "blockdev-mirror"]

    assert [step.arguments["arguments"]["speed"] for step in mirrors(1 << 20)] == [1 << 20] * 2
    assert all("speed" not in step.arguments["arguments"] for step in mirrors(0))
    assert all(step.arguments["arguments"]["auto-dismiss"] is False for step in mirrors(0))


def test_a_sync_that_is_under_way_gets_the_speed_that_is_wanted_now() -> None:
    """A limit below what the guest writes would keep it from ever ending."""
    seen, peer = recorded("syncing-primary"), recorded("listening-secondary")
    faster = protect.primary(replace(WANTED, sync_speed=7), seen, peer)
    set_anew = [step.arguments for step in faster.steps if step.arguments.get("command") == "block-job-set-speed"]
    assert [set_at["arguments"] for set_at in set_anew] == [
        {"device": "colo-vda-sync", "speed": 7},
        {"device": "colo-vdb-sync", "speed": 7},
    ]
    assert "block-job-set-speed" not in str(protect.primary(replace(WANTED, sync_speed=7), faster.after, peer).steps)


@pytest.mark.parametrize("again", ["", "-again"])
def test_a_protected_pair_is_only_looked_at(again: str) -> None:
    seen, peer = recorded(f"protected{again}-primary"), recorded(f"protected{again}-secondary")
    plan = protect.primary(WANTED, seen, peer)
    assert not plan.changes
    assert titles(plan) == ["see a whole checkpoint"]
    assert listen.secondary(WANTED, peer, seen).steps == ()


def test_what_should_follow_needs_nothing_more() -> None:
    plan = primary(recorded("described-primary"))
    peer = listen.secondary(WANTED, recorded("protected-secondary"), plan.after).after
    assert not protect.primary(WANTED, plan.after, peer).changes


def test_what_lets_go_of_a_lost_standby_is_put_back_where_it_is_missing() -> None:
    """As of a pair that an earlier version formed, or where a run was killed, or somebody ended the job."""
    seen = recorded("protected-primary")
    monitor = seen.monitor
    assert [graph.release_job(disk.target) for disk in seen.record.disks] == RELEASED == sorted(monitor.jobs)
    without_job = replace(monitor, jobs={})
    nodes = {name: node for name, node in monitor.nodes.items() if not name.endswith("-idle")}
    ended = replace(monitor, jobs={name: replace(job, status="concluded") for name, job in monitor.jobs.items()})
    for left, wanted in (
        (replace(without_job, nodes=nodes), ["blockdev-add", "blockdev-backup"] * 2),
        (without_job, ["blockdev-backup"] * 2),
        (ended, ["job-dismiss", "blockdev-backup"] * 2),
        (monitor, []),
    ):
        plan = protect.primary(WANTED, replace(seen, monitor=left), recorded("protected-secondary"))
        assert commands(plan) == [*wanted, "wait"]
        assert in_lockstep(plan.after)


def test_a_checkpoint_delay_that_drifted_is_set_again_and_nothing_else() -> None:
    seen = recorded("protected-primary")
    drifted = replace(
        seen, monitor=replace(seen.monitor, migration=replace(seen.monitor.migration, checkpoint_delay=1))
    )
    plan = protect.primary(WANTED, drifted, recorded("protected-secondary"))
    assert commands(plan) == ["migrate-set-parameters", "wait"]


def test_after_a_failover_the_filters_go_before_the_rewriters_that_stayed() -> None:
    plan = protect.primary(WANTED, recorded("described-again-primary"), listening_again())
    filters = [
        step.arguments["arguments"]
        for step in plan.steps
        if step.arguments.get("command") == "object-add" and "filter" in step.arguments["arguments"]["qom-type"]
    ]
    assert {item["position"] for item in filters} == {"id=rewriter-net0", "id=rewriter-net1"}
    assert in_lockstep(
        rules.settle(recorded("described-again-primary"), lambda seen: protect.primary(WANTED, seen, listening_again()))
    )
    assert set(recorded("protected-again-primary").monitor.objects) >= {"rewriter-net0", "rewriter-net1"}


def listening_again() -> Observation:
    """The listening standby, as it would be after a change of sides."""
    return replace(
        LISTENING,
        host=replace(recorded("described-again-secondary").host, ports=LISTENING.host.ports),
        domain=replace(LISTENING.domain, record=recorded("described-again-secondary").record),
    )


@pytest.mark.parametrize(
    "peer", ["described-secondary", "started-secondary", "layered-secondary", "exporting-secondary"]
)
def test_nothing_begins_before_the_standby_listens(peer: str) -> None:
    with pytest.raises(Refusal, match="no standby listens on kvm2"):
        protect.primary(WANTED, recorded("described-primary"), recorded(peer))


def test_what_does_not_belong_together_is_refused() -> None:
    described = recorded("described-primary")
    with pytest.raises(Refusal, match=r"Run lockstep\.colo\.deploy, which prepares it"):
        primary(recorded("unprotected-primary"))
    with pytest.raises(Refusal, match="is the secondary of its pair, not the primary"):
        primary(LISTENING)
    with pytest.raises(Refusal, match="has no record of this pair"):
        protect.primary(WANTED, described, recorded("unprotected-secondary"))
    with pytest.raises(Refusal, match="the records differ: generation"):
        protect.primary(WANTED, described, listening_again())
    silent = replace(described, monitor=None, monitor_problem="QEMU did not answer")
    with pytest.raises(Refusal, match="monitor does not answer: QEMU did not answer"):
        primary(silent)


def test_a_survivor_is_no_primary_whatever_the_other_host_is() -> None:
    """Its record has no channels any more."""
    for peer in STATES:
        with pytest.raises(Refusal, match="the domain is the alone of its pair"):
            protect.primary(WANTED, recorded("failed-over-primary"), recorded(peer))


def test_a_port_in_use_is_refused_until_it_is_ours() -> None:
    def taken(name: str) -> Observation:
        seen = recorded(name)
        port = next(channel.port for channel in seen.record.channels() if channel.listener == "primary")
        return replace(seen, host=replace(seen.host, ports=(port,)))

    with pytest.raises(Refusal, match="for the mirror channel, is in use on kvm1"):
        primary(taken("described-primary"))
    assert primary(taken("quorum-in-primary")).steps


def test_planning_reads_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("time", "monotonic", "sleep"):
        monkeypatch.setattr(time, name, lambda *_given: pytest.fail("a clock in a plan"))
    assert primary(recorded("described-primary")) == primary(recorded("described-primary"))


def test_a_primary_whose_standby_was_ended_lets_its_guest_go_and_begins_again_with_the_new_one() -> None:
    seen = recorded("protected-primary")
    plan = primary(seen)
    assert "end the lockstep" in titles(plan)
    assert plan.steps[-1].pivot
    assert any(step.serves for step in plan.steps)


def test_a_primary_whose_standby_is_gone_is_left_to_a_fence() -> None:
    gone = replace(LISTENING, monitor=None, domain=replace(LISTENING.domain, state="shutoff"))
    with pytest.raises(Refusal, match=r"no longer in lockstep. .*lockstep.colo.unprotect frees the guest"):
        protect.primary(WANTED, recorded("protected-primary"), gone)


def test_the_standby_is_connected_with_each_socket_before_anything_is_under_a_disk_and_still_is_in_lockstep() -> None:
    """One that was lost meanwhile is not made anew, and the guest would be mute."""
    plan = primary(recorded("described-primary"))
    before, after = (step for step in plan.steps if step.arguments.get("until") == "connected")
    assert set(before.arguments["names"]) >= {"colo-net0-mirror", "colo-net1-compare-in"}
    assert plan.steps.index(before) < commands(plan).index("blockdev-add")
    assert after.arguments["names"] == before.arguments["names"]
    assert plan.steps.index(after) > commands(plan).index("migrate-continue")
    assert after.timeout < before.timeout, "nobody waits for it: QEMU connects no more"


def test_a_protected_pair_of_which_a_socket_was_closed_is_looked_at_again() -> None:
    seen = recorded("protected-primary")
    chardevs = {**seen.monitor.chardevs, "colo-net1-mirror": "disconnected:tcp:10.77.0.1:21604,server=on"}
    closed = replace(seen, monitor=replace(seen.monitor, chardevs=chardevs))
    plan = protect.primary(WANTED, closed, recorded("protected-secondary"))
    assert [step.arguments["until"] for step in plan.steps] == ["connected", "checkpoint"]
    assert plan.steps[0].arguments["names"] == ["colo-net1-mirror"]
