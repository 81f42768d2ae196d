# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sieve lets through, over sockets: on the standby is in the end what was written, and no more was sent."""

from __future__ import annotations

import json
import os
import random
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.host import nbd, qemus_directory, sieve, sums, until_reboot
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Compared

CLUSTER = sums.CLUSTER
SIZE = 10 * CLUSTER + 512  # the last cluster is a short one
LOCAL = "127.0.0.1"


def filled(seed: int) -> bytearray:
    return bytearray(random.Random(seed).randbytes(SIZE))


class Standby:
    """A disk that is exported, and its sums, each on a port of its own; it notes what came."""

    def __init__(self, content: bytearray) -> None:
        self.content, self.written, self.zeroed = content, 0, 0
        self.failing = self.ending = False
        self.holes: set[int] = set()
        self.pace: Callable[[int], None] = lambda _number: None
        self.sums_end: int | None = None
        self.flushed_before_asked = False
        self.left = threading.Event()
        self.flags: list[int] = []  # of each request, in their order
        self._flushed = False
        self.disks, self.sums = (socket.create_server((LOCAL, 0)) for _each in range(2))
        for server, answer in ((self.disks, self._export), (self.sums, self._tell)):
            threading.Thread(target=self._listen, args=(server, answer), daemon=True).start()

    def _listen(self, server: socket.socket, answer: Callable[[socket.socket], None]) -> None:
        while True:
            try:
                connection, _sender = server.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(connection, answer), daemon=True).start()

    def _converse(self, connection: socket.socket, answer: Callable[[socket.socket], None]) -> None:
        try:
            with connection:
                answer(connection)
        except (OSError, EOFError):
            pass

    def _export(self, connection: socket.socket) -> None:
        nbd.offer(connection, SIZE)
        while True:
            _magic, flags, command, handle, at, length = nbd.REQUEST.unpack(nbd.exactly(connection, nbd.REQUEST.size))
            data = b""
            self.flags.append(flags)
            if self.ending:
                return
            if command == nbd.WRITE:
                given = nbd.exactly(connection, length)
                self.written += length
                if not self.failing:
                    self.content[at : at + length] = given
            elif command == nbd.ZEROES:
                self.zeroed += length
                self.content[at : at + length] = bytes(length)
            elif command == nbd.READ:
                data = bytes(self.content[at : at + length])
            elif command == nbd.FLUSH:
                self._flushed = True
            elif command == nbd.DISCONNECT:
                self.left.set()
                return
            connection.sendall(
                nbd.REPLY.pack(nbd.ANSWERED, 28 if self.failing and command == nbd.WRITE else 0, handle) + data
            )

    def _tell(self, connection: socket.socket) -> None:
        self.flushed_before_asked = self._flushed
        before = bytes(self.content)
        assert nbd.exactly(connection, 4) == b"vda\n"
        connection.sendall(json.dumps({"size": SIZE, "cluster": CLUSTER}).encode() + b"\n")
        for number in range(sums.clusters(SIZE)):
            if number == self.sums_end:
                return
            self.pace(number)
            part = before[number * CLUSTER : (number + 1) * CLUSTER]
            connection.sendall(sums.HOLE if number in self.holes else sums.sum_of(part))

    def close(self) -> None:
        for server in (self.disks, self.sums):
            server.close()


class Qemu:
    """The one who copies."""

    def __init__(self, path: Path) -> None:
        plain = socket.socket(socket.AF_UNIX)
        plain.connect(str(path))
        plain.settimeout(10)
        self.connection, self.size = nbd.connected(plain, "whatever")

    def ask(self, command: int, at: int, length: int, data: bytes = b"", flags: int = 0, handle: int = 7) -> None:
        self.connection.sendall(nbd.REQUEST.pack(nbd.ASKED, flags, command, handle, at, length) + data)

    def answer(self) -> tuple[int, int]:
        _magic, error, handle = nbd.REPLY.unpack(nbd.exactly(self.connection, nbd.REPLY.size))
        return error, handle

    def write(self, at: int, data: bytes) -> int:
        self.ask(nbd.WRITE, at, len(data), data)
        return self.answer()[0]

    def zero(self, at: int, length: int) -> int:
        self.ask(nbd.ZEROES, at, length, flags=nbd.NO_HOLE)
        return self.answer()[0]

    def mirror(self, content: bytes, piece: int = 4 * CLUSTER) -> None:
        for at in range(0, SIZE, piece):
            assert self.write(at, content[at : at + piece]) == 0


