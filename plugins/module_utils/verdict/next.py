# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook that leads on from where a pair is. Pure."""

from __future__ import annotations

from ..observation.seen import Observation
from .copies import outlived


def next_playbook(phase: str, holder: Observation | None, other: Observation | None) -> str:
    """The one to run next, by its name; empty where there is nothing to do.

    ``holder`` is what was seen of the host with the newest copy, ``other`` of the other one; None where it was not.
    ``failover`` wants the lost host fenced first.
    """
    if phase == "protected":
        return ""
    if phase == "powered_off":
        return "failover" if other is not None and holder is not None and outlived(holder, other) else "start"
    if phase == "stalled":  # with both hosts up, the guest is freed without anybody's power being cut
        return "unprotect" if other is not None else "failover"
    if phase == "degraded":
        cut_off = holder is not None and holder.record.role == "alone"
        return "failover" if cut_off or holder is None or other is None else "deploy"
    if phase == "stale":  # handed over, and never taken over
        runs = other is not None and other.domain is not None and other.domain.active
        return "failover" if runs else "start"
    return "deploy"
