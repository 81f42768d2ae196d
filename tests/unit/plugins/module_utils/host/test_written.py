# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was written, and what is being written: whichever arrives first, the standby has the guest's disk in the end."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.host import nbd, sieve, until_reboot, written
from ansible_collections.lockstep.colo.plugins.module_utils.host.sums import CLUSTER

SIZE = 20 * CLUSTER + 512  # the last cluster is a short one
LOCAL = "127.0.0.1"
BITMAP = {"socket_path": "", "export": "colo-vda-written", "bitmap": "colo-since-1"}


class Export:
    """A disk on a socket. Requests are carried out in an order of their own where ``lag`` says for how long each
    waits, in seconds; ``gate`` is called before each."""

    def __init__(self, server: socket.socket, content: bytearray) -> None:
        self.server, self.content = server, content
        self.asked: list[tuple[int, int, int]] = []  # command, at, length
        self.lag: Callable[[], float] = lambda: 0.0
        self.gate: Callable[[int, int], None] = lambda _command, _at: None
        self.error = 0
        self.open: list[socket.socket] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection = self.server.accept()[0]
            except OSError:
                return
            self.open.append(connection)
            threading.Thread(target=self._converse, args=(connection, threading.Lock()), daemon=True).start()

    def _converse(self, connection: socket.socket, lock: threading.Lock) -> None:
        try:
            nbd.offer(connection, SIZE)
            while True:
                _magic, _flags, command, handle, at, size = nbd.REQUEST.unpack(nbd.exactly(connection, 28))
                if command == nbd.DISCONNECT:
                    return
                data = nbd.exactly(connection, size) if command == nbd.WRITE else bytes(size)
                self.asked.append((command, at, size))
                told = (connection, lock, command, handle, at, data)
                threading.Thread(target=self._carry_out, args=told, daemon=True).start()
        except (OSError, EOFError):
            pass

    def _carry_out(self, connection, lock, command: int, handle: int, at: int, data: bytes) -> None:
        self.gate(command, at)
        time.sleep(self.lag())
        answer = bytes(self.content[at : at + len(data)]) if command == nbd.READ else b""
        if command in (nbd.WRITE, nbd.ZEROES):
            self.content[at : at + len(data)] = data
        time.sleep(self.lag())
        with lock:
            try:
                error = self.error if command in (nbd.READ, nbd.WRITE) else 0
                connection.sendall(nbd.REPLY.pack(nbd.ANSWERED, error, handle) + answer)
            except OSError:
                pass

    def commands(self, *of: int) -> list[tuple[int, int]]:
        return [(at, size) for command, at, size in self.asked if command in of]


class Mirror:
    """QEMU's job: what it writes goes through the process."""

    def __init__(self, path: Path) -> None:
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(10)
        plain.connect(str(path))
        self.connection, _size = nbd.connected(plain, "whatever")

    def begin(self, at: int, data: bytes) -> None:
        self.connection.sendall(nbd.REQUEST.pack(nbd.ASKED, 0, nbd.WRITE, 7, at, len(data)) + data)

    def end(self) -> int:
        return int(nbd.REPLY.unpack(nbd.exactly(self.connection, nbd.REPLY.size))[1])

    def write(self, at: int, data: bytes) -> None:
        self.begin(at, data)
        assert self.end() == 0


class Copy:
    """The disk of the guest, that of the standby as it was before, and the process between."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory, self.monkeypatch = directory, monkeypatch
        self.disk = bytearray(random.Random(1).randbytes(SIZE))
        before = bytearray(self.disk)
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(str(directory / "written.sock"))
        unix.listen()
        self.source, self.standby = Export(unix, self.disk), Export(socket.create_server((LOCAL, 0)), before)

    def changed(self, *numbers: int) -> list[tuple[int, int]]:
        """These clusters are other than they were; what QEMU's bitmap names of that."""
        for number in numbers:
            self.disk[number * CLUSTER + 9] ^= 1
        return [(number * CLUSTER, min(CLUSTER, SIZE - number * CLUSTER)) for number in numbers]

    def begin(self, extents: list[tuple[int, int]], speed: int = 0) -> Mirror:
        self.monkeypatch.setattr(written, "_extents", lambda **_place: extents)
        path, ready = self.directory / "copy.sock", threading.Event()
        arguments = {
            "uuid": "u", "target": "vda", "socket": str(path), "address": LOCAL, "credentials": None, "size": SIZE,
            "port": self.standby.server.getsockname()[1], "sums": 1, "export": "disk",
            "written": {**BITMAP, "socket_path": str(self.directory / "written.sock"), "speed": speed},
        }  # fmt: skip

        def run() -> None:
            try:
                sieve.copy(arguments, ready.set)
            except (OSError, EOFError):
                pass

        threading.Thread(target=run, daemon=True).start()
        assert ready.wait(20)
        self.mirror = Mirror(path)  # with whose connection the process ends
        return self.mirror

    def over(self, left: int = 0) -> dict:
        deadline = time.monotonic() + 10
        note = self.directory / "u.vda.copied"
        while not note.exists() or (told := json.loads(note.read_text()))["left"] != left:
            assert time.monotonic() < deadline, note.exists() and note.read_text()
            time.sleep(0.01)
        return told

    def close(self) -> None:
        for one in (self.source, self.standby):
            one.server.close()


