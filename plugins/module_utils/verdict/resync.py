# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which way a disk is copied to its standby: in full, compared first, or what was written alone. Pure.

What is compared is the whole of both images, each time. That an image was in this pair a moment ago, is newer, or was
closed in order proves nothing of its content, and is not asked.

What was written alone suffices where both images were the same at a moment that is known. That is so after a planned
change of sides. The primary's guest stood still, and all that it had written was on both disks, when its QEMU was
ended; the kernel tells that nobody has written to its image since (host/left_images.py). The other host's QEMU, which
still runs, has noted from before its promotion on what is written to its disk; the promotion itself writes what the
two differed in, since the last checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..lockstep import bitmaps
from ..observation.seen import Observation
from ..record.pair import CHANGED, COMPARED, FULL, SUMS_PORT, WRITTEN, DiskRecord, Record
from ..record.wanted import Wanted

WORTH_IT = 1 << 20  # bytes; less than this and there is nothing to be spared


@dataclass(frozen=True)
class Way:
    """``way``: FULL, COMPARED or WRITTEN; ``why`` in words. ``generation``: in which the image was left, if WRITTEN."""

    way: str
    why: str
    generation: int = 0


def port(record: Record) -> int:
    """Where the standby's host says what is on its disks."""
    return record.first_port + SUMS_PORT


def way(wanted: Wanted, holder: Observation, standby: Observation, target: str) -> Way:
    """How a disk of the ``holder``'s guest is best copied to the ``standby``, as far as that has not begun."""
    disk = next((disk for disk in standby.record.disks if disk.target == target), None)
    image = standby.images.get(disk.path) if disk else None
    if wanted.resync != CHANGED:
        return Way(FULL, "so it is wanted")
    if image is None or (image.allocated or 0) < WORTH_IT:
        return Way(FULL, f"{standby.host.name} has no image with anything in it")
    doubts = list(_doubts(holder, standby, disk))
    if not doubts:
        generation = standby.left.generation
        why = f"both were the same when the guest left {standby.host.name}, in generation {generation}"
        return Way(WRITTEN, why, generation)
    return Way(COMPARED, doubts[0])


def _doubts(holder: Observation, standby: Observation, disk: DiskRecord) -> Iterator[str]:
    """Why it is not certain what was written since both images were the same."""
    left = standby.left
    if left is None or disk.path not in left.paths:
        yield f"nothing proves that {disk.path} is as a guest left it"
        return
    bitmap = bitmaps.of(holder, disk.target).get(bitmaps.since(left.generation))
    if bitmap is None or not bitmap.recording:
        yield f"QEMU on {holder.host.name} has not noted all that was written since generation {left.generation}"
    elif holder.monitor.exports:
        yield f"QEMU on {holder.host.name} exports disks to somebody else"


def to_tell(wanted: Wanted, holder: Observation, standby: Observation) -> tuple[str, ...]:
    """The disks of which the ``standby`` is to say what it has: those of which a copy may be spared some."""
    return tuple(d.target for d in standby.record.disks if way(wanted, holder, standby, d.target).way != FULL)


def to_compare(wanted: Wanted, holder: Observation, standby: Observation) -> tuple[str, ...]:
    """The disks that are to be compared with those of the ``standby``."""
    return tuple(d.target for d in standby.record.disks if way(wanted, holder, standby, d.target).way == COMPARED)


def chosen(wanted: Wanted, holder: Observation, standby: Observation, target: str) -> Way:
    """The way in which a copy of this disk is begun: compared only where the standby's host says what it has."""
    found = way(wanted, holder, standby, target)
    if found.way == COMPARED and port(standby.record) not in standby.host.ports:
        return Way(FULL, f"{standby.host.name} does not say what it has")
    return found
