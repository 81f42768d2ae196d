# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a disk is copied to its standby in full, or compared first. Pure.

What is compared is the whole of both images, each time. That an image was in this pair a moment ago, is newer, or was
closed in order proves nothing of its content, and is not asked.
"""

from __future__ import annotations

from ..observation.seen import Observation
from ..record.pair import CHANGED, SUMS_PORT, Record
from ..record.wanted import Wanted

WORTH_IT = 1 << 20  # bytes; less than this and there is nothing to be spared


def port(record: Record) -> int:
    """Where the standby's host says what is on its disks."""
    return record.first_port + SUMS_PORT


def comparable(wanted: Wanted, standby: Observation, target: str) -> bool:
    """Whether the ``standby`` has something on this disk that a copy might be spared, and that is wanted."""
    path = next((disk.path for disk in standby.record.disks if disk.target == target), None)
    image = standby.images.get(path) if path else None
    return wanted.resync == CHANGED and image is not None and (image.allocated or 0) >= WORTH_IT


def to_compare(wanted: Wanted, standby: Observation) -> tuple[str, ...]:
    """The disks of which the ``standby`` is to say what it has."""
    return tuple(disk.target for disk in standby.record.disks if comparable(wanted, standby, disk.target))


def compared(wanted: Wanted, standby: Observation, target: str) -> bool:
    """Whether a copy of this disk to the ``standby`` sends only what differs: its host is there to say what it has."""
    return comparable(wanted, standby, target) and port(standby.record) in standby.host.ports
