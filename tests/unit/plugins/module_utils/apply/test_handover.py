# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The word of the primary's host that its guest has ended, over real sockets of the loopback."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.apply import handover
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError, Timeout
from ansible_collections.lockstep.colo.plugins.module_utils.host import mutual_tls, nbd
from ansible_collections.lockstep.colo.plugins.plugin_utils import authority

HERE = "127.0.0.1"
ENDED = "the guest would have been ended"
AN_HOUR_AGO = -1 / 48  # as days in force, of a certificate that was made an hour ago


def free_port() -> int:
    family = socket.AF_INET6 if ":" in HERE else socket.AF_INET
    with socket.create_server((HERE, 0), family=family) as server:
        return server.getsockname()[1]


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


IPV6 = pytest.param("::1", marks=pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6"))


@pytest.fixture(autouse=True, params=["127.0.0.1", IPV6])
def ends(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ends are on this host, by either family of addresses."""
    monkeypatch.setitem(globals(), "HERE", request.param)


class Standby(threading.Thread):
    """A standby that waits; ``error`` is what it ended with."""

    def __init__(self, port: int, timeout: float = 10.0, peer: str | None = None) -> None:
        super().__init__(daemon=True)
        self.error: ColoError | None = None
        self.call = (HERE, port, peer or HERE, "kvm1", "the token", timeout)
        self.start()

    def run(self) -> None:
        try:
            handover.wait(*self.call)
        except ColoError as error:
            self.error = error

    def ended(self) -> bool:
        self.join(10)
        return not self.is_alive()


def connect(port: int) -> socket.socket:
    for _attempt in range(1000):
        try:
            return socket.create_connection((HERE, port), 5)
        except ConnectionRefusedError:
            threading.Event().wait(0.005)
    raise AssertionError("nobody listens")


def test_the_standby_goes_on_when_it_hears_the_token_and_not_before() -> None:
    port = free_port()
    standby = Standby(port)
    connect(port).close()  # whoever looks whether it listens
    with connect(port) as stranger:
        stranger.sendall(b"another token\n")
        assert nbd.exactly(stranger, len(handover.KNOWN)) == handover.KNOWN
        assert stranger.recv(100) == b""
    assert standby.is_alive()
    with handover.call(HERE, port, 5) as tell:
        assert standby.is_alive()
        tell("the token")
    assert standby.ended()
    assert standby.error is None


def test_nothing_is_ended_for_a_standby_that_does_not_listen() -> None:
    with pytest.raises(ColoError, match="does not wait on") as error, handover.call(HERE, free_port(), 1):
        pytest.fail(ENDED)
    assert "switchover again" in error.value.remedy


def test_a_token_that_is_not_taken_is_said() -> None:
    port = free_port()
    standby = Standby(port)
    connect(port).close()
    with pytest.raises(ColoError, match="did not take the guest over"), handover.call(HERE, port, 5) as tell:
        tell("wrong")
    assert standby.is_alive()


def test_only_the_peer_is_listened_to() -> None:
    port = free_port()
    standby = Standby(port, timeout=0.5, peer="192.0.2.1")
    connect(port).close()
    with pytest.raises(ColoError, match="do not take each other"), handover.call(HERE, port, 5):
        pytest.fail(ENDED)
    assert standby.ended()
    assert isinstance(standby.error, Timeout)


def test_a_standby_that_hears_nothing_says_so() -> None:
    standby = Standby(free_port(), timeout=0.05)
    assert standby.ended()
    assert isinstance(standby.error, Timeout)
    assert "Nothing was changed here" in standby.error.remedy


def drip(connection: socket.socket) -> None:
    """Say a byte every tenth of a second, which is no end of a line."""
    with connection, contextlib.suppress(OSError):
        for _byte in range(30):
            connection.sendall(b"k")
            time.sleep(0.1)


def test_one_that_says_a_byte_at_a_time_keeps_no_primary_waiting() -> None:
    family = socket.AF_INET6 if ":" in HERE else socket.AF_INET
    with socket.create_server((HERE, 0), family=family) as server:
        threading.Thread(target=lambda: drip(server.accept()[0]), daemon=True).start()
        port = server.getsockname()[1]
        with pytest.raises(ColoError, match="it takes longer than"), handover.call(HERE, port, 0.5):
            pytest.fail(ENDED)


def test_one_that_says_a_byte_at_a_time_keeps_the_primary_from_no_standby(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "PATIENCE", 0.3)
    port = free_port()
    standby = Standby(port)
    threading.Thread(target=drip, args=(connect(port),), daemon=True).start()
    with handover.call(HERE, port, 2) as tell:
        tell("the token")
    assert standby.ended()
    assert standby.error is None


def test_a_primary_that_came_in_time_may_end_its_guest_after_it() -> None:
    port = free_port()
    standby = Standby(port, timeout=1.0)
    connect(port).close()
    with handover.call(HERE, port, 5) as tell:
        time.sleep(1.2)
        tell("the token")
    assert standby.ended()
    assert standby.error is None


def certificates(home: Path, host: str, address: str, days: float = 100) -> str:
    """Those of a host, of one authority, as the role pki installs them."""
    made = authority.certify(str(home / "pki"), host, address, days, 0)
    where = home / host
    where.mkdir(exist_ok=True)
    shutil.copy(made.authority, where / "ca-cert.pem")
    for end in ("server", "client"):
        shutil.copy(made.certificate, where / f"{end}-cert.pem")
        shutil.copy(made.key, where / f"{end}-key.pem")
    return str(where)


def encrypted_standby(home: str, peer: str = "kvm1", timeout: float = 3.0) -> tuple[int, Standby]:
    port = free_port()
    standby = Standby.__new__(Standby)
    threading.Thread.__init__(standby, daemon=True)
    standby.error, standby.call = None, (HERE, port, HERE, peer, "the token", timeout, home)
    standby.start()
    return port, standby


def test_both_ends_of_a_pair_with_credentials_prove_who_they_are(tmp_path: Path) -> None:
    here = certificates(tmp_path, "kvm1", HERE)
    port, standby = encrypted_standby(here, timeout=10.0)
    connect(port).close()
    with handover.call(HERE, port, 5.0, here) as tell:
        tell("the token")
    assert standby.ended()
    assert standby.error is None


def another(home: Path, how: str) -> str:
    """The certificates of a caller that the standby does not take, each with an authority that takes the standby's."""
    if how != "of another authority":
        address = "192.0.2.9" if how == "of another address" else HERE
        return certificates(home, "kvm9", address, AN_HOUR_AGO if how == "that has ended" else 100)
    where = Path(certificates(home / "elsewhere", "kvm9", HERE))
    shutil.copy(home / "kvm1" / "ca-cert.pem", where)
    return str(where)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("of another address", "it has hung up"),
        ("of another name", "it has hung up"),
        ("of another authority", "ALERT"),
        ("that has ended", "CERTIFICATE_EXPIRED"),
    ],
)
def test_nothing_is_ended_for_a_standby_that_does_not_take_this_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, why: str, version: ssl.TLSVersion
) -> None:
    here = certificates(tmp_path, "kvm1", HERE)
    other = another(tmp_path, how)
    port, standby = encrypted_standby(here, "kvm1" if how == "of another name" else "kvm9", timeout=1.5)
    connect(port).close()
    at_most(version, monkeypatch)
    with pytest.raises(ColoError, match=why) as error, handover.call(HERE, port, 5.0, other):
        pytest.fail(ENDED)
    assert "do not take each other for a pair" in error.value.what
    assert "--limit kvm,PAIR" in error.value.remedy
    assert standby.ended()
    assert isinstance(standby.error, Timeout)


def at_most(version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have who connects know no later version of TLS."""
    context_of = mutual_tls.context_of

    def old(*what: Any) -> ssl.SSLContext:
        context = context_of(*what)
        context.maximum_version = version
        return context

    monkeypatch.setattr(mutual_tls, "context_of", old)


def test_nothing_is_said_in_clear_to_a_standby_that_has_no_certificate_for_its_address(tmp_path: Path) -> None:
    here, other = certificates(tmp_path, "kvm1", HERE), certificates(tmp_path, "kvm9", "192.0.2.9")
    port, standby = encrypted_standby(other)
    connect(port).close()
    with pytest.raises(ColoError, match="do not take each other"), handover.call(HERE, port, 5.0, here):
        pytest.fail(ENDED)
    assert standby.ended()
