# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A port of this host at which Prometheus, or whoever else, gets a text. Nothing in it is secret: there is no TLS."""

from __future__ import annotations

import contextlib
import http.server
import ipaddress
import socket
from collections.abc import Callable

from ..errors import ColoError
from . import sockets

PATH = "/metrics"
KIND = "text/plain; version=0.0.4; charset=utf-8"
PATIENCE = 5.0  # seconds that one who asks has for it; there is one at a time


def place(listen: str) -> tuple[str, int]:
    """Address and port of ``10.0.0.1:9716`` or ``[::]:9716``; ColoError for anything else."""
    address, _colon, port = listen.rpartition(":")
    try:
        known = ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))
        if not 0 < int(port) < 65536 or (known.version == 6) != address.startswith("["):
            raise ValueError(port)
    except ValueError:
        raise ColoError(
            f"{listen!r} is no address and port to listen on",
            remedy="Set colo_metrics_listen to one as 10.0.0.1:9716 or [::]:9716",
        ) from None
    return str(known), int(port)


def serve(listen: str, text: Callable[[], str]) -> None:
    """Answer for ever at ``listen``, an address and port, with what ``text`` returns then.

    OSError where nobody can listen there, ColoError where it is no such place.
    """
    with server(place(listen), text) as ours:
        ours.serve_forever()


def server(where: tuple[str, int], text: Callable[[], str]) -> http.server.HTTPServer:
    """What ``serve`` has answer: one request after the other, each within PATIENCE."""

    class Answer(http.server.BaseHTTPRequestHandler):
        server_version, sys_version = "lockstep-colo", ""

        def handle(self) -> None:
            """The same, hung up on after PATIENCE: a time for each read would last for ever, a byte at a time."""
            with contextlib.suppress(TimeoutError), sockets.within(PATIENCE, self.connection):
                super().handle()

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != PATH:
                self.send_error(404)
                return
            body = text().encode("utf-8")
            self.send_response(200)
            self.send_header("Content-Type", KIND)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            """Nothing: each scrape would be a line of the journal."""

    class Server(http.server.HTTPServer):
        address_family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        allow_reuse_address = True

        def handle_error(self, *_request: object) -> None:
            """Nothing: whoever hangs up is free to."""

    return Server(where, Answer)
