# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was written to a disk since it was the same as the standby's: read from QEMU, piece by piece, to be sent.

QEMU has noted in a bitmap what was written up to a moment, and mirrors from before that moment on what is written. Both
go through one process (sieve.py), which keeps them apart. What was read of a cluster while the mirror wrote there is of
before that, or of half of it: it is not sent, and read again unless the mirror has sent the whole of it. While a piece
is on its way to the standby the mirror's writes there wait, since nothing says which of two that are under way arrives
first. The other way round nothing waits: what is read now is as new as what the mirror sends, and whatever is newer
comes once more. Nor does anything wait for what is being read: QEMU, when it drains its disks, would wait for both.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..errors import ColoError
from . import nbd
from .command import run
from .sums import CLUSTER

PIECE = 1 << 20  # bytes that are read at once, at most
AT_ONCE = 8  # pieces that are read, or sent, and not answered
COMING = 60.0  # seconds for QEMU to export the disk with its bitmap
NAP = 0.05  # seconds
HANDSHAKE = 10.0  # seconds
MAP_DEADLINE = 600.0


@dataclass
class Piece:
    """Whole clusters, and where the disk ends a short one. ``mirrored``: those to which the mirror has written since it
    was asked for, by where they begin, and whether that was the whole cluster."""

    at: int
    length: int
    mirrored: dict[int, bool] = field(default_factory=dict)

    def meets(self, at: int, length: int) -> bool:
        """Whether it has a byte of these."""
        return at < self.at + self.length and self.at < at + length

    def clusters(self) -> Iterator[tuple[int, int]]:
        """Where each begins, and its length."""
        ends = self.at + self.length
        for at in range(self.at, ends, CLUSTER):
            yield at, min(CLUSTER, ends - at)


