# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the cluster's agent does with recorded halves: it goes on alone where a fence is proven, and ends nothing."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.observation.cluster import Cluster, Fencing, Node
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Heard, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.run import cluster
from ansible_collections.lockstep.colo.plugins.module_utils.run.converge import Result
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.fence import CLUSTER
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

PRIMARY, STANDBY = recorded("degraded-unasked-primary"), recorded("degraded-unasked-secondary")
SURVIVOR = recorded("failed-over-secondary")
HOSTS = {"kvm1", "kvm2"}
LOST = PRIMARY.record.peer.host  # of the primary


def fenced(host: str) -> Cluster:
    (other,) = HOSTS - {host}
    return Cluster(True, True, (Node(host, False), Node(other, True)), (Fencing(host, "off", 1.0),))


BOTH = Cluster(True, True, (Node("kvm1", True), Node("kvm2", True)))


class World:
    """What the agent sees, and what it asks for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.seen, self.cluster, self.heard = STANDBY, BOTH, Heard("then", 5.0)
        self.after: Observation | None = None
        self.reached: list[Any] = []
        self.scores: list[int | None] = []
        self.notes: list[tuple[str, str]] = []
        self.said: list[str] = []
        monkeypatch.setattr(cluster, "run_directory", lambda: tmp_path)
        monkeypatch.setattr(cluster, "Hypervisor", lambda _uri: contextlib.nullcontext())
        self.depths: list[str] = []
        monkeypatch.setattr(cluster, "observe", self.observe)
        monkeypatch.setattr(cluster.silence, "heard", lambda _record: self.heard)
        monkeypatch.setattr(cluster.cluster, "cluster", lambda: self.cluster)
        monkeypatch.setattr(cluster.cluster, "prefer", self.scores.append)
        monkeypatch.setattr(cluster.cluster, "note", lambda *what: self.notes.append(what))
        monkeypatch.setattr(cluster.goals, "reach", self.reach)
        monkeypatch.setattr(cluster, "AGAIN", 0.01)
        self.half = cluster.Half("web1", self.said.append)

    def observe(self, _hypervisor: Any, _domain: str, _directory: str, depth: str) -> Observation:
        self.depths.append(depth)
        return self.seen

    def reach(self, name: str, asked: Any, **_how: Any) -> Result:
        self.reached.append((name, asked.role, asked.fence.ground, asked.fence.host))
        self.seen = self.after or self.seen
        return Result(self.seen, self.seen)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    return World(monkeypatch, tmp_path)


def test_a_primary_goes_on_alone_once_the_standbys_host_is_fenced(world: World) -> None:
    world.seen, world.cluster = PRIMARY, fenced(LOST)
    world.half.look()
    assert world.reached == [("surviving", "primary", CLUSTER, LOST)]


def test_it_does_so_when_it_is_notified_and_asks_no_qemu_before(world: World) -> None:
    world.seen, world.cluster = PRIMARY, fenced(LOST)
    world.half.notified()
    assert world.reached == [("surviving", "primary", CLUSTER, LOST)]
    assert world.depths == ["silent"]
    assert world.scores == []


@pytest.mark.parametrize(
    ("seen", "told", "heard"),
    [
        (PRIMARY, BOTH, 5.0),
        (PRIMARY, replace(fenced(LOST), quorate=False), 5.0),
        (PRIMARY, fenced(PRIMARY.record.local.host), 5.0),
        (PRIMARY, fenced(LOST), -0.5),  # the device said done, and the host was heard after that
        (STANDBY, fenced("kvm1"), 5.0),  # Pacemaker says when a standby is promoted
        (SURVIVOR, fenced("kvm1"), 5.0),
    ],
)
def test_a_look_changes_nothing_else(world: World, seen: Observation, told: Cluster, heard: float) -> None:
    world.seen, world.cluster, world.heard = seen, told, Heard("then", heard)
    world.half.look()
    assert world.reached == []


def test_a_look_tells_the_score_and_the_generation(world: World) -> None:
    assert world.half.look().state == "unpromoted"
    assert world.scores == [100]
    assert world.notes == [("lockstep-colo-web1", str(STANDBY.generation))]


def test_a_primary_that_cannot_go_on_is_told_of_all_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_asked: Any, **_how: Any) -> None:
        raise ColoError("another run works on this domain")

    monkeypatch.setattr(cluster.goals, "reach", fail)
    world.seen, world.cluster = PRIMARY, fenced(LOST)
    assert world.half.look().state == "degraded"
    assert world.said == ["another run works on this domain"]


def test_a_standby_is_promoted_once_the_primarys_host_is_fenced(world: World) -> None:
    world.cluster, world.after = fenced("kvm1"), SURVIVOR
    world.half.promote(1.0)
    assert world.reached == [("surviving", "secondary", CLUSTER, "kvm1")]
    assert world.scores == [1000]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (BOTH, "kvm1 is a member of the cluster"),
        (replace(fenced("kvm1"), fencings=()), "the cluster has not fenced kvm1"),
    ],
)
def test_one_without_a_proven_fence_is_not_and_it_is_said_why(world: World, told: Cluster, words: str) -> None:
    world.cluster = told
    with pytest.raises(ColoError, match=words):
        world.half.promote(0.05)
    assert world.reached == []


def test_one_that_may_not_be_promoted_is_not_by_any_fence(world: World) -> None:
    world.cluster = fenced("kvm1")
    world.seen = replace(STANDBY, domain=replace(STANDBY.domain, record=replace(STANDBY.record, complete=None)))
    with pytest.raises(ColoError, match="has not completed a checkpoint"):
        world.half.promote(0.05)
    assert world.reached == []


def test_a_guest_that_is_here_already_is_confirmed(world: World) -> None:
    world.seen = SURVIVOR
    world.half.promote(0.05)
    assert world.reached == []


def test_a_promotion_waits_for_the_fence(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [BOTH, BOTH, BOTH]
    monkeypatch.setattr(cluster.cluster, "cluster", lambda: answers.pop() if answers else fenced("kvm1"))
    world.after = SURVIVOR
    world.half.promote(5.0)
    assert [one[0] for one in world.reached] == ["surviving"]


def test_to_be_in_charge_and_to_leave_touch_no_guest(world: World) -> None:
    world.seen = recorded("powered-off-primary")
    assert world.half.look().state == "stopped"
    world.half.take_charge()
    assert world.half.look().state == "unpromoted"
    world.half.leave()
    assert world.half.look().state == "stopped"
    assert world.reached == []
    assert world.scores == [None] * 4
