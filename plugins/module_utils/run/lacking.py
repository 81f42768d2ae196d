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
POLL = 0.1


def settled(seen: Observation) -> Observation:
    """The same, of a standby whose connections were seen in the middle of their end, once that is over.

    They end one after the other, and may be made anew: only what is still so after LASTING seconds tells that writes
    are lacking. What was logged or noted of it tells at once.
    """
    until = time.monotonic() + LASTING
    while _may_lack(seen) and not _told(seen) and time.monotonic() < until:
        time.sleep(POLL)
        seen = replace(seen, **look.came_over(seen))
    return seen


def note(seen: Observation) -> None:
    """Write it down durably, once, where it is so; what is done about it is decided elsewhere.

    ``seen`` is settled. Where there is no room for a note, what tells of it now is still there.
    """
    if seen.known_to_lack or not _may_lack(seen):
        return
    about = HalfNote(seen.domain.uuid, seen.record.generation, seen.record.role)
    with contextlib.suppress(OSError):
        half_notes.note(half_notes.LACKING, seen.domain.name, about)


def _may_lack(seen: Observation) -> bool:
    """Whether this is a standby that could be promoted, but for the writes that it lacks."""
    record = seen.record
    return (
        record is not None
        and record.role == "secondary"
        and seen.domain.active
        and copies.completed(seen)
        and any(current.lacks(seen))
    )


def _told(seen: Observation) -> bool:
    return seen.known_to_lack or any(current.logged(seen))
