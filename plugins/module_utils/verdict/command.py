# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command by which a person runs the playbook that is next, as far as what was seen says it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..observation.seen import Observation
from . import copies
from .course import COURSES
from .hanging import gives_way

CONFIRMED = "fence/confirmed.yml"  # of the fences that the collection has, the one in which a person vouches


@dataclass(frozen=True)
class Command:
    """Its ``words``, and ``first``, a sentence, what has to be so before it; each is empty where there is nothing."""

    words: tuple[str, ...] = ()
    first: str = ""


def command(
    playbook: str, pair: str, halves: Mapping[str, Observation | None], inventory: Iterable[str], fence_tasks: str
) -> Command:
    """For a playbook by its name, as ``next`` has it; ``fence_tasks``: those that the pair's failover runs.

    ``halves``: what was seen of a pair's two hosts, by their names; None of one that did not answer.
    """
    if playbook not in COURSES:  # nothing, or what a host says that may be compromised
        return Command()
    options, first = _WITH.get(playbook, _plainly)(pair, halves, fence_tasks)
    sources = [word for source in inventory for word in ("-i", source)]
    return Command(("ansible-playbook", *sources, f"lockstep.colo.{playbook}", *options), first)


def lost(halves: Mapping[str, Observation | None]) -> str | None:
    """The host that a failover is to be told as lost; None where both are silent.

    Of two that answer the one without a QEMU of the domain, and where both have one, that of the older copy. Of two
    as new, the standby's: unless it has all of a guest whose QEMU does not answer.
    """
    seen = {name: half for name, half in halves.items() if half is not None}
    silent = [name for name in halves if name not in seen]
    if silent:
        return silent[0] if seen else None
    ended = [name for name, half in seen.items() if not (half.domain and half.domain.active)]
    return ended[0] if len(ended) == 1 else min(seen, key=lambda name: (seen[name].generation, _is_kept(name, seen)))


def _is_kept(name: str, seen: Mapping[str, Observation]) -> bool:
    """Whether it is the copy of this host, of two as new, that goes on."""
    holder = copies.holder(seen.values())
    other = next((half for half in seen.values() if half is not holder), None)
    return holder is not None and (seen[name] is holder) != gives_way(holder, other)


def _plainly(pair: str, _halves: Mapping[str, Observation | None], _fence_tasks: str) -> tuple[list[str], str]:
    return ["--limit", pair], ""


def _deploy(pair: str, _halves: Mapping[str, Observation | None], _fence_tasks: str) -> tuple[list[str], str]:
    return ["--limit", f"kvm,{pair}"], ""


def _failover(pair: str, halves: Mapping[str, Observation | None], fence_tasks: str) -> tuple[list[str], str]:
    gone = lost(halves)
    if gone is None:
        return ["--limit", pair], "See that one of the hosts answers."
    told = ["--limit", pair, "-e", f"colo_lost={gone}"]
    answers = halves[gone] is not None
    if fence_tasks != CONFIRMED and not answers:  # which take its power themselves
        return told, ""
    told += ["-e", f"colo_fence_confirmed={gone}"]
    if fence_tasks != CONFIRMED:  # they would take the power from a host that is well
        told += ["-e", f"colo_fence_tasks={CONFIRMED}"]
    return told, "" if answers else f"Take the power from {gone}, and see that it has none."


def _start(pair: str, halves: Mapping[str, Observation | None], _fence_tasks: str) -> tuple[list[str], str]:
    silent = [name for name, half in halves.items() if half is None]
    if not silent:
        return ["--limit", pair], ""
    there = " and ".join(silent)
    standby = any(half and half.record and half.record.role == "secondary" for half in halves.values())
    if standby:
        return ["--limit", pair], f"Bring {there} back: it has the guest's own copy."
    return ["--limit", pair], (
        f"Bring {there} back, which may have a newer copy; or, if {there} is lost for good, say so with "
        "-e colo_start_unproven=true."
    )


_WITH = {"deploy": _deploy, "failover": _failover, "start": _start}
