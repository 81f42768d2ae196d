# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which certificate the channels of a pair show: QEMU reads it when it is given credentials, and keeps to it. Pure."""

from __future__ import annotations

from ..lockstep import channels, graph, states
from ..observation.seen import Observation
from ..record.pair import OFF


def outdated(seen: Observation, formed: float | None = None) -> bool:
    """Whether this host's QEMU was given credentials from another certificate than the one that is installed.

    Where it was not noted which, the start of QEMU counts, or that of the standby, at ``formed``, if it was later.
    """
    if seen.record.tls == OFF or not seen.domain.active:
        return False
    if seen.monitor is not None and not any(name in seen.monitor.objects for name in channels.CREDENTIALS):
        return False
    installed = seen.host.certificate and seen.host.certificate.installed
    if installed is None:
        return False
    if seen.shown is not None:
        return installed != seen.shown.installed
    given = max((moment for moment in (seen.domain.began, formed) if moment is not None), default=None)
    return given is not None and installed > given


def under_way(primary: Observation) -> bool:
    """Whether this guest is being copied to its standby, or sent there: over connections that are made by then."""
    monitor = primary.monitor
    if monitor is None:
        return False
    return any(map(graph.is_sync, monitor.jobs)) or monitor.migration.status in states.MIGRATING
