# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of a pair of which a QEMU hangs every way out stays open, and is the one that is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.depth import SILENT, UNASKED
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan import listen, survive
from ansible_collections.lockstep.colo.plugins.module_utils.plan.give_up import give_up
from ansible_collections.lockstep.colo.plugins.module_utils.plan.parts.undo import absent
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import copies, fence, pair, preflight
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.command import CONFIRMED, command
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.course import EXPEND, FREE, course
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.fence import Fence
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Refusal
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.wishes import stated
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import NAMES, WANTED, recorded

PRIMARY, STANDBY = recorded("protected-primary"), recorded("protected-secondary")
STANDS_STILL = recorded("peer-frozen-primary")
AT_THE_STANDBY = replace(WANTED, address=WANTED.peer_address, peer_address=WANTED.address)
HALVES = {role: [name for name in NAMES if name.endswith(f"-{role}")] for role in ("primary", "secondary")}


def mute(seen: Observation, **how: object) -> Observation:
    return replace(seen, monitor=None, monitor_problem="QEMU did not answer query-status within 3 s", **how)


def off(seen: Observation) -> Observation:
    return replace(seen, monitor=None, domain=replace(seen.domain, state="shutoff", live_xml=None), peer_sockets=())


def lost(one: Observation, other: Observation) -> str:
    """As the command has it that status says, whichever host the inventory names first."""
    found = set()
    for halves in ((one, other), (other, one)):
        seen = {half.host.name: half for half in halves}
        words = command(pair.pair(*halves).next, "web1", seen, [], CONFIRMED).words
        found.add(next(word.partition("=")[2] for word in words if word.startswith("colo_lost=")))
    [name] = found
    return name


HANGS = pytest.mark.parametrize("hangs", [mute(PRIMARY), mute(PRIMARY, depth=UNASKED)], ids=["asked", "libvirt waits"])


@HANGS
def test_nothing_takes_the_whole_copy_from_a_guest_that_cannot_be_freed(hangs: Observation) -> None:
    with pytest.raises(Refusal, match=r"does not answer.*lockstep\.colo\.failover with -e colo_lost=kvm1"):
        listen.expendable(STANDBY, hangs)
    with pytest.raises(Refusal, match=r"lockstep\.colo\.failover with -e colo_lost=kvm1"):
        absent(hangs, STANDBY)
    assert listen.expendable(STANDBY, PRIMARY).steps
    assert listen.expendable(STANDBY, None).steps, "of a primary that is not seen its watcher knows more"


@HANGS
def test_what_is_next_then_serves_from_the_standby(hangs: Observation) -> None:
    rows = preflight.of_pair(stated(replace(WANTED, dry=True), hangs), hangs, STANDBY, strict=False)
    unmet = [row for row in rows if row.state == "wrong"]
    assert any("colo_lost=kvm1" in row.remedy for row in unmet), "so deploy says the same"
    found = pair.pair(hangs, STANDBY, unmet)
    assert (found.phase, found.next, found.protected) == ("degraded", "failover", False)
    assert any("colo_lost=kvm1 ends it there, and serves from kvm2" in words for words in found.problems)
    assert lost(hangs, STANDBY) == "kvm1"
    given = give_up(hangs, STANDBY).after
    assert survive.failover(STANDBY, Fence("kvm1", fence.ENDED), peer=given).steps


@pytest.mark.parametrize("standby", [off(STANDBY), recorded("incomplete-secondary")], ids=["off", "not whole"])
def test_one_that_may_wait_for_a_standby_that_is_no_use_is_freed_from_it(standby: Observation) -> None:
    hangs = mute(PRIMARY)
    assert pair.pair(hangs, standby).next == "failover"
    assert lost(hangs, standby) == "kvm2"
    given, silent = give_up(standby, hangs).after, replace(hangs, depth=SILENT, monitor_problem=None)
    assert survive.failover(silent, Fence("kvm2", fence.ENDED), peer=given).steps[0].action == "release"


