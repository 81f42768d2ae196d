# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether packets as large as the link takes come through between the hosts of a pair.

A link that loses them lets connections come about, and then carries nothing of what matters.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import ColoError
from ..host.command import run
from ..observation.seen import Passage

NETWORK = "/sys/class/net"
HEADERS = {4: 28, 6: 48}  # bytes of IP and ICMP before what an echo carries
ECHOES = 3
ECHO_DEADLINE = 0.5  # seconds for the last echo


def passage(address: str) -> Passage | None:
    """Whether packets as large as the way towards ``address`` takes, which nobody may cut up, come back.

    A router between the hosts that takes less says so; then packets of that size count, of which TCP is told as well.
    None where none was sent: there is no ping, or no way there.
    """
    try:
        run("ping", "-V")
        size = _largest(address)
        if _comes_back(address, size):
            return Passage(size, passes=True)
        told = _largest(address)
    except (ColoError, OSError, LookupError, ValueError):
        return None
    if told < size and _comes_back(address, told):
        return Passage(told, passes=True)
    return Passage(size, passes=False)


def _largest(address: str) -> int:
    """Bytes of the largest packet towards ``address``: what the link takes, or less where the kernel knows of that."""
    route = json.loads(run("ip", "-j", "route", "get", address))[0]
    link = int(Path(NETWORK, route["dev"], "mtu").read_text(encoding="ascii"))
    return min([link, *(metric["mtu"] for metric in route.get("metrics", ()) if "mtu" in metric)])


def _comes_back(address: str, size: int) -> bool:
    load = str(size - HEADERS[6 if ":" in address else 4])
    command = ("ping", "-n", "-q", "-M", "do", "-s", load, "-c", str(ECHOES), "-i", "0.01", "-W", str(ECHO_DEADLINE))
    try:
        run(*command, address)
    except ColoError:  # none came back
        return False
    return True
