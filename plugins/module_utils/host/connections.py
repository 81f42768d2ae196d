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

_LAST_HEARD = re.compile(r"\blastack:(\d+)")  # tcpi_last_ack_recv: of any segment, with data or without


def last_heard(peer: str, ports: Iterable[int]) -> dict[str, float]:
    """Seconds since anything came from ``peer``, if but an acknowledgement, by port that is connected.

    Over a connection on which nothing is sent either way, nothing comes: whether it is cut then nobody knows.
    """
    ports = set(ports)
    told = run("ss", "--info", "--oneline", "--no-header", "--tcp", "--numeric", between(peer, ports))
    heard: dict[str, float] = {}
    for line in told.splitlines():
        state, *fields = line.split()
        if state != "ESTAB":
            continue
        age = _LAST_HEARD.search(line)
        port = next(port for end in fields[2:4] if (port := int(end.rpartition(":")[2])) in ports)
        heard[str(port)] = max(int(age[1]) / 1000 if age else 0.0, heard.get(str(port), 0.0))
    return heard


def last_received(peer: str, ports: Iterable[int]) -> float | None:
    """Seconds since data last came from ``peer`` over any of ``ports``; None where there is no connection."""
    which = between(peer, ports)
    told = run("ss", "--info", "--no-header", "--tcp", "--numeric", "state", "established", which)
    ages = [int(found) / 1000 for found in _LAST_RECEIVED.findall(told)]
    connections = sum(not line[0].isspace() for line in told.splitlines() if line)
    return min([*ages, *[0.0] * (connections - len(ages))], default=None)
