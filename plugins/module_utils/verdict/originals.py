# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The images of the host that has the guest, of which a standby gets copies. Pure functions."""

from __future__ import annotations

import os

from ..observation.seen import Domain, Observation
from ..record.images import IMAGE_TYPES
from ..record.pair import FORMATS, DiskRecord
from ..record.wanted import Wanted


def of_primary(wanted: Wanted, domain: Domain) -> tuple[DiskRecord, ...]:
    """The disks that are wanted and that the domain has, as the primary's record describes them.

    Without those that have no image on this host, one of another format, or one whose size is not known: QEMU alone
    knows it, and a domain that does not run has none. One that is named twice is there once.
    """
    known = (disk for disk in domain.disks if disk.type in IMAGE_TYPES and disk.virtual_size is not None)
    disks = {disk.target: disk for disk in known if disk.source and os.path.isabs(disk.source)}
    return tuple(
        DiskRecord(want.target, want.format, disks[want.target].source, disks[want.target].virtual_size)
        for want in {want.target: want for want in wanted.disks}.values()
        if want.target in disks and want.format in FORMATS
    )


def sources(wanted: Wanted, holder: Observation) -> tuple[DiskRecord, ...]:
    """Those that a standby is made from: of the record, unless other disks are wanted by now."""
    record, chosen = holder.record, {want.target for want in wanted.disks}
    if record and chosen in (set(), {disk.target for disk in record.disks}):
        return record.disks
    return of_primary(wanted, holder.domain) if holder.domain else ()
