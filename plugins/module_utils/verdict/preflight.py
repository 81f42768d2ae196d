# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that a host, a domain and a pair must have before anything is changed, as one table. Pure.

The rules are in ``checks`` and ``copies``; here each gets a row, so that all that is wrong is said at once. A plan
refuses with the rows that are wrong, ``colo_info`` returns all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..lockstep import abilities
from ..observation.seen import Domain, Host, Listen, Observation
from ..record import images, pair
from ..record.pair import TREATMENTS, Record
from ..record.wanted import Wanted, WantedDisk
from . import channels, checks, copies, originals, place, start_hook, way_back
from .problem import Problem

OK, NOTE, WRONG, UNKNOWN = "ok", "note", "wrong", "unknown"


@dataclass(frozen=True)
class Requirement:
    """One row. ``host`` is None for what only both hosts together can meet or miss.

    ``state``: ``wrong`` keeps a pair from being formed, ``note`` does not, ``unknown`` could not be seen.
    """

    requirement: str
    host: str | None
    needed: str
    found: str
    state: str
    remedy: str = ""
    disk: str | None = None


def problems(rows: Iterable[Requirement]) -> Iterator[Problem]:
    """Why no pair can be formed."""
    for row in rows:
        if row.state == WRONG:
            yield Problem(row.found, row.remedy, row.disk)


def of_host(host: Host, directory: str) -> list[Requirement]:
    """What every host of a pair needs, whatever the domain."""
    return [*_software(host), *_prepared(host, directory, dry=False)]


def of_pair(wanted: Wanted, primary: Observation, standby: Observation, *, strict: bool = True) -> list[Requirement]:
    """All that two hosts need to be ``wanted``. Without ``strict`` an address that is not stated is unknown, not wrong.

    ``primary`` has the guest, and its address is the first in ``wanted``.
    """
    rows = []
    for host in (primary.host, standby.host):
        rows += _software(host)
        rows += _prepared(host, wanted.directory, dry=wanted.dry)
    rows += _both(primary, standby)
    for seen, address in ((primary, wanted.address), (standby, wanted.peer_address)):
        rows += _address(seen.host, address, strict)
    rows += _ports(wanted, primary, standby)
    rows += _rows("domain", primary.host, "persistent, and its guest runs", _state(primary), checks.running(primary))
    version = primary.monitor.version if primary.monitor else None
    wrong = [*checks.monitor(primary), *checks.running_emulator(primary)]
    rows += _rows("monitor", primary.host, "a QEMU that answers, and that COLO begins in", version, wrong)
    rows += _in_qemu(primary)
    if primary.domain:
        rows += _domain(wanted, primary, primary.domain)
        rows += _frames(wanted, primary, standby)
        rows += _place(wanted, primary, standby, primary.domain)
    return rows


def seen_here(wanted: Wanted, seen: Observation, peer: Observation | None) -> list[Requirement]:
    """What can be told from this host and, where it was observed, its peer; either may have the guest.

    ``wanted`` is said for this host: its own address is the first.
    """
    if peer is None:
        rows = of_host(seen.host, wanted.directory)
        return [*rows, *_domain(stated(wanted, seen), seen, seen.domain)] if _described(seen) else rows
    there = replace(wanted, address=wanted.peer_address, peer_address=wanted.address)
    wanted, primary, standby = (there, peer, seen) if guest_is_there(seen, peer) else (wanted, seen, peer)
    if _described(primary):
        return of_pair(stated(wanted, primary), primary, standby, strict=False)
    return [*of_host(primary.host, wanted.directory), *of_host(standby.host, wanted.directory)]


def guest_is_there(seen: Observation, peer: Observation) -> bool:
    """Whether the peer, and not this host, has the guest or its newest copy."""

    def rank(one: Observation) -> tuple[bool, int, bool]:
        standby = one.record is not None and one.record.role == "secondary"
        return one.domain is not None and not standby, one.generation, bool(one.domain and one.domain.active)

    return rank(peer) > rank(seen)


def _described(seen: Observation) -> bool:
    """Whether more is known of the domain than its state: a QEMU that may hang was not asked."""
    return seen.domain is not None and bool(seen.domain.inactive_xml)


def recorded(wanted: Wanted, record: Record) -> Wanted:
    """What the primary's record says is wanted; of ``wanted`` only where the standby's images shall be counts."""
    paths = {disk.target: disk.path for disk in wanted.disks}
    disks = tuple(WantedDisk(disk.target, disk.format, paths.get(disk.target)) for disk in record.disks)
    ends = {"address": record.local.address, "peer_address": record.peer.address}
    return replace(wanted, disks=disks, first_port=None, uncompared=record.uncompared or wanted.uncompared, **ends)


