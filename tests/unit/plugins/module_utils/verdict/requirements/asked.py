# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the requirements share: two recorded hosts, and what a requirement has against them."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Problem
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements.row import (
    OK,
    UNKNOWN,
    Requirement,
)
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

RUNNING = recorded("unprotected-primary")
OTHER = recorded("unprotected-secondary")
DOMAIN = RUNNING.domain
HOST = RUNNING.host


def said(rows: Iterable[Requirement]) -> list[Problem]:
    """What is wrong, or could be better."""
    return [Problem(row.found, row.remedy, row.disk) for row in rows if row.state not in (OK, UNKNOWN)]


def only(rows: Iterable[Requirement]) -> Problem:
    found = said(rows)
    assert len(found) == 1, [str(problem) for problem in found]
    assert found[0].remedy
    return found[0]
