# SPDX-License-Identifier: GPL-3.0-or-later
"""The power switch of a lab's hosts, as a fencing agent reaches it over TCP: a line of two words in, a word out.

    status HOST: on, off      off HOST, on HOST: done, failed

It listens where the client is, which hears no host that has no power. It can be told to fail, to lie and to be slow.
"""

from __future__ import annotations

import ctypes
import os
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from . import hosts
from .common import CLIENT_ADDRESS, HOSTS, Lab, LabError

PORT = 7720
WORKS, FAILS, LIES, SLOW = "works", "fails", "lies", "slow"
SLOWNESS = 10.0  # seconds
CLONE_NEWNET = 0x40000000


class PowerSwitch:
    """A switch; ``mode`` is how it works from now on, and ``told`` what it was asked, with time.monotonic()."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.mode = lab, WORKS
        self.told: list[tuple[float, str]] = []

    def answer(self, line: str) -> str:
        """What it says to one line, once that is done."""
        self.told.append((time.monotonic(), line))
        what, _, host = line.partition(" ")
        if self.mode == SLOW and what != "status":
            time.sleep(SLOWNESS)
        if host not in HOSTS or self.mode == FAILS:
            return "failed"
        if self.mode == LIES:
            return "off" if what == "status" else "done"
        try:
            if what == "off":
                hosts.power_off(self.lab, host)
            elif what == "on":
                hosts.power_on(self.lab, host)
            else:
                return "on" if hosts.running(self.lab, host) else "off"
        except LabError:
            return "failed"
        return "done"

    def asked(self, line: str, since: float) -> int:
        """How often it was asked that since then (time.monotonic())."""
        return sum(at > since and one == line for at, one in self.told)


@contextmanager
def switch(lab: Lab) -> Iterator[PowerSwitch]:
    """One that answers while this lasts."""
    made = PowerSwitch(lab)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            line = self.rfile.readline(200).decode("ascii", "replace").strip()
            self.wfile.write(f"{made.answer(line)}\n".encode("ascii"))

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True

    servers: list[Server] = []

    def listen() -> None:
        """In a thread that ends then: the namespace is one of the thread that makes the socket."""
        handle = os.open(f"/run/netns/{lab.client_ns}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"cannot enter {lab.client_ns}")
        finally:
            os.close(handle)
        servers.append(Server((CLIENT_ADDRESS, PORT), Handler))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    if not servers:
        raise LabError(f"the power switch cannot listen at {CLIENT_ADDRESS} port {PORT}")
    (server,) = servers
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
