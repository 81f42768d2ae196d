# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The TCP sockets of this host: who listens, who is connected, and how a connection is reset."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from pathlib import Path

from ..errors import ColoError
from ..record.address import bracketed, endpoint
from ..record.pair import PORT_RANGE
from .command import run

TCP_SYN_SENT, TCP_LISTEN = "02", "0A"  # include/net/tcp_states.h, as /proc/net/tcp prints them


def _tcp() -> Iterable[tuple[str, int, str, int, str]]:
    """(local address, local port, remote address, remote port, state) of every TCP socket of this namespace."""
    for table in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:  # no IPv6 in this kernel
            continue
        for line in lines:
            local, remote, state = line.split()[1:4]
            yield (*_endpoint(local), *_endpoint(remote), state)


def _endpoint(text: str) -> tuple[str, int]:
    """Decode "0100007F:1F90": 32-bit words in host byte order, the port in hexadecimal."""
    address, _colon, port = text.partition(":")
    packed = b"".join(bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8))
    ip = ipaddress.ip_address(packed)
    mapped = getattr(ip, "ipv4_mapped", None)
    return str(mapped or ip), int(port, 16)


def ports_in_use() -> tuple[int, ...]:
    """Ports of the collection's range on which somebody listens."""
    return tuple(sorted({port for _l, port, _r, _p, state in _tcp() if state == TCP_LISTEN and port in PORT_RANGE}))


def peer_sockets(peer: str, ports: Iterable[int]) -> tuple[str, ...]:
    """The connections with ``peer`` over ``ports``, but for those that listen or still try to come about."""
    wanted = set(ports)
    return tuple(
        sorted(
            f"{endpoint(local, port)} {endpoint(remote, remote_port)}"
            for local, port, remote, remote_port, state in _tcp()
            if remote == peer and state not in (TCP_SYN_SENT, TCP_LISTEN) and (port in wanted or remote_port in wanted)
        )
    )


def release_sockets(peer: str, ports: Iterable[int]) -> None:
    """Reset every connection with ``peer`` over ``ports``, so that a QEMU that waits for a dead host goes on.

    A silent cut leaves QEMU's main loop in a read or write that ends only with the kernel's time-outs, many minutes
    later. ``ss --kill`` (SOCK_DESTROY, CONFIG_INET_DIAG_DESTROY, on in Debian's kernels) ends it at once.
    """
    either = " or ".join(f"sport = :{port} or dport = :{port}" for port in sorted(ports))
    run("ss", "--kill", "--no-header", "--tcp", "--numeric", f"dst {bracketed(peer)} and ( {either} )")


def reach(address: str, port: int, deadline: float = 5.0) -> None:
    """Connect to a port and close again. QEMU itself must not be the first to try: it waits without bound.

    Raises ColoError saying whether nobody listens or nothing answers.
    """
    try:
        socket.create_connection((address, port), deadline).close()
    except TimeoutError:
        raise ColoError(
            f"{address} port {port} does not answer within {deadline:g} s",
            remedy="Check the network between the hosts and the firewall of that host",
        ) from None
    except OSError as error:
        raise ColoError(
            f"cannot connect to {address} port {port}: {error.strerror or error}",
            remedy="Check that the standby listens there and that the hosts reach each other on that network",
        ) from None
