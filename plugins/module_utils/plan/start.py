# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deciding whether this host's copy of a domain that runs nowhere is the one to start. Pure functions.

Both hosts may have lost their power, or the guest may have powered itself off. Data is lost by starting the wrong copy,
so only the provably newest is started.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..observation.seen import Observation
from ..verdict import copies, guest
from ..verdict.problem import Problem, refuse_if
from . import change_sides, survive
from .plan import Plan
from .step import Step

START_TIMEOUT = 60.0


def start(seen: Observation, peer: Observation | None, unproven: bool = False) -> Plan:
    """Start the domain on this host.

    ``unproven``: the operator vouches for it that a peer that cannot be reached has no newer copy. What is started then
    is a survivor with a generation of its own, so that the peer's copy is never taken for the same or an older one.
    """
    refuse_if([*_own_problems(seen, peer, unproven), *_peer_problems(seen, peer, unproven)])
    if seen.domain.active:
        return Plan((), seen)
    first = change_sides.take_back(seen) if peer else survive.become_newest(seen)
    step = Step("start the domain", "start", {"uuid": seen.domain.uuid}, START_TIMEOUT)
    return Plan((*first.steps, step), seen)


def _own_problems(seen: Observation, peer: Observation | None, unproven: bool) -> Iterator[Problem]:
    if seen.domain is None:
        yield guest.missing("Check the name, and the host")
    elif seen.record is None:
        yield Problem("the domain is not part of a pair", "Start it with virsh start")
    elif seen.record.role == "secondary":
        yield Problem("this host has the standby", "Start the domain on the other host")
    elif seen.record.handed_over and not (_never_took_it(seen, peer) if peer else unproven):
        yield Problem(
            f"this copy was handed over to {seen.record.peer.host}: the newest is there",
            "Run lockstep.colo.switchover to its end",
        )


def _never_took_it(seen: Observation, peer: Observation) -> bool:
    """Whether the standby that this copy was handed over to has ended without being promoted: its memory is gone."""
    standby = peer.record is not None and peer.record.role == "secondary" and not peer.domain.active
    return standby and peer.generation <= seen.generation


def _peer_problems(seen: Observation, peer: Observation | None, unproven: bool) -> Iterator[Problem]:
    if seen.record is None:
        return
    there = seen.record.peer.host
    if peer is None:
        if not unproven:
            yield Problem(
                f"{there} cannot be reached: it may have a newer copy",
                f"Bring {there} back and run again. Is {there} lost for good? Then say so with colo_start_unproven",
            )
    elif copies.runs_a_guest(peer):
        yield Problem(
            f"the domain runs on {there}: two guests would answer",
            "Leave it there; or end it there, if what it wrote since is to be given up",
        )
    elif peer.generation > seen.generation:
        yield Problem(
            f"this copy is stale: generation {seen.generation}, and {there} has {peer.generation}",
            f"Start the domain on {there}",
        )
    elif peer.record and peer.record.role == "secondary":
        yield from _standby_problems(seen, peer)
    elif peer.record and peer.generation == seen.generation:
        yield Problem(
            f"both hosts have a copy of generation {peer.record.generation} that ran alone",
            "Compare the two guests' disks, and undefine the domain on the host whose copy is to be given up",
        )


def _standby_problems(seen: Observation, standby: Observation) -> Iterator[Problem]:
    """Why the standby's copy may be needed yet."""
    there = seen.record.peer.host
    if copies.outlived(seen, standby):
        yield Problem(
            f"the standby on {there} still has the guest as it ran last",
            "Serve from there with lockstep.colo.failover; or destroy the standby, and run again",
        )
    elif not seen.domain.active and standby.domain.active and copies.completed(standby):
        yield Problem(
            f"the standby on {there} may still be promoted: it would be an old copy as soon as the guest runs here",
            "Run lockstep.colo.start, which sees to that first (as a module: colo_pair with state expendable there)",
        )
