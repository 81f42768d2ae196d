# SPDX-License-Identifier: GPL-3.0-or-later
"""The matrix of faults: what is struck (a side), by what, when (a phase), and what has to become of it. Pure.

A side is what the host is when the phase begins. Of a channel that is struck it is the host that is given up if it
comes to that; of a link that drops something it is the sender; in a failover it is the survivor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

IDLE, CHECKPOINT, SYNC, RESYNC = "idle", "in a checkpoint", "initial sync", "resync"
SWITCHOVER, DRILL, UNPROTECT, FAILOVER = "switchover", "drill", "unprotect", "failover"
PHASES = (IDLE, CHECKPOINT, SYNC, RESYNC, SWITCHOVER, DRILL, UNPROTECT, FAILOVER)
COPYING, RUNBOOKS = (SYNC, RESYNC), (SWITCHOVER, DRILL, UNPROTECT)

PRIMARY, STANDBY = "primary", "standby"
SIDES = (PRIMARY, STANDBY)

KILLED, OFF, REBOOT, FROZEN = "QEMU killed", "host off", "host reboots", "host frozen, then thawed"
FULL, EIO, OVERLAY, DIRECTORY = "guest's disk full", "disk returns EIO", "overlay full", "colo_directory full"
CUT, DEAF, MUTE, LARGE = "silent cut", "cut towards it", "cut from it", "large packets dropped"
LIBVIRTD, RUN_KILLED, BOTH_OFF = "libvirtd killed", "run killed", "both hosts off"
CLOCK, FALSE_FENCE = "clock jumps", "false fence"
CHANNELS = ("migration", "nbd", "mirror", "compare")
RESETS = {f"{channel} reset": channel for channel in CHANNELS}
BLOCKS = {f"{channel} blocked": channel for channel in CHANNELS}
FAULTS = (
    *(KILLED, OFF, REBOOT, FROZEN, FULL, EIO, OVERLAY, DIRECTORY, CUT, DEAF, MUTE, LARGE),
    *RESETS,
    *BLOCKS,
    *(LIBVIRTD, RUN_KILLED, BOTH_OFF, CLOCK, FALSE_FENCE),
)
PACKETS_RESET = ("mirror reset", "compare reset")
ON_DISK = (FULL, EIO, OVERLAY, DIRECTORY)
ON_LINK = (CUT, DEAF, MUTE, LARGE, *RESETS, *BLOCKS)
LASTING = (*ON_DISK, LARGE, *BLOCKS)  # longer than a checkpoint, whenever they begin

# Seconds: an answer without its twin waits up to 6 (proxy.COMPARE_SETTINGS) for a checkpoint; and a deploy of this lab.
SLUGGISH = 30.0

# Documented ways out (README), each up to a protected pair. "it" is the host that was struck.
DEPLOY = "deploy"  # the fault is over: deploy
AGAIN = "the same again"  # the fault is over: the playbook that was under way, and deploy
FAIL_OVER = "failover"  # the power taken from it: failover, its power back, deploy
FAIL_OVER_UP = "failover, its host up"  # its domain is off: failover confirmed, deploy
END_IT = "failover again"  # it answers, and its guest still runs: failover again, which ends that guest, deploy
FAIL_OVER_OTHER = "failover, the other lost"  # the power taken from the other, with the fault still there
RESUME = "resume, the same again"  # its disk has stopped the guest: the fault is over, virsh resume, the same again
UNPROTECT_IT = "unprotect"  # both hosts up, the fault over: unprotect frees the guest, deploy
START = "start"  # both hosts up: start, deploy


@dataclass(frozen=True)
class Cell:
    phase: str
    side: str
    fault: str

    @property
    def name(self) -> str:
        return f"{self.phase} / {self.side} / {self.fault}"

    @property
    def other(self) -> str:
        return STANDBY if self.side == PRIMARY else PRIMARY


@dataclass(frozen=True)
class Expected:
    """What has to become of a cell, beside no write lost and no double answer.

    ``ways`` are tried in turn until one has led to a protected pair; the last one may fail no more. ``boots`` is how
    often the guest may have been booted in the end. ``unknowable``: nothing could know that a lie was one, so that two
    guests answered until somebody ended one; for how long is in the table. ``silent_s``: for how long at most the
    client hears nothing; None where that is up to who leads out.
    """

    ways: tuple[str, ...]
    boots: int = 1
    unknowable: bool = False
    silent_s: float | None = None


def excluded(cell: Cell) -> str | None:
    """Why a cell makes no sense, None where it does."""
    for rule in (_never, _by_side, _by_phase):
        if reason := rule(cell):
            return reason
    return None


def _never(cell: Cell) -> str | None:
    if cell.fault == CLOCK:
        return "a container's clock is the machine's: it would jump for everybody"
    if cell.fault == FALSE_FENCE and cell.phase != IDLE:
        return "the lie is about a host, not about a moment: see idle"
    if cell.phase == CHECKPOINT and cell.fault in LASTING:
        return "lasts longer than a checkpoint: see idle"
    return None


def _by_side(cell: Cell) -> str | None:
    fault, side = cell.fault, cell.side
    if fault == OVERLAY and side == PRIMARY:
        return "the standby alone has overlays"
    if fault in (FULL, DIRECTORY) and side == STANDBY:
        return "its copy, its overlays and its marker are in one directory: see overlay full"
    if fault == RUN_KILLED and side == STANDBY and cell.phase != FAILOVER:
        return "a run is of both hosts: see primary"
    return None


def _by_phase(cell: Cell) -> str | None:
    phase, fault = cell.phase, cell.fault
    if fault == RUN_KILLED and phase in (IDLE, CHECKPOINT):
        return "nothing is being run"
    if fault == REBOOT and phase != IDLE:
        return "its power comes back in the way out as well: see host off"
    if fault == BOTH_OFF and phase in (CHECKPOINT, FAILOVER):
        return "host off, but for the other one's power" if phase == FAILOVER else "no moment differs: see idle"
    if phase in COPYING and {**RESETS, **BLOCKS}.get(fault, "nbd") != "nbd":
        return "carries nothing until the disks are copied"
    if phase in RUNBOOKS and fault in (*RESETS, *BLOCKS, LARGE):
        return "the run ends the channels itself, and what follows is a resync: see there"
    if phase in RUNBOOKS and fault in (FULL, EIO):
        return "such a disk is bad before and after as well: see idle"
    if phase == FAILOVER and fault in ON_LINK and fault != CUT:
        return "the other host is off: the link is the run's alone, see silent cut"
    if phase == FAILOVER and fault in (FULL, EIO, DIRECTORY):
        return "such a disk is bad before as well: see idle"
    return None


def every() -> Iterator[Cell]:
    """The whole matrix, with the cells that are excluded."""
    for phase in PHASES:
        for fault in FAULTS:
            for side in SIDES:
                yield Cell(phase, side, fault)


def cells() -> list[Cell]:
    """Those that are run."""
    return [cell for cell in every() if not excluded(cell)]


def spread(wanted: Iterable[Cell]) -> list[Cell]:
    """The same in an order in which each next one is of the fault, the phase and the side that were had least.

    A run that is cut off, wherever that is, has then tried as many different ones as it could.
    """
    left, had = list(wanted), Counter[str]()
    order = []
    while left:
        best = min(left, key=lambda cell: (had[cell.fault], had[cell.phase], had[cell.side]))
        left.remove(best)
        order.append(best)
        had.update((best.fault, best.phase, best.side))
    return order


def expected(cell: Cell) -> Expected:
    """The documented ways out of a cell that is not excluded, the most likely one first."""
    if cell.fault == BOTH_OFF:
        return Expected((START,), boots=2)
    if cell.phase in COPYING:
        return _while_copying(cell)
    if cell.phase in RUNBOOKS:
        return _in_a_runbook(cell)
    if cell.phase == FAILOVER:
        return _in_a_failover(cell)
    return _in_lockstep(cell)


def _in_lockstep(cell: Cell) -> Expected:
    fault = cell.fault
    if fault == FALSE_FENCE:
        return Expected((END_IT,) if cell.side == PRIMARY else (DEPLOY,), unknowable=cell.side == PRIMARY)
    if fault == KILLED:
        return Expected((FAIL_OVER_UP,) if cell.side == PRIMARY else (DEPLOY,))
    if fault == REBOOT:  # README: it came back by itself
        return Expected((FAIL_OVER_UP,) if cell.side == PRIMARY else (DEPLOY,))
    if fault == FULL:  # README: it stops the guest, and QEMU ends itself at the next checkpoint
        return Expected((FAIL_OVER_UP, DEPLOY))
    if fault in (OFF, CUT, DEAF, MUTE):
        return Expected((FAIL_OVER,))
    if fault == DIRECTORY:
        return Expected((FAIL_OVER_OTHER,))
    if fault in PACKETS_RESET:  # README: the guest goes on, and each of its answers waits for a checkpoint
        return Expected((DEPLOY,), silent_s=SLUGGISH)
    if fault in (*RESETS, *BLOCKS) and cell.side == PRIMARY:
        # The standby may lack what it was not sent: then it refuses, and the host that was given up has to come back.
        return Expected((FAIL_OVER, START), boots=2)
    if fault == LARGE:
        return Expected((FAIL_OVER, START), boots=2)
    return Expected((DEPLOY, UNPROTECT_IT, FAIL_OVER))


def _while_copying(cell: Cell) -> Expected:
    """The primary has the only copy."""
    if cell.side == PRIMARY and cell.fault in (KILLED, OFF):
        return Expected((START,), boots=2)
    if cell.side == PRIMARY:
        return Expected((AGAIN, RESUME) if cell.fault in ON_DISK else (AGAIN,))
    return Expected((AGAIN, FAIL_OVER))


def _in_a_runbook(cell: Cell) -> Expected:
    """Where the guest is depends on the step."""
    if cell.fault == KILLED:
        return Expected((AGAIN, FAIL_OVER_UP, START), boots=2 if cell.side == PRIMARY else 1)
    if cell.fault == OFF:
        return Expected((FAIL_OVER, START), boots=2 if cell.phase != SWITCHOVER else 1)
    # A drill that has ended its standby refuses to be run again, and names deploy.
    return Expected((AGAIN, DEPLOY, RESUME) if cell.fault in ON_DISK else (AGAIN, DEPLOY, FAIL_OVER))


def _in_a_failover(cell: Cell) -> Expected:
    """The survivor is struck, which has the only newest copy; the other host is off."""
    if cell.fault in (KILLED, OFF):
        return Expected((START,), boots=2)
    return Expected((AGAIN,))


# Cheap ones that tell most, in an order in which most leave what the next begins from.
SAMPLE = (
    Cell(IDLE, STANDBY, KILLED),
    Cell(IDLE, STANDBY, "nbd reset"),
    Cell(IDLE, PRIMARY, FULL),
    Cell(FAILOVER, PRIMARY, LIBVIRTD),
    Cell(SYNC, STANDBY, CUT),
    Cell(IDLE, PRIMARY, OFF),
    Cell(SWITCHOVER, PRIMARY, KILLED),
    Cell(IDLE, PRIMARY, FALSE_FENCE),
)
