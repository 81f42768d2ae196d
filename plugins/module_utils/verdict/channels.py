# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what a pair sends each other comes through: a channel that exists is not one that is connected. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ..lockstep import graph
from ..observation.seen import DISCONNECTED, Observation


def cut(seen: Observation) -> list[str]:
    """Which channels of this half, in lockstep, are not connected or not acknowledged; each in plain words.

    Of a QEMU that does not answer, most often for such a channel, the kernel's sockets tell.
    """
    monitor, record = seen.monitor, seen.record
    if record is None or not seen.domain.active:
        return []
    if record.role == "alone" if monitor is None else monitor.colo == "none":
        return []
    apart = [
        f"the packet proxy's socket {name} is not connected ({where.removeprefix(DISCONNECTED)})"
        for name, where in (sorted(monitor.chardevs.items()) if monitor else ())
        if graph.is_ours(name) and where.startswith(DISCONNECTED)
    ]
    silent = [f"nothing sent over {socket.replace(' ', ' to ')} is acknowledged" for socket in seen.stuck_sockets]
    remedy = ": see what the firewalls and the network between the hosts do with these ports"
    return [f"{words}{remedy}" for words in [*apart, *silent]]


def parted(seen: Observation) -> bool:
    """Whether nothing is left of the connections with the peer but what the peer has closed, or does not acknowledge.

    A QEMU that ends closes them all; one whose host does not answer any more leaves them as they are.
    """
    return none_left(seen.peer_sockets, seen.stuck_sockets, seen.closed_sockets)


def none_left(peer_sockets: Iterable[str], stuck_sockets: Iterable[str], closed_sockets: Iterable[str]) -> bool:
    """As ``parted``, for one who has looked at the sockets alone."""
    return set(peer_sockets) <= {*closed_sockets, *stuck_sockets}
