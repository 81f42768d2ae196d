# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator should know of one host's half of a pair, in plain words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timezone

from ..errors import ColoError
from ..lockstep import abilities, states, uncompared
from ..observation.depth import WHOLE_DOMAIN
from ..observation.seen import Domain, Observation
from ..record.pair import ALLOW, EXCEPT_PROXY, OFF, REQUIRED
from . import channels, current, guest, reach, shown, unreplicated
from .requirements import encryption
from .requirements.row import problems as problems_of

# QEMU ends itself where a disk's error has stopped the guest and a checkpoint is due (QEMU's runstate transitions).
ENDED_BY_A_DISK = "'io-error' -> 'colo'"


def _proxy_problems(seen: Observation) -> list[str]:
    """What was changed by hand where packets are compared: answers may go out that the standby never gave."""
    if (
        seen.record.role == "alone"
        or seen.monitor is None
        or seen.depth not in WHOLE_DOMAIN
        or seen.monitor.colo == "none"
    ):
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
    elif seen.barrier != uncompared.barrier(seen):
        yield (
            "the rule of nftables is gone, or was changed, that keeps back what the guest says over IPv6 or in frames "
            "with a VLAN tag: a failover may undo what clients are told; deploy puts it back"
        )


def problems(seen: Observation, *, peer_ended: bool = False) -> list[str]:
    """What is wrong with this host's half of the pair, each with the host's name before it.

    ``peer_ended``: the other half was seen to have no QEMU, with which nothing can be connected.
    """
    found = [seen.monitor_problem] if seen.monitor_problem else []
    if stopped := guest.still(seen):
        found.append(stopped.in_a_line)
    if seen.record is not None:
        found += [
            *_how_it_runs(seen),
            *_lost_writes(seen),
            *_standby_problems(seen),
            *_proxy_problems(seen),
            *(problem.in_a_line for problem in unreplicated.unreplicated(seen)),
            *_frame_problems(seen),
            *(() if peer_ended else channels.cut(seen)),
            *reach.unheard(seen),
            *_unguarded(seen),
        ]
        if seen.domain.autostart and seen.record.role != "alone":
            found.append("autostart is on, so that an old copy could start by itself")
    return [f"{seen.host.name}: {words}" for words in found]


def _how_it_runs(seen: Observation) -> Iterator[str]:
    """What may end the guest here, or has ended its QEMU, or keeps it unprotected."""
    domain, peer = seen.domain, seen.record.peer
    for path in seen.removed_images:
        yield f"{path} was removed, and QEMU still has it open: it is lost when QEMU ends"
    if seen.record.role == "alone":
        yield from _alone(seen)
        if seen.peer_answers:  # asked in a failover alone, whose fence was believed
            yield f"{peer.host} answers on {peer.address} after its fence: see whether that works"
        if states.half_taken_over(seen):
            yield "that failover was cut off, the guest may not be reachable: run it again"
    if not domain.active and domain.last_words:
        yield f"its QEMU ended with: {'; '.join(domain.last_words)}{_meaning(domain)}"


def _alone(seen: Observation) -> Iterator[str]:
    if not seen.domain.active:
        return
    if guest.runs(seen):
        yield "the guest runs alone, unprotected, since a failover"
    elif guest.still(seen):
        yield "the guest is unprotected since a failover"
    else:
        yield "the guest is unprotected since a failover, and whether it goes on is not known: look at QEMU's log"


def _meaning(domain: Domain) -> str:
    if any(ENDED_BY_A_DISK in line for line in domain.last_words):
        return " (a write to one of its images failed: look at their space, and at the disk below them)"
    return ""


def _lost_writes(seen: Observation) -> Iterator[str]:
    """Writes that failed, and those whose failing nobody would be told."""
    if seen.monitor and seen.monitor.lost_writes:
        yield (
            f"a write of the guest did not reach the standby ({seen.monitor.lost_writes}): the copy "
            f"on {seen.record.peer.host} lacks it and must not be promoted; see to its disk and the link, deploy "
            "renews it"
        )
    if _formed_earlier(seen):
        yield (
            "an earlier version formed this pair, and a write that fails on the primary's own disk is not told to the "
            "guest: unprotect and deploy, when it suits you"
        )
    for disk in seen.domain.disks:
        if disk.failed_writes:
            yield (
                f"{disk.failed_writes} writes of the guest to disk {disk.target} failed since it was started, and it "
                "was told so: see to the disk and its space"
            )


def _formed_earlier(seen: Observation) -> bool:
    if seen.monitor is None or seen.depth not in WHOLE_DOMAIN or seen.record.role != "primary":
        return False
    return any(states.one_write_suffices(seen.monitor, disk.target) for disk in seen.record.disks)


def _standby_problems(seen: Observation) -> Iterator[str]:
    """Whether a standby hears its primary, and nobody hears the standby."""
    if seen.record.role != "secondary":
        return
    if seen.domain.active and (last := current.silent(seen)):
        yield f"the standby last heard from {seen.record.peer.host} at {last.at}, {current.ago(last.seconds)} ago"
    if seen.domain.active:  # whether its QEMU answers or not
        yield from (problem.what for problem in current.lacks(seen))
    if seen.monitor and seen.monitor.colo != "none":
        for tap in [nic.tap for nic in seen.domain.nics if nic.tap_up]:
            yield f"link {tap} of the standby is up, its packets reach the network"


