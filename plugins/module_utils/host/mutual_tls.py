# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections of this host's own with a peer's, on which both ends prove by certificate who they are.

``credentials`` is the directory of this host's certificates, by QEMU's names; None for a pair without TLS.
"""

from __future__ import annotations

import socket
import ssl

from ..record import identity
from . import sockets


def outgoing(connection: socket.socket, address: str, credentials: str | None) -> socket.socket:
    """The ``connection`` to ``address``, encrypted, with a certificate of that address at its other end.

    It stays plain where ``credentials`` is None. Raises OSError where the other end has no such certificate.
    """
    if credentials is None:
        return connection
    context = context_of(ssl.PROTOCOL_TLS_CLIENT, credentials, "client")
    return context.wrap_socket(connection, server_hostname=address)


def see_server(address: str, port: int, credentials: str, deadline: float) -> None:
    """See within ``deadline`` seconds that who listens has a certificate of the address, and show none of our own.

    So it hangs up, and goes on to listen, where the whole handshake would be the one connection that a QEMU takes for
    its primary's (migrate-incoming). Errors are those of sockets.see_answer.
    """

    def converse(plain: socket.socket) -> None:
        context = _context(ssl.PROTOCOL_TLS_CLIENT, credentials)
        try:
            context.wrap_socket(plain, server_hostname=address).close()
        except ssl.SSLError as error:
            # Up to TLS 1.2 the handshake ends with its refusal, which comes after it was verified.
            if "_ALERT_" not in (error.reason or ""):
                raise

    sockets.see_answer(address, port, deadline, converse)


def incoming(connection: socket.socket, peer: str, host: str, credentials: str | None) -> socket.socket:
    """The ``connection`` that was taken from ``peer``, ``host``'s address, with a certificate of both.

    The host is known by the whole subject, as on the channels of QEMU: another organisation may have one of its name.

    It stays plain where ``credentials`` is None. Raises OSError where the other end has no such certificate.
    """
    if credentials is None:
        return connection
    context = context_of(ssl.PROTOCOL_TLS_SERVER, credentials, "server")
    context.verify_mode = ssl.CERT_REQUIRED
    proven = context.wrap_socket(connection, server_side=True)
    certificate = proven.getpeercert() or {}
    if peer not in identity.addresses(certificate) or identity.shown(certificate) != identity.subject(host):
        proven.close()
        raise ssl.SSLError("its certificate is not for the peer's name and address")
    return proven


def context_of(protocol: ssl._SSLMethod, directory: str, end: str) -> ssl.SSLContext:
    """With this host's certificate and key for an ``end``, server or client, and its authority, read anew.

    The names of the files are those of QEMU's tls-creds-x509.
    """
    context = _context(protocol, directory)
    context.load_cert_chain(f"{directory}/{end}-cert.pem", f"{directory}/{end}-key.pem", _refuse_encrypted)
    return context


def _refuse_encrypted() -> str:
    """In place of asking whoever has the terminal for a password."""
    raise OSError("its key is encrypted, and QEMU is told no password")


def _context(protocol: ssl._SSLMethod, directory: str) -> ssl.SSLContext:
    """It takes whom this host's authority has issued, also one that has itself another above it, as QEMU does."""
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(f"{directory}/ca-cert.pem")
    return context
