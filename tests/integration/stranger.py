# SPDX-License-Identifier: GPL-3.0-or-later
"""A third machine in the replication network: what it gets of a port, in clear and with each certificate. JSON out.

    stranger.py ADDRESS:PORT... [--certificates NAME=DIRECTORY...]
    stranger.py ADDRESS:PORT... --storm SECONDS

A directory has ca-cert.pem, cert.pem and key.pem. Of an NBD server it asks for the list of what is served.

A storm is a thousand connections that say nothing, half a greeting or garbage, and are held open; out comes how many
of them each port took.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import socket
import ssl
import struct
import time

PATIENCE = 3.0  # seconds
CONNECTIONS = 1000
WORDS = (
    b"",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    bytes(range(256)) * 16,
)  # nothing, half a ClientHello, garbage
MAGIC, OPTION, REPLY = b"NBDMAGIC", b"IHAVEOPT", 0x3E889045565A9  # the NBD protocol's
LIST, STARTTLS = 3, 5
ACKNOWLEDGED, SERVER, NEEDS_TLS = 1, 2, 2**31 + 5


def receive(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size and (more := connection.recv(size - len(found))):
        found += more
    return found


def ask(connection: socket.socket, option: int) -> int:
    """The kind of an NBD server's answer."""
    connection.sendall(OPTION + struct.pack(">II", option, 0))
    magic, _option, kind, size = struct.unpack(">QIII", receive(connection, 20))
    receive(connection, size)
    return kind if magic == REPLY else 0


def attempt(where: tuple[str, int], context: ssl.SSLContext | None) -> str:
    """What the port gives away: ``nothing``, or what it was."""
    try:
        with socket.create_connection(where, PATIENCE) as plain:
            plain.settimeout(PATIENCE)
            disks = is_nbd(plain)
            if context is None:
                return in_clear(plain, disks)
            if disks and ask(plain, STARTTLS) != ACKNOWLEDGED:
                return "nothing (no TLS)"
            with context.wrap_socket(plain) as proven:
                if disks:
                    return "the list of disks" if ask(proven, LIST) == SERVER else "nothing"
                proven.sendall(b"\x00" * 64)
                return "nothing (closed)" if proven.recv(1) == b"" else "an open channel"
    except (OSError, struct.error) as error:
        return f"nothing ({type(error).__name__})"


def is_nbd(plain: socket.socket) -> bool:
    """Whether it greets as an NBD server does; the greeting is answered then."""
    plain.settimeout(0.5)
    try:
        greeting = receive(plain, 18)
    except TimeoutError:
        return False
    finally:
        plain.settimeout(PATIENCE)
    if greeting.startswith(MAGIC):
        plain.sendall(struct.pack(">I", 3))
        return True
    return False


def in_clear(plain: socket.socket, disks: bool) -> str:
    if disks:
        kind = ask(plain, LIST)
        return {SERVER: "the list of disks", NEEDS_TLS: "nothing (TLS is asked for)"}.get(kind, "nothing")
    plain.sendall(b"\x00" * 4096)
    return "nothing (closed)" if plain.recv(1) == b"" else "an open channel"


def storm(ports: list[tuple[str, int]], seconds: float) -> dict[str, dict[str, int]]:
    """Hold as many connections open as the ports take, for so long."""
    until = time.monotonic() + seconds
    waiting: dict[socket.socket, tuple[tuple[str, int], bytes]] = {}
    poll = select.poll()
    for number in range(CONNECTIONS):
        where, words = ports[number % len(ports)], WORDS[number // len(ports) % len(WORDS)]
        one = socket.socket(socket.AF_INET6 if ":" in where[0] else socket.AF_INET)
        one.setblocking(False)
        one.connect_ex(where)
        waiting[one] = where, words
        poll.register(one, select.POLLOUT)
    by_number = {one.fileno(): one for one in waiting}
    taken = dict.fromkeys(ports, 0)
    while (left := until - time.monotonic()) > 0:
        for number, event in poll.poll(min(left, 0.5) * 1000):
            poll.unregister(number)
            where, words = waiting[by_number[number]]
            if not event & (select.POLLERR | select.POLLHUP):
                taken[where] += 1
                with contextlib.suppress(OSError):
                    by_number[number].send(words)
    return {f"{address}:{port}": {"connections": count} for (address, port), count in taken.items()}


def with_certificate(directory: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if directory:
        context.load_cert_chain(f"{directory}/cert.pem", f"{directory}/key.pem")
    return context


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("ports", nargs="+")
    parser.add_argument("--certificates", nargs="*", default=[])
    parser.add_argument("--storm", type=float)
    options = parser.parse_args()
    if options.storm:
        split = [port.rpartition(":") for port in options.ports]
        print(json.dumps(storm([(address, int(number)) for address, _colon, number in split], options.storm)))
        return
    contexts: dict[str, ssl.SSLContext | None] = {"in clear": None, "no certificate": with_certificate(None)}
    for word in options.certificates:
        name, _equals, directory = word.partition("=")
        contexts[name] = with_certificate(directory)
    found = {}
    for port in options.ports:
        address, _colon, number = port.rpartition(":")
        found[port] = {name: attempt((address, int(number)), context) for name, context in contexts.items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
