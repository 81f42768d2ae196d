# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The NBD protocol as far as a copy needs it: one who connects with an export, and one who offers one.

Fixed newstyle negotiation, simple replies (the NBD project's doc/proto.md). TLS is that of the export's server.
"""

from __future__ import annotations

import socket
import struct

from . import mutual_tls, sockets

MAGIC, OPTIONS = b"NBDMAGIC", b"IHAVEOPT"
FIXED, NO_ZEROES = 1, 2  # flags of both ends in the handshake
ABORT, STARTTLS, GO = 2, 5, 7  # options
ACK, INFO = 1, 3  # kinds of replies to them
UNSUPPORTED = 1 << 31 | 1
OF_EXPORT, OF_BLOCKS = 0, 3  # kinds of information
READ, WRITE, DISCONNECT, FLUSH, ZEROES = 0, 1, 2, 3, 6  # commands
TO_DISK, NO_HOLE = 1, 2  # a command's flags: on the disk when it is answered; zeros are written, not left out
CAN = 1 | 4 | 8 | 64  # flags of an export: these are flags, and it can flush, force to the disk, and write zeros
SMALLEST, BEST, LARGEST = 1, 65536, 32 << 20  # bytes of a request
REQUEST, REPLY = struct.Struct(">IHHQQI"), struct.Struct(">IIQ")
ASKED, ANSWERED = 0x25609513, 0x67446698
_OPTION, _ANSWER = struct.Struct(">8sII"), struct.Struct(">QIII")
_OF_OPTIONS = 0x3E889045565A9
EIO = 5
LONGEST = 4096  # bytes of an option


class Refused(OSError):
    """The other end does not do what it was asked for, or speaks something else."""


def exactly(connection: socket.socket, size: int) -> bytes:
    """The next ``size`` bytes; EOFError where it ends before."""
    got = bytearray()
    while len(got) < size:
        more = connection.recv(size - len(got))
        if not more:
            raise EOFError("the other end has hung up")
        got += more
    return bytes(got)


def connected(
    connection: socket.socket, export: str, address: str | None = None, credentials: str | None = None
) -> tuple[socket.socket, int]:
    """The ``connection`` once it is one with ``export``, encrypted where there are ``credentials``; and its size."""
    if exactly(connection, 16) != MAGIC + OPTIONS:
        raise Refused("no NBD server is there")
    exactly(connection, 2)
    connection.sendall(struct.pack(">I", FIXED | NO_ZEROES))
    if credentials is not None and address is not None:
        connection.sendall(_OPTION.pack(OPTIONS, STARTTLS, 0))
        if _answer(connection)[0] != ACK:
            raise Refused("the NBD server does not encrypt")
        connection = mutual_tls.outgoing(connection, address, credentials)
    name = export.encode()
    wish = struct.pack(">I", len(name)) + name + struct.pack(">H", 0)
    connection.sendall(_OPTION.pack(OPTIONS, GO, len(wish)) + wish)
    size = None
    while True:
        kind, data = _answer(connection)
        if kind == ACK:
            break
        if kind != INFO:
            raise Refused(f"the NBD server refuses {export}: {data.decode(errors='replace') or hex(kind)}")
        if struct.unpack_from(">H", data)[0] == OF_EXPORT:
            size = struct.unpack_from(">Q", data, 2)[0]
    if size is None:
        raise Refused(f"the NBD server does not say how large {export} is")
    return connection, size


def see_export(address: str, port: int, export: str, credentials: str | None, deadline: float) -> None:
    """Connect with an export as QEMU would, and close again; errors are those of sockets.see_answer."""

    def converse(plain: socket.socket) -> None:
        connection, _size = connected(plain, export, address, credentials)
        connection.sendall(REQUEST.pack(ASKED, 0, DISCONNECT, 0, 0, 0))
        connection.close()

    sockets.see_answer(address, port, deadline, converse)


def _answer(connection: socket.socket) -> tuple[int, bytes]:
    magic, _option, kind, length = _ANSWER.unpack(exactly(connection, _ANSWER.size))
    if magic != _OF_OPTIONS or length > LONGEST:
        raise Refused("the NBD server answers what is no answer")
    return kind, exactly(connection, length)


def read(connection: socket.socket, at: int, size: int) -> bytes:
    """``size`` bytes from ``at``; one request at a time."""
    _ask(connection, READ, at, size)
    return exactly(connection, size)


def flush(connection: socket.socket) -> None:
    """Have everything that was written before be on the disk."""
    _ask(connection, FLUSH, 0, 0)


def _ask(connection: socket.socket, command: int, at: int, size: int) -> None:
    connection.sendall(REQUEST.pack(ASKED, 0, command, 0, at, size))
    magic, error, _handle = REPLY.unpack(exactly(connection, REPLY.size))
    if magic != ANSWERED or error:
        raise OSError(error or EIO, "the NBD server could not")


def offer(connection: socket.socket, size: int) -> None:
    """Negotiate with one who connects with an export of ``size`` bytes, whatever it is called."""
    connection.sendall(MAGIC + OPTIONS + struct.pack(">H", FIXED | NO_ZEROES))
    exactly(connection, 4)
    while True:
        _magic, option, length = _OPTION.unpack(exactly(connection, _OPTION.size))
        if length > LONGEST:
            raise Refused("an option that is too long")
        exactly(connection, length)
        if option == GO:
            blocks = struct.pack(">HIII", OF_BLOCKS, SMALLEST, BEST, LARGEST)
            for kind, data in ((INFO, struct.pack(">HQH", OF_EXPORT, size, CAN)), (INFO, blocks), (ACK, b"")):
                connection.sendall(_ANSWER.pack(_OF_OPTIONS, option, kind, len(data)) + data)
            return
        kind = ACK if option == ABORT else UNSUPPORTED
        connection.sendall(_ANSWER.pack(_OF_OPTIONS, option, kind, 0))
        if option == ABORT:
            raise EOFError("the other end has given up")
