# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deciding whether this host's copy of a domain that runs nowhere is the one to start. Pure functions.

Both hosts may have lost their power, or the guest may have powered itself off. Data is lost by starting the wrong copy,
so only the provably newest is started.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from . import verdict
from .observation import Observation
from .step import Plan, Problem, Step, refuse_if

START_TIMEOUT = 60.0


def start(seen: Observation, peer: Observation | None, unproven: bool = False) -> Plan:
    """Start the domain on this host. ``unproven``: the operator vouches for it that the peer has no newer copy."""
    refuse_if([*_own_problems(seen), *_peer_problems(seen, peer, unproven)])
    if seen.domain.active:
        return Plan((), seen)
    step = Step("start the domain", "start", {"uuid": seen.domain.uuid}, START_TIMEOUT)
    return Plan((step,), replace(seen, domain=replace(seen.domain, state="running")))


def _own_problems(seen: Observation) -> Iterator[Problem]:
    if seen.domain is None:
        yield Problem("there is no such domain on this host", "Check the name, and the host")
    elif seen.record is None:
        yield Problem("the domain is not part of a pair", "Start it with virsh start")
    elif seen.record.role == "secondary":
        yield Problem("this host has the standby", "Start the domain on the other host")
    elif seen.record.handed_over:
        yield Problem(
            f"this copy was handed over to {seen.record.peer.host}: the newest is there",
            "Run lockstep.colo.switchover to its end",
        )


def _peer_problems(seen: Observation, peer: Observation | None, unproven: bool) -> Iterator[Problem]:
    if seen.record is None or unproven:
        return
    there = seen.record.peer.host
    if peer is None:
        yield Problem(
            f"{there} cannot be reached: it may have a newer copy",
            f"Bring {there} back and run again. Is {there} lost for good? Then say so with colo_start_unproven",
        )
    elif peer.generation > seen.generation:
        yield Problem(
            f"this copy is stale: generation {seen.generation}, and {there} has {peer.generation}",
            f"Start the domain on {there}",
        )
    elif peer.record is None:
        return  # it has no copy
    elif peer.record.role != "secondary":
        if peer.generation == seen.generation:
            yield Problem(
                f"both hosts have a copy of generation {peer.record.generation} that ran alone",
                "Compare the two guests' disks, and undefine the domain on the host whose copy is to be given up",
            )
    elif verdict.outlived(seen, peer):
        yield Problem(
            f"the standby on {there} still has the guest as it ran last",
            "Serve from there with lockstep.colo.failover; or destroy the standby, and run again",
        )
