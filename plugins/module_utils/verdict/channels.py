# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what a pair sends each other comes through: a channel that exists is not one that is connected. Pure."""

from __future__ import annotations

from ..lockstep import graph
from ..observation.seen import DISCONNECTED, Observation


def cut(seen: Observation) -> list[str]:
    """What of the channels of this half, in lockstep, is not connected or not acknowledged; in plain words."""
    monitor = seen.monitor
    if monitor is None or seen.record is None or monitor.colo == "none":
        return []
    apart = [
        f"the packet proxy's socket {name} is not connected ({where.removeprefix(DISCONNECTED)})"
        for name, where in sorted(monitor.chardevs.items())
        if graph.is_ours(name) and where.startswith(DISCONNECTED)
    ]
    silent = [f"nothing sent over {socket.replace(' ', ' to ')} is acknowledged" for socket in seen.stuck_sockets]
    remedy = ": see what the firewalls and the network between the hosts do with these ports"
    return [f"{words}{remedy}" for words in [*apart, *silent]]
