# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wanted of a pair, with what was not said filled in from what is known. Pure functions."""

from __future__ import annotations

import os
from dataclasses import replace

from ..observation.depth import Sights
from ..observation.seen import Observation
from ..record import images
from ..record.pair import Record
from ..record.wanted import Wanted, WantedDisk
from . import originals


def recorded(wanted: Wanted, record: Record) -> Wanted:
    """What the primary's record says is wanted; of ``wanted`` only where the standby's images shall be counts."""
    given = {disk.target: disk for disk in wanted.disks}
    disks = tuple(replace(given.get(one.target, WantedDisk(one.target, "")), format=one.format) for one in record.disks)
    known = {
        "address": record.local.address,
        "peer_address": record.peer.address,
        "tls": record.tls,
        "uncompared": record.uncompared or wanted.uncompared,
    }
    return replace(wanted, disks=disks, first_port=None, **known)


def stated(wanted: Wanted, holder: Observation) -> Wanted:
    """``wanted``, with what is not stated taken from the record of the host that has the guest, or else its domain."""
    if holder.record:
        known = recorded(wanted, holder.record)
        wanted = replace(
            wanted,
            disks=wanted.disks or known.disks,
            address=wanted.address or known.address,
            peer_address=wanted.peer_address or known.peer_address,
        )
    if wanted.disks or holder.domain is None:
        return wanted
    writable = [disk for disk in holder.domain.disks if disk.written]
    return replace(wanted, disks=tuple(WantedDisk(disk.target, disk.format or "") for disk in writable))


def with_accounts(sights: Sights, wanted: Wanted) -> Sights:
    """The same, and whether the host has those to whom images are to be given."""
    return replace(sights, user=wanted.image_owner, group=wanted.image_group)


def sights(wanted: Wanted, holder: Observation) -> Sights:
    """What ``observe`` has to look at on the host where the standby of this guest is to be."""
    domain, record = holder.domain, holder.record
    if domain is None:
        return Sights()
    chosen = {disk.target: disk for disk in recorded(wanted, record).disks} if record else {}
    chosen |= {disk.target: disk for disk in stated(wanted, holder).disks}
    disks = originals.of_primary(replace(wanted, disks=tuple(chosen.values())), domain)
    home = images.home(wanted.directory, domain.uuid)
    copies_there = images.files(images.of_standby(wanted, None, home, disks))
    directories = {os.path.dirname(path) for path, _kind, _size in copies_there} - {home}  # home is made
    files = (*domain.files, *sorted(directories))
    macs = tuple(nic.mac for nic in domain.nics)
    return Sights(domain.uuid, tuple((path, kind) for path, kind, _size in copies_there), files, macs=macs)