@pytest.fixture(name="copy")
def a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Copy]:
    for module in (sieve, until_reboot):
        monkeypatch.setattr(module, "RUN_DIRECTORY", str(tmp_path))
    copy = Copy(tmp_path, monkeypatch)
    yield copy
    copy.close()


def test_what_was_written_is_read_and_sent_and_nothing_else(copy: Copy) -> None:
    extents = copy.changed(0, 5, 6, 20)
    copy.disk[5 * CLUSTER : 6 * CLUSTER] = bytes(CLUSTER)
    copy.begin(extents)
    told = copy.over()
    assert copy.standby.content == copy.disk
    assert sorted(copy.source.commands(nbd.READ)) == extents
    assert copy.standby.commands(nbd.ZEROES) == [(5 * CLUSTER, CLUSTER)], "zeros become a hole"
    moved, named = 2 * CLUSTER + 512, 3 * CLUSTER + 512
    assert (told["way"], told["moved"], told["saved"], told["size"]) == ("written", moved, SIZE - named, SIZE)
    assert sieve.noted("u", "vda") is not None


def test_where_nothing_was_written_nothing_is_sent(copy: Copy) -> None:
    copy.begin([])
    assert copy.over()["moved"] == 0
    assert copy.standby.commands(nbd.WRITE, nbd.ZEROES) == []


def test_once_all_is_sent_the_mirror_goes_on_without_the_export(copy: Copy) -> None:
    """QEMU takes it back before lockstep begins; up to then each write goes this way."""
    mirror = copy.begin(copy.changed(3))
    copy.over()
    for connection in copy.source.open:
        connection.close()
    time.sleep(0.1)
    mirror.write(0, b"n" * CLUSTER)
    assert copy.standby.content[:CLUSTER] == b"n" * CLUSTER


def test_what_an_earlier_copy_has_noted_does_not_end_this_one(copy: Copy) -> None:
    note = copy.directory / "u.vda.copied"
    note.write_text('{"left": 0}')
    go_on = threading.Event()
    copy.source.gate = lambda _command, _at: (go_on.wait(5), None)[1]
    copy.begin(copy.changed(3))
    assert copy.over(left=CLUSTER)
    go_on.set()
    copy.over()


def test_what_is_read_while_the_mirror_writes_the_whole_cluster_is_not_sent(copy: Copy) -> None:
    go_on, reading = threading.Event(), threading.Event()
    copy.source.gate = lambda _command, _at: (reading.set(), go_on.wait(5), None)[2]
    mirror = copy.begin(copy.changed(3))
    assert reading.wait(5)
    newer = b"n" * CLUSTER
    mirror.write(3 * CLUSTER, newer)
    go_on.set()  # what is read now is of before, as of a request that was on its way
    copy.over()
    assert copy.standby.content[3 * CLUSTER : 4 * CLUSTER] == newer
    assert copy.standby.commands(nbd.WRITE) == [(3 * CLUSTER, CLUSTER)]
    assert len(copy.source.commands(nbd.READ)) == 1


def test_what_is_read_while_the_mirror_writes_a_part_of_the_cluster_is_read_again(copy: Copy) -> None:
    go_on, reading = threading.Event(), threading.Event()
    copy.source.gate = lambda _command, _at: (reading.set(), go_on.wait(5), None)[2]
    mirror = copy.begin(copy.changed(3))
    assert reading.wait(5)
    mirror.write(3 * CLUSTER + 512, b"n" * 512)
    copy.disk[3 * CLUSTER + 512 : 3 * CLUSTER + 1024] = b"n" * 512
    go_on.set()
    copy.over()
    assert len(copy.source.commands(nbd.READ)) == 2
    assert copy.standby.content == copy.disk


