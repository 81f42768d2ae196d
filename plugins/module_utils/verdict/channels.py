# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what a pair sends each other comes through: a channel that exists is not one that is connected. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ..lockstep import graph
from ..observation.seen import DISCONNECTED, Observation
from ..record.address import endpoint
from . import current

QUIET = 60.0  # seconds; a NIC that is used hears broadcasts at least, each of which is mirrored


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


def unproven(seen: Observation) -> list[str]:
    """Which channels of this half, in lockstep, are connected and were silent for long; each in plain words.

    That is how a NIC is over which a guest says nothing, and one whose port a firewall has closed meanwhile: only the
    next packet shows which.
    """
    monitor, record = seen.monitor, seen.record
    if record is None or monitor is None or monitor.colo == "none" or record.role == "alone":
        return []
    stuck = {end for socket in seen.stuck_sockets for end in socket.split()}
    return [
        f"whether the {channel.kind} channel of NIC {channel.nic} (port {channel.port}) comes through is unknown: "
        f"nothing was sent over it for {current.ago(seconds)}, and a cut shows with the next packet"
        for channel in record.channels()
        if channel.nic
        and endpoint(channel.address, channel.port) not in stuck
        and (seconds := seen.quiet.get(str(channel.port), 0.0)) > QUIET
    ]


def parted(seen: Observation) -> bool:
    """Whether nothing is left of the connections with the peer but what the peer has closed, or does not acknowledge.

    A QEMU that ends closes them all; one whose host does not answer any more leaves them as they are.
    """
    return none_left(seen.peer_sockets, seen.stuck_sockets, seen.closed_sockets)


def none_left(peer_sockets: Iterable[str], stuck_sockets: Iterable[str], closed_sockets: Iterable[str]) -> bool:
    """As ``parted``, for one who has looked at the sockets alone."""
    return set(peer_sockets) <= {*closed_sockets, *stuck_sockets}
