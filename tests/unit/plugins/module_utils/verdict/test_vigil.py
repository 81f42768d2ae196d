# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the watchers of two hosts make of any sequence of events: no wrong promotion, never two guests."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.word import Half
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import vigil
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.vigil import Mine, decide, would
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.verdict.watched_pair import OTHER, UUID, World
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

HOSTS = st.sampled_from(sorted(OTHER))


class Pair(RuleBasedStateMachine):
    """Everything that may happen, in any order. What a watcher does comes more often than what happens to it."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @rule(host=HOSTS, listens=st.booleans())
    def watch(self, host: str, listens: bool) -> None:
        """A turn of a watcher, as it is when nothing comes between."""
        self.world.look(host)
        if listens:
            self.world.look(OTHER[host])
            self.world.speak(OTHER[host])
        self.world.act(host)
        self.world.speak(host)

    look = rule(host=HOSTS)(lambda self, host: self.world.look(host))
    speak = rule(host=HOSTS)(lambda self, host: self.world.speak(host))
    act = rule(host=HOSTS)(lambda self, host: self.world.act(host) and None)
    silence = rule(host=HOSTS)(lambda self, host: self.world.silence(host))
    restart = rule(host=HOSTS)(lambda self, host: self.world.restart(host))
    reboot = rule(host=HOSTS)(lambda self, host: self.world.reboot(host))
    replay = rule(at=st.integers(0, 99))(lambda self, at: self.world.replay(at))
    forge = rule(host=HOSTS)(lambda self, host: self.world.forge(host))
    write = rule(lost=st.sampled_from([False, False, False, True]))(lambda self, lost: self.world.write(lost))
    hang = rule(host=HOSTS, hangs=st.booleans())(lambda self, host, hangs: self.world.hang(host, hangs))
    deploy = rule()(lambda self: self.world.deploy())
    start = rule()(lambda self: self.world.start())
    unprotect = rule()(lambda self: self.world.unprotect())
    failover = rule(host=HOSTS)(lambda self, host: self.world.failover(host))

    @rule(host=HOSTS, by=st.sampled_from(["crashed", "crashed", "destroyed", "shutdown"]))
    def end(self, host: str, by: str) -> None:
        self.world.end(host, by)

    @rule(link=st.booleans(), ring=st.booleans())
    def cut(self, link: bool, ring: bool) -> None:
        self.world.link, self.world.ring = link, ring

    @rule(host=HOSTS, on=st.booleans())
    def guard(self, host: str, on: bool) -> None:
        self.world.hosts[host].guarded = on

    @invariant()
    def holds(self) -> None:
        self.world.check()


Pair.TestCase.settings = settings(
    max_examples=int(os.environ.get("LOCKSTEP_EXAMPLES", "25")) * 4, stateful_step_count=40
)
TestPair = Pair.TestCase


def settled(world: World) -> World:
    """Both watchers, until nothing is to be done any more."""
    for _turn in range(4):
        for host in OTHER:
            world.look(host)
            world.speak(host)
        for host in OTHER:
            world.act(host)
            world.speak(host)
    world.check()
    return world


@pytest.mark.parametrize("lost", sorted(OTHER))
@pytest.mark.parametrize("how", ["crashed", "hangs", "rebooted"])
def test_who_loses_a_qemu_says_so_and_the_other_goes_on(lost: str, how: str) -> None:
    world = settled(World())
    world.write(lost=False)
    if how == "crashed":
        world.end(lost, "crashed")
    elif how == "hangs":
        world.hang(lost, True)
    else:
        world.reboot(lost)
    settled(world)
    assert (world.served, world.record(OTHER[lost]).role) == (1, "alone")
    assert world.hosts[lost].qemu is None


def test_a_guest_that_powers_itself_off_stays_off() -> None:
    world = settled(World())
    world.end("kvm1", "shutdown")
    settled(world)
    assert world.served == 0
    world.start()
    assert world.hosts["kvm1"].qemu


@pytest.mark.parametrize("said", ["before the deployment", "after it, by a watcher that has not looked since"])
def test_an_end_of_an_earlier_lockstep_ends_no_new_one(said: str) -> None:
    world = settled(World())
    world.unprotect()
    world.look("kvm2")
    if said == "before the deployment":
        world.speak("kvm2")
    world.deploy()
    if said != "before the deployment":
        world.speak("kvm2")
    world.link = world.ring = False
    world.look("kvm1")
    world.act("kvm1")
    world.check()
    assert world.served == 0


@pytest.mark.parametrize("lost", sorted(OTHER))
def test_a_host_whose_watcher_is_not_heard_is_not_taken_for_dead(lost: str) -> None:
    world = settled(World())
    world.ring = world.link = False
    world.silence("kvm1")
    world.silence("kvm2")
    world.end(lost, "crashed")
    settled(world)
    assert world.served == 0


def test_a_standby_that_lacks_writes_is_never_promoted() -> None:
    world = settled(World())
    world.write(lost=True)
    settled(world)
    assert world.record("kvm2").complete is None
    world.end("kvm1", "crashed")
    settled(world)
    assert world.served == 0
    assert not world.record("kvm1").handed_over, "its copy is the only whole one, and may be started"


def test_automation_that_is_off_on_either_host_does_nothing() -> None:
    for off in OTHER:
        world = settled(World())
        world.hosts[off].guarded = False
        world.end("kvm1", "crashed")
        settled(world)
        assert world.served == 0, off


def test_after_it_was_protected_again_it_is_guarded_again() -> None:
    world = settled(World())
    for lost in ("kvm1", "kvm2", "kvm2", "kvm1"):
        world.write(lost=False)
        world.end(lost, "crashed")
        settled(world)
        world.deploy()
        settled(world)
    assert world.served == 4
    assert world.connected()


STANDBY = Half(UUID, "m2", 3, "secondary", "7 1", running=True, answers=True, lockstep=True, complete=True)
PRIMARY = Half(UUID, "m1", 3, "primary", "8 1", running=True, answers=True, lockstep=True)
GONE = replace(PRIMARY, running=False, answers=False, lockstep=False, gave_way=True)


@pytest.mark.parametrize(
    ("mine", "theirs", "before"),
    [
        (Mine(STANDBY, True, False), GONE, PRIMARY),
        (Mine(STANDBY, True, True), replace(GONE, generation=2), None),
        (Mine(STANDBY, True, True), replace(GONE, process="9 2"), PRIMARY),
        (Mine(replace(STANDBY, complete=False), True, True), GONE, None),
        (Mine(replace(STANDBY, lockstep=False), True, True), GONE, None),
        (Mine(STANDBY, False, True), GONE, None),
        (Mine(STANDBY, True, True), None, None),
        (Mine(STANDBY, True, True), replace(GONE, gave_way=False), None),
        (Mine(replace(STANDBY, answers=False), True, True), replace(PRIMARY, answers=False), None),
        (Mine(replace(PRIMARY, answers=False), True), replace(STANDBY, answers=False), None),
        (Mine(replace(PRIMARY, answers=False), True), replace(STANDBY, complete=False), None),
        (Mine(replace(GONE, gave_way=False, lacks=True), True, ended_by="crashed"), STANDBY, None),
        (Mine(replace(GONE, gave_way=False), True, ended_by="shutdown"), STANDBY, None),
        (Mine(replace(GONE, gave_way=False), True, ended_by="crashed"), None, None),
        (Mine(replace(GONE, gave_way=False), True, ended_by="crashed"), replace(STANDBY, complete=False), None),
    ],
    ids=[
        "still connected", "older generation", "another process", "not complete", "not in lockstep", "off", "silent",
        "ended but not for good", "both hang", "both hang, primary", "the only copy hangs", "the only whole copy ended",
        "the guest ended itself", "nobody to give way to", "nobody who may serve",
    ],
)  # fmt: skip
def test_what_is_not_enough(mine: Mine, theirs: Half | None, before: Half | None) -> None:
    assert decide(mine, theirs, before).action == vigil.REST


def test_what_is_enough() -> None:
    assert decide(Mine(STANDBY, True, True), GONE, PRIMARY).action == vigil.SERVE


@pytest.mark.parametrize(
    ("mine", "theirs", "words"),
    [
        (Mine(STANDBY, True), PRIMARY, "would promote this standby"),
        (Mine(PRIMARY, True), STANDBY, "would let the guest go on without its standby"),
        (Mine(PRIMARY, False), STANDBY, "automation is off"),
        (Mine(PRIMARY, True), None, "its loss needs a fence, and a person"),
        (Mine(replace(STANDBY, complete=False), True), PRIMARY, "was not in lockstep"),
    ],
)
def test_what_it_would_do_is_said_beforehand(mine: Mine, theirs: Half | None, words: str) -> None:
    assert words in would(mine, theirs)
