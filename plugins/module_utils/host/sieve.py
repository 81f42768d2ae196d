# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process between a primary's QEMU that copies a disk and the standby's export of it: it lets through what differs.

For QEMU it is an NBD server on a socket of this host, to which it mirrors the disk as it would to the standby. A
cluster that QEMU writes and that the standby's host has just said it has (sums.py) is not sent. Whatever was sent once
is sent again each time: nothing is known any more of what is there. All else is QEMU's: what it copies and when, what
the guest writes meanwhile, and when both are the same. So nothing stands in the guest's path that does not in a full
copy, and one that ends in the middle is a copy that has failed.

Where it is known what was written since both were the same, QEMU mirrors only what is written from now on, and the
process itself reads and sends the rest (written.py).

It ends with QEMU's connection, and where that never comes.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import ssl
import stat
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..observation.codec import from_data, to_data
from ..observation.decoded import decoded
from ..observation.seen import Compared
from ..record.pair import COMPARED, RUN_DIRECTORY, WRITTEN
from . import detached, mutual_tls, nbd, qemus_directory, until_reboot
from .sums import CLUSTER, HOLE, SUM, clusters, sum_of
from .written import Piece, Written

CONNECTING = 10.0  # seconds for the other host to answer
FIRST_SUM = 30.0  # seconds for it to say the first of its sums
NEXT_SUM = 3.0  # seconds; without them all is sent
# Bytes beyond the sums that have come. The mirror goes on in order, and has 16 requests under way of at most 10 MiB
# (block/mirror.c), which those for zeros come to.
AHEAD = 256 << 20
AT_ONCE = 16  # pieces of sums that are taken before QEMU is looked at
COMING = 60.0  # seconds for QEMU to connect
UNSENT = 16 << 20  # bytes that wait to be sent, beyond which nothing more is taken
LEAVING = 1.0  # seconds
NOTED = 0.5  # seconds
ZEROS = bytes(CLUSTER)
GONE = select.POLLHUP | select.POLLERR | select.POLLRDHUP
LONGEST = 4096


def note_path(uuid: str, target: str) -> Path:
    """Where the process says how far it is, until the host reboots."""
    return Path(RUN_DIRECTORY, f"{uuid}.{target}.copied")


def noted(uuid: str, target: str) -> Compared | None:
    """What the last process noted of this disk; None where there was none since this host was started."""
    try:
        return from_data(Compared, decoded(note_path(uuid, target).read_text(encoding="ascii")))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def forget(uuid: str, target: str) -> None:
    """Remove that note, where it is there."""
    note_path(uuid, target).unlink(missing_ok=True)


def begin(arguments: dict[str, Any], deadline: float) -> None:
    """Have the process begin. ``arguments``: those of ``copy``."""
    detached.begin("sieve", "the process that sends what differs", arguments["uuid"], arguments, deadline)


def end(uuid: str) -> None:
    """End those of a domain. QEMU's connection with one that is stuck ends only with it, whatever QEMU does."""
    detached.end("sieve", uuid)


def copy(arguments: dict[str, Any], ready: Any) -> None:
    """Take on ``socket`` what is written to disk ``target`` of ``size`` bytes, and send to ``address`` what differs.

    ``port`` is that of the standby's exports, of which one is ``export``; ``sums`` that of sums.py. ``credentials``:
    the directory of certificates, or None. ``uuid``: the domain's. ``written``, where what was written is sent, and
    nothing compared: the arguments of ``Written``.
    """
    address, credentials = arguments["address"], arguments["credentials"]
    plain = socket.create_connection((address, arguments["port"]), CONNECTING)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    remote, size = nbd.connected(plain, arguments["export"], address, credentials)
    if size != arguments["size"]:
        raise OSError(f"the standby's disk has {size} bytes, not {arguments['size']}")
    nbd.flush(remote)  # so that who reads the image itself finds what was written before
    known = arguments.get("written")
    sums = _asked(arguments) if known is None else None
    until_reboot.run_directory()  # for the note
    forget(arguments["uuid"], arguments["target"])
    client = _met(arguments["socket"], ready)
    client.settimeout(CONNECTING)
    nbd.offer(client, size)
    written = None if known is None else Written(**known)
    _Sieve(client, remote, sums, size, note_path(arguments["uuid"], arguments["target"]), written).run()


def _met(path: str, ready: Any) -> socket.socket:
    """The connection of the first who comes to a socket there, which is for the user of the directory alone."""
    directory, name = os.path.split(path)
    with qemus_directory.opened(directory) as home, socket.socket(socket.AF_UNIX) as server:
        qemus_directory.remove(home, name)
        try:
            _bind(server, home, name)
            server.listen(1)
            server.settimeout(COMING)
            ready()
            return server.accept()[0]
        finally:
            qemus_directory.remove(home, name)


