# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a standby's copy is still the guest's, by what the standby can know now: its own view of its primary. Pure.

That a checkpoint was completed once is a word of the past: a primary that was cut off may have gone on alone since, and
what it acknowledged then this copy lacks.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..lockstep import graph
from ..observation.seen import Heard, Observation
from .problem import Problem

PROMOTE_WITHIN = 300  # seconds of silence
ANY_LENGTH = -1  # of silence
IN_FLIGHT = 0.1  # seconds; the kernel acknowledges what came within 0.04
ALIVE_WITHIN = 10.0  # seconds; a primary in lockstep sends at each checkpoint, and each write of its guest


def left_behind(seen: Observation, within: float) -> Iterator[Problem]:
    """Why this standby may have been left behind: it heard nothing for more than ``within`` seconds."""
    primary, heard = seen.record.peer.host, seen.heard
    if within < 0 or (heard and heard.seconds <= within):
        return
    since = f"at {heard.at}, {ago(heard.seconds)} ago" if heard else "at a time that is not known"
    enough = int(heard.seconds) + 600 if heard else ANY_LENGTH
    yield Problem(
        f"the standby last heard from {primary} {since}: if {primary} went on alone after that, it has acknowledged "
        "writes that this copy lacks",
        f"Bring {primary} back, whose copy is then the newest. Has the guest served nobody since? Then say so with "
        f"-e colo_promote_within={enough}",
    )


def lacks(seen: Observation) -> Iterator[Problem]:
    """Why this standby may lack writes that clients were told of, by what it knows itself, and what was noted of it."""
    if found := [*_noted(seen), *logged(seen)]:
        yield found[-1]  # what is logged says more
    else:
        yield from cut_from_disks(seen)


def _noted(seen: Observation) -> Iterator[Problem]:
    if seen.known_to_lack:
        yield _lacking(seen, "it was seen before, and noted on this host, that this copy lacks writes of the guest")


def logged(seen: Observation) -> Iterator[Problem]:
    """By what its QEMU has logged.

    For RECONNECT_SECONDS a write waits for a connection that is made anew, and nothing was told to a client; what came
    after is missing, from the next checkpoint on.
    """
    known, primary = seen.received, seen.record.peer.host
    if known is None:
        return
    if known.failed:
        yield _lacking(
            seen,
            f"a write of the guest failed on this host ({known.failed}), and {primary} went on: this copy lacks it; "
            "see to the disk, and to the space of its images",
        )
    elif known.away is not None and known.away > graph.RECONNECT_SECONDS:
        yield _lacking(
            seen,
            f"{primary} had no connection for the disks for {known.away:.1f} s, and went on: this copy may lack writes "
            "that were acknowledged then",
        )
    elif known.gone is not None and known.gone > graph.RECONNECT_SECONDS:
        yield _cut(seen)


def _cut(seen: Observation) -> Problem:
    return _lacking(
        seen,
        f"{seen.record.peer.host} lost its connection for the disks alone, and went on: this copy may lack writes that "
        "were acknowledged since",
    )


def _lacking(seen: Observation, what: str) -> Problem:
    primary = seen.record.peer.host
    return Problem(
        what,
        f"If the guest runs on {primary}, run lockstep.colo.deploy, which renews the standby; else bring {primary} "
        f"back, whose copy is whole, and run lockstep.colo.start. Is {primary} lost for good? Then take what is here: "
        f"-e colo_promote_within={ANY_LENGTH}",
    )


def cut_from_disks(seen: Observation) -> Iterator[Problem]:
    """Why this standby may lack writes: a connection of its primary's disks is closed, that of checkpoints is not, and
    a checkpoint came since.

    A primary whose QEMU has ended has closed all of them, one that fell silent none. But one that lost those of the
    disks alone goes on, and makes checkpoints, each of which takes away what did not arrive. Where none came after the
    last write that did, nothing is gone: so it is when the host comes back, and knows nothing of a connection over
    which its kernel is still told that this write is done.
    """
    known = seen.connections
    if not known or not known.get("migration") or known.get("nbd", 0) >= len(seen.record.disks):
        return
    if seen.without_writes is not None and seen.without_writes <= IN_FLIGHT:
        return
    yield _cut(seen)


def alive(seen: Observation) -> bool:
    """Whether this standby is in lockstep with a primary that it hears."""
    return hears(seen, _patience(seen))


def hears(seen: Observation, within: float) -> bool:
    """Whether it is in lockstep, and heard from its primary in the last ``within`` seconds."""
    in_lockstep = seen.monitor is not None and seen.monitor.colo == "secondary" and bool(seen.peer_sockets)
    return in_lockstep and seen.heard is not None and seen.heard.seconds <= within


def silent(seen: Observation) -> Heard | None:
    """When a standby last heard from its primary, where it should have heard more since."""
    return seen.heard if seen.heard and seen.heard.seconds > _patience(seen) else None


def _patience(seen: Observation) -> float:
    return max(ALIVE_WITHIN, 3 * seen.record.checkpoint_delay / 1000)


def ago(seconds: float) -> str:
    """A length of time in the two largest of its units."""
    left, words = int(seconds), []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or (unit == "s" and not words):
            words.append(f"{count} {unit}")
    return " ".join(words[:2])
