# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What two observations, or one and an unreachable peer, come to: the phase of a pair and who holds its guest. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ColoError
from ..lockstep import graph
from ..observation.seen import Domain, Observation
from ..plan.parts import layers
from ..plan.parts.switch import MIGRATING


@dataclass(frozen=True)
class Verdict:
    """``phase`` is one of vocabulary.PHASES; ``holder`` the host whose copy is the guest's; problems in plain words."""

    phase: str
    holder: str | None
    problems: tuple[str, ...] = ()


def phase(seen: Observation, peer: Observation | None = None) -> str:
    """The phase of a pair as one of its hosts can tell it; alone, or with what was seen of the other."""
    if seen.domain is None or seen.record is None:
        return "unprotected"
    if not seen.domain.active:
        older = peer is not None and peer.generation > seen.generation
        return "stale" if older or _given_away(seen) else "powered_off"
    if seen.record.role == "alone":
        return "degraded" if layers.half_taken_over(seen) else "failed_over"
    if seen.monitor is None:
        return "degraded"
    return _primary_phase(seen) if seen.record.role == "primary" else _secondary_phase(seen)


def _primary_phase(seen: Observation) -> str:
    monitor = seen.monitor
    copying = any(map(graph.is_ours, monitor.jobs))
    if monitor.migration.status == "colo":
        if not all(layers.attached(monitor, disk.target) for disk in seen.record.disks) or not seen.peer_sockets:
            return "degraded"
        if copying:
            return "syncing"
        return "protected" if monitor.running and not _without_checkpoints(seen) else "stalled"
    if monitor.migration.status in MIGRATING or copying:
        return "syncing"
    return "unprotected"


def _without_checkpoints(seen: Observation) -> bool:
    """Whether checkpoints were watched for, twice as long as there should be one, and none came."""
    watched = seen.checkpoints
    return watched is not None and not watched.count and watched.seconds * 1000 > 2 * seen.record.checkpoint_delay


def _secondary_phase(seen: Observation) -> str:
    monitor = seen.monitor
    if monitor.colo == "secondary":
        return "protected" if seen.peer_sockets else "degraded"
    if monitor.status == layers.INCOMING:
        return "listening"
    return "degraded"


def completed(seen: Observation) -> bool:
    """Whether this standby has completed a checkpoint since its last sync, so that it may be promoted.

    Only what was written down counts: a standby that merely runs may have been left behind by a primary that went on
    alone.
    """
    return seen.record.complete == seen.record.generation


def outlived(primary: Observation, standby: Observation) -> bool:
    """Whether a standby has the guest as it ran last, and the primary ended otherwise than by its guest's will."""
    ended = not primary.domain.active and not primary.domain.powered_itself_off
    return ended and standby.monitor is not None and standby.monitor.colo == "secondary" and completed(standby)


def pair(primary: Observation | None, secondary: Observation | None) -> Verdict:
    """The verdict over a pair; None for a host that could not be reached. Which is which the records say."""
    seen = [one for one in (primary, secondary) if one is not None]
    missing = len(seen) < 2
    holders = [one for one in seen if one.record and one.record.role != "secondary" and not _given_away(one)]
    if not holders:
        return _without_holder(seen, missing)
    holder = max(holders, key=lambda one: one.generation)
    other = next((one for one in seen if one is not holder), None)
    state = phase(holder, other)
    problems = list(notes(holder))
    if other is not None:
        problems += notes(other)
    if state == "protected" and (other is None or phase(other) != "protected"):
        state = "degraded"
        where = other.host.name if other else "the other host"
        problems.append(f"the primary is in lockstep, and the standby on {where} is not: clients may be frozen")
    if state == "protected" and not completed(other):
        state = "syncing"
        problems.append(
            f"the standby on {other.host.name} may not be promoted: it is not written down that it has completed a "
            "checkpoint since its last sync; deploy sees to that"
        )
    if state == "protected" and _left_behind(holder.domain, other.domain):
        problems.append(
            f"what the guest wrote to its UEFI variables has not reached the standby on {other.host.name}: after a "
            "failover it starts with the older ones; unprotect and deploy, when it suits you, bring them there"
        )
    if state == "powered_off" and other is not None and outlived(holder, other):
        problems.append(
            f"the standby on {other.host.name} still has the guest as it ran last: failover serves from there, and it "
            "is lost when that standby ends"
        )
    if other is not None and runs_a_guest(other) and runs_a_guest(holder):
        problems.append(
            f"the guest runs on {other.host.name} as well, and two guests answer: end the one whose writes are to be "
            "given up"
        )
    elif other is not None and other.record and other.generation < holder.generation:
        problems.append(
            f"the copy on {other.host.name} is stale (generation {other.generation}, "
            f"the newest is {holder.generation}); deploy makes a standby of it"
        )
    return Verdict(state, holder.host.name, tuple(problems))