def test_a_write_of_the_mirror_waits_for_what_is_on_its_way_there_and_for_nothing_else(copy: Copy) -> None:
    go_on, sending = threading.Event(), threading.Event()

    def gate(command: int, at: int) -> None:
        if at == 3 * CLUSTER and not go_on.is_set():
            sending.set()
            go_on.wait(5)

    copy.standby.gate = gate
    mirror = copy.begin(copy.changed(3))
    assert sending.wait(5)
    mirror.write(9 * CLUSTER, b"o" * CLUSTER)
    mirror.begin(3 * CLUSTER + 512, b"n" * 512)
    time.sleep(0.1)
    assert (3 * CLUSTER + 512, 512) not in copy.standby.commands(nbd.WRITE)
    go_on.set()
    assert mirror.end() == 0
    copy.over()
    assert copy.standby.content[3 * CLUSTER + 512 : 3 * CLUSTER + 1024] == b"n" * 512


def test_a_limit_is_kept(copy: Copy) -> None:
    began = time.monotonic()
    copy.begin(copy.changed(*range(0, 20, 2)), speed=10 * CLUSTER)
    copy.over()
    assert time.monotonic() - began > 0.4


@pytest.mark.parametrize("end", ["source", "standby"])
def test_an_error_of_either_end_is_the_copys(copy: Copy, end: str) -> None:
    getattr(copy, end).error = 28
    mirror = copy.begin(copy.changed(3))
    with pytest.raises((EOFError, OSError)):
        mirror.end()


def test_an_export_that_never_comes_is_the_end_of_the_copy(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written, "COMING", 0.1)
    (copy.directory / "written.sock").unlink()
    mirror = copy.begin([])
    with pytest.raises((EOFError, OSError)):
        mirror.end()


@pytest.mark.parametrize("at_once", [False, True], ids=["in the background", "at once"])
@pytest.mark.parametrize("seed", range(10))
def test_whatever_comes_first_both_are_the_same_in_the_end(copy: Copy, seed: int, at_once: bool) -> None:
    """A guest writes on. Its mirror sends whole clusters some time later, or, ``at_once``, each write before the guest
    is told of it; nothing arrives in the order in which it was sent."""
    chance = random.Random(seed)
    for end in (copy.source, copy.standby):
        end.lag = lambda: chance.random() * 0.004
    mirror = copy.begin(copy.changed(*sorted(chance.sample(range(21), 12))))
    dirty: set[int] = set()
    for _write in range(60):
        at = chance.randrange(0, SIZE - 1024, 512)
        data = chance.randbytes(chance.choice((512, 1024)))
        copy.disk[at : at + len(data)] = data
        if at_once:
            mirror.write(at, data)
            continue
        dirty |= {at // CLUSTER, (at + len(data) - 1) // CLUSTER}
        if chance.random() < 0.5:
            number = chance.choice(sorted(dirty))
            dirty.discard(number)
            mirror.write(number * CLUSTER, bytes(copy.disk[number * CLUSTER : (number + 1) * CLUSTER]))
    for number in sorted(dirty):
        mirror.write(number * CLUSTER, bytes(copy.disk[number * CLUSTER : (number + 1) * CLUSTER]))
    copy.over()
    assert copy.standby.content == copy.disk


def test_what_the_bitmap_names_is_told_by_qemu_img() -> None:
    """As of QEMU 10.0: what the bitmap names has no data."""
    told = [{"start": 0, "length": 65536, "data": False}, {"start": 65536, "length": 131072, "data": True}]
    asked: list[tuple] = []

    def ask(*words: str, deadline: float) -> str:
        asked.append(words)
        return json.dumps(told)

    assert written._extents("/run/s", "e", "colo-since-4", ask) == [(0, 65536)]
    source = json.loads(asked[0][-1].removeprefix("json:"))
    assert source["x-dirty-bitmap"] == "qemu:dirty-bitmap:colo-since-4"
    assert source["server"] == {"type": "unix", "path": "/run/s"}
    assert list(written._pieces([(0, 65536), (1 << 20, (2 << 20) + 5)]))[-1] == written.Piece(3 << 20, 5)
