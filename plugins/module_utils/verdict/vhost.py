# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a guest has to be taken off vhost, and what would be refused besides. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..observation.seen import Observation
from .problem import Problem
from .requirements.row import WRONG, Requirement, problems

VHOST = "vhost"
WHILE_SAVED = ("domain", "monitor")  # a guest that was saved for this does not run


@dataclass(frozen=True)
class Vhost:
    """``used``: the guest uses it, or was saved to be taken off it. It stands still for that, so that ``besides``, all
    that is wrong otherwise, is refused before."""

    used: bool
    besides: tuple[Problem, ...]


def of_guest(rows: Iterable[Requirement], holder: Observation) -> Vhost:
    """Whether the guest uses vhost and what else is wrong, by ``rows`` and what was seen of its host."""
    wrong = [row for row in rows if row.state == WRONG]
    saved = holder.domain is not None and holder.domain.saved_by_us
    aside = (VHOST, *WHILE_SAVED) if saved else (VHOST,)
    used = saved or any(row.requirement == VHOST for row in wrong)
    return Vhost(used, tuple(problems(row for row in wrong if row.requirement not in aside)))
