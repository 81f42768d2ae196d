# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel knows of the connections with a peer."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..record.address import bracketed
from .command import run

_LAST_RECEIVED = re.compile(r"\blastrcv:(\d+)")  # milliseconds, tcpi_last_data_recv of struct tcp_info


def last_received(peer: str, ports: Iterable[int]) -> float | None:
    """Seconds since data last came from ``peer`` over any of ``ports``; None where there is no connection."""
    either = " or ".join(f"sport = :{port} or dport = :{port}" for port in sorted(ports))
    which = "state", "established", f"dst {bracketed(peer)} and ( {either} )"
    told = run("ss", "--info", "--no-header", "--tcp", "--numeric", *which)
    return min((int(found) / 1000 for found in _LAST_RECEIVED.findall(told)), default=None)
