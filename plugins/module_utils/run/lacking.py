# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Noting that a standby lacks writes, by whoever sees it first: some of what tells goes when the primary is back.

Whoever only looks, in check mode or for status, writes nothing.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace

from ..host import half_notes
from ..lockstep import graph
from ..observation.seen import Observation
from ..observe import look
from ..record.half_notes import HalfNote
from ..verdict import copies, current

LASTING = graph.RECONNECT_SECONDS + 0.5


def note(seen: Observation) -> None:
    """Write it down durably, once, where it is so; what is done about it is decided elsewhere.

    Connections alone may have been seen in the middle of their end, one after the other, or of being made anew: what is
    still so after LASTING seconds is noted. Where there is no room for a note, what tells of it now is still there.
    """
    record = seen.record
    if record is None or record.role != "secondary" or not seen.domain.active or seen.known_to_lack:
        return
    if not copies.completed(seen) or not any(current.lacks(seen)):
        return
    if not any(current.logged(seen)):
        time.sleep(LASTING)
        seen = replace(seen, **look.came_over(seen))
    if any(current.lacks(seen)):
        about = HalfNote(seen.domain.uuid, record.generation, record.role)
        with contextlib.suppress(OSError):
            half_notes.note(half_notes.LACKING, seen.domain.name, about)
