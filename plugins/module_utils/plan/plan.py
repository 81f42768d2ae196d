# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plan: steps, from which follows what they come to."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from ..observation.seen import Observation
from . import effects
from .step import Step


@dataclass(frozen=True)
class Plan:
    """The steps, in order, from what was seen ``before``."""

    steps: tuple[Step, ...]
    before: Observation

    @functools.cached_property
    def after(self) -> Observation:
        """What will be seen once all of them are carried out: the fold of their effects."""
        return effects.fold(self.before, self.steps)

    @property
    def up_to_pivot(self) -> tuple[Step, ...]:
        """Those that are carried out before what follows is decided anew."""
        ends = next((number for number, step in enumerate(self.steps, 1) if step.pivot), len(self.steps))
        return self.steps[:ends]

    @property
    def changes(self) -> bool:
        """Whether any of its steps does."""
        return any(step.changes for step in self.steps)
