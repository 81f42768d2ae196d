# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel knows of the connections with a peer."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .command import run
from .sockets import between

# Milliseconds, tcpi_last_data_recv of struct tcp_info; ss leaves out a zero, of data that came this very moment.
_LAST_RECEIVED = re.compile(r"\blastrcv:(\d+)")


def last_received(peer: str, ports: Iterable[int]) -> float | None:
    """Seconds since data last came from ``peer`` over any of ``ports``; None where there is no connection."""
    which = between(peer, ports)
    told = run("ss", "--info", "--no-header", "--tcp", "--numeric", "state", "established", which)
    ages = [int(found) / 1000 for found in _LAST_RECEIVED.findall(told)]
    connections = sum(not line[0].isspace() for line in told.splitlines() if line)
    return min([*ages, *[0.0] * (connections - len(ages))], default=None)
