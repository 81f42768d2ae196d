# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host notes of a half of a pair beside the domain's record, such as that it has given way. Pure.

The note is written in a moment in which libvirt may still be clearing up after a QEMU, and the record has to wait for
it. Whoever reads the record afterwards reads both; whoever writes the record takes the note back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .pair import Record

DIRECTORY = "/var/lib/lockstep-colo"


@dataclass(frozen=True)
class HalfNote:
    """Which half of which generation a note is about; what it says is its kind (host/half_notes.py)."""

    uuid: str
    generation: int
    role: str

    @classmethod
    def read(cls, data: Any) -> HalfNote:
        """What JSON was decoded to, as a HalfNote; ValueError for anything else."""
        kinds = {"uuid": str, "generation": int, "role": str}
        if not isinstance(data, Mapping) or {key: type(value) for key, value in data.items()} != kinds:
            raise ValueError(f"{data!r} says nothing of a half")
        return cls(**data)


def as_given_up(record: Record) -> Record:
    """The same record once nobody may serve from it: a primary's copy is handed over, a standby's not complete."""
    return replace(record, handed_over=True) if record.role == "primary" else replace(record, complete=None)


def with_note(record: Record | None, uuid: str, note: HalfNote | None) -> Record | None:
    """The ``record`` as it stands with this host's ``note`` of having given way: given up, where both are of one half.

    Unchanged where the note is of another UUID, generation or role, and of a survivor, which is nobody's half.
    """
    if record is None or note is None or record.role == "alone":
        return record
    about = (uuid, record.generation, record.role)
    return as_given_up(record) if (note.uuid, note.generation, note.role) == about else record
