# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How it stands with the guest of this host, and whether anything can begin from it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ..lockstep import graph, states
from ..observation.seen import Observation
from .problem import Problem


def in_words(seen: Observation) -> str:
    """One sentence about the guest as this observation has it, for the end of a run that failed.

    Nothing is claimed that was not seen.
    """
    host, domain, monitor = seen.host.name, seen.domain, seen.monitor
    if domain is None or not domain.active:
        return f"The domain does not run on {host}: look at it now"
    if monitor is None:
        why = "does not answer" if seen.asked else "was not asked"
        return f"Whether the guest on {host} goes on is not known, its QEMU {why}: look at it now"
    parked = [disk.target for disk in domain.disks if disk.node == graph.park(disk.target)]
    if monitor.running and not parked:
        return f"The guest goes on on {host}"
    cause = f"disk {', '.join(parked)} is parked" if parked else f"QEMU says {monitor.status}"
    return f"The guest on {host} stands still ({cause}): run again, or look at it now"


def missing(remedy: str = "Check the name, or define the domain first") -> Problem:
    """That this host does not have the domain at all."""
    return Problem("there is no such domain on this host", remedy)


def off(host: str, remedy: str, so: str = "") -> Problem:
    """That the other host has no QEMU of the domain; ``so``: what follows from it."""
    return Problem(f"the domain does not run on {host}{so}", remedy)


def mute(seen: Observation, remedy: str = "Find out why, then run again", whose: str = "QEMU") -> Problem:
    """That QEMU does not answer, of which this was ``seen``."""
    return Problem(f"{whose}'s monitor does not answer: {seen.monitor_problem}", remedy)


def unanswered(seen: Observation) -> Iterator[Problem]:
    """Why QEMU cannot be asked to change anything."""
    if seen.domain and seen.domain.active and seen.monitor is None:
        yield mute(seen)


def cut_off(seen: Observation) -> Iterator[Problem]:
    """A survivor whose failover was cut off is no ordinary guest yet, and everything else begins from one."""
    if seen.domain and seen.record and states.half_taken_over(seen):
        yield Problem(
            f"a failover to {seen.host.name} was cut off, and the guest's disks or links are not its own yet",
            "Run lockstep.colo.failover again (as a module: colo_failover on this host); the other playbooks do that "
            "by themselves",
        )
