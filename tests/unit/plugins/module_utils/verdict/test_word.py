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
    assert word.disbelieved(EAR, SAID) is None
    after = word.once_heard(EAR, SAID, "next", 7.0)
    assert "repeated" in word.disbelieved(after, SAID)
    assert word.disbelieved(after, replace(SAID, nonce="next", number=11)) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nonce": "old"}, "repeated"),
        ({"boot_id": "boot 0"}, "another boot"),
        ({"machine_id": "m9"}, "another machine"),
    ],
)
def test_what_is_repeated_or_of_another_is_not_believed(change: dict[str, object], words: str) -> None:
    said = replace(SAID, **{"nonce": "next", "number": 11, **change})
    assert words in word.disbelieved(word.once_heard(EAR, SAID, "next", 7.0), said)


@pytest.mark.parametrize(
    ("boot", "number", "old"), [("b", 10, True), ("b", 9, True), ("b", 11, False), ("c", 1, False)]
)
def test_of_two_lines_the_later_word_counts_and_a_boot_begins_anew(boot: str, number: int, old: bool) -> None:
    assert word.is_old(word.Last("b", 10), replace(SAID, boot_id=boot, number=number)) is old
    assert not word.is_old(word.Last(), SAID)


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


def test_an_end_that_was_asked_for_before_the_last_run_here_is_of_another_lockstep() -> None:
    ended = replace(HALF, gave_way=True)
    last = word.Word(ended, asked=7.0, heard=8.0)
    assert word.still_said(last, 8.5, quiet_since=7.0) == ended
    assert word.still_said(last, 8.5, quiet_since=7.1) == replace(ended, gave_way=False)
    assert word.still_said(replace(last, half=HALF), 8.5, quiet_since=7.1) == HALF


def test_what_was_said_too_long_ago_is_said_no_more() -> None:
    last = word.Word(HALF, asked=7.0, heard=8.0)
    assert word.still_said(last, 8.0 + word.FRESH, quiet_since=0.0) is None
    assert word.still_said(None, 8.0, quiet_since=0.0) is None
