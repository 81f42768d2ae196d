# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The port at which the metrics are told: over real HTTP, on this machine alone."""

from __future__ import annotations

import contextlib
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.host import scrape


@pytest.fixture(name="address")
def server_on_loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(scrape, "PATIENCE", 0.2)
    server = scrape.server(("127.0.0.1", 0), lambda: "lockstep_colo_generation 3\n")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def get(address: tuple[str, int], path: str = "/metrics") -> tuple[str, str]:
    with urllib.request.urlopen(f"http://{address[0]}:{address[1]}{path}", timeout=5) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_whoever_asks_for_the_metrics_gets_them(address: tuple[str, int]) -> None:
    assert get(address) == (scrape.KIND, "lockstep_colo_generation 3\n")
    assert get(address, "/metrics?name[]=x")[1]
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(address, "/etc/passwd")


def test_one_who_says_nothing_or_nonsense_keeps_nobody_waiting_for_long(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as silent, socket.create_connection(address) as odd:
        odd.sendall(b"\x16\x03\x01\x00\xff" * 20)
        assert get(address)[1]
        silent.settimeout(5)
        assert silent.recv(1) == b""


def test_one_who_asks_a_byte_at_a_time_keeps_nobody_waiting_for_long(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as slow:
        ends = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                slow.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
                while not ends.wait(0.05):
                    slow.sendall(b"a")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert get(address)[1]
        finally:
            ends.set()
            dripping.join()


@pytest.mark.parametrize(
    ("listen", "place"),
    [("10.0.0.1:9716", ("10.0.0.1", 9716)), ("[::]:9716", ("::", 9716)), ("[fd00::1]:80", ("fd00::1", 80))],
)
def test_where_to_listen_is_an_address_and_a_port(listen: str, place: tuple[str, int]) -> None:
    assert scrape.place(listen) == place


@pytest.mark.parametrize(
    "listen", ["9716", "kvm1:9716", "10.0.0.1", "10.0.0.1:", "10.0.0.1:70000", "::1:80", "[10.0.0.1]:80", ""]
)
def test_anything_else_is_refused_with_what_to_set(listen: str) -> None:
    with pytest.raises(ColoError, match="colo_metrics_listen"):
        scrape.place(listen)
