# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles decide nothing about a pair themselves: they read what the core's verdict says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROLES = Path(__file__).resolve().parents[2] / "roles"
FILES = sorted(
    path for name in ("host", "pair", "failover", "report") for path in (ROLES / name / "tasks").rglob("*.yml")
)
# What an observation is made of. A role that looks into it has begun to decide.
DECISION = re.compile(
    r"\brecord\b|\bgeneration\b|\bhanded_over\b|\.state\b|'state'|\bobservation\.(?:domain|monitor)\b|\bverified: "
    r"|\b(?:phase|observation)'?,? (?:is )?(?:not )?'?defined"
)
VERDICT = re.compile(r"colo_verdict\.\w+")


def decisions(text: str) -> Iterator[str]:
    """Lines that look at a pair's record, state or generation other than by the verdict."""
    for line in text.splitlines():
        code = VERDICT.sub("", line.partition(" #")[0])
        words = code.strip()
        # Texts, and what a module is told.
        told = words.startswith(("#", "- name:", "generation: ", "msg:", "state: ", "{{ row.requirement }}: "))
        if DECISION.search(code) and not told:
            yield words


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROLES)))
def test_a_role_reads_the_verdict_and_nothing_below_it(path: Path) -> None:
    assert list(decisions(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("when: colo_seen[colo_from].observation.domain.record.role == 'alone'", True),
        ("when: colo_half.state not in ['shutoff', 'crashed']", True),
        ("colo_newest: \"{{ colo_copies | sort(attribute='generation') }}\"", True),
        ("colo_notes: \"{{ colo_preflight.preflight | selectattr('state', 'eq', 'note') | list }}\"", True),
        ("colo_mute: \"{{ colo_seen | dict2items | rejectattr('value.phase', 'defined') | list }}\"", True),
        ("peer: \"{{ colo_seen[colo_to] if colo_seen[colo_to].observation is defined else 'unreachable' }}\"", True),
        ("when: colo_verdict.alone", False),
        ("verified: true", True),
        ("state: expendable", False),
        ('generation: "{{ colo_verdict.generation }}"', False),
    ],
)
def test_a_decision_is_found(line: str, found: bool) -> None:
    assert bool(list(decisions(line))) is found


def test_the_task_that_makes_a_standby_expendable_stands_once() -> None:
    assert sum(path.read_text(encoding="utf-8").count("state: expendable") for path in FILES) == 1


def test_the_directory_is_said_once_for_each_entry_of_a_role() -> None:
    said = {path.name: path.read_text(encoding="utf-8").count('directory: "{{ colo_directory }}"') for path in FILES}
    assert set(said.values()) <= {0, 1}
    assert sum(said.values()) < 10
