# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which end of the other host is believed, and on what ground."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.cluster import Cluster, Fencing, Node
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Heard, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.observation.word import Half
from ansible_collections.lockstep.colo.plugins.module_utils.plan.survive import failover
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import fence, remarks
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.fence import Fence, objections
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import fenced, heard_just_now, recorded

STANDBY = recorded("protected-secondary")  # on kvm2; the peer is kvm1
GIVEN_UP = recorded("protected-primary")  # made so below
PRIMARY, EXPENDABLE = recorded("protected-again-primary"), recorded("protected-again-secondary")


def with_record(seen: Observation, state: str = "running", **changes: object) -> Observation:
    return replace(seen, domain=replace(seen.domain, state=state, record=replace(seen.record, **changes)))


def why(seen: Observation, one: Fence, peer: Observation | None = None) -> str:
    return " | ".join(map(str, objections(seen, one, peer)))


@pytest.mark.parametrize(
    ("answers", "ground", "refused"),
    [
        (True, fence.CONFIRMED, True),
        (False, fence.CONFIRMED, False),
        (None, fence.CONFIRMED, False),
        (True, fence.COMMAND, False),
    ],
)
def test_nobody_is_believed_of_a_host_that_answers(answers: bool | None, ground: str, refused: bool) -> None:
    seen = replace(STANDBY, peer_answers=answers)
    said = why(seen, fenced("kvm1", ground))
    assert bool(said) is refused
    if refused:
        assert "kvm1 answers on 10.77.0.1, so it has power" in said
        assert "colo_i_accept_that_two_guests_may_run" in said


@pytest.mark.parametrize("answers", [True, False, None])
def test_a_verified_fence_that_is_contradicted_is_told(answers: bool | None) -> None:
    after = replace(failover(heard_just_now(STANDBY), fenced("kvm1")).after, peer_answers=answers)
    told = [words for words in remarks.problems(after) if "kvm1 answers on 10.77.0.1 after its fence" in words]
    assert bool(told) is (answers is True)


@pytest.mark.parametrize(
    ("one", "believed"),
    [
        (Fence("kvm1", proof={"rc": 0, "changed": False}), True),
        (Fence("kvm1", proof={"changed": False, "status": 200}), True),
        (Fence("kvm1", proof={"rc": 1, "failed": True}), False),
        (Fence("kvm1", proof={"rc": 0, "failed": True}), False),
        (Fence("kvm1", proof={"skipped": True, "changed": False}), False),
        (Fence("kvm1", proof={}), False),
        (Fence("kvm1", proof={"verified": True}), False),  # what nothing registers
        (Fence("kvm1", proof={"rc": "0", "changed": False}), False),
        (Fence("kvm1", proof={}, dry=True), True),
        (Fence("kvm1"), False),
        (Fence("kvm1", fence.CONFIRMED, confirmed="kvm1"), True),
        (Fence("kvm1", fence.CONFIRMED, confirmed="kvm2"), False),
        (Fence("kvm1", fence.CONFIRMED, confirmed="", dry=True), False),
        (Fence("kvm1", fence.CONFIRMED, proof={"rc": 0}), False),
    ],
)
def test_what_is_said_is_proven_by_what_was_registered_or_typed(one: Fence, believed: bool) -> None:
    assert ("it is not proven that kvm1 is down" not in why(STANDBY, one)) is believed
    assert fence.urgent(one, False) is believed


@pytest.mark.parametrize("ground", fence.GROUNDS)
def test_that_it_is_called_verified_proves_nothing_that_has_to_be_seen(ground: str) -> None:
    said = why(STANDBY, fenced("kvm1", ground))
    assert ("nothing was observed of kvm1" in said) is (ground in (fence.ENDED, fence.DRILL))


ENDED = Fence("kvm1", ground=fence.ENDED)


def test_a_host_that_was_seen_given_up_is_as_good_as_fenced() -> None:
    assert why(STANDBY, ENDED, with_record(GIVEN_UP, "shutoff", handed_over=True)) == ""
    assert why(STANDBY, ENDED, replace(GIVEN_UP, domain=None, marker=None)) == ""


@pytest.mark.parametrize(
    ("peer", "words"),
    [
        (GIVEN_UP, "was not seen ended and given up"),
        (with_record(GIVEN_UP, handed_over=True), "was not seen ended and given up"),
        (with_record(GIVEN_UP, "shutoff"), "was not seen ended and given up"),
        (with_record(GIVEN_UP, "shutoff", role="alone", generation=2), "kvm1 has a newer copy (generation 2, this one"),
        (STANDBY, "nothing was observed of kvm1"),
    ],
    ids=["runs", "still runs", "only shut off", "went on alone", "this host itself"],
)
def test_what_was_not_given_up_is_not_taken_for_it(peer: Observation, words: str) -> None:
    assert words in why(STANDBY, ENDED, peer)


def test_another_domain_proves_nothing() -> None:
    other = with_record(GIVEN_UP, "shutoff", handed_over=True)
    other = replace(other, domain=replace(other.domain, uuid="11111111-2222-3333-4444-555555555555"))
    assert "another domain" in why(STANDBY, ENDED, other)


DRILL = Fence("kvm1", ground=fence.DRILL)


