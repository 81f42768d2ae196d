# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a deployment has still to do on both hosts: its plans, one after the other, on what each leaves. Pure."""

from __future__ import annotations

from dataclasses import replace

from ..observation.seen import Checkpoints, Observation
from ..record.wanted import Wanted
from ..verdict.guest import unanswered
from ..verdict.problem import refuse_if
from . import describe, listen, protect
from .parts.entry import whole_checkpoint
from .step import Step

SEEN_WHOLE = Checkpoints(0.0, 1)  # as the last step of coming into lockstep sees it


def pending(wanted: Wanted, guest: Observation, standby: Observation) -> list[tuple[str, Step]]:
    """Each step until the pair is as ``wanted``, with the name of its host, in order: changes, and waits for proof.

    ``wanted`` as the standby's host has it; ``guest`` is the host that has the guest. A whole checkpoint that was seen
    when that was looked at is not waited for again. Raises ColoError where one of the plans refuses, or a QEMU does not
    answer: libvirt tells of its domain no more than that it is there, and no plan is made of that.
    """
    refuse_if([*unanswered(guest), *unanswered(standby)])
    there = replace(wanted, address=wanted.peer_address, peer_address=wanted.address)
    described = describe.primary(there, guest, standby)
    made = describe.secondary(wanted, standby, described.after)
    listening = listen.secondary(wanted, made.after, described.after)
    lockstep = protect.primary(there, described.after, listening.after)
    proven = replace(lockstep.after, checkpoints=SEEN_WHOLE)
    completed = listen.secondary(wanted, listening.after, proven)
    plans = ((guest, described), (standby, made), (standby, listening), (guest, lockstep), (standby, completed))
    steps = [(seen.host.name, step) for seen, plan in plans for step in plan.steps]
    if guest.record and guest.checkpoints and guest.checkpoints.count:
        return [(host, step) for host, step in steps if step != whole_checkpoint(guest.record)]
    return steps
