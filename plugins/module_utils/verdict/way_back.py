# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what deploy puts under a disk could be taken out again: asked before it is put in. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import ColoError
from ..lockstep import graph, own_node, states
from ..observation.seen import Observation
from ..record.wanted import Wanted
from .problem import Problem


def way_back(wanted: Wanted, primary: Observation) -> Iterator[Problem]:
    """Of disks that are as libvirt made them: for each the node under the device, if no exit would find it again."""
    chosen = {disk.target for disk in wanted.disks}
    for disk in primary.domain.disks if primary.monitor else ():
        disk = states.below_filters(primary.monitor, disk)
        if disk.target not in chosen or not disk.node or graph.is_ours(disk.node):
            continue
        try:
            found = own_node.by_storage(primary.monitor, disk)
        except ColoError as error:
            found = error.what
        if found != disk.node:
            yield Problem(
                f"the guest uses block node {disk.node}, and once other layers are under it nobody could tell that it "
                f"has to get it back ({found})",
                "Please report this with the domain's XML; nothing was changed",
                disk.target,
            )
