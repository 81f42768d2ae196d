# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host's watcher does about a pair now, from its own half and the last word of the other. Pure.

A host acts on the end of the other's QEMU only by that host's own word, and only when its own QEMU has lost the
connection: each alone proves nothing. A host that is silent has said nothing, and is left to a fence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..observation.word import Half
from .word import of_another_process

REST = "rest"
GIVE_WAY = "give_way"  # write down that the QEMU which ended here is not started again, and say so
END = "end"  # end the QEMU of this host, which hangs, and give way
SERVE = "serve"  # promote the standby, or let the primary go on alone
EXPEND = "expend"  # write down that the standby of this host may not be promoted: it lacks writes
ACTIONS = (REST, GIVE_WAY, END, SERVE, EXPEND)

# Ends that a guest wanted itself, in libvirt's words. Whoever ends the QEMU of a guarded guest otherwise, as by destroy
# or by shutting its host down, loses it to the other host.
WANTED_ENDS = ("shutdown", "saved", "migrated")


@dataclass(frozen=True)
class Mine:
    """This host's half. ``guarded``: the operator wants it. ``parted``: QEMU's connections with the peer have ended.

    ``ended_by``: of a QEMU that has ended, libvirt's reason.
    """

    half: Half
    guarded: bool = False
    parted: bool = False
    ended_by: str | None = None


@dataclass(frozen=True)
class Decision:
    """What the watcher does now: one of the actions above."""

    action: str
    why: str  # in plain words


def decide(mine: Mine, theirs: Half | None, before: Half | None = None) -> Decision:
    """What this host's watcher does now, and why.

    ``theirs``: what the other host says now, None where it is not heard. ``before``: what it said in lockstep.
    """
    half = mine.half
    if not mine.guarded:
        return Decision(REST, "automation is off")
    if half.role == "alone":
        return Decision(REST, "it is unprotected since a failover: deploy protects it again")
    if half.gave_way:
        return Decision(REST, "this host has given way to the other")
    if theirs is not None and (theirs.generation != half.generation or theirs.role == half.role):
        return Decision(REST, "the other host has another generation or the same half: deploy sees to it")
    if not half.running:
        return _ended(mine, theirs)
    if theirs is None:
        return Decision(REST, "the other host's watcher is not heard: its loss needs a fence, and a person")
    return _alive(mine, theirs, before)


def _ended(mine: Mine, theirs: Half | None) -> Decision:
    """QEMU does not run here."""
    half = mine.half
    if half.role == "secondary":  # what it had of the guest went with it
        return Decision(GIVE_WAY, "the standby's QEMU has ended")
    if mine.ended_by in WANTED_ENDS:
        return Decision(REST, f"the guest ended as it wanted ({mine.ended_by}): the playbook start starts it")
    if half.lacks:
        return Decision(REST, "QEMU has ended, and the standby lacks writes: the playbook start starts it here")
    if theirs is None:
        return Decision(REST, "QEMU has ended, and the other host's watcher is not heard")
    if not _may_serve(theirs):
        return Decision(REST, "QEMU has ended, and the standby cannot take over: the playbook start starts it here")
    return Decision(GIVE_WAY, "the primary's QEMU has ended, and the standby can take over")


def _alive(mine: Mine, theirs: Half, before: Half | None) -> Decision:
    half = mine.half
    if half.role == "secondary" and theirs.lacks and half.complete:
        return Decision(EXPEND, "the primary says that this standby lacks writes")
    if theirs.gave_way:
        return _left(mine, theirs, before)
    if not half.answers and half.lockstep:
        return _hung(mine, theirs)
    return Decision(REST, "both halves are there")


def _left(mine: Mine, theirs: Half, before: Half | None) -> Decision:
    """The other host has said that its QEMU ended."""
    half = mine.half
    if of_another_process(before, theirs):
        return Decision(REST, "the other host speaks of another QEMU than that of this lockstep")
    if not half.lockstep or (half.role == "secondary" and not half.complete):
        return Decision(REST, "the other QEMU has ended, and this one was not in lockstep: deploy sees to it")
    if not mine.parted:
        return Decision(REST, "the other QEMU is said to have ended, and this one is still connected with it")
    return Decision(SERVE, f"the other host says that the {theirs.role}'s QEMU has ended, and its connections have")


def _hung(mine: Mine, theirs: Half) -> Decision:
    """QEMU does not answer here: it is ended for the other, which has to be well, and to hear it."""
    if not theirs.running or not theirs.answers or not theirs.lockstep:
        return Decision(REST, "QEMU hangs, and the other host cannot go on by itself")
    if mine.half.role == "primary" and (mine.parted or mine.half.lacks or not _may_serve(theirs)):
        return Decision(REST, "QEMU hangs, and the standby cannot take over")
    return Decision(END, f"the {mine.half.role}'s QEMU hangs, and the other host can go on")


def _may_serve(standby: Half) -> bool:
    return standby.role == "secondary" and standby.running and standby.lockstep and standby.complete


def would(mine: Mine, theirs: Half | None) -> str:
    """What the watcher would do if the other QEMU ended now, in plain words; for those who look."""
    half = mine.half
    now = decide(mine, theirs)
    if now.action != REST or theirs is None or not half.running or not mine.guarded or half.role == "alone":
        return now.why
    gone = replace(theirs, running=False, gave_way=True, lockstep=False, answers=False, lacks=False)
    then = decide(replace(mine, parted=True), gone)
    if then.action != SERVE:
        return then.why
    return "would promote this standby" if half.role == "secondary" else "would let the guest go on without its standby"


def phase(half: Half, *, copying: bool, still: bool, survivor: str, degraded: bool = False) -> str:
    """The phase of the pair as this half alone tells it, one of record.pair.PHASES.

    ``copying``: the disks are copied. ``still``: there was no checkpoint for twice as long as there should be one.
    ``survivor``: of a survivor, the phase that ``pair`` has of it. ``degraded``: that is what it has of a primary.
    """
    if not half.running:
        return "stale" if half.gave_way and half.role == "primary" else "powered_off"
    if half.role == "alone" and half.answers:
        return survivor
    if not half.answers or (half.lockstep and (half.lacks or degraded)):
        return "degraded"
    if half.lockstep:
        return "stalled" if still else "protected"
    if half.role == "secondary":
        return "listening"
    return "syncing" if copying else "unprotected"