def stated(wanted: Wanted, primary: Observation) -> Wanted:
    """``wanted``, with what is not stated taken from the primary's record, or else from its domain."""
    if primary.record:
        known = recorded(wanted, primary.record)
        wanted = replace(
            wanted,
            disks=wanted.disks or known.disks,
            address=wanted.address or known.address,
            peer_address=wanted.peer_address or known.peer_address,
        )
    if wanted.disks or primary.domain is None:
        return wanted
    disks = [disk for disk in primary.domain.disks if checks.written(disk)]
    return replace(wanted, disks=tuple(WantedDisk(disk.target, disk.format or "") for disk in disks))


def sights(wanted: Wanted, primary: Observation) -> dict[str, Any]:
    """What ``observe`` has to look at on the host where the primary's standby is to be."""
    domain, record = primary.domain, primary.record
    if domain is None:
        return {}
    chosen = {disk.target: disk for disk in recorded(wanted, record).disks} if record else {}
    chosen |= {disk.target: disk for disk in stated(wanted, primary).disks}
    disks = originals.of_primary(replace(wanted, disks=tuple(chosen.values())), domain)
    copies_there = images.files(images.of_standby(wanted, None, images.home(wanted.directory, domain.uuid), disks))
    return {
        "uuid": domain.uuid,
        "images": [(path, kind) for path, kind, _size in copies_there],
        "files": domain.files,
    }


def _rows(
    requirement: str,
    host: Host | None,
    needed: str,
    found: str | None,
    wrong: Iterable[Problem] = (),
    notes: Iterable[Problem] = (),
) -> Iterator[Requirement]:
    """One row for each problem, or else one that says what was found; None where that could not be seen."""
    name, said = host.name if host else None, False
    for state, reasons in ((WRONG, wrong), (NOTE, notes)):
        for problem in reasons:
            said = True
            yield Requirement(requirement, name, needed, problem.what, state, problem.remedy, problem.disk)
    if not said:
        yield Requirement(requirement, name, needed, found or "unknown", OK if found else UNKNOWN)


def _software(host: Host) -> Iterator[Requirement]:
    qemu = host.emulator.version if host.emulator else None
    yield from _rows("QEMU", host, "the drivers, objects, commands and events of COLO", qemu, checks.emulator(host))
    yield from _rows("libvirt", host, "a libvirt that answers", host.libvirt, checks.libvirt(host))


def _prepared(host: Host, directory: str, *, dry: bool) -> Iterator[Requirement]:
    """What the role host writes, which comes first; in check mode it is no reason to refuse that it is not there."""
    kind = "notes" if dry else "wrong"
    confined = {None: None, False: "not in force", True: f"lets QEMU use {directory}"}[host.apparmor]
    reasons = {kind: checks.apparmor(host, directory)}
    yield from _rows("AppArmor", host, f"QEMU may use {directory}", confined, **reasons)
    needed, found = "refuses to start an old copy", start_hook.found(host)
    yield from _rows("start hook", host, needed, found, **{kind: start_hook.start_hook(host)})


def _both(primary: Observation, standby: Observation) -> Iterator[Requirement]:
    here, there = primary.host, standby.host
    names = f"{here.name} and {there.name}"
    clocks = None if here.clock is None or there.clock is None else f"{abs(here.clock - there.clock):.0f} s apart"
    measured = standby.latency if standby.latency is not None else primary.latency
    far = None if measured is None else f"{measured:g} ms"
    yield from _rows("two hosts", None, "a host for each copy", names, checks.two_hosts(here, there))
    known = here.emulator and there.emulator and here.libvirt and there.libvirt
    versions = f"QEMU {abilities.running(primary)}, libvirt {here.libvirt}" if known else None
    wrong = checks.same_versions(primary, standby)
    yield from _rows("same versions", None, "the same QEMU and libvirt on both hosts", versions, wrong)
    yield from _rows("clock", None, f"within {checks.CLOCK_TOLERANCE:g} s", clocks, notes=checks.clock(here, there))
    yield from _rows(
        "latency", None, f"less than {checks.GOOD_LATENCY:g} ms", far, notes=checks.latency(standby, primary)
    )
    large = f"{standby.passage.size} bytes" if standby.passage else None
    yield from _rows(
        "large packets", None, "those that fill the link come through", large, channels.large_packets(primary, standby)
    )


