# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process on a standby's host that tells the primary's what is on the standby's disks: a sum of each cluster.

So that a copy sends only what differs. It reads the images themselves, anew for whoever asks: nothing that anybody has
noted of them before is believed. It reads behind the back of the standby's QEMU, which is right for every cluster that
was not written since it was asked; the asker has had that QEMU write everything down before, and asks nothing of what
it has written since (sieve.py). What an earlier copy has sent may come later than that, from wherever it was held up:
so it tells of each disk once, and for another copy there has to be another QEMU (plan/listen.py).

It ends with the QEMU of its domain, and when nobody has asked for some minutes.

What is asked: a line with a disk's name. What is answered: a line of JSON, ``size`` of the disk and of a ``cluster`` in
bytes or why not in ``error``, and then SUM bytes for each cluster, in order, as fast as they are known.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import select
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

from ..errors import ColoError
from ..record.address import canonical
from . import detached, files, mutual_tls, nbd, processes
from .command import run

CLUSTER = 65536
SUM = 16  # bytes
HOLE = bytes(SUM)  # of a cluster that reads as zeros and takes no room; one that does has a sum like any other
EXPORT = "disk"
BATCH = 4 << 20  # bytes that are read at once
HANDSHAKE = 5.0  # seconds
PATIENCE = 600.0  # seconds in which nobody asks
MOST = 16  # who ask at once
LONGEST = 256  # bytes of a question
MAP_DEADLINE = 600.0
SERVER_DEADLINE = 10.0


def begin(arguments: dict[str, Any], deadline: float) -> None:
    """Have the process begin. ``arguments``: those of ``serve``."""
    detached.begin("sums", "the process that says what is on disks", arguments["uuid"], arguments, deadline)


def sum_of(data: bytes | memoryview) -> bytes:
    """The sum of one cluster; two that differ have the same with a probability of 2**-128."""
    return hashlib.blake2b(data, digest_size=SUM).digest()


