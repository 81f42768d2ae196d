# SPDX-License-Identifier: GPL-3.0-or-later
"""A run in which little was a case, or which never asked the playbook, is none that has passed."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import pytest
from mutation_bars import CASES, PLAYED, lacking, to_be_played
from mutation_list import MUTATIONS

PLAYBOOK = {"code": 2, "changed": 0, "same": True}


def case(kind: str = "files", number: int = 0, **more: object) -> dict:
    return {"kind": kind, "name": f"number {number}", "passed": True, "case": True, "truth": "no", **more}


def whole() -> list[dict]:
    played = [case(f"kind {number}", played=PLAYBOOK) for number in range(PLAYED)]
    return [*played, *(case(number=number) for number in range(CASES - PLAYED))]


def test_there_are_enough_mutations_of_enough_kinds() -> None:
    assert len(MUTATIONS) > CASES
    assert len({one.kind for one in MUTATIONS}) >= PLAYED


def test_enough_cases_lack_nothing() -> None:
    assert lacking(whole()) == []


def test_what_was_no_case_does_not_count() -> None:
    assert lacking([*whole()[:-1], case(number=99, case=False)]) == ["49 cases, and 50 are wanted"]
    assert lacking([*whole()[:-1], whole()[-2]]) == ["49 cases, and 50 are wanted"], "tried twice"


def test_a_run_without_the_playbook_is_none() -> None:
    known = [{**one, "played": None} for one in whole()]
    assert lacking(known) == ["0 kinds refused by the playbook, and 6 are wanted"]


@pytest.mark.parametrize(
    ("one", "known", "played"),
    [
        (case(), [], True),
        (case(truth=None), [], False),
        (case(case=False), [], False),
        (case(), [case(played=PLAYBOOK)], False),
        (case(), [case()], True),
        (case("another"), [case(f"kind {number}", played=PLAYBOOK) for number in range(PLAYED)], False),
    ],
)
def test_one_refusal_of_each_kind_is_the_playbooks(one: dict, known: list[dict], played: bool) -> None:
    assert to_be_played(one, known) is played
