# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deciding how a host that is to be given up, and still answers, is fenced: its QEMU is ended there. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator

from ..domain import editing as xml
from ..observation.seen import Observation
from ..record.half_notes import HalfNote, as_given_up
from ..verdict import copies, current, fence, guest
from ..verdict.problem import Problem, refuse_if
from . import effects
from .parts.undo import END_TIMEOUT, end_at_once
from .plan import Plan
from .step import Step


def give_up(seen: Observation, survivor: Observation) -> Plan:
    """End this host's QEMU, and write down that its copy is not the newest; ``survivor`` is to serve instead.

    Without QEMU: it may be hanging, and libvirt then waits for it. So it is ended first. That the copy is given up is
    written before anything is promoted, since the plan is the proof for that.
    """
    refuse_if([*_own_problems(seen, survivor), *_survivor_problems(seen, survivor)])
    uuid, steps, after = survivor.domain.uuid, [], seen
    if seen.domain and seen.domain.active:
        steps += end_at_once(seen)
        after = effects.ended(seen)
    steps.append(Step("see that no process of the domain is left", "see_ended", {"uuid": uuid}))
    if after.record and not fence.given_up(after) and after.generation >= survivor.generation:
        record = as_given_up(after.record)
        text = xml.with_metadata_element(record)
        steps.append(Step("write that this copy is given up", "record", {"xml": text, "live": False}))
    return Plan(tuple(steps), seen)


def give_way(seen: Observation, *, end: bool = False) -> Plan:
    """Write down, durably and at once, that the half whose QEMU has ended here is not started again.

    ``end``: end it first, since it hangs. The other host is told afterwards, and goes on alone; so libvirt, which is
    still clearing up after the QEMU, is not waited for.
    """
    if seen.record is None or seen.record.role == "alone":
        refuse_if([Problem("there is no half of a pair here that could give way", "Look with lockstep.colo.status")])
    uuid, record = seen.domain.uuid, seen.record
    steps = [Step("end the QEMU of this host, which hangs", "end_emulator", {"uuid": uuid}, END_TIMEOUT)] if end else []
    steps.append(Step("see that no process of the domain is left", "see_ended", {"uuid": uuid}))
    note = HalfNote(uuid, record.generation, record.role)
    steps.append(Step("note that this half is not started again", "give_way", {"note": note}))
    return Plan(tuple(steps), seen)


def _own_problems(seen: Observation, survivor: Observation) -> Iterator[Problem]:
    domain, there = seen.domain, survivor.host.name
    if domain is None or survivor.domain is None:
        return
    if copies.of_two_domains(seen, survivor):
        yield Problem(f"this is another domain than that of {there}", "Rename or undefine one of them")
    elif seen.record is None:
        yield Problem("the domain is not part of a pair here", "Find out which of the two is the right one")
    elif seen.generation > survivor.generation:
        yield fence.newer(seen, survivor)
    elif seen.record.role == "primary" and domain.powered_itself_off and survivor.generation == seen.generation:
        yield Problem("nothing is lost: the guest powered itself off", "Start it with the playbook lockstep.colo.start")
    elif seen.standby_lacks:
        yield Problem(
            f"a write of the guest did not reach the standby ({seen.standby_lacks}): the copy on {there} lacks it",
            "Leave the guest where it is, and run lockstep.colo.deploy, which renews the standby",
        )


def _survivor_problems(seen: Observation, survivor: Observation) -> Iterator[Problem]:
    """A guest is ended only for one that will serve."""
    there, record = survivor.host.name, survivor.record
    if survivor.domain is None or record is None:
        yield Problem(f"{there} has no half of this pair", "Look with lockstep.colo.status which host has the guest")
    elif record.role == "alone":
        return  # it took over before
    elif not survivor.domain.active:
        yield guest.off(there, "Leave the guest where it is; run deploy", ": it cannot serve")
    elif seen.record and record.role == seen.record.role:
        yield Problem(f"both hosts have the {record.role} of the pair", "Look with lockstep.colo.status at both")
    elif record.role == "secondary" and not copies.completed(survivor):
        yield Problem(
            f"the standby on {there} has not completed a checkpoint since its last sync: it is not a whole copy",
            "Leave the guest where it is; run lockstep.colo.deploy",
        )
    elif record.role == "secondary":
        yield from current.lacks(survivor)
