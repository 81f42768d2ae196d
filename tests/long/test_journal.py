# SPDX-License-Identifier: GPL-3.0-or-later
"""A long run fails for what the effects of its playbooks' steps did not foresee, also where it is resumed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / part) for part in ("integration", "lab", "long")]

import colo_bed  # noqa: E402
from journal import Journal, judged  # noqa: E402

LEFT = {"title": "Fail over", "host": "kvm2", "unforeseen": ["ports: [21600], foreseen was []"]}
WORDS = "Fail over: ports: [21600], foreseen was []"


@pytest.fixture(name="journal")
def journal_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """A journal, beside what an earlier run of another kind has left unforeseen."""
    monkeypatch.setattr(colo_bed, "UNFORESEEN", tmp_path / "unforeseen.jsonl")
    play()
    journal = Journal("x.jsonl")
    journal.path = tmp_path / "x.jsonl"
    return journal


def play() -> None:
    with colo_bed.UNFORESEEN.open("a", encoding="utf-8") as file:
        file.write(json.dumps(LEFT) + "\n")


def test_a_case_has_what_was_not_foreseen_in_it_and_fails_the_run(journal: Journal) -> None:
    def main() -> int:
        journal.add({"case": 1})
        play()
        journal.add({"case": 2})
        journal.add({"case": 3})
        return 0

    assert judged(main) == 1
    assert [case.get("unforeseen") for case in journal.cases()] == [None, [WORDS], None]
    assert judged(lambda: len(journal.cases()) - 3) == 1, "a run that goes on behind it, or shows the table"


def test_what_comes_after_the_last_case_counts_as_well(journal: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        journal.add({"case": 1})
        play()
        return 0

    assert judged(main) == 1
    assert f"FAILED not foreseen: {WORDS}" in capsys.readouterr().out


def test_of_another_run_or_journal_it_does_not(journal: Journal) -> None:
    other = Journal("y.jsonl")
    other.path = journal.path.with_name("y.jsonl")
    other.add({"case": 1, "unforeseen": [WORDS]})
    assert judged(lambda: journal.add({"case": 1}) or 0) == 0
    assert judged(lambda: 3) == 3


@pytest.mark.parametrize(
    "script", [path for path in sorted((ROOT / "tests" / "long").iterdir()) if path.is_file() and not path.suffix]
)
def test_every_long_run_is_judged(script: Path) -> None:
    assert "sys.exit(judged(main))" in script.read_text(encoding="utf-8")
