# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a standby may have been left behind."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Heard, Observation, Received
from ansible_collections.lockstep.colo.plugins.module_utils.plan.survive import failover
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import current, fence, pair, remarks
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.fence import Fence
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Refusal
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import fenced, recorded

STANDBY = recorded("protected-secondary")
FENCED = fenced("kvm1")


def heard(seconds: float | None) -> Observation:
    return replace(STANDBY, heard=None if seconds is None else Heard("2026-11-26 01:43:22 UTC", seconds))


@pytest.mark.parametrize(
    ("seconds", "within", "refused"),
    [(3, 300, False), (300, 300, False), (301, 300, True), (3780, 300, True), (3780, 4380, False), (None, 300, True),
     (None, -1, False), (3780, -1, False), (3, 0, True)],
)  # fmt: skip
def test_a_standby_that_was_silent_for_long_is_not_promoted(seconds: float | None, within: int, refused: bool) -> None:
    if not refused:
        assert failover(heard(seconds), FENCED, within=within).steps
        return
    with pytest.raises(Refusal, match="acknowledged writes that this copy lacks"):
        failover(heard(seconds), FENCED, within=within)


def test_the_refusal_asks_the_question_with_the_time_and_the_way_out() -> None:
    with pytest.raises(Refusal) as raised:
        failover(heard(3780), FENCED)
    said = str(raised.value)
    assert "last heard from kvm1 at 2026-11-26 01:43:22 UTC, 1 h 3 min ago" in said
    assert "-e colo_promote_within=4380" in said
    with pytest.raises(Refusal, match=r"at a time that is not known.*colo_promote_within=-1"):
        failover(heard(None), FENCED)


def connected(without_writes: float | None = 2.0, **counts: int) -> Observation:
    return replace(heard(3), connections=counts, without_writes=without_writes)


@pytest.mark.parametrize(
    ("counts", "lacks"),
    [
        ({"migration": 1, "nbd": 2}, False),  # it has two disks
        ({"migration": 1, "nbd": 1}, True),
        ({"migration": 1, "nbd": 0}, True),
        ({"migration": 0, "nbd": 0}, False),  # its QEMU has ended
        ({"migration": 0, "nbd": 1}, False),  # no checkpoint came since
    ],
)
def test_a_standby_whose_primary_lost_its_disks_alone_is_not_promoted(counts: dict[str, int], lacks: bool) -> None:
    seen = connected(**counts)
    said = [words for words in remarks.problems(seen) if "this copy may lack writes" in words]
    assert bool(said) is lacks
    assert (pair.phase(seen) == "degraded") is lacks
    if not lacks:
        assert failover(seen, FENCED).steps
        return
    assert failover(seen, FENCED, within=current.ANY_LENGTH).steps
    for ground in fence.SAID:
        with pytest.raises(Refusal, match=r"lost its connection for the disks alone.*lockstep\.colo\.start"):
            failover(seen, fenced("kvm1", ground))


@pytest.mark.parametrize(("seconds", "lacks"), [(-1.5, False), (0.04, False), (0.5, True), (None, True)])
def test_without_a_checkpoint_since_the_last_write_nothing_is_gone(seconds: float | None, lacks: bool) -> None:
    """As on a host whose primary has lost its power, and is up again: its kernel resets what it is still told."""
    assert any(current.cut_from_disks(connected(seconds, migration=1, nbd=1))) is lacks


@pytest.mark.parametrize(
    ("received", "lacks"),
    [
        (None, None),
        (Received(), None),
        (Received(failed="EIO"), r"a write of the guest failed on this host \(EIO\)"),
        (Received(away=0.013), None),  # what was under way was sent once more
        (Received(away=1.7), "kvm1 had no connection for the disks for 1.7 s"),
        (Received(gone=-40.0), None),  # as when the power is back, or its QEMU has ended: no checkpoint came after
        (Received(gone=0.4), None),
        (Received(gone=4.2), "kvm1 lost its connection for the disks alone"),
        (Received(failed="ENOSPC", away=3.0, gone=4.2), "ENOSPC"),
    ],
)
def test_a_standby_that_lacks_writes_by_its_own_log_is_not_promoted(
    received: Received | None, lacks: str | None
) -> None:
    """Whatever became of the connections since: the primary is lost, or its host is up again, or its QEMU has ended."""
    primary = recorded("protected-primary")
    ended = replace(primary, domain=replace(primary.domain, state="shutoff", ended_by="crashed"), monitor=None)
    seen = replace(connected(None, migration=0, nbd=0), received=received)
    said = [words for words in remarks.problems(seen) if lacks and re.search(lacks, words)]
    assert bool(said) is bool(lacks)
    assert pair.phase(seen) == ("degraded" if lacks else "protected")
    assert pair.pair(ended, seen).next == ("start" if lacks else "failover")
    assert failover(seen, FENCED, within=current.ANY_LENGTH).steps
    if not lacks:
        assert failover(seen, FENCED).steps
        return
    with pytest.raises(Refusal, match=rf"{lacks}.*bring kvm1 back, .*lockstep\.colo\.start.*colo_promote_within=-1"):
        failover(seen, FENCED)


def test_what_was_seen_once_holds_though_nothing_shows_it_any_more() -> None:
    seen = replace(connected(None, migration=0, nbd=0), known_to_lack=True)
    with pytest.raises(Refusal, match="noted on this host, that this copy lacks writes"):
        failover(seen, FENCED)
    hangs = replace(seen, monitor=None, monitor_problem="QEMU did not answer")
    assert any("that this copy lacks writes" in words for words in remarks.problems(hangs))


def test_a_copy_that_lacks_writes_does_not_keep_the_primarys_from_being_started() -> None:
    primary = recorded("protected-primary")
    ended = replace(primary, domain=replace(primary.domain, state="shutoff", ended_by="crashed"), monitor=None)
    assert pair.pair(ended, connected(migration=1, nbd=2)).next == "failover"
    assert pair.pair(ended, connected(migration=1, nbd=1)).next == "start"


def test_no_acceptance_of_two_guests_makes_an_old_copy_a_new_one() -> None:
    with pytest.raises(Refusal, match="last heard from kvm1"):
        failover(heard(3780), None, unfenced=True)


def test_a_primary_that_was_seen_given_up_has_not_gone_on_alone() -> None:
    primary = recorded("protected-primary")
    record = replace(primary.record, handed_over=True)
    ended = replace(primary, domain=replace(primary.domain, state="shutoff", record=record))
    assert failover(heard(3780), Fence("kvm1", ground=fence.ENDED), peer=ended).steps


def test_a_primary_goes_on_however_long_its_standby_was_silent() -> None:
    assert failover(recorded("protected-again-primary"), FENCED, within=0).steps


def test_status_tells_of_the_silence() -> None:
    notes = " ".join(remarks.problems(heard(3780)))
    assert "the standby last heard from kvm1 at 2026-11-26 01:43:22 UTC, 1 h 3 min ago" in notes
    assert "last heard" not in " ".join(remarks.problems(heard(3)))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h"), (3780, "1 h 3 min"), (90061, "1 d 1 h")],
)
def test_lengths_of_time_are_told_in_two_units(seconds: float, words: str) -> None:
    assert current.ago(seconds) == words
