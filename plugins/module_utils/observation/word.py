# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the watcher of one host says to that of the other, as data: what it knows of its own halves of their pairs.

It is heard from another machine: ``speech`` takes nothing that is not of the known shape, type and size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..record.pair import ROLES
from .format import number

MOST_HALVES = 256
MOST_NUMBER = 2**63 - 1
_NAME = re.compile(r"[A-Za-z0-9 ._-]{0,80}")


@dataclass(frozen=True)
class Half:
    """One half of a pair, as its own host knows it.

    ``process`` is the QEMU that it speaks of, by process ID and start time; empty where it has seen none. ``answers``:
    QEMU's monitor does. ``lockstep``: QEMU says so. ``complete``: of a standby, it may be promoted. ``gave_way``: its
    QEMU has ended, and it is written down durably that it cannot be started again. ``lacks``: of a primary, its
    standby lacks writes. ``took``: milliseconds from the end of QEMU until this was said.
    """

    uuid: str
    machine_id: str
    generation: int
    role: str
    process: str = ""
    running: bool = False
    answers: bool = False
    lockstep: bool = False
    complete: bool = False
    gave_way: bool = False
    lacks: bool = False
    took: int = 0


@dataclass(frozen=True)
class Speech:
    """All halves of one host, in the order in which it spoke: ``number`` grows within a ``boot_id``.

    ``nonce`` is the last one that the listener gave; nobody else knows it, and it is good for one speech. ``format``
    is that of the version that speaks.
    """

    machine_id: str
    boot_id: str
    number: int
    nonce: str
    halves: tuple[Half, ...] = ()
    format: int = field(default_factory=lambda: number(Speech))


def speech(data: Any) -> Speech:
    """The speech in what JSON was decoded to; ValueError for anything else."""
    _refuse_other(data)
    values = _fields(Speech, data)
    halves = values.get("halves")
    if not isinstance(halves, list) or len(halves) > MOST_HALVES:
        raise ValueError("halves are no list of a pair's halves")
    values["halves"] = tuple(Half(**_fields(Half, half)) for half in halves)
    if any(half.role not in ROLES for half in values["halves"]):
        raise ValueError("a half has a role that is none")
    return Speech(**values)


def _refuse_other(data: Any) -> None:
    """ValueError for what another version says, before any key of it is read."""
    given = data.get("format") if isinstance(data, Mapping) else None
    if isinstance(given, int) and not isinstance(given, bool) and given != number(Speech):
        raise ValueError(
            f"its watcher is of another version of this collection, which has another format ({given % 2**32:08x}, "
            f"here it is {number(Speech):08x}): bring both hosts to the same one, with lockstep.colo.deploy"
        )


def _fields(kind: type, data: Any) -> dict[str, Any]:
    """The values for a dataclass of texts, flags and whole numbers."""
    if not isinstance(data, Mapping):
        raise ValueError(f"a {kind.__name__} is no mapping")
    fields = kind.__dataclass_fields__
    if set(data) != set(fields):
        raise ValueError(f"a {kind.__name__} has {sorted(map(str, data))[:20]}")
    for name, value in data.items():
        wanted = fields[name].type
        if wanted == "str" and not (isinstance(value, str) and _NAME.fullmatch(value)):
            raise ValueError(f"{name} is no short text")
        if wanted == "bool" and not isinstance(value, bool):
            raise ValueError(f"{name} is neither true nor false")
        if wanted == "int" and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_NUMBER):
            raise ValueError(f"{name} is no whole number")
    return dict(data)
