# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is looked at before a failover believes that a host is lost."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.cluster import Cluster, Fencing, Node
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Heard, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.run import doubt
from ansible_collections.lockstep.colo.plugins.module_utils.run.doubt import Found
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.fence import (
    CLUSTER,
    COMMAND,
    CONFIRMED,
    Fence,
)
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Refusal
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import fenced, recorded

STANDBY, LATER = recorded("protected-secondary"), recorded("released-secondary")
HEARD = Heard("just now", 1.0)


class Lost:
    """A host that answers, or does not, once it is let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: bool) -> None:
        self.asked, self.let, self.value = threading.Event(), threading.Event(), answers
        monkeypatch.setattr(doubt.silence, "answers", self.answers)
        monkeypatch.setattr(doubt.silence, "heard", lambda _record: HEARD)

    def answers(self, _record: Any) -> bool:
        self.asked.set()
        self.let.wait(5)
        return self.value


def of_fence(ground: str, seen: Observation = STANDBY) -> Found:
    return doubt.of_fence(lambda _depth: seen, fenced("kvm1", ground), False, None, 300)


def test_a_verified_fence_waits_for_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Lost(monkeypatch, answers=True)
    found = of_fence(COMMAND)
    assert lost.asked.wait(5)
    assert found.add_to(LATER).peer_answers is None
    lost.let.set()
    assert found.answers.result(5)
    assert found.add_to(LATER).peer_answers is True


def test_what_a_person_confirms_does(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Lost(monkeypatch, answers=True)
    threading.Timer(0.1, lost.let.set).start()
    with pytest.raises(Refusal, match="so it has power"):
        of_fence(CONFIRMED)


def test_what_was_found_before_anything_was_reset_stays_known(monkeypatch: pytest.MonkeyPatch) -> None:
    Lost(monkeypatch, answers=False).let.set()
    seen = of_fence(CONFIRMED).add_to(LATER)
    assert (seen.peer_answers, seen.heard) == (False, HEARD)
    assert Found().add_to(LATER) == LATER


def test_a_primary_has_not_to_have_heard_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    Lost(monkeypatch, answers=False).let.set()
    assert of_fence(CONFIRMED, recorded("protected-again-primary")).heard is None


def test_a_cluster_is_held_up_for_the_answer_and_for_what_a_primary_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Lost(monkeypatch, answers=True)
    threading.Timer(0.1, lost.let.set).start()
    fenced_now = Cluster(True, True, (Node("kvm2", online=False),), (Fencing("kvm2", "off", 0.5),))
    ground, primary = Fence("kvm2", CLUSTER, cluster=fenced_now), recorded("protected-primary")
    with pytest.raises(Refusal, match=r"answers on 10\.77\.0\.2, though the cluster says that it was fenced"):
        doubt.of_fence(lambda _depth: primary, ground, False, None, 300)
    lost.value = False
    assert doubt.of_fence(lambda _depth: primary, ground, False, None, 300).heard == HEARD
