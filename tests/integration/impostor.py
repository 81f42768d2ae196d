# SPDX-License-Identifier: GPL-3.0-or-later
"""A false server in the place of a pair's host: what those who connect let it have. JSON out, a line for each.

    impostor.py PORT... [--nbd PORT...] [--certificate DIRECTORY | --silent]

A directory has cert.pem and key.pem; without one it does not encrypt. Whoever connects is let in, and answered as far
as the other end would go on; by a silent one only until TLS begins, and held until it ends. It ends when its standard
input does.

Of a connection it says its ``port``; whether the other end ``asked`` for TLS; whether it was agreed on (``shook``); the
``bytes`` that came within it, or that came in clear and belong to no handshake; whether it was ``held``, still open
when the server had waited long enough; and the ``error``, if any.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import ssl
import struct
import sys
import threading
from typing import Any

PATIENCE = 3.0  # seconds
MAGIC, OPTION, REPLY = b"NBDMAGIC", b"IHAVEOPT", 0x3E889045565A9  # the NBD protocol's
ABORT, STARTTLS, ACKNOWLEDGED, UNSUPPORTED = 2, 5, 1, 2**31 + 1
FAREWELL = OPTION + struct.pack(">II", ABORT, 0)  # of an NBD client that gives up
OVER, TELLING = threading.Event(), threading.Lock()
HANDSHAKE, ALERT, CHANGE = 22, 21, 20  # kinds of TLS records that carry nothing of what is said


def exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = connection.recv(size - len(found))
        if not more:
            raise EOFError("hung up")
        found += more
    return found


def greet(connection: socket.socket, *, encrypts: bool) -> None:
    """As an NBD server does, up to the client's wish for TLS, which is refused by one that does not encrypt."""
    connection.sendall(MAGIC + OPTION + struct.pack(">H", 3))
    exactly(connection, 4)
    _magic, option, size = struct.unpack(">8sII", exactly(connection, 16))
    exactly(connection, size)
    if option == STARTTLS:
        kind = ACKNOWLEDGED if encrypts else UNSUPPORTED
        connection.sendall(struct.pack(">QIII", REPLY, option, kind, 0))


def begins_tls(connection: socket.socket) -> bool:
    """Whether the first byte that comes is that of a handshake; it is left where it is."""
    return connection.recv(1, socket.MSG_PEEK) == bytes([HANDSHAKE])


def taken(connection: socket.socket) -> tuple[bytes, bool]:
    """All that comes while the other end is patient, and whether it is still there then."""
    connection.settimeout(PATIENCE)
    found = b""
    try:
        while more := connection.recv(65536):
            found += more
    except TimeoutError:
        return found, True
    except OSError:
        pass
    return found, False


def beyond_handshakes(data: bytes) -> int:
    """How many bytes in clear are not of a TLS handshake, or an NBD client's farewell."""
    data = data.removeprefix(FAREWELL)
    while len(data) >= 5 and data[0] in (HANDSHAKE, ALERT, CHANGE):
        data = data[5 + int.from_bytes(data[3:5], "big") :]
    return len(data)


def converse(
    connection: socket.socket, context: ssl.SSLContext | None, *, nbd: bool, silent: bool, told: dict[str, Any]
) -> None:
    if nbd:
        greet(connection, encrypts=silent or context is not None)
    if silent:
        told["asked"] = begins_tls(connection)
        OVER.wait()
    elif context is None:
        if nbd:
            told["asked"] = True
        else:
            told["asked"] = begins_tls(connection)
            connection.sendall(bytes(64))
        data, told["held"] = taken(connection)
        told["bytes"] = beyond_handshakes(data)
    else:
        told["asked"] = begins_tls(connection)
        with context.wrap_socket(connection, server_side=True) as proven:
            told["shook"] = True
            data, told["held"] = taken(proven)
            told["bytes"] = len(data)


def answer(connection: socket.socket, port: int, context: ssl.SSLContext | None, *, nbd: bool, silent: bool) -> None:
    told: dict[str, Any] = {"port": port, "asked": False, "shook": False, "bytes": 0, "held": False, "error": ""}
    connection.settimeout(PATIENCE)
    try:
        with connection:
            converse(connection, context, nbd=nbd, silent=silent, told=told)
    except (OSError, EOFError, struct.error) as error:
        told["error"] = str(error) or type(error).__name__
    with TELLING:  # a line of each at a time
        print(json.dumps(told), flush=True)


def of_certificate(directory: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{directory}/cert.pem", f"{directory}/key.pem")
    return context


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("ports", nargs="+", type=int)
    parser.add_argument("--nbd", nargs="*", type=int, default=[])
    parser.add_argument("--certificate")
    parser.add_argument("--silent", action="store_true")
    options = parser.parse_args()
    context = of_certificate(options.certificate) if options.certificate else None
    servers = {socket.create_server(("", port)): port for port in options.ports}
    print("{}", flush=True)  # it listens
    talks = []
    while sys.stdin not in (ready := select.select([sys.stdin, *servers], [], [])[0]):
        for server in ready:
            words = (server.accept()[0], servers[server], context)
            how = {"nbd": servers[server] in options.nbd, "silent": options.silent}
            talks.append(threading.Thread(target=answer, args=words, kwargs=how))
            talks[-1].start()
    OVER.set()
    for one in talks:
        one.join()


if __name__ == "__main__":
    main()
