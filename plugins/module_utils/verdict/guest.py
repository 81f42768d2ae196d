# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How it stands with the guest of this host, in words: nothing is claimed that was not seen. Pure."""

from __future__ import annotations

from ..lockstep import graph
from ..observation.seen import Observation


def in_words(seen: Observation) -> str:
    """One sentence about the guest as this observation has it; for the end of a run that failed."""
    host, domain, monitor = seen.host.name, seen.domain, seen.monitor
    if domain is None or not domain.active:
        return f"The domain does not run on {host}: look at it now"
    if monitor is None:
        return f"Whether the guest on {host} goes on is not known, its QEMU does not answer: look at it now"
    parked = [disk.target for disk in domain.disks if disk.node == graph.park(disk.target)]
    if monitor.running and not parked:
        return f"The guest goes on on {host}"
    cause = f"disk {', '.join(parked)} is parked" if parked else f"QEMU says {monitor.status}"
    return f"The guest on {host} stands still ({cause}): run again, or look at it now"
