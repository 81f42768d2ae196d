# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the primary's host tells the standby's that its guest has ended: one TCP connection, one line, one answer.

The primary connects before it ends its guest, and waits until it is told that it is known, so that nothing is ended for
a standby that does not listen, or does not take it for its peer: in TLS 1.3 a client's handshake is over before its
certificate has been looked at.
"""

from __future__ import annotations

import contextlib
import hmac
import socket
import time
from collections.abc import Callable, Iterator

from ..errors import ColoError, Timeout
from ..host import mutual_tls, sockets
from ..record.address import canonical

KNOWN, TAKEN = b"known\n", b"taken\n"  # what the standby's host says: of who has connected, and of the token
LONGEST = 256  # bytes of a line
# Seconds for one that connected, and again for one that is known: the peer says the token once its QEMU has ended. They
# go beyond the time for the peer to come, as it ends its guest once it is told that it is known.
PATIENCE = 30.0
AGAIN = "Run lockstep.colo.switchover again: it sees which host has the guest, and goes on from there"
UNKNOWN = (
    "Nothing was ended. Run lockstep.colo.deploy with the KVM hosts in its limit (--limit kvm,PAIR), which renews "
    "certificates of one authority, and see that the clocks of the hosts agree; then run lockstep.colo.switchover again"
)


@contextlib.contextmanager
def call(address: str, port: int, timeout: float, credentials: str | None = None) -> Iterator[Callable[[str], None]]:
    """Connect to the standby's host; what is yielded sends the token and returns once it was taken.

    Raises ColoError when nobody listens, when who listens does not take this host within ``timeout`` seconds, and when
    the token is not taken within that time.
    """
    try:
        plain = socket.create_connection((address, port), timeout)
    except OSError as error:
        raise ColoError(f"the standby does not wait on {address} port {port}: {error}", remedy=AGAIN) from None
    connection = _known(plain, address, port, timeout, credentials)

    def tell(token: str) -> None:
        try:
            with sockets.within(timeout, connection):
                connection.sendall(f"{token}\n".encode("ascii"))
                answer = _line(connection)
        except OSError as error:
            raise ColoError(f"the standby could not be told: {error}", remedy=AGAIN) from None
        if answer != TAKEN:
            raise ColoError("the standby did not take the guest over", remedy=AGAIN)

    with connection:
        yield tell


def _known(plain: socket.socket, address: str, port: int, timeout: float, credentials: str | None) -> socket.socket:
    """The connection, once each end takes the other for its peer."""
    why = "it has hung up"
    try:
        with sockets.within(timeout, plain):
            connection = mutual_tls.outgoing(plain, address, credentials)
            said = _line(connection)
        if said == KNOWN:
            return connection
        connection.close()
    except OSError as error:
        why = str(error)
    plain.close()
    raise ColoError(
        f"this host and the standby's, {address} port {port}, do not take each other for a pair: {why}", remedy=UNKNOWN
    )


def wait(
    address: str, port: int, peer: str, host: str, token: str, timeout: float, credentials: str | None = None
) -> None:
    """Wait until ``peer``, the address of ``host``, says with the token that its guest has ended; Timeout if not.

    Whoever else connects is told nothing, and who says something else is not answered.
    """
    deadline = time.monotonic() + timeout
    with socket.create_server((address, port), family=_family(address)) as server:
        while (left := deadline - time.monotonic()) > 0:
            server.settimeout(left)
            try:
                connection, sender = server.accept()
            except TimeoutError:
                break
            with connection, contextlib.suppress(OSError):
                if canonical(sender[0]) != peer:
                    continue
                with sockets.within(min(deadline - time.monotonic(), PATIENCE), connection):
                    known = mutual_tls.incoming(connection, peer, host, credentials)
                with known:
                    with sockets.within(PATIENCE, known):
                        known.sendall(KNOWN)
                        said = _line(known)
                    if hmac.compare_digest(said, f"{token}\n".encode("ascii")):
                        known.sendall(TAKEN)
                        return
    raise Timeout(
        f"{peer} did not say within {timeout:g} s that its guest has ended",
        remedy="Nothing was changed here; see what the run on that host says",
    )


def _line(connection: socket.socket) -> bytes:
    text = b""
    while not text.endswith(b"\n") and len(text) < LONGEST and (more := connection.recv(LONGEST)):
        text += more
    return text


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