def _unguarded(seen: Observation) -> Iterator[str]:
    """Why the watcher of this host would do nothing, though the operator wants it to."""
    automation, unit = seen.automation, "lockstep-colo-watch.service"
    if automation is None or not automation.wanted or seen.record.role == "alone":
        return
    if not automation.awake:
        yield (
            f"its watcher ({unit}) does not run, so that nobody acts on the loss of a QEMU; deploy starts it, with the "
            "KVM hosts in its limit, where colo_automation says so for them"
        )
    elif not automation.hears:
        yield (
            f"its watcher does not hear that of {seen.record.peer.host}, so that nobody acts on the loss of a QEMU: "
            f"see there, and what {unit} says in the journal of both hosts"
        )


ENDS_SOON = 30 * 86400.0  # seconds
UTC = timezone.utc  # noqa: UP017 - a control node may have an older Python than the hosts
NOTHING_ANEW = "what is connected goes on, nothing connects anew"


def _encryption(seen: Observation) -> Iterator[str]:
    """What an operator who counts on TLS should know."""
    record, known, now = seen.record, seen.host.certificate, seen.host.clock
    if record.role == "alone":
        return
    if record.tls != REQUIRED:
        clear = encryption.IN_CLEAR if record.tls == OFF else encryption.PROXY_IN_CLEAR
        most = EXCEPT_PROXY if abilities.withholds_encrypted(abilities.running(seen)) else REQUIRED
        more = f"deploy with -e colo_tls={most} -e colo_tls_renew=true forms it anew"
        if record.tls == most:
            more = "this QEMU withholds packets that come encrypted, and QEMU 8.0 or later, as Debian 13 has, does not"
        yield f"{clear} (colo_tls was {record.tls} when the pair was formed); {more}"
    if record.tls == OFF:
        return
    if known is None:
        return
    for words in encryption.faults(seen.host, record.local.address):
        yield f"the next standby will be refused: it {words}; {NOTHING_ANEW}; deploy with the KVM hosts in its limit"
    if not known.problem and now is not None and now < known.ends < now + ENDS_SOON:
        yield f"its certificate {_end(known.ends, now)}; deploy with the KVM hosts in its limit renews it"


def _end(ends: float, now: float | None) -> str:
    """When a certificate ends, as far from ``now`` as it matters."""
    if now is None or ends - now >= ENDS_SOON:
        return f"ends on {datetime.fromtimestamp(ends, UTC):%Y-%m-%d}"
    return f"ends in {(ends - now) / 86400:.0f} days" if ends > now else "has ended"


def different_authorities(halves: Iterable[Observation]) -> list[str]:
    """That neither host of a pair would take the other's certificate, were they to connect anew."""
    halves = [half for half in halves if half.record and half.record.role != "alone"]
    if len(halves) != 2:
        return []
    needed = any(half.record.tls != OFF for half in halves)
    rows = encryption.same_authority(*(half.host for half in halves), needed=needed)
    return [f"the next standby will be refused: {problem.in_a_line}" for problem in problems_of(rows)]


def older_certificates(halves: Iterable[Observation]) -> list[str]:
    """Of both hosts of a pair, those that it goes on with another certificate on than the one that is installed."""
    halves = [half for half in halves if half.record and half.domain]
    formed = next((half.domain.began for half in halves if half.record.role == "secondary"), None)
    known = [half for half in halves if half.shown is not None or formed is not None]
    way = "switchover" if any(map(_in_lockstep, halves)) else "deploy"
    return [
        f"{half.host.name}: the pair was formed before the certificate that is installed was, and goes on with the one "
        f"from then{_which_ends(half)}: once that has ended, {NOTHING_ANEW}; {way} forms the pair with this one"
        for half in known
        if shown.outdated(half, formed)
    ]


def _which_ends(half: Observation) -> str:
    return f", which {_end(half.shown.ends, half.host.clock)}" if half.shown else ""


def _in_lockstep(half: Observation) -> bool:
    """Or on the way there, or where nothing is known of it."""
    if half.monitor is None or half.record.role != "primary":
        return half.monitor is None or half.monitor.colo != "none"
    return half.monitor.migration.status == "colo" or shown.under_way(half)


def notes(seen: Observation) -> list[str]:
    """What is unusual on this host and does no harm."""
    found, domain, record = [], seen.domain, seen.record
    if domain is None or record is None:
        return found
    if record.role == "alone" and domain.live_incoming:
        found.append(f"{seen.host.name}: the live XML shows -incoming until the next cold start")
    found += [f"{seen.host.name}: {words}" for words in _encryption(seen)]
    if domain.tainted:
        found.append(f"{seen.host.name}: libvirt marks the domain as tainted until its next cold start")
    found += [f"{seen.host.name}: {words}" for words in (*channels.unproven(seen), *reach.confined(seen))]
    if newer := abilities.upgraded(seen):
        found.append(
            f"{seen.host.name}: the domain runs in QEMU {abilities.running(seen)} until its next cold start, and "
            f"{newer} is installed: a lost standby cannot be replaced before that"
        )
    return found
