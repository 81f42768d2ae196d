# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a guest in lockstep has and its standby does not get, whatever way it came to it. Pure.

A device may be plugged into the running domain at any time, and QEMU or libvirt do not know that it is one of a pair.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import ColoError
from ..lockstep import channels, states
from ..observation.depth import WHOLE_DOMAIN
from ..observation.seen import Observation
from .problem import Problem
from .requirements.disks import disks_in_qemu
from .requirements.row import problems

WRITABLE = ("disk", "lun")


def unreplicated(seen: Observation) -> list[Problem]:
    """The NICs of a primary in lockstep that nothing compares, and what its guest writes to that nothing replicates."""
    return [*_nics(seen), *_disks(seen), *problems(disks_in_qemu(seen))] if _in_lockstep(seen) else []


def keep_out(seen: Observation, peer: Observation) -> list[Problem]:
    """The same, where the standby is in lockstep: a pair gets other devices when it is formed, and never later."""
    return unreplicated(seen) if peer.monitor is not None and peer.monitor.colo == "secondary" else []


def passed_by(seen: Observation) -> bool:
    """Whether a part of the packet proxies of a primary in lockstep is not there, or is off, so that packets go by."""
    if not _in_lockstep(seen) or seen.depth not in WHOLE_DOMAIN:
        return False
    try:
        drifted = [drift for drift in states.drifted(seen) if drift.part.name not in channels.CREDENTIALS]
    except ColoError:  # a NIC of the record was taken out, over which nothing is said any more
        return False
    return any(drift.part.object and drift.key in (None, "status") for drift in drifted)


def _in_lockstep(seen: Observation) -> bool:
    record, monitor = seen.record, seen.monitor
    if record is None or record.role != "primary" or monitor is None:
        return False
    return monitor.migration.status == "colo"


def _nics(seen: Observation) -> Iterator[Problem]:
    name, left = seen.domain.name, [nic.mac for nic in seen.record.nics]
    for nic in seen.domain.nics:
        if nic.mac in left:
            left.remove(nic.mac)
        else:
            yield Problem(
                f"the guest has NIC {nic.mac}, which the pair has not: what it says there is not held back, and may be "
                "undone by a failover",
                f"Take it out of the guest (virsh detach-interface {name} {nic.type} --mac {nic.mac} --live); or run "
                "lockstep.colo.unprotect and lockstep.colo.deploy, which forms the pair with it",
            )


def _disks(seen: Observation) -> Iterator[Problem]:
    known = {disk.target for disk in seen.record.disks}
    for disk in seen.domain.disks:
        if disk.device in WRITABLE and not disk.readonly and disk.target not in known:
            yield Problem(
                f"the guest can write to disk {disk.target}, which the pair has not: the standby lacks what it writes",
                f"Take it out of the guest (virsh detach-disk {seen.domain.name} {disk.target} --live); or add it to "
                "colo_disks, and run lockstep.colo.unprotect and lockstep.colo.deploy, which forms the pair with it",
            )
