# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A row of the table of what a pair needs: what was found, what is needed, and what to do where that differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ...observation.seen import Host
from ..problem import Problem

OK, NOTE, WRONG, UNKNOWN = "ok", "note", "wrong", "unknown"


@dataclass(frozen=True)
class Requirement:
    """One row. ``host`` is None for what only both hosts together can meet or miss.

    ``state``: ``wrong`` keeps a pair from being formed, ``note`` does not, ``unknown`` could not be seen.
    """

    requirement: str
    host: str | None
    needed: str
    found: str
    state: str
    remedy: str = ""
    disk: str | None = None


def problems(rows: Iterable[Requirement]) -> Iterator[Problem]:
    """Why no pair can be formed."""
    for row in rows:
        if row.state == WRONG:
            yield Problem(row.found, row.remedy, row.disk)


def advice(rows: Iterable[Requirement]) -> list[str]:
    """What could be better, each with what to do about it, in plain words."""
    return [f"{row.found}. {row.remedy}" for row in rows if row.state == NOTE]


class Row:
    """A requirement while a host is held against it: it gets one row for each thing that is not as needed.

    Each requirement is one function that makes a Row, tells it what is wrong, and returns ``found``.
    """

    def __init__(self, requirement: str, host: Host | None, needed: str) -> None:
        self.requirement, self.host, self.needed = requirement, host.name if host else None, needed
        self.rows: list[Requirement] = []

    def wrong(self, what: str, remedy: str, disk: str | None = None) -> None:
        """It keeps a pair from being formed."""
        self._add(what, WRONG, remedy, disk)

    def note(self, what: str, remedy: str) -> None:
        """It could be better."""
        self._add(what, NOTE, remedy)

    def found(self, what: str | None) -> list[Requirement]:
        """The rows; where nothing was told, one that says what was found, None for what could not be seen."""
        if not self.rows:
            self._add(what or "unknown", OK if what else UNKNOWN)
        return self.rows

    def _add(self, found: str, state: str, remedy: str = "", disk: str | None = None) -> None:
        self.rows.append(Requirement(self.requirement, self.host, self.needed, found, state, remedy, disk))
