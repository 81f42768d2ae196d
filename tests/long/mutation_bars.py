# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of ``mutations`` has to have tried to be one, besides that nothing of it failed."""

from __future__ import annotations

from collections.abc import Iterable

CASES = 50  # what kvm1 did not start is none
PLAYED = 6  # refusals that came of the playbook, no two of one kind


def to_be_played(one: dict, known: Iterable[dict]) -> bool:
    """Whether the playbook is to refuse it as well: one of each kind that kvm2 refuses, until there are enough."""
    if not one.get("case") or one["truth"] is None:
        return False
    kinds = {other["kind"] for other in known if other.get("played")}
    return one["kind"] not in kinds and len(kinds) < PLAYED


def lacking(known: Iterable[dict]) -> list[str]:
    """What is missing, in words."""
    last = {(one["kind"], one["name"]): one for one in known}.values()
    cases, kinds = sum(bool(one.get("case")) for one in last), {one["kind"] for one in last if one.get("played")}
    found = [f"{cases} cases, and {CASES} are wanted"] if cases < CASES else []
    if len(kinds) < PLAYED:
        found.append(f"{len(kinds)} kinds refused by the playbook, and {PLAYED} are wanted")
    return found
