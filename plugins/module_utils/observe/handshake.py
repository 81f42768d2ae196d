# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether this host's certificates are taken on a channel, by a handshake of its two ends in memory."""

from __future__ import annotations

import ssl

from ..host import mutual_tls

ANY_TIME = 0x200000  # OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which the standard library has no name for
FLIGHTS = 8  # more than there are in any handshake


def refusal(directory: str, address: str | None) -> str | None:
    """Why one end does not take the other, in words; ``address`` is one that the server's certificate is for.

    That a certificate has ended, or does not begin yet, is no reason: it is told as when it begins and ends.
    """
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client, server = _contexts(directory)
    client.check_hostname = address is not None
    left = {
        "server": client.wrap_bio(to_client, to_server, server_hostname=address),
        "client": server.wrap_bio(to_server, to_client, server_side=True),
    }
    for _flight in range(FLIGHTS):
        for shown, end in tuple(left.items()):
            try:
                end.do_handshake()
                del left[shown]
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as error:
                why = getattr(error, "verify_message", None) or error.reason or str(error)
                return f"{directory}/{shown}-cert.pem is refused by who has its ca-cert.pem: {why}"
    return None if not left else f"the certificates of {directory} come to no connection"


def _contexts(directory: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """As this host connects, and as it listens."""
    client = mutual_tls.context_of(ssl.PROTOCOL_TLS_CLIENT, directory, "client")
    server = mutual_tls.context_of(ssl.PROTOCOL_TLS_SERVER, directory, "server")
    server.verify_mode = ssl.CERT_REQUIRED
    for context in (client, server):
        context.verify_flags |= ANY_TIME
    return client, server
