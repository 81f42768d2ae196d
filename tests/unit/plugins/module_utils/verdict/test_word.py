# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose word is listened to, and which speech is too old."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.word import Half, Speech
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import word
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

STANDBY = recorded("protected-secondary")
PEER = STANDBY.record.peer
HALF = Half(STANDBY.domain.uuid, PEER.machine_id, 1, "primary", "8 1")
SAID = Speech(PEER.machine_id, "boot 1", 10, "nonce", (HALF,))
EAR = word.Ear(frozenset({PEER.host}), "nonce")


def test_a_speech_is_heard_once() -> None:
    assert word.unheard(EAR, word.Last(), SAID) is None
    after, last = word.heard(EAR, SAID, "next")
    assert "repeated" in word.unheard(after, last, SAID)
    assert word.unheard(after, last, replace(SAID, nonce="next", number=11)) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nonce": "old"}, "repeated"),
        ({"number": 10}, "older"),
        ({"number": 9}, "older"),
        ({"boot_id": "boot 0"}, "another boot"),
        ({"machine_id": "m9"}, "another machine"),
    ],
)
def test_what_is_old_or_of_another_is_not_heard(change: dict[str, object], words: str) -> None:
    ear, last = word.heard(EAR, SAID, "next")
    said = replace(SAID, **{"nonce": "next", "number": 11, **change})
    assert words in word.unheard(ear, last, said)


def test_after_a_boot_the_count_begins_anew() -> None:
    _ear, last = word.heard(EAR, SAID, "next")
    said = replace(SAID, boot_id="boot 2", number=1)
    assert word.unheard(EAR, last, said) is None


@pytest.mark.parametrize("names", [{PEER.host}, {PEER.address}, {"other", PEER.address}])
def test_the_peer_is_known_by_its_name_or_address(names: set[str]) -> None:
    assert word.half_for(STANDBY.record, STANDBY.domain.uuid, names, SAID) == HALF


def test_another_host_of_the_same_authority_is_not_the_peer() -> None:
    uuid = STANDBY.domain.uuid
    assert word.half_for(STANDBY.record, uuid, {"kvm9", "10.0.0.9"}, SAID) is None
    assert word.half_for(STANDBY.record, uuid, {PEER.host}, replace(SAID, machine_id="m9")) is None
    assert word.half_for(STANDBY.record, "another", {PEER.host}, SAID) is None
    foreign = replace(SAID, halves=(replace(HALF, machine_id="m9"),))
    assert word.half_for(STANDBY.record, uuid, {PEER.host}, foreign) is None


def test_a_word_about_another_process_than_that_of_the_lockstep_is_told_apart() -> None:
    ended = replace(HALF, gave_way=True)
    assert not word.of_another_process(None, ended)
    assert not word.of_another_process(HALF, ended)
    assert not word.of_another_process(HALF, replace(ended, process=""))
    assert word.of_another_process(HALF, replace(ended, process="8 2"))
    assert not word.of_another_process(HALF, replace(ended, process="8 2", generation=2))
