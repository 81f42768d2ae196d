# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a standby's QEMU logs of the writes that it is sent, and what that says. Pure.

That a write did not reach the standby is known to the primary's replication layer, and lost with its host: QEMU goes
on with checkpoints, and has no event and no query for it on the standby. But it can be told to log what its NBD server
does, by its trace events (QEMU's docs/devel/tracing.rst, nbd/trace-events). These come once for each connection and
each failure: little is logged, and what was is there afterwards, whoever looks, and when.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

# Patterns: a name that a version does not have is nothing to it. An error is nbd_co_send_structured_error before 8.2.
TRACED = ("nbd_co_send_*error", "nbd_negotiate_success", "migrate_set_state")
LOCKSTEP = "migrate_set_state new state colo"  # from here on it counts
_TRACE = re.compile(r"^\d+@(?P<at>\d+\.\d+):(?P<event>nbd_\w+) (?P<words>.*)$")
_ENDED = re.compile(r"^(?P<at>\S+Z) qemu-system-\S+: Disconnect client, due to: ")
# What NBD calls an error of the disk (NBD's doc/proto.md, "Error values"); others are of requests that cannot be met.
OF_THE_DISK = ("EIO", "ENOSPC", "EPERM")
_REASON = re.compile(r"error = \d+ \((?P<reason>\w+)\)")


@dataclass(frozen=True)
class Log:
    """Times are seconds since the epoch. ``ended``: of the connections that were not made anew."""

    failed: str | None = None
    away: float | None = None
    ended: tuple[float, ...] = ()


def disk_failed(text: str) -> str | None:
    """The last error of the disk that a standby told its primary; None where there was none.

    While disks are copied, a primary tries what the standby may not be able to do, and does it in another way.
    """
    found = [known["reason"] for known in _REASON.finditer(text) if known["reason"] in OF_THE_DISK]
    return found[-1] if found else None


def read(text: str) -> Log:
    """Of the log of a standby, from LOCKSTEP on. Which disk a connection is of is not logged: the first that ended is
    taken for the first that is made anew."""
    failed, away, ended = None, None, []
    for line in text.splitlines():
        if known := _ENDED.match(line):
            ended.append(datetime.fromisoformat(known["at"]).timestamp())
        elif known := _TRACE.match(line):
            if known["event"] == "nbd_negotiate_success":
                if ended:
                    away = max(away or 0.0, float(known["at"]) - ended.pop(0))
            elif failed is None:
                reason = _REASON.search(known["words"])
                failed = reason["reason"] if reason else known["words"][:100]
    return Log(failed, away, tuple(ended))
