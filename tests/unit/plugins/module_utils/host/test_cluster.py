# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Pacemaker 3.0.0 said on a real cluster, read: with both nodes, and after it had fenced one."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.host import cluster
from ansible_collections.lockstep.colo.plugins.module_utils.observation.cluster import Fencing, Node

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures" / "cluster"
FENCED_AT = 1795732134.672545  # 2026-11-26 22:28:54.672545Z


def told(name: str) -> str:
    return (FIXTURES / f"{name}.xml").read_text(encoding="utf-8")


def test_a_node_that_was_fenced() -> None:
    seen = cluster.read(told("fenced"), FENCED_AT + 1.5)
    assert (seen.quorate, seen.fences) == (True, True)
    assert seen.nodes == (Node("kvm1", online=False), Node("kvm2", online=True))
    assert seen.fenced("kvm1") == Fencing("kvm1", "off", 1.5)
    assert seen.fenced("kvm2") is None


def test_a_node_that_is_back_is_a_member() -> None:
    seen = cluster.read(told("well"), FENCED_AT + 60)
    assert seen.node("kvm1") == Node("kvm1", online=True)
    assert seen.node("kvm3") is None
    assert seen.fenced("kvm1").seconds == 60


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ('status="success"', 'status="failed"'),
        ('status="success"', 'status="pending"'),
        ('action="off" target', 'action="on" target'),
        ('target="kvm1" client', 'target="kvm2" client'),
    ],
)
def test_what_did_not_take_the_power_from_it_is_no_fencing(said: str, instead: str) -> None:
    assert said in told("fenced")
    assert cluster.read(told("fenced").replace(said, instead), FENCED_AT).fenced("kvm1") is None


@pytest.mark.parametrize(
    ("said", "instead"), [('with_quorum="true"', 'with_quorum="false"'), ('stonith-enabled="true"', "")]
)
def test_what_is_not_said_is_not_so(said: str, instead: str) -> None:
    seen = cluster.read(told("fenced").replace(said, instead), FENCED_AT)
    assert not (seen.quorate and seen.fences)


@pytest.mark.parametrize("text", ["", "<crm_mon", told("fenced").replace("2026-11-26 22:28:54.672545Z", "yesterday")])
def test_what_cannot_be_read_is_said_in_words(text: str) -> None:
    with pytest.raises(ColoError, match="what crm_mon says cannot be read"):
        cluster.read(text, FENCED_AT)


def test_times_with_an_offset_are_read() -> None:
    assert cluster._moment("2026-11-26 23:28:54.672545 +01:00") == FENCED_AT
    assert cluster._moment("2026-11-26 22:28:54Z") == int(FENCED_AT)
