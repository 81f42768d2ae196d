# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client of the guest saw, from the report of a probe.

A probe says for each kind of answer (``acks``, ``pings``, ``http``, or any other) what it heard: ``count``,
``last_before`` and ``first_after`` an event, ``outage_ms`` between the two, ``longest_gap_ms``. Of the whole it may
say ``outage_ms``, ``acknowledged``, ``checked`` and ``lost`` (a number, or the list of what is missing), ``boots``, and
when the ``event`` was, by which ``clock``; only times of the ``wall`` clock can be held against those of the tasks.
"""

from __future__ import annotations

from typing import Any

from . import given, words

NAMES = {"acks": "acknowledged writes", "pings": "pings", "http": "pages"}
TIMES = ("last_before", "first_after", "first", "last")


def read(probe: Any) -> dict[str, Any] | None:
    probe = given.mapping(probe)
    if not probe:
        return None
    wall = probe.get("clock", "wall") == "wall"
    kinds = {name: _kind(said, wall) for name, said in probe.items() if _is_kind(said)}
    outage, of = _outage(probe, kinds)
    lost = _first(probe, "lost_count", "lost")
    return {
        "event": _time(probe.get("event"), wall),
        "outage_ms": outage,
        "outage_of": of,
        "acknowledged": _acknowledged(probe, kinds),
        "checked": given.number(probe.get("checked")),
        "lost": len(lost) if isinstance(lost, list) else given.number(lost),
        "boots": given.number(probe.get("boots")),
        "kinds": kinds,
    }


def name(kind: str) -> str:
    return NAMES.get(kind, kind)


def _is_kind(said: Any) -> bool:
    return isinstance(said, dict) and "count" in said


def _kind(said: dict[str, Any], wall: bool) -> dict[str, Any]:
    keys = ("count", "failed", "outage_ms", "event_to_first_ms", "longest_gap_ms", "rtt_median_ms", "rtt_max_ms")
    return {
        **{key: given.number(said.get(key)) for key in keys},
        **{key: _time(said.get(key), wall) for key in TIMES},
    }


def _outage(probe: dict[str, Any], kinds: dict[str, Any]) -> tuple[float | None, str | None]:
    """The outage of the whole where the probe says so, else the longest of a kind, and of which."""
    whole = given.number(probe.get("outage_ms"))
    if whole is not None:
        return whole, None
    outages = {kind: said["outage_ms"] for kind, said in kinds.items() if said["outage_ms"] is not None}
    if not outages:
        return None, None
    longest = max(outages, key=lambda kind: outages[kind])
    return outages[longest], longest


def _acknowledged(probe: dict[str, Any], kinds: dict[str, Any]) -> int | float | None:
    said = given.number(probe.get("acknowledged"))
    if said is not None:
        return said
    distinct = [
        given.number(given.mapping(disk).get("distinct")) for disk in given.mapping(probe.get("disks")).values()
    ]
    if distinct and None not in distinct:
        return sum(distinct)
    return kinds["acks"]["count"] if "acks" in kinds else None


def _first(data: dict[str, Any], *keys: str) -> Any:
    return next((data[key] for key in keys if data.get(key) is not None), None)


def _time(value: Any, wall: bool) -> str | None:
    return words.iso(words.epoch(value) or words.moment(value)) if wall else None
