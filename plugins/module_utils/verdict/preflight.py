# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that a host, a domain and a pair must have before anything is changed, as one table. Pure.

Each requirement is one function in ``requirements``; here stands which of them are asked, of whom, and in what order. A
plan refuses with the rows that are wrong, ``colo_info`` returns all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

from ..observation.depth import ASKS_QEMU
from ..observation.seen import Domain, Host, Observation
from ..record.wanted import Wanted
from .copies import guest_is_there
from .requirements import disks, domain, encryption, hosts, images, link, network, overwriting, place
from .requirements.row import WRONG, Requirement
from .requirements.start_hook import start_hook
from .wishes import stated


def of_host(host: Host, directory: str, *, dry: bool = False) -> list[Requirement]:
    """What every host of a pair needs, whatever the domain; ``dry``: before the role host has prepared it."""
    return [
        *hosts.emulator(host),
        *hosts.libvirt(host),
        *hosts.apparmor(host, directory, dry=dry),
        *start_hook(host, dry=dry),
        *hosts.shutdown(host, dry=dry),
    ]


def of_next(tls: str, holder: Observation, standby: Observation) -> list[Requirement]:
    """What may have changed while a pair is up, and would keep its hosts from forming another, with this ``tls``.

    ``holder`` is the host on which the guest will run on; the QEMU of the ``standby`` will be one of today's binary.
    Certificates are asked for on their own: encryption.keeps_apart.
    """
    anew = replace(standby, monitor=None)
    hosts_alone = [row for one in (holder, anew) for row in of_host(one.host, os.path.dirname(one.directory or ""))]
    return [*hosts_alone, *hosts.same_versions(holder, anew), *encryption.withholding(tls, holder, anew)]


def of_pair(wanted: Wanted, holder: Observation, standby: Observation, *, strict: bool = True) -> list[Requirement]:
    """All that two hosts need to be ``wanted``. Without ``strict`` an address that is not stated is unknown, not wrong.

    ``holder`` has the guest, and is or will be the primary; its address is the first in ``wanted``.
    """
    rows = [
        *of_host(holder.host, wanted.directory, dry=wanted.dry),
        *of_host(standby.host, wanted.directory, dry=wanted.dry),
        *_between(wanted, holder, standby, strict=strict),
        *domain.paces(wanted),
        *images.accounts(wanted, holder),
        *images.accounts(wanted, standby),
        *domain.running(holder),
        *domain.monitor(holder, standby),
        *disks.disks_in_qemu(holder),
        *domain.migration(holder),
    ]
    if holder.domain:
        rows += _of_domain(wanted, holder, holder.domain, standby)
        rows += _of_frames(wanted, holder, standby)
        rows += _of_place(holder.domain, holder, standby)
        rows += _of_copies(wanted, holder, standby)
    return rows


def _between(wanted: Wanted, holder: Observation, standby: Observation, *, strict: bool) -> list[Requirement]:
    """What the hosts have to be to each other."""
    here, there = holder.host, standby.host
    rows = [
        *hosts.two_hosts(here, there),
        *hosts.same_versions(holder, standby),
        *hosts.clock(here, there),
        *link.latency(holder, standby),
        *link.large_packets(holder, standby),
    ]
    needed = encryption.needed(wanted, holder, standby)
    rows += [*encryption.encryption(wanted, holder, standby), *encryption.same_authority(here, there, needed=needed)]
    for host, address in ((here, wanted.address), (there, wanted.peer_address)):
        rows += [*link.address(host, address, strict=strict), *link.link_speed(host, address)]
        rows += encryption.certificate(host, address, needed=needed, dry=wanted.dry)
    rows += link.same_family(wanted.address, wanted.peer_address)
    return [*rows, *link.ports(wanted, holder, standby)]


