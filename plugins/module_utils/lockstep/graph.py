# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The block layers of a replicated disk: their node names, and each as blockdev-add takes it.

The layers (QEMU's docs/block-replication.txt), top first; D is the node libvirt made for the disk:

    primary    quorum, both [ D, remote ];  remote: quorum, any [ spare, replication(primary) -> nbd client ]
    secondary  quorum [ replication(secondary) -> active -> hidden -> D ], and D exported by NBD

A write of the primary counts when both D and the remote side have it. So one that fails on D fails for the guest, at
once: were the standby's success enough, the guest would read old content of its own disk, and what it was told would be
on the standby alone. The remote side has always the spare, which takes every write; so a standby that is not there yet,
or no longer, costs the guest nothing. That a write did not reach it is known to the replication layer while this QEMU
lives, and fails no checkpoint (QEMU's block/replication.c); what the standby knows of it is in received.py. What D
cannot read, neither child of the remote side answers.

The park node takes the guest's disk while layers change: QEMU refuses to put a quorum on a node that a device writes
to. It answers every request with EIO instead of swallowing it, in case anybody resumes the guest on it.
"""

from __future__ import annotations

import errno
from typing import Any

from ..record.images import OVERLAY_FORMAT
from ..record.pair import Channel, DiskRecord
from . import channels

PREFIX = "colo-"
RECONNECT_SECONDS = 1


def quorum(target: str) -> str:
    """The node that the guest's device is attached to in a pair: on a primary of two copies, on a standby of one."""
    return f"{PREFIX}{target}"


def park(target: str) -> str:
    """The node that a device is attached to while its layers change: every request fails there."""
    return f"{PREFIX}{target}-park"


def remote(target: str) -> str:
    """The name of the quorum below the primary's own one in which the standby's disk is the copy that may fail."""
    return f"{PREFIX}{target}-remote"


def spare(target: str) -> str:
    """The node below ``remote`` that takes every write, so that none fails for want of a standby."""
    return f"{PREFIX}{target}-spare"


def replication(target: str) -> str:
    """The node of QEMU's replication driver."""
    return f"{PREFIX}{target}-replication"


def nbd(target: str) -> str:
    """The node of the primary's connection with the standby's export."""
    return f"{PREFIX}{target}-nbd"


def copy(target: str) -> str:
    """What the sync writes to where that is not the replication layer's connection: another one, or the sieve."""
    return f"{PREFIX}{target}-copy"


def idle(target: str) -> str:
    """A node that nobody writes to: the source of the job that lets go of the standby."""
    return f"{PREFIX}{target}-idle"


def active(target: str) -> str:
    """The node of the standby's image for what its own guest writes between two checkpoints."""
    return f"{PREFIX}{target}-active"


def hidden(target: str) -> str:
    """The node of the standby's image for what the primary's writes replace until the next checkpoint."""
    return f"{PREFIX}{target}-hidden"


# Every layer, each before those that it may lie on: the order in which they are removed.
TOP_FIRST = (quorum, remote, spare, replication, active, hidden, nbd, copy, idle)


def sync_job(target: str) -> str:
    """The id of the block job that copies the disk to the standby."""
    return f"{PREFIX}{target}-sync"


def is_sync(job: str) -> bool:
    """Whether the block job of this id copies a disk to the standby."""
    return is_ours(job) and job.endswith("-sync")


def release_job(target: str) -> str:
    """The job that lets go of a standby that is lost; see ``release_job_of``."""
    return f"{PREFIX}{target}-release"


def export(target: str) -> str:
    """The NBD export's name, and the id of QEMU's export."""
    return f"{PREFIX}{target}-export"


def written(target: str) -> str:
    """The export, and its id, from which a process of this host reads what was written (bitmaps.py)."""
    return f"{PREFIX}{target}-written"


def is_ours(node: str) -> bool:
    """Whether a node, object, socket or job is of the collection, by its name."""
    return node.startswith(PREFIX)


def park_layer(target: str, size: int) -> dict[str, Any]:
    """A node of ``size`` bytes on which every request fails with EIO."""
    return _failing(park(target), size, "read", "write", "write-zeroes", "discard", "flush")


def spare_layer(target: str, size: int) -> dict[str, Any]:
    """A node of ``size`` bytes that takes every write and has nothing to read: reads fail with EIO."""
    return _failing(spare(target), size, "read")


def _failing(node: str, size: int, *requests: str) -> dict[str, Any]:
    return {
        "driver": "blkdebug",
        "node-name": node,
        "image": {"driver": "null-co", "node-name": f"{node}-file", "size": size, "read-zeroes": True},
        "inject-error": [{"event": "none", "iotype": kind, "errno": errno.EIO} for kind in requests],
    }


def primary_layers(target: str, child: str, size: int) -> list[dict[str, Any]]:
    """The primary's layers over its own node ``child`` of ``size`` bytes, bottom up, and no standby yet."""
    return [
        spare_layer(target, size),
        quorum_layer(remote(target), spare(target)),
        quorum_layer(quorum(target), child, remote(target)),
    ]


def quorum_layer(node: str, *children: str) -> dict[str, Any]:
    """Reads from the first child that can answer; a write counts when each of ``children``, as they are now, has it."""
    return {
        "driver": "quorum",
        "node-name": node,
        "discard": "unmap",
        "vote-threshold": len(children),
        "read-pattern": "fifo",
        "children": list(children),
    }


def nbd_layer(node: str, target: str, channel: Channel) -> dict[str, Any]:
    """The connection to the standby's export of ``target``.

    A connection that is reset alone is made anew, and what was under way is sent once more. Without a delay QEMU makes
    it anew as well, but the writes between are missing over there, and nobody is told. Where the standby is lost, a
    write waits as long for it, and with it whatever changes the layers, unless a job ends that (``release_job_of``).

    A hole that the sync finds becomes one there, and so does a stretch of zeros in lockstep: replication, which knows
    no zeroing, hands it on as data. The standby's images are opened for that (domain/standby.py, standby_to_start). A
    discard never comes here: quorum drops it (QEMU 7.2, 10.0 and 11.1).
    """
    return {
        "driver": "nbd",
        "node-name": node,
        "discard": "unmap",
        "detect-zeroes": "unmap",
        "server": channels.server(channel),
        **channels.connecting(channel),
        "export": export(target),
        "reconnect-delay": RECONNECT_SECONDS,
    }


def sieve_layer(target: str, socket: str) -> dict[str, Any]:
    """What the sync writes to where a process of this host, on ``socket``, sends on only what differs (host/sieve.py).

    Zeros may not become holes here: QEMU would begin a copy by making one of the whole disk (block/mirror.c,
    mirror_dirty_init), and all that the standby has would be gone. The process turns them into holes.
    """
    server = {"type": "unix", "path": socket}
    return {"driver": "nbd", "node-name": copy(target), "server": server, "export": export(target)}


def idle_layer(target: str, size: int) -> dict[str, Any]:
    """A node of ``size`` bytes from which there is nothing to copy."""
    return {"driver": "null-co", "node-name": idle(target), "size": size, "read-zeroes": True}


def release_job_of(target: str) -> dict[str, Any]:
    """A job, as blockdev-backup takes it, that copies nothing and waits to be cancelled.

    A write that waits for a connection to be made anew keeps the quorum from being changed, and the guest from being
    freed, for RECONNECT_SECONDS. The one thing in QEMU that ends its wait is the cancelling of a job of which the
    connection is the target (block/nbd.c, nbd_cancel_in_flight; 2 ms, our measurement with 10.0). A job that were begun
    only then would wait, too.
    """
    return {
        "job-id": release_job(target),
        "device": idle(target),
        "target": nbd(target),
        "sync": "none",
        "auto-dismiss": False,  # a job that has ended stays, and goes when nobody waits for that
    }


def primary_replication_layer(target: str) -> dict[str, Any]:
    """The primary's replication node, over the connection with the standby's export."""
    return {"driver": "replication", "node-name": replication(target), "mode": "primary", "file": nbd(target)}


def hidden_layers(disk: DiskRecord, libvirt_node: str) -> list[dict[str, Any]]:
    """The secondary's layers from the bottom up, each over the one before; active and hidden are always qcow2."""
    return [
        _overlay(hidden(disk.target), disk.hidden, libvirt_node),
        _overlay(active(disk.target), disk.active, hidden(disk.target)),
        {
            "driver": "replication",
            "node-name": replication(disk.target),
            "mode": "secondary",
            "top-id": quorum(disk.target),
            "file": active(disk.target),
        },
    ]


def _overlay(node: str, path: str | None, backing: str) -> dict[str, Any]:
    return {
        "driver": OVERLAY_FORMAT,
        "node-name": node,
        "file": {"driver": "file", "node-name": f"{node}-file", "filename": path},
        "backing": backing,
    }
