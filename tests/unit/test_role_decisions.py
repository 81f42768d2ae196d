# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles decide nothing about a pair themselves: they read what the core's verdict says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

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
CONDITIONS = ("when", "that", "failed_when", "changed_when", "until")
CHOICE = re.compile(r"\bif\b(.*?)(?:\belse\b|%\}|\}\})", re.DOTALL)  # in a template
# What a verdict is made of and made for: to be told, and not to be compared with.
COMPARED = re.compile(r"\b(?:phase|holder|roles|generation|observation)\b")


def decisions(text: str) -> Iterator[str]:
    """Lines that look at a pair's record, state or generation other than by the verdict."""
    for line in text.splitlines():
        code = VERDICT.sub("", line.partition(" #")[0])
        words = code.strip()
        # Texts, and what a module is told.
        told = words.startswith(("#", "- name:", "generation: ", "msg:", "state: ", "{{ row.requirement }}: "))
        if DECISION.search(code) and not told:
            yield words


def conditions(found: Any, hangs_on_it: bool = False) -> Iterator[str]:
    """Every expression of the tasks that something hangs on."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield from conditions(value, hangs_on_it or key in CONDITIONS)
    elif isinstance(found, list):
        for one in found:
            yield from conditions(one, hangs_on_it)
    elif isinstance(found, str):
        yield from [found] if hangs_on_it else CHOICE.findall(found)


def compared(text: str) -> list[str]:
    """Conditions that look at what they could ask the verdict for."""
    return [words for words in conditions(yaml.safe_load(text)) if COMPARED.search(words)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROLES)))
def test_a_role_reads_the_verdict_and_nothing_below_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert list(decisions(text)) == []
    assert compared(text) == []


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


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("failed_when: colo_healthy is not success or colo_healthy.verdict.phase != 'protected'", True),
        ("when: colo_verdict.holder == inventory_hostname", True),
        ("until: [colo_done, \"colo_verdict.roles[colo_to] == 'secondary'\"]", True),
        ("assert: {that: colo_verdict.generation > 3}", True),
        ("assert: {that: [\"colo_status.phase in ['protected', 'syncing']\"]}", True),
        ("when: colo_seen[colo_from]['observation']['domain'] is none", True),
        ("block: [{name: Look, changed_when: colo_looked.verdict.phase == 'stalled'}]", True),
        ("peer: \"{{ colo_one if colo_told.phase == 'stale' else colo_other }}\"", True),
        ("content: \"{% if colo_told.holder == 'kvm1' %} here {% endif %}\"", True),
        ('fail_msg: "it is {{ colo_status.phase }} on {{ colo_told.holder }}"', False),
        ("when: colo_verdict.resume and colo_healthy.verdict.protected is true", False),
    ],
)
def test_a_condition_that_compares_is_found(line: str, found: bool) -> None:
    assert bool(compared(line)) is found


def test_the_task_that_makes_a_standby_expendable_stands_once() -> None:
    assert sum(path.read_text(encoding="utf-8").count("state: expendable") for path in FILES) == 1


def test_the_directory_is_said_once_for_each_entry_of_a_role() -> None:
    said = {path.name: path.read_text(encoding="utf-8").count('directory: "{{ colo_directory }}"') for path in FILES}
    assert set(said.values()) <= {0, 1}
    assert sum(said.values()) < 10