def _address(host: Host, address: str | None, strict: bool) -> Iterator[Requirement]:
    wrong = checks.address(host, address) if address or strict else ()
    speed = host.speed(address)
    yield from _rows("replication address", host, "an address of this host", address, wrong)
    yield from _rows(
        "link speed",
        host,
        f"{checks.GOOD_SPEED} Mbit/s or more",
        f"{speed} Mbit/s" if speed else None,
        notes=checks.link_speed(host, address),
    )


def _ports(wanted: Wanted, primary: Observation, standby: Observation) -> Iterator[Requirement]:
    """A block of ports: the one that is stated, else the pair's own, else one that is free on both hosts."""
    own = primary.record.first_port if primary.record else None
    first = wanted.first_port or own
    needed = "a block of ports that is free, or the pair's own"
    if first is None:
        free = checks.free_block(primary.host, standby.host)
        yield from _rows("ports", None, needed, _block(free), checks.some_block(primary.host, standby.host))
        return
    for host in (primary.host, standby.host):
        taken = () if first == own else checks.port_problems(host, first)
        yield from _rows("ports", host, needed, _block(first), taken)


def _block(first: int | None) -> str | None:
    return f"{first}-{pair.block(first)[-1]}" if first is not None else None


def _state(seen: Observation) -> str | None:
    return seen.domain.state if seen.domain else None


def _in_qemu(primary: Observation) -> Iterator[Requirement]:
    """What the running QEMU says itself, whatever the domain's XML does."""
    monitor = primary.monitor
    writers = ", ".join(sorted(set(monitor.writers.values()))) if monitor else None
    free = "nothing" if monitor else None
    yield from _rows(
        "disks in QEMU", primary.host, "none that the guest can write to and the domain does not have", writers or None,
        checks.unlisted_disks(primary),
    )  # fmt: skip
    yield from _rows("migration", primary.host, "nothing that blocks it", free, checks.blocked(primary))


def _domain(wanted: Wanted, primary: Observation, domain: Domain) -> Iterator[Requirement]:
    host = primary.host
    chosen = ", ".join(f"{disk.target} ({disk.format})" for disk in wanted.disks)
    nics = ", ".join(f"{nic.mac} ({nic.model}) on {nic.bridge}" for nic in domain.nics) or "none"
    yield from _rows(
        "machine type", host, "one of which QEMU keeps a standby", domain.machine, checks.machine(domain, primary)
    )
    yield from _rows(
        "devices", host, "only those that are known to work with COLO", "known",
        checks.devices(domain, wanted), checks.devices_at_risk(domain, wanted),
    )  # fmt: skip
    yield from _rows(
        "UEFI variable store",
        host,
        "none, or a file of the host",
        domain.nvram or "none",
        checks.variable_store(domain),
        checks.variable_store_left_behind(domain),
    )
    yield from _rows(
        "disks",
        host,
        "each that the guest can write to, and as the domain has it",
        chosen,
        checks.disks(domain, wanted),
    )
    yield from _rows(
        "way back", host, "each disk's block node is found again", chosen, way_back.way_back(wanted, primary)
    )
    yield from _rows("NICs", host, "on a bridge, one queue", nics, checks.nics(domain))
    kept = ", ".join(domain.snapshots) or "none"
    yield from _rows("snapshots", host, "none that have to last", kept, notes=place.snapshots(domain))
    yield from _rows("vhost", host, "no NIC that uses it", "none", checks.vhost(domain))


def _frames(wanted: Wanted, primary: Observation, standby: Observation) -> Iterator[Requirement]:
    """What the guest sends and COLO does not compare. Either host may have to keep it back: the two change sides."""
    chosen = wanted.uncompared if wanted.uncompared in TREATMENTS else None
    seen = chosen if primary.uncompared is None else ", ".join(primary.uncompared) or "none seen"
    needed = "none that the guest serves with, or a choice in colo_uncompared"
    yield from _rows("uncompared frames", primary.host, needed, seen, checks.uncompared(wanted, primary))
    for host in (primary.host, standby.host):
        found = {None: None, True: "there", False: "none"}[host.nftables]
        yield from _rows("nftables", host, "to drop such frames", found, checks.nftables(wanted, host))


