# SPDX-License-Identifier: GPL-3.0-or-later
"""A third machine in the replication network: what it gets of a port, in clear and with each certificate. JSON out.

    stranger.py ADDRESS:PORT... [--certificates NAME=DIRECTORY...]
    stranger.py ADDRESS:PORT... --hold
    stranger.py ADDRESS:PORT... --storm SECONDS

A directory has ca-cert.pem, cert.pem and key.pem. Of an NBD server it asks for the list of what is served. It
gets ``an open channel`` where TLS is agreed on and the other end does not hang up then, but waits for more. ``nothing
(no answer)``: the port took no connection, as one that has its client.

With --hold it connects in clear, says what the port's client would begin with, and prints a line once the other end has
had time to hang up; the connections end with its standard input. Whether they were taken is seen on the host.

A storm is a scan of the ports, then a thousand connections to each that say nothing, half a handshake or garbage, and
are held open; out comes how many of them each port took.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import select
import socket
import ssl
import struct
import sys
import time

PATIENCE = 3.0  # seconds
CONNECTIONS = 1000  # to each port
HALF = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # of a ClientHello
SAID = (b"", HALF, bytes(range(256)) * 16)
MAGIC, OPTION, REPLY = b"NBDMAGIC", b"IHAVEOPT", 0x3E889045565A9  # the NBD protocol's
LIST, STARTTLS = 3, 5
ACKNOWLEDGED, SERVER, NEEDS_TLS = 1, 2, 2**31 + 5
STREAM = b"QEVM\x00\x00\x00\x03"  # how a migration begins (QEMU's migration/qemu-file.h); zeros would end it
PORTS = 16  # of a pair, the first of which takes the migration
Port = tuple[str, int]


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


def attempt(where: Port, context: ssl.SSLContext | None) -> str:
    """What the port gives away: ``nothing``, or what it was."""
    try:
        with socket.create_connection(where, PATIENCE) as plain:
            plain.settimeout(PATIENCE)
            disks = is_nbd(plain)
            if context is None:
                return in_clear(plain, where, disks)
            if disks and ask(plain, STARTTLS) != ACKNOWLEDGED:
                return "nothing (no TLS)"
            with context.wrap_socket(plain) as proven:
                return within(proven, where, disks)
    except TimeoutError:
        return "nothing (no answer)"
    except struct.error:
        return "nothing (closed)"
    except OSError as error:
        return f"nothing ({type(error).__name__})"


def within(proven: ssl.SSLSocket, where: Port, disks: bool) -> str:
    """A server of TLS 1.3 looks at the certificate only when its client believes that all is well: it hangs up then."""
    try:
        if disks:
            return "the list of disks" if ask(proven, LIST) == SERVER else "nothing"
        return "an open channel" if proven.recv(1) else "nothing (closed)"
    except TimeoutError:
        return "an open channel"


def begins(where: Port) -> bytes:
    """What the port's own client would say first."""
    return STREAM if where[1] % PORTS == 0 else bytes(64)


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


def in_clear(plain: socket.socket, where: Port, disks: bool) -> str:
    if disks:
        kind = ask(plain, LIST)
        return {SERVER: "the list of disks", NEEDS_TLS: "nothing (TLS is asked for)"}.get(kind, "nothing")
    plain.sendall(begins(where))
    return "an open channel" if plain.recv(1) else "nothing (closed)"


def hold(ports: list[Port]) -> None:
    """In clear: whoever has no use for that hangs up."""
    with contextlib.ExitStack() as held:
        for where in ports:
            with contextlib.suppress(OSError):  # one that has its client, and as many waiting as it lets wait
                one = held.enter_context(socket.create_connection(where, PATIENCE))
                one.sendall(begins(where))
        time.sleep(PATIENCE)
        print("held", flush=True)
        sys.stdin.read()


def storm(ports: list[Port], seconds: float) -> dict[str, dict[str, int]]:
    """Hold as many connections open as the ports take, for so long."""
    until = time.monotonic() + seconds
    most = len(ports) * CONNECTIONS + 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, max(most, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    scan(ports)
    all_: dict[int, tuple[socket.socket, Port, bytes]] = {}
    poll = select.poll()
    for number in range(len(ports) * CONNECTIONS):
        where = ports[number % len(ports)]
        one = begun(where)
        all_[one.fileno()] = one, where, SAID[number // len(ports) % len(SAID)]
        poll.register(one, select.POLLOUT)
    taken = dict.fromkeys(ports, 0)
    while (left := until - time.monotonic()) > 0:
        for number, event in poll.poll(min(left, 0.5) * 1000):
            one, where, words = all_[number]
            poll.unregister(number)
            with contextlib.suppress(OSError):
                if event & select.POLLIN:
                    if goes_on(one):
                        poll.register(one, select.POLLIN)
                elif not event & (select.POLLERR | select.POLLHUP):
                    taken[where] += 1
                    one.send(words if where[1] % PORTS != 1 or words != HALF else b"")
                    if words == HALF:
                        poll.register(one, select.POLLIN)
    return {f"{address}:{port}": {"connections": count} for (address, port), count in taken.items()}


def scan(ports: list[Port]) -> None:
    for where in ports:
        with contextlib.suppress(OSError):
            socket.create_connection(where, 0.2).close()


def begun(where: Port) -> socket.socket:
    one = socket.socket(socket.AF_INET6 if ":" in where[0] else socket.AF_INET)
    one.setblocking(False)
    one.connect_ex(where)
    return one


def goes_on(one: socket.socket) -> bool:
    """Answer an NBD server up to the half of a handshake; whether there is more to wait for."""
    said = one.recv(4096)
    if said.startswith(MAGIC):
        one.send(struct.pack(">I", 3) + OPTION + struct.pack(">II", STARTTLS, 0))
        return True
    if said.startswith(struct.pack(">Q", REPLY)):
        one.send(HALF)
    return False


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
    parser.add_argument("--hold", action="store_true")
    parser.add_argument("--storm", type=float)
    options = parser.parse_args()
    ports = [(address, int(number)) for address, _colon, number in (port.rpartition(":") for port in options.ports)]
    if options.hold:
        hold(ports)
        return
    if options.storm:
        print(json.dumps(storm(ports, options.storm)))
        return
    contexts: dict[str, ssl.SSLContext | None] = {"in clear": None, "no certificate": with_certificate(None)}
    for word in options.certificates:
        name, _equals, directory = word.partition("=")
        contexts[name] = with_certificate(directory)
    found = {
        f"{where[0]}:{where[1]}": {name: attempt(where, context) for name, context in contexts.items()}
        for where in ports
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