def _bind(server: socket.socket, home: int, name: str) -> None:
    before = os.umask(0o177)
    try:
        server.bind(f"{qemus_directory.itself(home)}/{name}")
    finally:
        os.umask(before)
    made = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=home)
    try:
        if not (stat.S_ISSOCK(os.fstat(made).st_mode) and qemus_directory.is_own(made)):
            raise OSError(f"somebody has taken the place of the socket {name}")
        owner = os.fstat(home)
        os.chown(qemus_directory.itself(made), owner.st_uid, owner.st_gid)
    finally:
        os.close(made)


def _asked(arguments: dict[str, Any]) -> socket.socket | None:
    """The connection from which the sums come, the first being there; None where there is nothing to compare with."""
    with contextlib.suppress(OSError, EOFError, ValueError):
        address = arguments["address"]
        plain = socket.create_connection((address, arguments["sums"]), CONNECTING)
        sums = mutual_tls.outgoing(plain, address, arguments["credentials"])
        sums.settimeout(FIRST_SUM)
        sums.sendall(f"{arguments['target']}\n".encode())
        head = b""
        while not head.endswith(b"\n") and len(head) < LONGEST:
            head += nbd.exactly(sums, 1)
        if decoded(head) == {"size": arguments["size"], "cluster": CLUSTER}:
            return sums
    return None


class _Request:
    """One of QEMU's, answered once all that was sent on for it is; or a ``piece`` of what was written."""

    def __init__(self, handle: int, flags: int, piece: Piece | None = None) -> None:
        self.handle, self.flags, self.piece = handle, flags & nbd.TO_DISK, piece
        self.left, self.error, self.data = 0, 0, b""


