# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What QEMU notes of the writes to a disk: dirty bitmaps of ours, on libvirt's node for the disk. Pure.

They are of one QEMU, and end with it. On another node, as that of a snapshot's overlay, is none; where a disk has come
to lie on one, what is written to it is not noted.
"""

from __future__ import annotations

from ..observation.seen import Bitmap, Observation
from . import graph, own_node, states


def since(generation: int) -> str:
    """The bitmap of what was written to a disk since its guest left the other host, in the pair's ``generation``."""
    return f"{graph.PREFIX}since-{generation}"


def node(seen: Observation, target: str) -> str:
    """Where those of a disk of the running domain are."""
    disk = next(disk for disk in seen.domain.disks if disk.target == target)
    return own_node.libvirt_node(seen.monitor, states.below_filters(seen.monitor, disk))


def of(seen: Observation, target: str) -> dict[str, Bitmap]:
    """Those of a disk, by their names."""
    if seen.domain is None or seen.monitor is None or not seen.monitor.bitmaps:
        return {}
    return seen.monitor.bitmaps.get(node(seen, target), {})
