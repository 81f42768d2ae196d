# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is noted of a standby that lacks writes, and by whom."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.host import half_notes
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation, Received
from ansible_collections.lockstep.colo.plugins.module_utils.record.half_notes import HalfNote
from ansible_collections.lockstep.colo.plugins.module_utils.run import goals, lacking
from ansible_collections.lockstep.colo.plugins.module_utils.run.goals import GOALS, Request
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Refusal
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import fenced, heard_just_now, recorded

STANDBY = heard_just_now(recorded("protected-secondary"))
LACKING = replace(STANDBY, received=Received(failed="EIO"))


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half_notes, "DIRECTORY", str(tmp_path))


def changed(seen: Observation, state: str = "running", **record: object) -> Observation:
    return replace(seen, domain=replace(seen.domain, state=state, record=replace(seen.record, **record)))


def noted() -> HalfNote | None:
    return half_notes.noted(half_notes.LACKING, STANDBY.domain.name)


@pytest.mark.parametrize("check", [False, True])
def test_a_run_that_is_refused_for_it_has_noted_it(monkeypatch: pytest.MonkeyPatch, check: bool) -> None:
    monkeypatch.setattr(goals, "observe", lambda *unused, **more: LACKING)
    with pytest.raises(Refusal, match="a write of the guest failed on this host"):
        goals.run(GOALS["surviving"], Request("web1", fence=fenced("kvm1"), check=check), None)
    about = HalfNote(LACKING.domain.uuid, LACKING.record.generation, "secondary")
    assert noted() == (None if check else about)


@pytest.mark.parametrize(
    "seen",
    [STANDBY, changed(LACKING, "shutoff"), changed(LACKING, complete=None), changed(LACKING, role="alone")],
    ids=["it lacks nothing", "it has ended", "it may not be promoted anyhow", "it was"],
)
def test_nothing_is_noted(seen: Observation) -> None:
    lacking.note(seen)
    assert noted() is None


def test_what_is_noted_is_not_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking.note(LACKING)
    monkeypatch.setattr(half_notes, "note", None)
    lacking.note(replace(LACKING, known_to_lack=True))


CUT = {"migration": 1, "nbd": 1}


@pytest.mark.parametrize(
    ("then", "looks"),
    [(CUT, 15), ({"migration": 0, "nbd": 0}, 1), ({"migration": 1, "nbd": 2}, 1)],
    ids=["cut", "the primary has ended", "made anew"],
)
def test_connections_that_are_just_ending_are_waited_for(
    monkeypatch: pytest.MonkeyPatch, then: dict[str, int], looks: int
) -> None:
    """A note that is wrong would keep the only copy that is left from being served; so would a look too early."""
    slept: list[float] = []
    monkeypatch.setattr(lacking.time, "sleep", slept.append)
    monkeypatch.setattr(lacking.time, "monotonic", lambda: sum(slept))
    monkeypatch.setattr(lacking.look, "came_over", lambda seen: {"connections": then, "without_writes": 2.0})
    seen = lacking.settled(replace(STANDBY, connections=CUT, without_writes=2.0))
    assert (seen.connections, len(slept)) == (then, pytest.approx(looks, abs=1))
    lacking.note(seen)
    assert (noted() is not None) is (then == CUT)


def test_what_was_logged_needs_no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lacking.time, "sleep", None)
    assert lacking.settled(LACKING) is LACKING


def test_no_room_for_a_note_keeps_nobody_from_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_unused: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(half_notes, "note", full)
    lacking.note(LACKING)