def test_where_nothing_leads_on_a_person_is_told_what_to_do() -> None:
    stuck = mute(PRIMARY, peer_sockets=())
    for other in (off(STANDBY), None):
        found = pair.pair(stuck, other)
        assert found.next == "status"
        assert any("virsh destroy" in words for words in found.problems)
    survivor = mute(recorded("failed-over-secondary"), peer_sockets=())
    assert pair.pair(survivor, None).next == "status"


def test_of_two_that_hang_neither_is_given_up() -> None:
    found = pair.pair(mute(PRIMARY), mute(STANDBY))
    assert found.next == "status"
    assert any("does not answer either" in words for words in found.problems)


@pytest.mark.parametrize("primary", HALVES["primary"])
def test_of_no_guest_that_hangs_it_is_said_that_unprotect_frees_it(primary: str) -> None:
    hangs = mute(recorded(primary))
    for name in HALVES["secondary"]:
        found = pair.pair(hangs, recorded(name))
        if found.holder != hangs.host.name or not hangs.domain.active:
            continue
        assert found.next in ("failover", "status"), name
        assert not any("unprotect frees" in words for words in found.problems), name
        if found.next == "failover" and copies.runs_a_guest(hangs):
            whole = copies.promotable(recorded(name)) and recorded(name).generation >= hangs.generation
            assert lost(hangs, recorded(name)) == (hangs.host.name if whole else recorded(name).host.name), name


def test_a_standby_that_hangs_is_ended_before_libvirt_would_wait_for_it() -> None:
    plan = listen.expendable(mute(STANDBY), PRIMARY)
    assert [step.action for step in plan.steps] == ["end_emulator", "wait", "record"]
    assert plan.steps[-1].arguments["live"] is False
    assert (plan.after.domain.active, plan.after.record.complete) == (False, None)
    assert [step.action for step in listen.expendable(mute(STANDBY), None).steps] == ["record"]


def test_deploy_renews_a_standby_that_hangs_once_the_guest_is_freed_from_it() -> None:
    hangs = mute(STANDBY)
    found = course("deploy", ("kvm1", "kvm2"), (STANDS_STILL, hangs)).next
    assert found.index(EXPEND) < found.index(FREE)
    assert pair.pair(STANDS_STILL, hangs).next == "deploy"
    ended = listen.expendable(hangs, STANDS_STILL).after
    freed = absent(STANDS_STILL, ended).after
    assert freed.monitor.migration.status != "colo"
    assert "start_paused" in [step.action for step in listen.secondary(AT_THE_STANDBY, ended, freed).steps]


def test_unprotect_ends_a_standby_that_hangs_later_than_that() -> None:
    freed = absent(PRIMARY, STANDBY).after
    assert [step.action for step in absent(mute(STANDBY), freed).steps] == ["end_emulator", "wait"]
    with pytest.raises(Refusal, match=r"does not answer.*lockstep\.colo\.unprotect"):
        absent(mute(STANDBY), PRIMARY)


def test_one_that_was_seen_to_complete_checkpoints_is_left_alone() -> None:
    hangs = mute(STANDBY)
    found = pair.pair(PRIMARY, hangs)
    assert (found.phase, found.next, found.protected) == ("degraded", "status", False)
    assert any("the primary on kvm1 completes checkpoints with it" in words for words in found.problems)
    assert EXPEND not in course("deploy", ("kvm1", "kvm2"), (PRIMARY, hangs)).next
    with pytest.raises(Refusal, match=r"Run again: .*lockstep\.colo\.deploy"):
        listen.secondary(AT_THE_STANDBY, hangs, PRIMARY)


def test_a_guest_that_hangs_is_not_freed_by_deploy() -> None:
    assert EXPEND not in course("deploy", ("kvm1", "kvm2"), (mute(PRIMARY), mute(STANDBY))).next
