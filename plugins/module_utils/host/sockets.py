# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The TCP sockets of this host: who listens, who is connected, and how a connection is reset."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import ColoError
from ..record.address import bracketed, endpoint
from ..record.pair import PORT_RANGE
from .command import run

TCP_ESTABLISHED, TCP_SYN_SENT, TCP_LISTEN = "01", "02", "0A"  # include/net/tcp_states.h, as /proc/net/tcp prints them


TRIED = 3  # times in vain, which takes 1.4 s from when it was first sent (0.2 s, doubled each time)


class _Socket(NamedTuple):
    address: str
    port: int
    peer: str
    peer_port: int
    state: str
    tried: int  # how often to send what is first in its queue, or a probe, without an acknowledgement between

    def __str__(self) -> str:
        return f"{endpoint(self.address, self.port)} {endpoint(self.peer, self.peer_port)}"


def _tcp() -> Iterable[_Socket]:
    """Every TCP socket of this namespace."""
    return map(_socket, _lines())


def _lines() -> Iterable[list[str]]:
    """The fields of each in proc(5)'s /proc/net/tcp."""
    for table in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:  # no IPv6 in this kernel
            continue
        for line in lines:
            yield line.split()


def _socket(fields: list[str]) -> _Socket:
    # Retransmissions, and probes: the kernel counts among these what its own output filter does not let out
    # (net/ipv4/tcp_output.c, tcp_send_probe0).
    tried = max(int(fields[6], 16), int(fields[8]))
    return _Socket(*_endpoint(fields[1]), *_endpoint(fields[2]), fields[3], tried)


def _endpoint(text: str) -> tuple[str, int]:
    """Decode "0100007F:1F90": 32-bit words in host byte order, the port in hexadecimal."""
    address, _colon, port = text.partition(":")
    packed = b"".join(bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8))
    ip = ipaddress.ip_address(packed)
    mapped = getattr(ip, "ipv4_mapped", None)
    return str(mapped or ip), int(port, 16)


def listening() -> set[tuple[str, int]]:
    """(address, port) of every TCP socket that listens; the address of all is 0.0.0.0 or ::."""
    return {(one.address, one.port) for one in _tcp() if one.state == TCP_LISTEN}


def ports_in_use() -> tuple[int, ...]:
    """The ports of the collection's range on which anybody listens."""
    return tuple(sorted({one.port for one in _tcp() if one.state == TCP_LISTEN and one.port in PORT_RANGE}))


def peer_sockets(peer: str, ports: Iterable[int]) -> tuple[str, ...]:
    """The connections with ``peer`` over ``ports``, but for those that listen or still try to come about."""
    return tuple(sorted(str(one) for one in _with(peer, ports)))


def stuck_sockets(peer: str, ports: Iterable[int]) -> tuple[str, ...]:
    """Those of the connections over which nothing is acknowledged: a firewall or a cut, of which QEMU is not told.

    The count goes back to 0 with the first acknowledgement. A peer that is merely slow acknowledges: its kernel does.
    """
    return tuple(sorted(str(one) for one in _with(peer, ports) if one.tried >= TRIED))


def closed_sockets(peer: str, ports: Iterable[int]) -> tuple[str, ...]:
    """Those of the connections that are not established (any more): one of both ends has closed them."""
    return tuple(sorted(str(one) for one in _with(peer, ports) if one.state != TCP_ESTABLISHED))


def connections(peer: str, ports: Iterable[int]) -> dict[int, int]:
    """How many connections with ``peer`` neither end has closed, by port; one that was cut in silence is among them."""
    open_ones = [one for one in _with(peer, ports) if one.state == TCP_ESTABLISHED]
    return {port: sum(port in (one.port, one.peer_port) for one in open_ones) for port in ports}


