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

FRESH = 3.0  # seconds for which what the other host said counts


@dataclass(frozen=True)
class Ear:
    """What a listener knows of one connection. ``names`` are those of the certificate at its other end.

    ``asked``: time.monotonic() of the moment before the nonce was given.
    """

    names: frozenset[str]
    nonce: str
    asked: float = 0.0
    speaker: tuple[str, str] | None = None  # machine and boot, as its first speech had them


@dataclass(frozen=True)
class Last:
    """The last speech of a machine that showed one certificate, over whichever connection."""

    boot_id: str = ""
    number: int = -1


def disbelieved(ear: Ear, said: Speech) -> str | None:
    """Why a speech is not believed, in plain words; the connection is closed then."""
    if said.nonce != ear.nonce:
        return "it does not answer what was asked now: it is repeated, or not for this host"
    if ear.speaker is not None and ear.speaker != (said.machine_id, said.boot_id):
        return "it is of another machine, or another boot, than this connection"
    return None


def is_old(last: Last, said: Speech) -> bool:
    """Whether a later one was heard already, over another line to the same host; it says nothing then."""
    return said.boot_id == last.boot_id and said.number <= last.number


def once_heard(ear: Ear, said: Speech, nonce: str, now: float) -> Ear:
    """What is known of the connection after a speech; ``nonce`` is for the next, and given ``now``."""
    return replace(ear, nonce=nonce, asked=now, speaker=(said.machine_id, said.boot_id))


@dataclass(frozen=True)
class Word:
    """The last that the peer said of its half. ``asked`` for and ``heard``: time.monotonic() of this host."""

    half: Half
    asked: float
    heard: float


def still_said(last: Word | None, now: float, quiet_since: float) -> Half | None:
    """What the peer's word comes to ``now``: None once it is too old.

    That its QEMU has ended counts only if it was asked for after ``quiet_since``, since when no run has worked on the
    domain here: before that, the QEMU which ended may be one of an earlier lockstep.
    """
    if last is None or now - last.heard >= FRESH:
        return None
    return replace(last.half, gave_way=False) if last.asked < quiet_since else last.half


def is_peer(record: Record, names: Iterable[str], said: Speech) -> bool:
    """Whether the peer of this record speaks.

    The certificate has to be that of the host which the record names, by its name or its address.
    """
    peer = record.peer
    return said.machine_id == peer.machine_id and bool({peer.host, peer.address} & set(names))


def half_for(record: Record, uuid: str, names: Iterable[str], said: Speech) -> Half | None:
    """What the peer of this record said of the other half; nothing where the speaker is not that peer."""
    if not is_peer(record, names, said):
        return None
    return next((half for half in said.halves if half.uuid == uuid and half.machine_id == said.machine_id), None)


def of_another_process(before: Half | None, half: Half) -> bool:
    """Whether a word is about another QEMU than the one that was in lockstep, as far as that was said."""
    known = before is not None and before.generation == half.generation and before.role == half.role
    return known and bool(before.process and half.process) and before.process != half.process
