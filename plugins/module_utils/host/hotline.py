# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How watchers of two hosts speak: lines of JSON over TLS, in which both sides show a certificate of the same CA.

Everything has a deadline and a size: whoever connects and is silent, or talks too much, is cut off.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from ..observation.decoded import decoded
from ..record.address import canonical
from . import mutual_tls

HANDSHAKE = 5.0  # seconds
SILENCE = 5.0  # seconds without a line, after which a connection is given up
LONGEST = 1 << 18  # bytes of a line
MOST_CALLERS = 64
MOST_OF_ONE = 4  # address; a peer has one, and for a moment the one before
# Linux's (include/uapi/linux/in.h and in6.h), as setsockopt takes them.
IP_FREEBIND, IPV6_FREEBIND = (socket.IPPROTO_IP, 15), (socket.IPPROTO_IPV6, 78)


class Line:
    """One connection. ``names`` are those in the certificate at its other end: its name, DNS names, IP addresses."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self._connection = connection
        self._read = b""
        self.names = frozenset(_names(connection.getpeercert() or {}))
        connection.settimeout(SILENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def say(self, data: Any) -> None:
        """Send one value as a line; OSError where the connection has ended."""
        self._connection.sendall(json.dumps(data).encode("ascii") + b"\n")

    def hear(self) -> Any:
        """The next line; OSError where the connection has ended or is silent, ValueError where it is no JSON."""
        while b"\n" not in self._read:
            if len(self._read) > LONGEST:
                raise ValueError("a line without end")
            more = self._connection.recv(65536)
            if not more:
                raise ConnectionResetError("the other host has hung up")
            self._read += more
        line, _end, self._read = self._read.partition(b"\n")
        return decoded(line)

    def close(self) -> None:
        """End the connection for the other end at once, even if a process forked meanwhile has the socket too."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def call(address: str, port: int, pki: str) -> Line:
    """Connect to another host's watcher; OSError (of which ssl.SSLError is one) where that fails.

    Who it is, the caller has to see from the line's names: it may be reached at several addresses.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, pki, "client")
    plain = socket.create_connection((address, port), HANDSHAKE)
    try:
        return Line(context.wrap_socket(plain))
    except BaseException:
        plain.close()
        raise


def listen(
    address: str, port: int, pki: str, converse: Callable[[Line], None], complain: Callable[[str], None]
) -> None:
    """Answer at an address of this host, at all where it is empty, for ever; each caller is given a thread that
    converses with it."""
    server = _server(address, port)
    callers = _Callers()

    def answer(plain: socket.socket, who: str) -> None:
        try:
            plain.settimeout(HANDSHAKE)
            context = _context(ssl.PROTOCOL_TLS_SERVER, pki, "server")
            line = Line(context.wrap_socket(plain, server_side=True))
            try:
                converse(line)
            finally:
                line.close()
        except (OSError, ValueError) as error:
            complain(f"{who}: {error}")
        finally:
            plain.close()
            callers.gone(who)

    while True:
        plain, sender = server.accept()
        if not callers.admits(sender[0]):
            plain.close()
            continue
        threading.Thread(target=answer, args=(plain, sender[0]), daemon=True).start()


class _Callers:
    """Who is being answered. Of one address so few that, whoever is silent there, others have room."""

    def __init__(self) -> None:
        self._here: Counter[str] = Counter()
        self._order = threading.Lock()

    def admits(self, who: str) -> bool:
        """Whether there is room for one more; it is taken then, until that one is ``gone``."""
        with self._order:
            there_is = self._here.total() < MOST_CALLERS and self._here[who] < MOST_OF_ONE
            if there_is:
                self._here[who] += 1
            return there_is

    def gone(self, who: str) -> None:
        with self._order:
            self._here[who] -= 1
            if not self._here[who]:
                del self._here[who]


def _server(address: str, port: int) -> socket.socket:
    """A socket that listens; also where the address is not there yet, as when the host is being started."""
    if not address:
        if _ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    inside = ":" in address
    server = socket.socket(socket.AF_INET6 if inside else socket.AF_INET)
    try:
        server.setsockopt(*(IPV6_FREEBIND if inside else IP_FREEBIND), 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
        server.listen()
    except OSError:
        server.close()
        raise
    return server


def _context(protocol: ssl._SSLMethod, pki: str, end: str) -> ssl.SSLContext:
    context = mutual_tls.context_of(protocol, pki, end)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # who it is, is seen from the line's names
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _names(certificate: dict[str, Any]) -> list[str]:
    other = [canonical(value) for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    common = [value for part in certificate.get("subject", ()) for kind, value in part if kind == "commonName"]
    return [*common, *other]


def _ipv6() -> bool:
    """Whether one socket can listen for both versions of IP here."""
    if not socket.has_dualstack_ipv6():
        return False
    try:
        socket.socket(socket.AF_INET6).close()
    except OSError:
        return False
    return True
