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
    """Whether packets as large as the link towards ``address`` takes, which nobody may cut up, come back.

    None where none was sent: there is no ping, or no way there.
    """
    version = 6 if ":" in address else 4
    try:
        route = json.loads(run("ip", "-j", "route", "get", address))[0]
        size = int(Path(NETWORK, route["dev"], "mtu").read_text(encoding="ascii"))
        run("ping", "-V")
    except (ColoError, OSError, LookupError, ValueError):
        return None
    load = str(size - HEADERS[version])
    command = ("ping", "-n", "-q", "-M", "do", "-s", load, "-c", str(ECHOES), "-i", "0.01", "-W", str(ECHO_DEADLINE))
    try:
        run(*command, address)
    except ColoError:  # none came back
        return Passage(size, passes=False)
    return Passage(size, passes=True)