def _of_domain(
    wanted: Wanted, seen: Observation, this: Domain, standby: Observation | None = None
) -> list[Requirement]:
    """What a domain has to be like, wherever its standby will be."""
    return [
        *of_xml(wanted, this, seen),
        *domain.persistent(this, seen, standby),
        *disks.disks(wanted, this, seen),
        *disks.way_back(wanted, seen),
        *domain.snapshots(this, seen),
        *network.vhost(this, seen),
    ]


def of_xml(wanted: Wanted, this: Domain, seen: Observation) -> list[Requirement]:
    """What is asked of an XML, ``this``: of the one that the guest of ``seen`` runs with, and of each that becomes a
    standby's (plan/parts/fit.py). Only disks are looked at apart, since a standby has images of its own.
    """
    return [
        *domain.machine(this, seen),
        *domain.devices(wanted, this, seen),
        *domain.files_and_rights(wanted, this, seen),
        *domain.variable_store(this, seen),
        *network.nics(this, seen),
    ]


def _of_frames(wanted: Wanted, holder: Observation, standby: Observation) -> list[Requirement]:
    """What the guest sends and COLO does not compare."""
    hands = [row for host in (holder.host, standby.host) for row in network.nftables(wanted, host)]
    return [*network.uncompared(wanted, holder), *hands]


def _of_place(this: Domain, holder: Observation, standby: Observation) -> list[Requirement]:
    """What the second host has to have for a standby of this domain."""
    here, there = holder.host, standby.host
    return [
        *place.machine(this, there),
        *place.accelerator(this, there),
        *place.cpu(this, here, there),
        *place.memory(this, standby),
        *place.huge_pages(this, standby),
        *place.files(this, standby),
        *place.processors(this, there),
        *place.numa_nodes(this, there),
        *place.partition(this, there),
        *network.networks(this, here, there),
        *network.network_filters(this, there),
        *place.listeners(this, standby),
        *place.identity(this, there),
        *place.start(this, standby),
        *network.bridges(this, there),
        *network.forward_delay(this, here),
        *network.forward_delay(this, there),
    ]


def _of_copies(wanted: Wanted, holder: Observation, standby: Observation) -> list[Requirement]:
    """Whose copy is the guest's, and what may be written over."""
    rows = [*overwriting.newest(holder, standby), *overwriting.standbys_domain(holder, standby)]
    if holder.marker is None:
        rows += images.directories(holder)
    if not place.standby_runs(holder.domain, standby):
        rows += images.directories(standby, len(wanted.disks))
        rows += [*overwriting.space(wanted, holder, standby), *overwriting.images(wanted, holder, standby)]
    return rows


def seen_here(wanted: Wanted, seen: Observation, peer: Observation | None) -> list[Requirement]:
    """What can be told from this host and, where it was observed, its peer; either may have the guest.

    ``wanted`` is said for this host: its own address is the first.
    """
    if peer is None:
        rows = of_host(seen.host, wanted.directory, dry=wanted.dry)
        return [*rows, *_of_domain(stated(wanted, seen), seen, seen.domain)] if _described(seen) else rows
    there = replace(wanted, address=wanted.peer_address, peer_address=wanted.address)
    wanted, holder, standby = (there, peer, seen) if guest_is_there(seen, peer) else (wanted, seen, peer)
    if _described(holder):
        return of_pair(stated(wanted, holder), holder, standby, strict=False)
    return [row for one in (holder, standby) for row in of_host(one.host, wanted.directory, dry=wanted.dry)]


def worth_a_trial(rows: Iterable[Requirement], standby: Observation, holder: Observation) -> bool:
    """Whether a start could say more than the rows do, and there is no standby yet. A guest can be taken off vhost."""
    wrong = [row for row in rows if row.state == WRONG and row.requirement != "vhost"]
    here = holder.domain
    return not wrong and here is not None and here.active and not place.standby_runs(here, standby)


def _described(seen: Observation) -> bool:
    """Whether more is known of the domain than its state: a QEMU that may hang was not asked."""
    return seen.domain is not None and seen.depth in ASKS_QEMU