def runs_a_guest(seen: Observation) -> bool:
    """Whether this host runs the domain, and not as a standby."""
    return bool(seen.domain and seen.domain.active) and not (seen.record and seen.record.role == "secondary")


def _left_behind(here: Domain, there: Domain) -> bool:
    """QEMU 10.0 marks no memory as changed when an emulated guest writes to its flash (our measurement)."""
    return here.nvram_digest is not None and here.nvram_digest != there.nvram_digest


def _given_away(seen: Observation) -> bool:
    return seen.record.handed_over and not seen.domain.active


def _without_holder(seen: list[Observation], missing: bool) -> Verdict:
    standby = next((one for one in seen if one.record), None)
    if standby is None:
        return Verdict("unprotected", None, ("a host could not be reached",) if missing else ())
    state = phase(standby)
    if missing and state == "protected":
        state = "degraded"
    words = "the primary's host could not be reached" if missing else "no host has the primary's copy"
    return Verdict(state, None, (*notes(standby), words))


def _proxy_notes(seen: Observation) -> list[str]:
    """What was changed by hand where packets are compared: answers may go out that the standby never gave."""
    if seen.record.role == "alone" or seen.monitor is None or seen.monitor.brief or seen.monitor.colo == "none":
        return []
    try:
        return [f"the packet proxy was changed, deploy will {step.title}" for step in layers.mend_proxies(seen)]
    except ColoError as error:
        return [error.what]


def notes(seen: Observation) -> list[str]:
    """What an operator should know of this host's half, in plain words."""
    found = []
    if seen.monitor_problem:
        found.append(f"{seen.host.name}: {seen.monitor_problem}")
    domain, record = seen.domain, seen.record
    if domain is None or record is None:
        return found
    for path in seen.removed_images:
        found.append(f"{seen.host.name}: {path} was removed, and QEMU still has it open: it is lost when QEMU ends")
    if record.role == "alone":
        found.append(f"{seen.host.name}: the guest runs alone, unprotected, since a failover")
        if layers.half_taken_over(seen):
            found.append(f"{seen.host.name}: that failover was cut off, the guest may not be reachable: run it again")
        if domain.live_incoming:
            found.append(f"{seen.host.name}: the live XML shows -incoming until the next cold start; this is harmless")
    if domain.tainted:
        found.append(f"{seen.host.name}: libvirt marks the domain as tainted until its next cold start")
    if seen.monitor and record.role == "secondary":
        up = [nic.tap for nic in domain.nics if nic.tap_up and seen.monitor.colo != "none"]
        found += [f"{seen.host.name}: link {tap} of the standby is up, its packets reach the network" for tap in up]
    found += [f"{seen.host.name}: {words}" for words in _proxy_notes(seen)]
    if domain.autostart and record.role != "alone":
        found.append(f"{seen.host.name}: autostart is on, so that an old copy could start by itself")
    return found
