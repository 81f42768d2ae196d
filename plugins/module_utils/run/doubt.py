# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looking at the host that is said to be lost, before anything is reset and another run is ended for that."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from ..observation.depth import SILENT
from ..observation.seen import Heard, Observation
from ..observe import silence
from ..plan import survive
from ..verdict.fence import CLUSTER, CONFIRMED, SAID, Fence
from ..verdict.problem import refuse_if

Look = Callable[[str], Observation]  # at a depth


@dataclass(frozen=True)
class Found:
    """What was found of the lost host; ``began``: time.monotonic() of that look, None where there was none."""

    began: float | None = None
    heard: Heard | None = None
    answers: Future[bool] | None = None
    waits: bool = False

    def add_to(self, seen: Observation) -> Observation:
        """A later look, with what was found. Only a person, and a cluster, are held up for the answer."""
        if self.began is None:
            return seen
        known = self.answers is not None and (self.waits or self.answers.done())
        return replace(seen, heard=self.heard, peer_answers=self.answers.result() if known else None)


def of_fence(look: Look, fence: Fence | None, unfenced: bool, peer: Observation | None, within: int) -> Found:
    """What was found of the host that is said to be lost, for the later looks of the same run.

    Refusal where the ``fence`` is not proven, or where this standby heard nothing for more than ``within`` seconds, and
    so may have been left behind.
    """
    began, seen = time.monotonic(), look(SILENT)
    heard = answers = None
    said = fence is not None and fence.ground in SAID
    if seen.record and said:
        answers = ThreadPoolExecutor(1).submit(silence.answers, seen.record)
    by_cluster = fence is not None and fence.ground == CLUSTER
    if seen.record and (seen.record.role == "secondary" or by_cluster):
        heard = silence.heard(seen.record)
    found = Found(began, heard, answers, waits=by_cluster or (said and fence.ground == CONFIRMED))
    refuse_if(survive.doubts(found.add_to(seen), fence, unfenced, peer, within))
    return found
