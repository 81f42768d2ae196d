# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How it stands with the guest of this host, and whether anything can begin from it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from ..lockstep import graph, states
from ..observation.seen import STOPPED_BY_A_DISK, Observation
from .problem import Problem

# By QEMU's run state, what has a guest go on that does not run.
TO_GO_ON: Mapping[str, str] = MappingProxyType(
    {
        STOPPED_BY_A_DISK: "See to the disk and its space, then virsh resume",
        states.INTERNAL_ERROR: "See QEMU's log on that host, then virsh reset and virsh resume: as it is, it cannot",
        states.PANICKED: "See its console, then virsh reset and virsh resume: its kernel has panicked",
        states.SHUT_DOWN: "End its QEMU (virsh destroy), and start it again: it has shut down",
        states.SLEEPS: "Wake it (virsh dompmwakeup) if it is to serve: it sleeps by its own will",
    }
)
PAUSED = ("paused", "pmsuspended")  # libvirt's words for a guest that does not run, and whose QEMU does


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
    cause = _cause(seen)
    if cause is None:
        return f"The guest goes on on {host}"
    return f"The guest on {host} stands still ({cause}): run again, or look at it now"


def _cause(seen: Observation) -> str | None:
    """Why a guest stands still whose QEMU answered; None where it runs."""
    parked = [disk.target for disk in seen.domain.disks if disk.node == graph.park(disk.target)]
    if parked:
        return f"disk {', '.join(parked)} is parked"
    return None if seen.monitor.running else f"QEMU says {seen.monitor.status}"


def still(seen: Observation) -> Problem | None:
    """That the guest of this host was seen to stand still, and what has it go on.

    None of a standby, which has none, and of a pair in lockstep, whose guest each checkpoint stops: ``pair`` tells how
    that is. That a disk has stopped a guest is told of both, too: the next checkpoint ends its QEMU.
    """
    domain, monitor = seen.domain, seen.monitor
    if domain is None or not domain.active:
        return None
    if monitor and monitor.status == STOPPED_BY_A_DISK:
        return Problem("a write of the guest to a disk failed, which stopped it", TO_GO_ON[STOPPED_BY_A_DISK])
    role = seen.record.role if seen.record else None
    if role == "secondary" or (monitor and monitor.migration.status == "colo"):
        return None
    if monitor is None:
        told = domain.state in PAUSED and role != "primary" and not seen.asked
        cause = f"libvirt says {domain.state}" if told else None
    else:
        cause = _cause(seen)
    if cause is None:
        return None
    remedy = "See who stopped it, and why; virsh resume lets it go on"
    if monitor and states.stopped_by_us(seen):
        remedy = "Run again what was run last, which goes on from here"
    elif monitor:
        remedy = TO_GO_ON.get(monitor.status, remedy)
    return Problem(f"the guest stands still ({cause})", remedy)


def runs(seen: Observation) -> bool:
    """Whether a survivor's guest runs, as far as it was looked at: not where QEMU was asked, and does not answer."""
    return still(seen) is None and (seen.monitor is not None or not seen.asked)


def missing(remedy: str = "Check the name, or define the domain first") -> Problem:
    """That this host does not have the domain at all."""
    return Problem("there is no such domain on this host", remedy)


def off(host: str, remedy: str, so: str = "") -> Problem:
    """That the other host has no QEMU of the domain; ``so``: what follows from it."""
    return Problem(f"the domain does not run on {host}{so}", remedy)


FIND_OUT = "Find out why, then run again"


def mute(seen: Observation, remedy: str = FIND_OUT, whose: str = "QEMU") -> Problem:
    """That QEMU does not answer, of which this was ``seen``."""
    return Problem(f"{whose}'s monitor does not answer: {seen.monitor_problem}", remedy)


def unanswered(seen: Observation, remedy: str = FIND_OUT) -> Iterator[Problem]:
    """Why QEMU cannot be asked to change anything."""
    if seen.domain and seen.domain.active and seen.monitor is None:
        yield mute(seen, remedy)


def cut_off(seen: Observation) -> Iterator[Problem]:
    """A survivor whose failover was cut off is no ordinary guest yet, and everything else begins from one."""
    if seen.domain and seen.record and states.half_taken_over(seen):
        yield Problem(
            f"a failover to {seen.host.name} was cut off, and the guest's disks or links are not its own yet",
            "Run lockstep.colo.failover again (as a module: colo_failover on this host); the other playbooks do that "
            "by themselves",
        )