def clusters(size: int) -> int:
    """How many clusters a disk of ``size`` bytes has; the last may be a short one."""
    return -(-size // CLUSTER)


def serve(arguments: dict[str, Any], ready: Any) -> None:
    """Answer ``host``, whose address is ``peer``, on ``address`` and ``port``, while the QEMU of ``uuid`` lives.

    ``images``: by the disk's name its ``path`` and ``format``. ``credentials``: the directory of certificates, or None.
    """
    held = processes.hold(arguments["uuid"])
    if held is None:
        raise OSError("the standby's QEMU has ended")
    address = arguments["address"]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    asking: list[threading.Thread] = []
    untold = dict(arguments["images"])
    with socket.create_server((address, arguments["port"]), family=family) as server:
        ready()
        since = time.monotonic()
        while not select.select([held.handle], [], [], 0)[0] and time.monotonic() - since < PATIENCE:
            asking = [one for one in asking if one.is_alive()]
            since = time.monotonic() if asking else since
            found = select.select([held.handle, server], [], [], 1.0)[0]
            if server not in found:
                continue
            connection, sender = server.accept()
            if len(asking) < MOST and canonical(sender[0]) == arguments["peer"]:
                asking.append(threading.Thread(target=_answer, args=(connection, arguments, untold, held), daemon=True))
                asking[-1].start()
            else:
                connection.close()


def _answer(
    connection: socket.socket, arguments: dict[str, Any], untold: dict[str, dict[str, str]], standby: processes.Held
) -> None:
    with connection, contextlib.suppress(OSError, EOFError):
        connection.settimeout(HANDSHAKE)
        with mutual_tls.incoming(connection, arguments["peer"], arguments["host"], arguments["credentials"]) as known:
            image = untold.pop(_line(known), None)
            known.settimeout(None)
            try:
                if image is None:
                    raise ColoError("no such disk is here that was not told of")
                if not processes.has_open(standby, image["path"]):
                    raise ColoError(f"{image['path']} is not the file that the standby's QEMU has open")
                for words in _told(image, standby):
                    known.sendall(words)
            except (ColoError, ValueError) as error:
                known.sendall(_said({"error": str(error)}))


def _line(connection: socket.socket) -> str:
    text = b""
    while not text.endswith(b"\n"):
        more = connection.recv(LONGEST)
        if not more or len(text) > LONGEST:
            raise EOFError
        text += more
    return text.decode("ascii", errors="replace").strip()


def _said(data: dict[str, Any]) -> bytes:
    return json.dumps(data).encode() + b"\n"


def _told(image: dict[str, str], standby: processes.Held) -> Iterator[bytes]:
    """The answer about one image, piece by piece."""
    named = files.named_in_header(image["path"]) if image["format"] == "qcow2" else []
    if named:
        raise ColoError(f"{image['path']} has {' and '.join(named)}, which is not read")
    with _opened(image, standby) as (path, connection, size):
        holes = _holes(path)
        yield _said({"size": size, "cluster": CLUSTER})
        for at in range(0, size, BATCH):
            length = min(BATCH, size - at)
            if holes.has(at, length):
                yield HOLE * clusters(length)
                continue
            data = memoryview(nbd.read(connection, at, length))
            parts = ((where, data[where : where + CLUSTER]) for where in range(0, length, CLUSTER))
            yield b"".join(HOLE if holes.has(at + where, len(part)) else sum_of(part) for where, part in parts)


class _Holes:
    """Where an image reads as zeros and takes no room; asked in order, from its beginning on."""

    def __init__(self, extents: list[tuple[int, int]]) -> None:
        self._extents, self._at = extents, 0

    def has(self, at: int, length: int) -> bool:
        """Whether all of these bytes are in one of the holes."""
        while self._at < len(self._extents) and self._extents[self._at][1] <= at:
            self._at += 1
        if self._at == len(self._extents):
            return False
        begins, ends = self._extents[self._at]
        return begins <= at and at + length <= ends


def _holes(path: str) -> _Holes:
    """As the server has them: a second look into the image might be into another."""
    source = {"driver": "nbd", "server": {"type": "unix", "path": path}, "export": EXPORT}
    extents: list[tuple[int, int]] = []
    for one in json.loads(run("qemu-img", "map", "--output=json", f"json:{json.dumps(source)}", deadline=MAP_DEADLINE)):
        if one["zero"] and not one["data"]:
            begins, ends = one["start"], one["start"] + one["length"]
            if extents and extents[-1][1] == begins:
                begins = extents.pop()[0]
            extents.append((begins, ends))
    return _Holes(extents)


@contextlib.contextmanager
def _opened(image: dict[str, str], standby: processes.Held) -> Iterator[tuple[str, socket.socket, int]]:
    """The socket of a server of QEMU's, which ends with this and reads the image beside the QEMU that has it open; a
    connection with it, and the size of the disk.

    The server is root's, and that QEMU may be in another's hands: it can write the name of any file into the image's
    header, or put another file in the image's place, also in the moment before it is opened. So what the server has
    opened counts: nothing is told of what that QEMU has not open itself.
    """
    source = files.by_itself(image["path"], image["format"], **{"read-only": True, "force-share": True})
    with tempfile.TemporaryDirectory(prefix="lockstep-colo-") as directory:
        path = f"{directory}/nbd"
        server = subprocess.Popen(
            ["qemu-nbd", "--read-only", "--shared=2", "--socket", path, "--export-name", EXPORT, source],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            connection, size = _met(path, server)
            with connection:
                if not processes.open_files(server.pid) <= processes.open_files(standby.number):
                    raise ColoError(f"{image['path']} leads to a file that the standby's QEMU has not open")
                yield path, connection, size
        finally:
            server.kill()
            server.wait()


def _met(path: str, server: subprocess.Popen[bytes]) -> tuple[socket.socket, int]:
    """The server listens before it opens the image, and answers after that."""
    until = time.monotonic() + SERVER_DEADLINE
    while True:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(SERVER_DEADLINE)
        try:
            connection.connect(path)
            found = nbd.connected(connection, EXPORT)
            connection.settimeout(None)
            return found
        except (OSError, EOFError):
            connection.close()
            if server.poll() is not None or time.monotonic() > until:
                raise ColoError("qemu-nbd does not open the image") from None
            time.sleep(0.02)


def main() -> None:
    detached.run(serve)


if __name__ == "__main__":
    main()
