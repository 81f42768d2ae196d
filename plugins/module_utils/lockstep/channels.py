# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The channels of a pair as QEMU is told where to listen and to connect. Pure.

With credentials each end has a certificate, and asks the other for one of the same CA: who listens wants the subject of
the peer's, who connects the address that it connects to, among those in it (QEMU's docs/system/tls.rst).

A socket is host and port apart, an IPv6 address without brackets; a URI has both in one word, where it needs them.
"""

from __future__ import annotations

from typing import Any

from ..record import identity
from ..record.address import endpoint
from ..record.pair import Channel, Record

# QEMU's objects for it.
SERVER, CLIENT, PEER = "colo-tls-server", "colo-tls-client", "colo-tls-peer"
CREDENTIALS = (SERVER, CLIENT, PEER)
NO_CREDENTIALS = {"tls-creds": "", "tls-authz": ""}


def credentials(record: Record) -> list[dict[str, Any]]:
    """The arguments of object-add for the keys of this host and the name of its peer; none without TLS."""
    if record.credentials is None:
        return []
    kind, where = "tls-creds-x509", {"dir": record.credentials, "verify-peer": True}
    return [
        {"qom-type": kind, "id": SERVER, "endpoint": "server", **where},
        {"qom-type": kind, "id": CLIENT, "endpoint": "client", **where},
        {"qom-type": "authz-simple", "id": PEER, "identity": identity.subject(record.peer.host)},
    ]


def listening(channel: Channel) -> dict[str, Any]:
    """The TLS options of the end that listens: what it shows, and whom it takes. Empty without TLS.

    They have the same names in chardev-add, nbd-server-start and migrate-set-parameters.
    """
    return {"tls-creds": SERVER, "tls-authz": PEER} if channel.credentials else {}


def connecting(channel: Channel) -> dict[str, Any]:
    """The TLS options of the end that connects, in the same commands. Empty without TLS."""
    return {"tls-creds": CLIENT} if channel.credentials else {}


def first(record: Record, kind: str) -> Channel:
    """The pair's first connection of this kind."""
    return next(one for one in record.channels() if one.kind == kind)


def server(channel: Channel) -> dict[str, Any]:
    """The address as the option ``server`` of an nbd node has it (QAPI's SocketAddress)."""
    return {"type": "inet", "host": channel.address, "port": str(channel.port)}


def socket(channel: Channel) -> dict[str, Any]:
    """The address as chardev-add and nbd-server-start have it (QAPI's SocketAddressLegacy)."""
    return {"type": "inet", "data": {"host": channel.address, "port": str(channel.port)}}


def uri(channel: Channel) -> str:
    """The address as migrate and migrate-incoming have it, such as ``tcp:10.0.0.2:21601``."""
    return f"tcp:{endpoint(channel.address, channel.port)}"