def test_a_drill_is_seen_in_the_standbys_record_and_links() -> None:
    expendable = with_record(EXPENDABLE, complete=None)
    assert why(PRIMARY, DRILL, expendable) == ""
    assert "may still be promoted" in why(PRIMARY, DRILL, EXPENDABLE)
    up = replace(
        expendable,
        domain=replace(expendable.domain, nics=tuple(replace(nic, tap_up=True) for nic in expendable.domain.nics)),
    )
    assert "is on the network" in why(PRIMARY, DRILL, up)


def test_no_standby_is_promoted_for_a_drill() -> None:
    standby = replace(STANDBY, domain=replace(STANDBY.domain, record=STANDBY.record))
    assert why(standby, DRILL, GIVEN_UP)


TOLD = Half(STANDBY.domain.uuid, STANDBY.record.peer.machine_id, STANDBY.generation, "primary", gave_way=True)
PARTED = replace(STANDBY, closed_sockets=STANDBY.peer_sockets)


def told(half: Half | None) -> Fence:
    return Fence("kvm1", ground=fence.TOLD, told=half)


def test_a_word_and_the_loss_of_the_connection_together_are_believed() -> None:
    assert why(PARTED, told(TOLD)) == ""
    assert why(replace(STANDBY, peer_sockets=()), told(TOLD)) == ""
    assert why(replace(STANDBY, stuck_sockets=STANDBY.peer_sockets), told(TOLD)) == ""
    assert not fence.urgent(told(TOLD), False), "another run is not ended for it"


@pytest.mark.parametrize(
    ("seen", "half", "words"),
    [
        (STANDBY, TOLD, "still connected with it"),
        (replace(PARTED, closed_sockets=STANDBY.peer_sockets[1:]), TOLD, "still connected with it"),
        (PARTED, None, "has said nothing about this pair"),
        (PARTED, replace(TOLD, uuid="another"), "has said nothing about this pair"),
        (PARTED, replace(TOLD, machine_id="another"), "has said nothing about this pair"),
        (PARTED, replace(TOLD, generation=STANDBY.generation + 1), "is about the primary of generation"),
        (PARTED, replace(TOLD, role="secondary"), "is about the secondary"),
        (PARTED, replace(TOLD, gave_way=False), "does not say that its QEMU has ended for good"),
        (PARTED, replace(TOLD, running=True), "does not say that its QEMU has ended for good"),
        (PARTED, replace(TOLD, lacks=True), "says that this copy lacks writes"),
    ],
)
def test_neither_alone_nor_a_word_about_something_else_is(seen: Observation, half: Half | None, words: str) -> None:
    assert words in why(seen, told(half))


FENCED = Cluster(
    quorate=True, fences=True, nodes=(Node("kvm1", online=False), Node("kvm2", online=True)),
    fencings=(Fencing("kvm1", "off", 2.0), Fencing("kvm1", "off", 7000.0), Fencing("kvm2", "off", 1.0)),
)  # fmt: skip
SILENT = replace(STANDBY, heard=Heard("then", 5.0))


def by_cluster(cluster: Cluster | None) -> Fence:
    return Fence("kvm1", ground=fence.CLUSTER, cluster=cluster)


def test_a_fencing_by_the_cluster_is_believed_where_nothing_was_heard_since() -> None:
    assert why(SILENT, by_cluster(FENCED)) == ""
    assert why(replace(SILENT, peer_answers=False), by_cluster(FENCED)) == ""
    assert fence.urgent(by_cluster(FENCED), False)


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        (None, "has said nothing of kvm1"),
        (replace(FENCED, fences=False), "stonith-enabled is false"),
        (replace(FENCED, quorate=False), "no quorum"),
        (replace(FENCED, nodes=FENCED.nodes[1:]), "has no node kvm1"),
        (replace(FENCED, nodes=(Node("kvm1", online=True),)), "is a member of the cluster"),
        (replace(FENCED, nodes=(Node("kvm1", online=False, unclean=True),)), "has not fenced kvm1"),
        (replace(FENCED, fencings=FENCED.fencings[2:]), "has not fenced kvm1"),
    ],
)
def test_what_the_cluster_has_not_done_is_not_believed(cluster: Cluster | None, words: str) -> None:
    assert words in why(SILENT, by_cluster(cluster))
    assert not fence.urgent(by_cluster(cluster), False), "no run is ended for it"


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (replace(SILENT, heard=Heard("just now", 0.5)), "was fenced 2 s ago, and was heard last 0 s ago"),
        (replace(SILENT, peer_answers=True), "its fencing device may not do what it says"),
    ],
)
def test_a_fencing_device_that_lies_is_found_out(seen: Observation, words: str) -> None:
    assert words in why(seen, by_cluster(FENCED))


def test_an_old_fencing_is_of_an_earlier_loss() -> None:
    old = replace(FENCED, fencings=(Fencing("kvm1", "off", 400.0),))
    assert "was fenced 6 min 40 s ago" in why(SILENT, by_cluster(old))
    assert "at a time that is not known" in why(replace(SILENT, heard=None), by_cluster(old))
    assert why(replace(SILENT, heard=None), by_cluster(FENCED)) == ""
