# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A reason to refuse, and the refusal that tells all of them at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import ColoError


@dataclass(frozen=True)
class Problem:
    """One reason to refuse, and what to do about it."""

    what: str
    remedy: str
    disk: str | None = None

    def __str__(self) -> str:
        place = f"disk {self.disk}: " if self.disk else ""
        return f"{place}{self.what}. {self.remedy}"

    @property
    def in_a_line(self) -> str:
        """The same, for one that stands in a list of others."""
        return f"{self.what}: {self.remedy[:1].lower()}{self.remedy[1:]}"


class Refusal(ColoError):
    """Nothing was changed, for these reasons: all of them at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(" | ".join(map(str, self.problems)))


def refuse_if(problems: Iterable[Problem]) -> None:
    """Raise one Refusal that tells all problems, when there are any."""
    found = tuple(problems)
    if found:
        raise Refusal(found)
