# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run towards a goal is called, so that whoever tells of it need not know why it was begun."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..observation.seen import Observation
from ..verdict.fence import DRILL
from .goals import Request

TITLES: Mapping[str, str] = MappingProxyType(
    {
        "described primary": "Describe the primary's half",
        "described secondary": "Describe the standby and make its images",
        "plain primary": "Make the domain what it was",
        "plain secondary": "Remove the standby and its images",
        "present primary": "Bring the guest into lockstep",
        "present secondary": "Have the standby listen",
        "absent": "Take the layers from under the guest",
        "started": "Start the domain",
        "handed_over": "End the guest, once its standby waits for that",
        "expendable": "Let the standby no longer be promoted",
        "without_vhost": "Take the guest off vhost",
        "surviving": "Fail over",
        "given_up": "End the guest on a host that is given up",
        "given_way": "Write down that this copy gives way",
        "ended": "End a QEMU that hangs, and write down that this copy gives way",
        "drilled": "Promote the standby where nobody hears it",
    }
)


def title(goal: str, request: Request | None = None) -> str:
    """What a run towards ``goal`` is called in results and reports, in plain words; more exactly where its ``request``
    could be read."""
    if request is None:
        return TITLES[goal]
    if goal == "surviving":
        return _of_a_survivor(request)
    if goal == "absent" and request.role == "secondary":
        return "End the standby"
    if goal == "present secondary" and _in_lockstep(request.peer):
        return "Let the standby be promoted"
    return TITLES[goal]


def _in_lockstep(primary: Observation | None) -> bool:
    return primary is not None and primary.monitor is not None and primary.monitor.migration.status == "colo"


def _of_a_survivor(request: Request) -> str:
    if request.handover:
        return "Take the guest over"
    if request.fence and request.fence.ground == DRILL:
        return "Let the guest go on alone"
    if request.fence is None and not request.i_accept_that_two_guests_may_run:
        return "Finish the failover"
    return TITLES["surviving"]
