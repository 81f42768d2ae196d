# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looking from a survivor at the host that is said to be lost, and since when it was silent."""

from __future__ import annotations

import os
import socket
import time
from datetime import UTC, datetime

from ..errors import ColoError
from ..host import connections, qemu_process
from ..lockstep.received import LOCKSTEP, disk_failed, read
from ..observation.seen import Heard, Received
from ..record.pair import HANDOVER_PORT, Record

ANSWER_DEADLINE = 0.2  # seconds; a replication link answers in milliseconds


def answers(record: Record, deadline: float = ANSWER_DEADLINE) -> bool:
    """Whether the peer's kernel answers on its replication address, by whatever it says to a TCP SYN.

    The port is one of the pair's on which nobody listens but in a switchover: a QEMU that listens would take the
    connection for its peer's. A firewall that drops it looks like silence.
    """
    try:
        socket.create_connection((record.peer.address, record.first_port + HANDOVER_PORT), deadline).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


def heard(record: Record) -> Heard | None:
    """When this standby last heard from its primary; None where nothing tells.

    While there is a connection, the kernel tells. Afterwards the hidden images do: the primary's writes and each
    checkpoint change them, and nothing that this standby's own guest does (our measurement, QEMU 10.0).
    """
    now = time.time()
    ports = [channel.port for channel in record.channels()]
    seconds = connections.last_received(record.peer.address, ports)
    if seconds is None:
        last = _last_change(record)
        if last is None:
            return None
        seconds = max(now - last, 0.0)
    at = datetime.fromtimestamp(now - seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Heard(at, round(seconds, 1))


def quiet(record: Record) -> dict[str, float]:
    """For how many seconds nothing came over each connected channel of the packet proxy; empty where nothing tells."""
    ports = [channel.port for channel in record.channels() if channel.nic]
    try:
        return connections.last_heard(record.peer.address, ports) if ports else {}
    except ColoError:
        return {}


def without_writes(record: Record) -> float | None:
    """Seconds from the last write that reached a disk of this standby to what it heard of checkpoints last, the most of
    all disks; None where nothing tells.

    Its copy of a disk is written for its primary alone, and nothing but checkpoints comes over the migration's channel.
    """
    now = time.time()
    ports = [channel.port for channel in record.channels() if channel.kind == "migration"]
    since = connections.last_received(record.peer.address, ports)
    written = [_changed(disk.path) for disk in record.disks]
    if since is None or None in written:
        return None
    return max((round(now - since - last, 3) for last in written), default=None)


def received(record: Record, domain: str) -> Received | None:
    """What this standby's QEMU has logged since lockstep began, or of one that waits for it, since it was started; None
    where it does not tell since when that is.

    The hidden images change with each checkpoint and each write of the primary, and by nothing else (see ``heard``).
    """
    logged = qemu_process.logged_since(domain, LOCKSTEP)
    if logged is None:
        logged = qemu_process.logged_since(domain, qemu_process.STARTED)
        return None if logged is None else Received(failed=disk_failed(logged))
    known, gone = read(logged), None
    if known.ended:
        last = _last_change(record)
        gone = round((time.time() if last is None else last) - min(known.ended), 3)
    return Received(known.failed, None if known.away is None else round(known.away, 3), gone)


def _last_change(record: Record) -> float | None:
    return max((found for disk in record.disks if (found := _changed(disk.hidden)) is not None), default=None)


def _changed(path: str | None) -> float | None:
    try:
        return os.stat(path).st_mtime if path else None
    except OSError:
        return None