def _place(wanted: Wanted, primary: Observation, standby: Observation, domain: Domain) -> Iterator[Requirement]:
    """What the second host has to have for a standby of this domain."""
    here, there = primary.host, standby.host
    runs = checks.standby_runs(domain, standby)
    yield from _rows(
        "machine type", there, domain.machine, _machine(domain, there), checks.machine_there(domain, there)
    )
    yield from _rows(
        "accelerator", there, f"that of type {domain.type}", _accelerator(domain, there),
        checks.accelerator(domain, there),
    )  # fmt: skip
    yield from _rows(
        "CPU", None, "one that the guest finds on both hosts", _cpu(domain, here, there),
        checks.cpu(domain, here, there), checks.cpu_features(domain, here, there),
    )  # fmt: skip
    have = "the standby has it" if runs else f"{there.memory_available >> 20} MiB"
    needed = checks.memory_needed(domain)
    yield from _rows("memory", there, f"{needed >> 20} MiB", have, checks.memory(domain, standby))
    huge = domain.memory if domain.huge_page is not None else 0
    found = have if runs else f"{checks.huge_pages_free(domain, there) >> 20} MiB"
    yield from _rows("huge pages", there, f"{huge >> 20} MiB", found, checks.huge_pages(domain, standby))
    yield from _rows(
        "files", there, "what the domain needs to start", _files(domain, standby), checks.files(domain, standby)
    )
    for name, bound, online, wrong in (
        ("CPU pinning", domain.processors, there.processors, checks.processors(domain, there)),
        ("NUMA placement", domain.numa_nodes, there.numa_nodes, checks.numa_nodes(domain, there)),
    ):
        needed = ", ".join(map(str, bound)) or "none"
        yield from _rows(name, there, needed, "there" if online or not bound else None, wrong)
    yield from _rows(
        "resource partition", there, domain.partition or "none", "none", notes=checks.partition(domain, there)
    )
    filters, wishes = ", ".join(domain.network_filters) or "none", [_wish(one) for one in domain.listens]
    yield from _rows(
        "networks", there, "such as lead as far as here", None if there.networks is None else "they do",
        place.networks(domain, here, there), place.other_bridge(domain, there),
    )  # fmt: skip
    have = None if there.network_filters is None else filters
    yield from _rows("network filters", there, filters, have, place.filters(domain, there))
    yield from _rows(
        "listeners", there, ", ".join(wishes) or "none", None if there.listeners is None else "possible",
        () if runs else place.listeners(domain, there),
    )  # fmt: skip
    yield from _rows("UUID", there, "no other domain's", domain.uuid, place.identity(domain, there))
    bridges = sorted({nic.bridge for nic in domain.nics if nic.bridge})
    yield from _rows("bridges", there, ", ".join(bridges) or "none", "there", checks.bridges(domain, there))
    for host in (here, there):
        known = {delay.bridge for delay in host.forward_delays}
        delay = "none" if known.issuperset(set(bridges) & set(host.bridges)) else None
        yield from _rows("forward delay", host, "none", delay, notes=checks.forward_delay(domain, host))
    abilities = f"generation {copies.generation(primary)}"
    yield from _rows("newest copy", here, "no newer one elsewhere", abilities, copies.newest(primary, standby))
    kept = standby.record.role if standby.record else "none"
    yield from _rows("standby's domain", there, "none, or the pair's", kept, copies.domain(primary, standby))
    if not runs:
        yield from _images(wanted, primary, standby, domain)


def _images(wanted: Wanted, primary: Observation, standby: Observation, domain: Domain) -> Iterator[Requirement]:
    sources = originals.sources(wanted, primary)
    disks = images.of_standby(wanted, standby.record, images.home(wanted.directory, domain.uuid), sources)
    made = images.files(disks)
    needed = sum(size or 0 for _path, _kind, size in made)
    sized = all(size is not None for _path, _kind, size in made)
    free = sorted({f"{room.available >> 20} MiB" for room in standby.space.values()}) if sized else []
    yield from _rows(
        "disk space",
        standby.host,
        f"{needed >> 20} MiB, if the guest writes everywhere",
        ", ".join(free) or None,
        checks.space(standby, made),
    )
    yield from _rows(
        "images", standby.host, "none yet, or the pair's own and older", "nothing that would be lost",
        copies.images(primary, standby, disks, sources),
    )  # fmt: skip


def _wish(listen: Listen) -> str:
    return f"{listen.what} on {listen.address or 'any address'}{f' port {listen.port}' if listen.port else ''}"


def _machine(domain: Domain, host: Host) -> str | None:
    return domain.machine if host.emulator and host.emulator.machines else None


def _accelerator(domain: Domain, host: Host) -> str | None:
    if domain.type == "kvm":
        return {None: None, True: "/dev/kvm", False: "none"}[host.kvm]
    return domain.type and "QEMU itself"


def _cpu(domain: Domain, here: Host, there: Host) -> str | None:
    if domain.type != "kvm":
        return domain.type and "emulated"
    return f"{here.cpu.model}, {there.cpu.model}" if here.cpu and there.cpu else None


def _files(domain: Domain, standby: Observation) -> str | None:
    if not set(domain.files) <= set(standby.files):
        return None
    return ", ".join(domain.files) or "none"
