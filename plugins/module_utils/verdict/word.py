# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what another host's watcher says is to be believed. Pure.

Who speaks is proven by its certificate, and that it speaks now by the nonce: it is the listener's, and good for one
speech. Clocks play no part in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..observation.word import Half, Speech
from ..record.pair import Record


@dataclass(frozen=True)
class Ear:
    """What a listener knows of one connection. ``names`` are those of the certificate at its other end."""

    names: frozenset[str]
    nonce: str
    speaker: tuple[str, str] | None = None  # machine and boot, as its first speech had them


@dataclass(frozen=True)
class Last:
    """The last speech of a machine, over whichever connection."""

    boot_id: str = ""
    number: int = -1


def unheard(ear: Ear, last: Last, said: Speech) -> str | None:
    """Why a speech is not listened to, in plain words; the connection is closed then."""
    if said.nonce != ear.nonce:
        return "it does not answer what was asked now: it is repeated, or not for this host"
    if ear.speaker is not None and ear.speaker != (said.machine_id, said.boot_id):
        return "it is of another machine, or another boot, than this connection"
    if said.boot_id == last.boot_id and said.number <= last.number:
        return "it is older than what was said before"
    return None


def heard(ear: Ear, said: Speech, nonce: str) -> tuple[Ear, Last]:
    """What is known after a speech; ``nonce`` is for the next."""
    after = replace(ear, nonce=nonce, speaker=(said.machine_id, said.boot_id))
    return after, Last(said.boot_id, said.number)


def half_for(record: Record, uuid: str, names: Iterable[str], said: Speech) -> Half | None:
    """What the peer of this record said of the other half; nothing where the speaker is not that peer.

    The certificate has to be that of the host which the record names, by its name or its address.
    """
    peer = record.peer
    if said.machine_id != peer.machine_id or not {peer.host, peer.address} & set(names):
        return None
    return next((half for half in said.halves if half.uuid == uuid and half.machine_id == said.machine_id), None)


def of_another_process(before: Half | None, half: Half) -> bool:
    """Whether a word is about another QEMU than the one that was in lockstep, as far as that was said."""
    known = before is not None and before.generation == half.generation and before.role == half.role
    return known and bool(before.process and half.process) and before.process != half.process