def _with(peer: str, ports: Iterable[int]) -> Iterable[_Socket]:
    """Only those with one of the ports are decoded: a host may have thousands of others."""
    wanted = {f"{port:04X}" for port in ports}
    for fields in _lines():
        if wanted.isdisjoint(end.rpartition(":")[2] for end in fields[1:3]):
            continue
        one = _socket(fields)
        if one.peer == peer and one.state not in (TCP_SYN_SENT, TCP_LISTEN):
            yield one


def release_sockets(peer: str, ports: Iterable[int]) -> None:
    """Reset every connection with ``peer`` over ``ports``, so that a QEMU that waits for a dead host goes on.

    A silent cut leaves QEMU's main loop in a read or write that ends only with the kernel's time-outs, many minutes
    later. ``ss --kill`` (SOCK_DESTROY, CONFIG_INET_DIAG_DESTROY, on in Debian's kernels) ends it at once.
    """
    run("ss", "--kill", "--no-header", "--tcp", "--numeric", between(peer, ports))


def between(peer: str, ports: Iterable[int]) -> str:
    """The filter of ``ss`` for connections with ``peer`` over any of ``ports``, whichever end has the port."""
    either = " or ".join(f"sport = :{port} or dport = :{port}" for port in sorted(ports))
    return f"dst {bracketed(peer)} and ( {either} )"


@contextlib.contextmanager
def within(seconds: float, connection: socket.socket) -> Iterator[None]:
    """End the connection after so many seconds, in whatever call it is then; TimeoutError where that was needed.

    A socket's own time-out begins anew with each byte that comes.
    """
    # Its own handle: TLS takes the connection's away.
    with socket.socket(fileno=os.dup(connection.fileno())) as same:
        late = threading.Event()

        def end() -> None:
            late.set()
            with contextlib.suppress(OSError):
                same.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(max(seconds, 0), end)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (OSError, EOFError):
            if not late.is_set():
                raise
        finally:
            timer.cancel()
            timer.join()
        if late.is_set():
            raise TimeoutError(f"it takes longer than {seconds:g} s")


def see_answer(
    address: str, port: int, deadline: float = 5.0, converse: Callable[[socket.socket], object] | None = None
) -> None:
    """Connect to a port and close again. QEMU itself must not be the first to try: it waits without bound.

    ``converse``: what is said there meanwhile, as one that accepts and says nothing would hold QEMU as well; it raises
    EOFError or an OSError without a number where the other end is not what it should be. It ends with ``deadline``,
    however little is said at a time.
    Raises ColoError saying whether nobody listens, nothing answers, or somebody else does.
    """
    until = time.monotonic() + deadline
    try:
        with socket.create_connection((address, port), deadline) as connection:
            if converse is not None:
                with within(until - time.monotonic(), connection):
                    converse(connection)
    except TimeoutError:
        raise ColoError(
            f"{address} port {port} does not answer within {deadline:g} s",
            remedy="Check the network between the hosts, that it lets large packets pass too (the same MTU all the "
            "way), and the firewall of that host",
        ) from None
    except ssl.SSLCertVerificationError as error:
        raise ColoError(
            f"what listens on {address} port {port} does not prove to be the standby's host: {error.verify_message}",
            remedy="Run lockstep.colo.deploy for both hosts as well (--limit kvm,PAIR), which installs certificates of "
            "one authority; where they are, somebody else listens at that address",
        ) from None
    except (EOFError, OSError) as error:
        if isinstance(error, (EOFError, ssl.SSLError)) or error.errno is None:
            raise ColoError(
                f"what listens on {address} port {port} is not the standby's QEMU, or does not take this host: {error}",
                remedy="End it there, or give the pair another block of ports with first_port; and see the log of the "
                "standby's QEMU in /var/log/libvirt/qemu on the other host",
            ) from None
        raise ColoError(
            f"cannot connect to {address} port {port}: {error.strerror or error}",
            remedy="Check that the standby listens there and that the hosts reach each other on that network",
        ) from None
