# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench of a deploy that finds nothing to do: its parts add up, and it has bars that it can miss."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import no_change
import pytest

CLOCK = 1_795_000_000.0


@dataclass
class Play:
    began: float
    ended: float
    tasks: list = field(default_factory=list)


def task(action: str, began: float, ended: float, at: float | None = None) -> dict:
    said = {} if at is None else {"began": datetime.fromtimestamp(CLOCK + at, UTC).isoformat(timespec="milliseconds")}
    return {"action": action, "began": began, "ended": ended, "result": said}


def test_each_second_is_in_one_part_and_what_two_hosts_do_at_once_counts_once() -> None:
    play = Play(
        100.0,
        112.0,
        [
            task("ansible.builtin.apt", 101.0, 103.0),
            task("ansible.builtin.apt", 102.0, 104.0),
            task("lockstep.colo.colo_info", 105.0, 107.5, 106.0),
            task("lockstep.colo.colo_info", 105.0, 107.0, 106.5),
            task("lockstep.colo.colo_report", 110.0, 111.0),
        ],
    )
    found = no_change.spent_on(play, CLOCK)  # type: ignore[arg-type]
    assert found == pytest.approx({"start": 1.0, "tasks": 3.0, "way": 2.0, "looks": 1.5, "between": 4.5})
    assert sum(found.values()) == pytest.approx(12.0)
    assert set(found) == set(no_change.PARTS)


def test_a_play_without_a_task_is_all_start() -> None:
    assert no_change.spent_on(Play(1.0, 3.0), CLOCK)["start"] == pytest.approx(2.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "passed"),
    [
        ({}, True),
        ({"whole_to_ping": 8.01}, False),
        ({"limited_to_ping": 5.2}, False),
        ({"limited_to_ping": None}, False),
        ({"whole_changed": 1.0}, False),
    ],
    ids=str,
)
def test_the_bars_are_those_of_the_ping(known: dict, passed: bool) -> None:
    known = {"whole_to_ping": 8.0, "limited_to_ping": 4.9, "whole_changed": 0.0, **known}
    found = no_change.summary(known.get)
    assert found["passed"] is passed
    lines = dict(no_change.rows(found, lambda value: "unknown" if value is None else f"{value:g} ms"))
    assert lines["deploy with nothing to do (bar: 8)"].split()[-1] == str(known["whole_to_ping"])