class _Sieve:
    """What is done between the handshakes and the end of a connection; one thread, which waits in one place."""

    def __init__(
        self,
        client: socket.socket,
        remote: socket.socket,
        sums: socket.socket | None,
        size: int,
        note: Path,
        written: Written | None = None,
    ) -> None:
        self._client, self._remote, self._sums = client, remote, sums
        self._size, self._note, self._written = size, note, written
        self._known = bytearray()  # the sums, as far as they have come
        self._sent = bytearray(clusters(size))  # which clusters were sent once
        self._unsent: deque[memoryview] = deque()
        self._waiting = 0  # bytes of it
        self._under_way: dict[int, tuple[_Request, int]] = {}  # by their number: whose, and bytes of data to come back
        self._parked: list[tuple[_Request, int, int, bytearray | None]] = []  # what the sums have not come for
        self._number = 0
        self._heard = b""
        self._last_sum = self._last_note = time.monotonic()
        self._counts = {"compared": 0, "moved": 0, "saved": 0}
        self._source: socket.socket | None = None  # what was written is read from there

    def run(self) -> None:
        """Serve until one of both ends hangs up."""
        for one in (self._remote, self._sums):
            if one is not None:
                one.setblocking(False)
        self._client.setblocking(True)
        try:
            if self._sums is not None and not self._take_sums(self._sums):  # what came with their beginning
                self._do_without()
            self._serve()
        finally:
            if self._written is not None:
                self._written.close()
            self._take_leave()
            self._write_note()

    def _take_leave(self) -> None:
        """A connection that merely ends counts, once there is lockstep, as one over which writes are missing."""
        if self._unsent:
            return
        with contextlib.suppress(OSError):
            self._remote.settimeout(LEAVING)
            self._remote.sendall(nbd.REQUEST.pack(nbd.ASKED, 0, nbd.DISCONNECT, 0, 0, 0))
            self._remote.close()

    def _serve(self) -> None:
        poll = select.poll()
        if self._written is not None:
            poll.register(self._written.woken, select.POLLIN)
        while True:
            full = self._waiting > UNSENT
            poll.register(self._client, GONE | (0 if full else select.POLLIN))
            poll.register(self._remote, GONE | select.POLLIN | (select.POLLOUT if self._unsent else 0))
            if self._sums is not None:
                poll.register(self._sums, GONE | select.POLLIN)
            found = dict(poll.poll(0 if any(self._goes(*one[1:3]) for one in self._parked) else NOTED * 1000))
            sums = self._sums
            if sums is not None and found.get(sums.fileno()) and not self._take_sums(sums):
                poll.unregister(sums)
                self._do_without()
            if found.get(self._remote.fileno()):
                self._send()
                self._take_replies()
            self._take_written(poll, found)
            at = found.get(self._client.fileno(), 0)
            if at & select.POLLIN:
                self._take_request()
            elif at & GONE:
                raise EOFError("QEMU has hung up")
            self._take_parked()
            if self._parked and self._sums is not None and time.monotonic() - self._last_sum > NEXT_SUM:
                poll.unregister(self._sums)
                self._do_without()
            if time.monotonic() - self._last_note > NOTED:
                self._write_note()

    # The sums

    def _take_sums(self, sums: socket.socket) -> bool:
        """False where no more of them come. What it does not take at once it is told of again."""
        for _piece in range(AT_ONCE):
            try:
                more = sums.recv(1 << 20)
            except (BlockingIOError, ssl.SSLWantReadError):
                break
            except OSError:
                return False
            if not more:
                return False
            self._known += more
            self._last_sum = time.monotonic()
        return True

    def _take_parked(self) -> None:
        """One of those for which the sums have come; a write of the guest may wait behind it."""
        for one in self._parked:
            if self._goes(*one[1:3]):
                self._parked.remove(one)
                self._write(*one)
                return

    def _do_without(self) -> None:
        """All have come, or no more will: what they have not come for is sent."""
        if self._sums is not None:
            self._sums.close()
            self._sums = None

    def _decidable(self, at: int, length: int) -> bool:
        return self._sums is None or clusters(at + length) * SUM <= len(self._known)

    def _goes(self, at: int, length: int) -> bool:
        """Whether what was parked may be written now."""
        return self._decidable(at, length) and not self._held(at, length)

    def _held(self, at: int, length: int) -> bool:
        return self._written is not None and self._written.holds(at, length)

    def _waits(self, at: int, length: int) -> bool:
        """Whether it is the mirror's, and its sums are about to come.

        A write of the guest's, which waits for this where QEMU cannot pause (plan/parts/entry.py), is not held up.
        """
        whole = at % CLUSTER == 0 and ((at + length) % CLUSTER == 0 or at + length == self._size)
        come = len(self._known) // SUM * CLUSTER
        return whole and not self._decidable(at, length) and at + length <= come + AHEAD

    def _has(self, at: int, part: memoryview | None, length: int) -> bool:
        """Whether the standby has these bytes at this place, which begins a cluster; ``part`` None: zeros."""
        number = at // CLUSTER
        if self._sent[number] or length != min(CLUSTER, self._size - at) or (number + 1) * SUM > len(self._known):
            return False
        known = self._known[number * SUM : (number + 1) * SUM]
        if known == HOLE:
            return part is None or part == ZEROS[:length]
        return part is not None and known == sum_of(part)

    # What was written before

    def _take_written(self, poll: select.poll, found: dict[int, int]) -> None:
        written = self._written
        if written is None:
            return
        if self._source is None and found.get(written.woken):
            poll.unregister(written.woken)
            self._source = written.begin()
            self._counts["saved"] = self._size - written.total
            poll.register(self._source, select.POLLIN)
        elif self._source is not None and found.get(self._source.fileno()):
            for piece, data in written.come():
                self._send_piece(piece, memoryview(data))
        if self._source is not None and not written.left:
            poll.unregister(self._source)  # QEMU takes its export back now
            self._source = None
            written.close()
        elif self._waiting <= UNSENT:
            written.ask()

    def _send_piece(self, piece: Piece, data: memoryview) -> None:
        """Its clusters of zeros become holes."""
        request = _Request(0, 0, piece)
        request.left += 1
        ends = piece.at + piece.length
        for begins in range(piece.at, ends, CLUSTER):
            upto = min(begins + CLUSTER, ends)
            part = data[begins - piece.at : upto - piece.at]
            self._pass(request, piece.at, begins, upto, None if part == ZEROS[: len(part)] else data)
        self._counts["compared"] += piece.length
        request.left -= 1

    # What QEMU asks for

    def _take_request(self) -> None:
        magic, flags, command, handle, at, length = nbd.REQUEST.unpack(nbd.exactly(self._client, nbd.REQUEST.size))
        if magic != nbd.ASKED or command == nbd.DISCONNECT:
            raise EOFError("QEMU has hung up")
        request = _Request(handle, flags)
        if command in (nbd.WRITE, nbd.ZEROES):
            data = self._payload(length) if command == nbd.WRITE else None
            if at + length > self._size:
                request.error = nbd.EIO
                self._reply(request)
            elif self._waits(at, length) or self._held(at, length):
                self._parked.append((request, at, length, data))
            else:
                self._write(request, at, length, data)
        elif command in (nbd.READ, nbd.FLUSH):
            self._forward(request, command, at, length, None)
        else:
            request.error = nbd.EIO
            self._reply(request)

    def _payload(self, length: int) -> bytearray:
        data = bytearray(length)
        view = memoryview(data)
        while len(view):
            got = self._client.recv_into(view)
            if not got:
                raise EOFError("QEMU has hung up")
            view = view[got:]
        return data

    def _write(self, request: _Request, at: int, length: int, data: bytearray | None) -> None:
        """Send on what differs, each stretch of clusters in one; a reply once the other end has replied to all."""
        if self._written is not None:
            self._written.mirrored(at, length)
        view = None if data is None else memoryview(data)
        begins, where = None, at
        request.left += 1  # so that no reply goes out before all is sent on
        while where < at + length:
            upto = min((where // CLUSTER + 1) * CLUSTER, at + length)
            part = None if view is None else view[where - at : upto - at]
            if where % CLUSTER == 0 and self._has(where, part, upto - where):
                self._counts["saved"] += upto - where
                if begins is not None:
                    self._pass(request, at, begins, where, view)
                    begins = None
            elif begins is None:
                begins = where
            where = upto
        if begins is not None:
            self._pass(request, at, begins, where, view)
        self._counts["compared"] += length
        request.left -= 1
        if not request.left:
            self._reply(request)

    def _pass(self, request: _Request, at: int, begins: int, ends: int, view: memoryview | None) -> None:
        for number in range(begins // CLUSTER, clusters(ends)):
            self._sent[number] = 1
        if view is None:
            self._forward(request, nbd.ZEROES, begins, ends - begins, None)
        else:
            self._counts["moved"] += ends - begins
            self._forward(request, nbd.WRITE, begins, ends - begins, view[begins - at : ends - at])

    # The other end

    def _forward(self, request: _Request, command: int, at: int, length: int, data: memoryview | None) -> None:
        """With zeros, what QEMU would not have as a hole may become one (graph.sieve_layer)."""
        request.left += 1
        self._number += 1
        self._under_way[self._number] = request, length if command == nbd.READ else 0
        self._queue(memoryview(nbd.REQUEST.pack(nbd.ASKED, request.flags, command, self._number, at, length)))
        if data is not None:
            self._queue(data)
        self._send()

    def _queue(self, data: memoryview) -> None:
        self._unsent.append(data)
        self._waiting += len(data)

    def _send(self) -> None:
        while self._unsent:
            try:
                sent = self._remote.send(self._unsent[0])
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            self._waiting -= sent
            rest = self._unsent[0][sent:]
            if len(rest):
                self._unsent[0] = rest
            else:
                self._unsent.popleft()

    def _take_replies(self) -> None:
        while True:
            try:
                more = self._remote.recv(1 << 18)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            if not more:
                raise EOFError("the standby has hung up")
            self._heard += more
            while len(self._heard) >= nbd.REPLY.size and self._take_reply():
                pass

    def _take_reply(self) -> bool:
        """False where not all of it has come."""
        magic, error, number = nbd.REPLY.unpack_from(self._heard)
        if magic != nbd.ANSWERED or number not in self._under_way:
            raise OSError("the standby answers what was not asked")
        request, length = self._under_way[number]
        ends = nbd.REPLY.size + (0 if error else length)
        if len(self._heard) < ends:
            return False
        request.data, self._heard = self._heard[nbd.REPLY.size : ends], self._heard[ends:]
        del self._under_way[number]
        request.error = request.error or error
        request.left -= 1
        if not request.left:
            self._reply(request)
        return True

    def _reply(self, request: _Request) -> None:
        if request.piece is not None and self._written is not None:
            if request.error:
                raise OSError(request.error, "the standby could not write")
            self._written.sent(request.piece)
            if not self._written.left:
                self._write_note()
            return
        self._client.sendall(nbd.REPLY.pack(nbd.ANSWERED, request.error, request.handle) + request.data)

    def _write_note(self) -> None:
        """For whoever looks how far it is; that it cannot be written stops no copy."""
        self._last_note = time.monotonic()
        with contextlib.suppress(OSError):
            how = {"way": COMPARED} if self._written is None else {"way": WRITTEN, "left": self._written.left}
            note = Compared(datetime.now(UTC).isoformat(timespec="seconds"), self._size, **self._counts, **how)
            until_reboot.write_whole(self._note, json.dumps(to_data(note)))


def main() -> None:
    detached.run(copy)


if __name__ == "__main__":
    main()
