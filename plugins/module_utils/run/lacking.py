# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Noting that a standby lacks writes, by whoever sees it first: some of what tells goes when the primary is back.

Whoever only looks, in check mode or for status, writes nothing.
"""

from __future__ import annotations

from ..host import given_way
from ..observation.seen import Observation
from ..record.given_way import GaveWay
from ..verdict import copies, current


def note(seen: Observation) -> None:
    """Write it down durably, once, where it is so; what is done about it is decided elsewhere."""
    record = seen.record
    if record is None or record.role != "secondary" or not seen.domain.active or seen.known_to_lack:
        return
    if copies.completed(seen) and any(current.lacks(seen)):
        given_way.note(given_way.LACKING, seen.domain.name, GaveWay(seen.domain.uuid, record.generation, record.role))