Began = Callable[..., Qemu]


@pytest.fixture(name="standby")
def a_standby() -> Iterator[Standby]:
    standby = Standby(filled(1))
    yield standby
    standby.close()


@pytest.fixture(name="begin")
def begin_sieve(standby: Standby, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Began:
    for module in (sieve, until_reboot):
        monkeypatch.setattr(module, "RUN_DIRECTORY", str(tmp_path))
    path = tmp_path / "copy.sock"

    def copy(ready: Callable[[], None], arguments: dict) -> None:
        try:
            sieve.copy(arguments, ready)
        except (OSError, EOFError):
            pass

    def begin(**other: object) -> Qemu:
        arguments = {
            "uuid": "u", "target": "vda", "socket": str(path), "address": LOCAL, "credentials": None, "size": SIZE,
            "port": standby.disks.getsockname()[1], "sums": standby.sums.getsockname()[1], "export": "disk", **other,
        }  # fmt: skip
        ready = threading.Event()
        threading.Thread(target=copy, args=(ready.set, arguments), daemon=True).start()
        assert ready.wait(5)
        return Qemu(path)

    return begin


def told(directory: Path, standby: Standby) -> dict[str, Any]:
    """What it noted in the end."""
    assert standby.left.wait(5)
    deadline, note = time.monotonic() + 5, directory / "u.vda.copied"
    while not note.exists() or json.loads(note.read_text())["compared"] < SIZE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return json.loads(note.read_text())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a socket away")
def test_the_socket_is_for_qemus_user_alone_and_no_link_in_its_place_is_followed(
    begin: Began, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious = tmp_path / "precious"
    precious.touch(mode=0o644)
    (tmp_path / "copy.sock").symlink_to(precious)
    os.chown(tmp_path, 64055, 64056)
    before: list[os.stat_result] = []
    met = Qemu.__init__

    def noted(qemu: Qemu, path: Path) -> None:
        before.append(path.lstat())
        met(qemu, path)

    monkeypatch.setattr(Qemu, "__init__", noted)
    begin().connection.close()
    (made,) = before
    assert (stat.S_ISSOCK(made.st_mode), made.st_mode & 0o777, made.st_uid, made.st_gid) == (True, 0o600, 64055, 64056)
    assert (precious.stat().st_uid, precious.stat().st_mode & 0o777) == (0, 0o644)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could give anything away")
@pytest.mark.parametrize("swapped", ["link", "file", "socket"])
def test_what_has_taken_the_place_of_the_socket_is_given_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    precious, path = tmp_path / "precious", tmp_path / "copy.sock"
    precious.touch(mode=0o644)
    os.chown(tmp_path, 64055, 64056)

    class Swapped(socket.socket):
        def bind(self, address: str) -> None:  # type: ignore[override]
            super().bind(address)
            path.unlink()
            if swapped == "link":
                path.symlink_to(precious)
            elif swapped == "file":
                path.hardlink_to(precious)
            else:
                socket.socket(socket.AF_UNIX).bind(str(path))
                os.chown(path, 64055, 64056)

    taken = pytest.raises(OSError, match="has taken the place of the socket")
    with taken, qemus_directory.opened(str(tmp_path)) as home, Swapped(socket.AF_UNIX) as server:
        sieve._bind(server, home, "copy.sock")
    assert (precious.stat().st_uid, precious.stat().st_mode & 0o777) == (0, 0o644)


def test_only_what_differs_is_sent(standby: Standby, begin: Began, tmp_path: Path) -> None:
    wanted = bytearray(standby.content)
    for number in (0, 5, 6, 10):
        wanted[number * CLUSTER + 17] ^= 1
    qemu = begin()
    qemu.mirror(bytes(wanted))
    assert standby.content == wanted
    assert standby.written == 3 * CLUSTER + 512
    assert standby.flushed_before_asked, "the sums would be of what is not written down yet"
    qemu.connection.close()
    found = told(tmp_path, standby)
    moved = 3 * CLUSTER + 512
    assert sieve.noted("u", "vda") == Compared(found["at"], SIZE, compared=SIZE, moved=moved, saved=SIZE - moved)
    sieve.forget("u", "vda")
    assert sieve.noted("u", "vda") is None


def test_what_was_sent_once_is_sent_again(standby: Standby, begin: Began) -> None:
    """The sum is of what was there before: a guest that writes the old content again would be forgotten."""
    before, other = bytes(standby.content[:CLUSTER]), bytes(CLUSTER)
    qemu = begin()
    assert qemu.write(0, other) == 0
    assert standby.content[:CLUSTER] == other
    assert qemu.write(0, before) == 0
    assert standby.content[:CLUSTER] == before


def test_a_part_of_a_cluster_is_sent_and_its_sum_no_longer_believed(standby: Standby, begin: Began) -> None:
    before = bytes(standby.content[:CLUSTER])
    qemu = begin()
    assert qemu.write(512, b"x" * 1024) == 0
    assert qemu.write(0, before) == 0
    assert standby.content[:CLUSTER] == before


def test_zeros_are_sent_but_where_there_is_a_hole(standby: Standby, begin: Began) -> None:
    standby.content[: 2 * CLUSTER] = bytes(2 * CLUSTER)
    standby.holes = {0}
    qemu = begin()
    assert qemu.zero(0, 3 * CLUSTER) == 0
    assert standby.content[: 3 * CLUSTER] == bytes(3 * CLUSTER)
    assert standby.zeroed == 2 * CLUSTER, "zeros that take room become a hole"
    assert standby.flags[-1] == 0, "and may become one"
    assert qemu.write(0, bytes(CLUSTER)) == 0
    assert standby.written == 0, "zeros in a hole are there already"
    assert qemu.write(0, b"1" * CLUSTER) == 0
    assert standby.content[:CLUSTER] == b"1" * CLUSTER


def test_what_is_to_be_on_the_disk_is_there_before_it_is_answered(standby: Standby, begin: Began) -> None:
    qemu = begin()
    qemu.ask(nbd.WRITE, 0, 512, b"x" * 512, flags=nbd.TO_DISK)
    assert qemu.answer() == (0, 7)
    assert standby.flags[-1] == nbd.TO_DISK


def test_without_sums_all_is_sent(standby: Standby, begin: Began) -> None:
    begin(sums=1).mirror(bytes(standby.content))
    assert standby.written == SIZE


def test_where_the_sums_end_early_the_rest_is_sent(standby: Standby, begin: Began) -> None:
    standby.sums_end = 6
    begin().mirror(bytes(standby.content))
    assert standby.written == SIZE - 6 * CLUSTER


def test_what_the_sums_have_not_come_for_waits_and_holds_up_nothing_else(standby: Standby, begin: Began) -> None:
    go_on = threading.Event()
    standby.pace = lambda number: None if number < 4 else (go_on.wait(5), None)[1]
    qemu = begin()
    early, late = bytes(standby.content[:CLUSTER]), bytes(standby.content[8 * CLUSTER : 9 * CLUSTER])
    qemu.ask(nbd.WRITE, 8 * CLUSTER, CLUSTER, late, handle=8)
    qemu.ask(nbd.WRITE, 0, CLUSTER, early, handle=1)
    assert qemu.answer() == (0, 1)
    go_on.set()
    assert qemu.answer() == (0, 8)
    assert standby.written == 0


def test_a_guests_write_does_not_wait_for_sums(standby: Standby, begin: Began, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a write of the guest waits for the copy, as before QEMU 10, this one would wait for all before it."""
    monkeypatch.setattr(sieve, "AHEAD", 2 * CLUSTER)
    go_on = threading.Event()
    standby.pace = lambda number: None if number < 2 else (go_on.wait(5), None)[1]
    qemu = begin()
    assert qemu.write(3 * CLUSTER + 512, b"x" * 4096) == 0
    assert qemu.write(8 * CLUSTER, b"x" * CLUSTER) == 0
    assert not go_on.is_set()
    assert standby.written == 4096 + CLUSTER
    go_on.set()


def test_sums_that_stand_still_are_done_without(
    standby: Standby, begin: Began, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sieve, "NEXT_SUM", 0.2)
    standby.pace = lambda number: time.sleep(0 if number < 4 else 5)
    begin().mirror(bytes(standby.content))
    assert standby.written >= SIZE - 4 * CLUSTER


def test_an_error_of_the_standby_is_the_copys(standby: Standby, begin: Began) -> None:
    standby.failing = True
    qemu = begin()
    assert qemu.write(0, b"x" * 3 * CLUSTER) == 28
    assert qemu.write(SIZE - 512, b"x" * 1024) == nbd.EIO, "beyond the end"


@pytest.mark.parametrize("word", [True, False])
def test_it_takes_leave_of_the_standby_where_qemu_does(standby: Standby, begin: Began, word: bool) -> None:
    """The standby takes the loss of a connection in lockstep for that of writes."""
    qemu = begin()
    if word:
        qemu.ask(nbd.DISCONNECT, 0, 0)
        with pytest.raises(EOFError):
            qemu.answer()
    qemu.connection.close()
    assert standby.left.wait(5)


def test_the_end_of_the_standby_is_the_end_of_the_copy(standby: Standby, begin: Began) -> None:
    qemu = begin()
    standby.ending = True
    qemu.ask(nbd.WRITE, 0, CLUSTER, bytes(CLUSTER))
    with pytest.raises(EOFError):
        qemu.answer()


def test_a_disk_of_another_size_is_refused(standby: Standby, tmp_path: Path) -> None:
    arguments = {
        "uuid": "u", "target": "vda", "socket": str(tmp_path / "s"), "address": LOCAL, "credentials": None, "size": 512,
        "port": standby.disks.getsockname()[1], "sums": standby.sums.getsockname()[1], "export": "disk",
    }  # fmt: skip
    with pytest.raises(OSError, match=f"the standby's disk has {SIZE} bytes, not 512"):
        sieve.copy(arguments, lambda: None)


def test_it_can_be_read_through(standby: Standby, begin: Began) -> None:
    qemu = begin()
    qemu.ask(nbd.READ, CLUSTER - 5, 10)
    assert qemu.answer() == (0, 7)
    assert nbd.exactly(qemu.connection, 10) == standby.content[CLUSTER - 5 : CLUSTER + 5]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_written_in_whatever_pieces_is_there_in_the_end(standby: Standby, begin: Began, seed: int) -> None:
    chance = random.Random(seed)
    wanted = bytearray(standby.content)
    for _change in range(4):
        at = chance.randrange(SIZE - 600)
        wanted[at : at + 512] = chance.randbytes(512)
    if seed % 2:
        standby.pace = lambda _number: time.sleep(0.002)
    if seed % 5 == 0:
        standby.sums_end = chance.randrange(10)
    standby.holes = {3}
    standby.content[3 * CLUSTER : 4 * CLUSTER] = bytes(CLUSTER)
    qemu = begin()
    copied = bytes(wanted)
    asked: list[tuple[int, int]] = [
        (at, min(CLUSTER * chance.choice((1, 2)), SIZE - at)) for at in range(0, SIZE, CLUSTER)
    ]
    for at, length in asked:  # the copy, in its order, and what a guest writes between
        assert qemu.write(at, copied[at : at + length]) == 0
        wanted[at : at + length] = copied[at : at + length]
        there = chance.randrange(0, SIZE - 2048, 512)
        data = bytes(standby.content[there : there + 2048]) if chance.random() < 0.3 else chance.randbytes(2048)
        wanted[there : there + 2048] = data
        assert qemu.write(there, data) == 0
    assert standby.content == wanted
