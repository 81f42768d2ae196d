# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the two hosts need between them: addresses, ports, and a link that is fast and whole. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...observation.seen import Host, Observation
from ...record import pair
from ...record.address import is_link_local
from ...record.pair import PORT_RANGE, PORTS_PER_PAIR
from ...record.wanted import Wanted
from ..problem import Problem
from .place import standby_runs
from .row import Requirement, Row

GOOD_SPEED = 1000  # Mbit/s
GOOD_LATENCY = 5.0  # milliseconds; a checkpoint of a small guest takes ten times that
_BLOCK_NEEDED = "a block of ports that is free, or the pair's own"


def latency(holder: Observation, standby: Observation) -> list[Requirement]:
    """A short way between the hosts; a note where it is long."""
    row = Row("latency", None, f"less than {GOOD_LATENCY:g} ms")
    measured = standby.latency if standby.latency is not None else holder.latency
    if measured is None:
        return row.found(None)
    if measured > GOOD_LATENCY:
        row.note(
            f"a packet takes {measured:g} ms from {holder.host.name} to {standby.host.name} and back",
            f"Use a network with less than {GOOD_LATENCY:g} ms: the guest's answers and checkpoints wait for it",
        )
    return row.found(f"{measured:g} ms")


def large_packets(holder: Observation, standby: Observation) -> list[Requirement]:
    """Packets that fill the link come through, where small ones do."""
    row, passage = Row("large packets", None, "those that fill the link come through"), standby.passage
    if standby.latency is not None and passage is not None and not passage.passes:
        row.wrong(
            f"packets of {passage.size} bytes, as the replication link of {standby.host.name} takes them, do "
            f"not come back from {holder.host.name}, and small ones do",
            "Give the link the same MTU on both hosts and on all that is between, and let ICMP pass: no copy of a disk "
            "would get through",
        )
    return row.found(f"{passage.size} bytes" if passage else None)


def address(host: Host, wanted: str | None, *, strict: bool = True) -> list[Requirement]:
    """A replication address of this host. Without ``strict`` one that is not stated is unknown, not wrong."""
    row = Row("replication address", host, "an address of this host")
    if not wanted:
        if strict:
            row.wrong(f"no replication address is given for {host.name}", "Set colo_address for that host")
    elif is_link_local(wanted):
        row.wrong(
            f"{wanted} of {host.name} is a link-local address, which means nothing to the other host",
            "Give both hosts addresses of one network, such as unique local ones (fd00::/8), and set colo_address",
        )
    elif wanted not in host.addresses:
        row.wrong(
            f"{wanted} is not an address of {host.name} (it has: {', '.join(host.addresses)})",
            "Correct colo_address; sockets listen on that address only",
        )
    return row.found(wanted)


def same_family(address: str | None, peer_address: str | None) -> list[Requirement]:
    """Both IPv4, or both IPv6: a host that connects from an address of the other kind is not known as the peer."""
    row = Row("address family", None, "that of both replication addresses")
    if not (address and peer_address):
        return row.found(None)
    kinds = [f"IPv{6 if ':' in one else 4}" for one in (address, peer_address)]
    if len(set(kinds)) > 1:
        row.wrong(
            f"{address} is an {kinds[0]} address, and {peer_address} an {kinds[1]} address",
            "Give both hosts addresses of one network with colo_address: each connects from its own",
        )
    return row.found(kinds[0])


def link_speed(host: Host, wanted: str | None) -> list[Requirement]:
    """A fast link below the replication address; a note where it is slow."""
    row, speed = Row("link speed", host, f"{GOOD_SPEED} Mbit/s or more"), host.speed(wanted)
    if speed and speed < GOOD_SPEED:
        row.note(
            f"the link of {wanted} on {host.name} runs at {speed} Mbit/s",
            f"Use one of {GOOD_SPEED} Mbit/s or more: every write of the guest and its changed memory go over it",
        )
    return row.found(f"{speed} Mbit/s" if speed else None)


def ports(wanted: Wanted, holder: Observation, standby: Observation) -> list[Requirement]:
    """A block of ports: the one that is stated, else the pair's own, else one that is free on both hosts.

    Of its own a stranger may have one meanwhile on which a standby that does not run is to listen; and that they are
    its own is the word of the primary's host.
    """
    own = holder.record.first_port if holder.record else None
    first = wanted.first_port or own
    if first is None:
        return _some_block(holder.host, standby.host)
    rows = []
    for host, meanwhile in ((holder.host, []), (standby.host, list(_taken_meanwhile(holder, standby)))):
        row = Row("ports", host, _BLOCK_NEEDED)
        for problem in meanwhile if first == own else _taken(host, first):
            row.wrong(problem.what, problem.remedy)
        rows += row.found(_block(first))
    return rows


def _taken_meanwhile(holder: Observation, standby: Observation) -> Iterator[Problem]:
    if holder.domain is None or holder.record is None or standby_runs(holder.domain, standby):
        return
    yield from channels_in_use(standby.host, holder.record, "secondary")
    yield from _of_others(standby.host, holder.record.first_port)


def channels_in_use(host: Host, record: pair.Record, listener: str) -> Iterator[Problem]:
    """Why this host cannot listen for the channels for which that role does, and it does not yet."""
    for channel in record.channels():
        if channel.listener == listener:
            yield from in_use(host, [channel.port], f", for the {channel.kind} channel,")


def _some_block(here: Host, there: Host) -> list[Requirement]:
    row, free = Row("ports", None, _BLOCK_NEEDED), free_block(here, there)
    if free is None:
        row.wrong("no block of ports is free on both hosts", "End what listens in the collection's range")
        return row.found(None)
    return row.found(_block(free))


def free_block(here: Host, there: Host) -> int | None:
    """The first port of a block that is free, and not another pair's, on both hosts."""
    blocks = range(PORT_RANGE.start, PORT_RANGE.stop, PORTS_PER_PAIR)
    return next((first for first in blocks if not _taken(here, first) and not _taken(there, first)), None)


def _block(first: int) -> str:
    return f"{first}-{pair.block(first)[-1]}"


def in_use(host: Host, ports: Iterable[int], purpose: str = "") -> Iterator[Problem]:
    """That something listens already on some of ``ports``; ``purpose``: what for they are needed, in words."""
    if taken := sorted(set(host.ports) & set(ports)):
        yield Problem(
            f"port {', '.join(map(str, taken))}{purpose} is in use on {host.name}",
            f"End what listens there, or give the pair another block with first_port (from {PORT_RANGE.start})",
        )


def _taken(host: Host, first: int) -> list[Problem]:
    """Why a pair cannot have the block of ports that begins with ``first``."""
    found, block = [], pair.block(first)
    if first not in PORT_RANGE or block[-1] not in PORT_RANGE:
        what = f"a pair's {PORTS_PER_PAIR} ports have to lie within {PORT_RANGE.start}-{PORT_RANGE.stop - 1}, and those"
        found.append(Problem(f"{what} from {first} do not", "Correct first_port, or leave it out"))
    return [*found, *in_use(host, block), *_of_others(host, first)]


def _of_others(host: Host, first: int) -> Iterator[Problem]:
    """That ports of the block that begins with ``first`` are those of other pairs of this host, which may be off."""
    for other in host.reserved:
        if abs(other - first) < PORTS_PER_PAIR:
            what = f"ports {_block(first)} overlap those of another pair on {host.name}, {_block(other)}"
            yield Problem(what, "Choose another first_port")
