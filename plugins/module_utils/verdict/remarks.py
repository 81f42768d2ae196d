# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator should know of one host's half of a pair, in plain words. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import ColoError
from ..lockstep import abilities, frames, states
from ..observation.seen import Domain, Observation
from ..record.pair import ALLOW
from . import channels, current, reach

# QEMU ends itself where a disk's error has stopped the guest and a checkpoint is due (QEMU's runstate transitions).
STOPPED_BY_A_DISK = "'io-error' -> 'colo'"


def _proxy_notes(seen: Observation) -> list[str]:
    """What was changed by hand where packets are compared: answers may go out that the standby never gave."""
    if seen.record.role == "alone" or seen.monitor is None or seen.monitor.brief or seen.monitor.colo == "none":
        return []
    try:
        return [f"the packet proxy was changed, deploy will {drift.mending}" for drift in states.drifted(seen)]
    except ColoError as error:
        return [error.what]


def _frame_problems(seen: Observation) -> Iterator[str]:
    """What may have been told to clients that a failover undoes, because COLO does not compare it."""
    if seen.record.role != "primary" or seen.monitor is None or seen.monitor.migration.status != "colo":
        return
    if seen.record.uncompared == ALLOW:
        yield (
            "colo_uncompared is allow: what the guest tells clients over IPv6, or in frames with a VLAN tag, is not "
            "held back, and may be undone by a failover"
        )
    elif seen.record.uncompared is None:
        yield (
            "this pair was protected by an earlier version: what the guest tells clients over IPv6, or in frames with "
            "a VLAN tag, is not held back, and may be undone by a failover; deploy sees to that"
        )
    elif seen.barrier != frames.barrier(seen):
        yield (
            "the rule of nftables is gone, or was changed, that keeps back what the guest says over IPv6 or in frames "
            "with a VLAN tag: a failover may undo what clients are told; deploy puts it back"
        )


def problems(seen: Observation) -> list[str]:
    """What is wrong with this host's half of the pair."""
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
        if seen.peer_answers:  # asked in a failover alone, whose fence was believed
            found.append(f"{record.peer.host} answers on {record.peer.address} after its fence: see whether that works")
        if states.half_taken_over(seen):
            found.append(f"{seen.host.name}: that failover was cut off, the guest may not be reachable: run it again")
    elif not domain.active and domain.last_words:
        found.append(f"{seen.host.name}: its QEMU ended with: {'; '.join(domain.last_words)}{_meaning(domain)}")
    if seen.monitor and seen.monitor.lost_writes:
        found.append(
            f"{seen.host.name}: a write of the guest did not reach the standby ({seen.monitor.lost_writes}): the copy "
            f"on {record.peer.host} lacks it and must not be promoted; see to its disk and the link, deploy renews it"
        )
    if _formed_earlier(seen):
        found.append(
            f"{seen.host.name}: an earlier version formed this pair, and a write that fails on the primary's own disk "
            "is not told to the guest: unprotect and deploy, when it suits you"
        )
    for disk in domain.disks:
        if disk.failed_writes:
            found.append(
                f"{seen.host.name}: {disk.failed_writes} writes of the guest to disk {disk.target} failed since it was "
                "started, and it was told so: see to the disk and its space"
            )
    if record.role == "secondary" and domain.active and (last := current.silent(seen)):
        since = f"{last.at}, {current.ago(last.seconds)} ago"
        found.append(f"{seen.host.name}: the standby last heard from {record.peer.host} at {since}")
    if seen.monitor and seen.monitor.colo == "secondary":
        found += [f"{seen.host.name}: {problem.what}" for problem in current.cut_from_disks(seen)]
    if seen.monitor and record.role == "secondary":
        up = [nic.tap for nic in domain.nics if nic.tap_up and seen.monitor.colo != "none"]
        found += [f"{seen.host.name}: link {tap} of the standby is up, its packets reach the network" for tap in up]
    said = [*_proxy_notes(seen), *_frame_problems(seen), *channels.cut(seen), *reach.unheard(seen)]
    found += [f"{seen.host.name}: {words}" for words in said]
    if domain.autostart and record.role != "alone":
        found.append(f"{seen.host.name}: autostart is on, so that an old copy could start by itself")
    return found


def _formed_earlier(seen: Observation) -> bool:
    if seen.monitor is None or seen.monitor.brief or seen.record.role != "primary":
        return False
    return any(states.one_write_suffices(seen.monitor, disk.target) for disk in seen.record.disks)


def _meaning(domain: Domain) -> str:
    if any(STOPPED_BY_A_DISK in line for line in domain.last_words):
        return " (a write to one of its images failed: look at their space, and at the disk below them)"
    return ""


def notes(seen: Observation) -> list[str]:
    """What is unusual on this host and does no harm."""
    found, domain, record = [], seen.domain, seen.record
    if domain is None or record is None:
        return found
    if record.role == "alone" and domain.live_incoming:
        found.append(f"{seen.host.name}: the live XML shows -incoming until the next cold start")
    if domain.tainted:
        found.append(f"{seen.host.name}: libvirt marks the domain as tainted until its next cold start")
    found += [f"{seen.host.name}: {words}" for words in reach.confined(seen)]
    if newer := abilities.upgraded(seen):
        found.append(
            f"{seen.host.name}: the domain runs in QEMU {abilities.running(seen)} until its next cold start, and "
            f"{newer} is installed: a lost standby cannot be replaced before that"
        )
    return found
