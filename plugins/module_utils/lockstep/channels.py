# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The channels of a pair as QEMU is told where to listen and to connect. Pure.

A socket is host and port apart, an IPv6 address without brackets; a URI has both in one word, where it needs them.
"""

from __future__ import annotations

from typing import Any

from ..record.address import endpoint
from ..record.pair import Channel, Record


def first(record: Record, kind: str) -> Channel:
    """The pair's first connection of this kind."""
    return next(one for one in record.channels() if one.kind == kind)


def server(channel: Channel) -> dict[str, Any]:
    """As the option ``server`` of an nbd node has it (QAPI's SocketAddress)."""
    return {"type": "inet", "host": channel.address, "port": str(channel.port)}


def socket(channel: Channel) -> dict[str, Any]:
    """As chardev-add and nbd-server-start have it (QAPI's SocketAddressLegacy)."""
    return {"type": "inet", "data": {"host": channel.address, "port": str(channel.port)}}


def uri(channel: Channel) -> str:
    """As migrate and migrate-incoming have it."""
    return f"tcp:{endpoint(channel.address, channel.port)}"
