# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which block node libvirt made for a disk, wherever the guest's device is attached now. Pure.

What goes under a disk has to come out again, whatever happened in between: what cannot be found again is refused before
anything is put in (verdict/requirements/disks.py). The file that QEMU names for a node does not tell: it is
``json:{...}`` where the backing file differs from the image's header, as one that is named relatively, where the image
is a slice of its storage, and where a filter (copy_on_read, throttling) is on top. The node of the storage has no such
name, and libvirt gives it the path that the XML has.

libvirt's numbers are never predicted: they change with the number of disks, and libvirt 11.3 makes no format node for
raw images.
"""

from __future__ import annotations

from ..errors import ColoError
from ..observation.seen import Disk, Monitor, Node
from . import graph

LIBVIRT_PREFIX = "libvirt-"
_TOWARDS_THE_DISK = ("children.0", "backing", "file")  # of our layers, and of what a job puts between


def libvirt_node(monitor: Monitor, disk: Disk) -> str:
    """The topmost node of libvirt's for the disk; ColoError where that cannot be told.

    Our own layers lead to it while they are there; without them it is known by the storage at its bottom.
    """
    if disk.node and not graph.is_ours(disk.node):
        return disk.node
    return _below_our_layers(monitor.nodes, disk.target) or by_storage(monitor, disk)


def by_storage(monitor: Monitor, disk: Disk) -> str:
    """The topmost node of libvirt's over the disk's storage, whatever is attached; ColoError for none or several."""
    libvirts = {name: node for name, node in monitor.nodes.items() if name.startswith(LIBVIRT_PREFIX)}
    below = {child for node in libvirts.values() for child in node.children.values()}
    found = [name for name in libvirts if name not in below and _storage(monitor.nodes, name) == disk.source]
    if len(found) != 1:
        raise ColoError(
            f"cannot tell which block node is {disk.source}: {', '.join(sorted(found)) or 'none'}",
            remedy="Please report this, with the domain's XML and what virsh qemu-monitor-command --hmp DOMAIN "
            "'info block -n' says",
            disk=disk.target,
        )
    return found[0]


def _below_our_layers(nodes: dict[str, Node], target: str) -> str | None:
    """Down from the quorum, on either side of a pair: the first node that libvirt made."""
    name = graph.quorum(target)
    for _layer in nodes:
        if name not in nodes or name.startswith(LIBVIRT_PREFIX):
            break
        children = nodes[name].children
        name = next((children[child] for child in _TOWARDS_THE_DISK if child in children), "")
    return name if name in nodes and name.startswith(LIBVIRT_PREFIX) else None


def _storage(nodes: dict[str, Node], name: str) -> str | None:
    """What QEMU says of the storage at the bottom of a node's own image, past its format, filters and slice."""
    for _layer in nodes:
        below = nodes[name].children.get("file") if name in nodes else None
        if below is None:
            break
        name = below
    return nodes[name].file if name in nodes else None