class Written:
    """The pieces that are left, those that are being read, and those that are on their way."""

    def __init__(self, socket_path: str, export: str, bitmap: str, speed: int = 0) -> None:
        """``socket_path``: of QEMU's NBD server, which has ``export`` with ``bitmap`` soon. ``speed``: bytes per second
        that may be read; 0: no limit."""
        self._place = {"socket_path": socket_path, "export": export, "bitmap": bitmap}
        self._speed = speed
        self.source: socket.socket | None = None
        self.failed = ""  # why it cannot be read
        self.total = 0  # bytes that were written
        self._asked_for = 0
        self._began = 0.0
        self._todo: deque[Piece] = deque()
        self._reading: dict[int, Piece] = {}
        self._sending: list[Piece] = []
        self._number = 0
        self._heard = bytearray()
        self.woken, self._wake = os.pipe()
        threading.Thread(target=self._open, daemon=True).start()

    @property
    def left(self) -> int | None:
        """Bytes that are not on the standby yet; None where it is not known how many."""
        if self.source is None:
            return None
        return sum(piece.length for piece in (*self._todo, *self._reading.values(), *self._sending))

    # In a thread of its own: QEMU may wait for what this process has to answer.

    def _open(self) -> None:
        try:
            source = self._connected()
            extents = _extents(**self._place)
        except (OSError, EOFError, ValueError, KeyError, ColoError) as error:
            self.failed = str(error) or type(error).__name__
        else:
            self._todo.extend(_pieces(extents))
            self.total = sum(piece.length for piece in self._todo)
            self._began = time.monotonic()
            source.setblocking(False)
            self.source = source
        os.write(self._wake, b".")

    def _connected(self) -> socket.socket:
        until = time.monotonic() + COMING
        while True:
            plain = socket.socket(socket.AF_UNIX)
            plain.settimeout(HANDSHAKE)
            try:
                plain.connect(self._place["socket_path"])
                return nbd.connected(plain, self._place["export"])[0]
            except (OSError, EOFError):
                plain.close()
                if time.monotonic() > until:
                    raise
            time.sleep(NAP)

    # In the thread that sends.

    def begin(self) -> socket.socket:
        """What to wait for from now on; once ``woken`` is readable. OSError where the disk cannot be read."""
        os.read(self.woken, 1)
        if self.source is None:
            raise OSError(f"what was written cannot be read: {self.failed}")
        return self.source

    def ask(self) -> None:
        """Have the next pieces read, as far as the speed lets it."""
        while self.source and self._todo and len(self._reading) + len(self._sending) < AT_ONCE and not self._early():
            piece = self._todo.popleft()
            self._number += 1
            self._reading[self._number] = piece
            self._asked_for += piece.length
            self.source.sendall(nbd.REQUEST.pack(nbd.ASKED, 0, nbd.READ, self._number, piece.at, piece.length))

    def _early(self) -> bool:
        return bool(self._speed) and self._asked_for > (time.monotonic() - self._began) * self._speed

    def come(self) -> Iterator[tuple[Piece, bytes]]:
        """The pieces that have been read, to be sent at once."""
        if self.source is None:
            return
        with contextlib.suppress(BlockingIOError):
            while more := self.source.recv(PIECE):
                self._heard += more
                yield from self._whole()
            raise EOFError("QEMU has taken its export back")

    def _whole(self) -> Iterator[tuple[Piece, bytes]]:
        while len(self._heard) >= nbd.REPLY.size:
            magic, error, number = nbd.REPLY.unpack_from(self._heard)
            if magic != nbd.ANSWERED or error or number not in self._reading:
                raise OSError(error or nbd.EIO, "what was written cannot be read")
            ends = nbd.REPLY.size + self._reading[number].length
            if len(self._heard) < ends:
                return
            piece, data = self._reading.pop(number), bytes(self._heard[nbd.REPLY.size : ends])
            del self._heard[:ends]
            self._todo.extend(Piece(at, length) for at, length in piece.clusters() if piece.mirrored.get(at) is False)
            for part in _unmirrored(piece):
                self._sending.append(part)
                yield part, data[part.at - piece.at :][: part.length]

    def sent(self, piece: Piece) -> None:
        """The standby has it."""
        self._sending.remove(piece)

    def mirrored(self, at: int, length: int) -> None:
        """The mirror writes there now."""
        for piece in self._reading.values():
            for begins, size in piece.clusters() if piece.meets(at, length) else ():
                if at < begins + size and begins < at + length:
                    whole = at <= begins and begins + size <= at + length
                    piece.mirrored[begins] = whole or piece.mirrored.get(begins, False)

    def holds(self, at: int, length: int) -> bool:
        """Whether a write of the mirror has to wait there for a piece that is on its way."""
        return any(piece.meets(at, length) for piece in self._sending)

    def close(self) -> None:
        if self.source is not None:
            self.source.close()


def _extents(socket_path: str, export: str, bitmap: str, ask: Callable[..., str] = run) -> list[tuple[int, int]]:
    """Where and how long each stretch is that the ``bitmap`` of an export names: for such a one QEMU says that it has
    no data (x-dirty-bitmap)."""
    source: dict[str, Any] = {
        "driver": "nbd",
        "server": {"type": "unix", "path": socket_path},
        "export": export,
        "x-dirty-bitmap": f"qemu:dirty-bitmap:{bitmap}",
    }
    found = json.loads(ask("qemu-img", "map", "--output=json", f"json:{json.dumps(source)}", deadline=MAP_DEADLINE))
    return [(one["start"], one["length"]) for one in found if not one["data"]]


def _unmirrored(piece: Piece) -> Iterator[Piece]:
    """Each stretch of the piece to which the mirror has not written meanwhile."""
    part = None
    for at, length in piece.clusters():
        if at in piece.mirrored:
            if part:
                yield part
            part = None
        else:
            part = Piece(part.at, part.length + length) if part else Piece(at, length)
    if part:
        yield part


def _pieces(extents: list[tuple[int, int]]) -> Iterator[Piece]:
    for begins, length in extents:
        for at in range(begins, begins + length, PIECE):
            yield Piece(at, min(PIECE, begins + length - at))
