# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who connects says nothing to a false server in its peer's place, and who listens takes its peer alone, by name and
address; over real sockets."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.apply import handover
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.host import mutual_tls, nbd, sieve, sockets
from ansible_collections.lockstep.colo.plugins.plugin_utils import authority

HERE = "127.0.0.1"
AN_HOUR_AGO = -1 / 48  # as days in force, of a certificate that was made an hour ago
PATIENCE = 3.0  # seconds
ALERT, LENGTH_OF_ALERT = b"\x15\x03", 7  # TLS's word for what it does not understand, in clear
FAULTS = ["of another host", "of another authority", "that has ended", "none, and no TLS"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of this host's certificate, by QEMU's names, and beside it each that a server shows."""
    home = tmp_path_factory.mktemp("pki")
    here = authority.certify(str(home / "known"), "kvm1", HERE, 100, 10)
    ours = home / "ours"
    ours.mkdir()
    shutil.copy(here.authority, ours / "ca-cert.pem")
    for end in ("server", "client"):
        shutil.copy(here.certificate, ours / f"{end}-cert.pem")
        shutil.copy(here.key, ours / f"{end}-key.pem")
    shutil.copytree(home / "known", home / "of the peer")
    shutil.copytree(home / "known", home / "that has ended")
    shutil.copytree(home / "known", home / "of another organisation")
    made = {
        "of the peer": ("kvm2", HERE, 100),
        "of another organisation": ("kvm2", HERE, 100),
        "of another host": ("kvm9", "192.0.2.9", 100),
        "of another authority": ("kvm2", HERE, 100),
        "that has ended": ("kvm2", HERE, AN_HOUR_AGO),
    }
    for name, (host, address, days) in made.items():
        if name == "of another host":
            shutil.copytree(home / "known", home / name)
        with pytest.MonkeyPatch.context() as patch:
            if name == "of another organisation":
                patch.setattr(authority, "ORGANISATION", "Somebody Else")
            authority.certify(str(home / name), host, address, days, 10)
        (home / name / host).rename(home / name / "shown")
    return home


class Impostor(threading.Thread):
    """It takes one connection, as an NBD server or at once with TLS; ``said`` is what it was told within or without."""

    def __init__(self, shown: Path | None, *, exports: bool) -> None:
        super().__init__(daemon=True)
        self.server = socket.create_server((HERE, 0))
        self.port: int = self.server.getsockname()[1]
        self.shown, self.exports, self.said, self.asked = shown, exports, b"", False
        self.start()

    def run(self) -> None:
        with self.server, self.server.accept()[0] as plain, contextlib.suppress(OSError, EOFError):
            plain.settimeout(PATIENCE)
            if self.exports:
                plain.sendall(nbd.MAGIC + nbd.OPTIONS + struct.pack(">H", nbd.FIXED | nbd.NO_ZEROES))
                self.asked = struct.unpack(">I8sII", nbd.exactly(plain, 20))[2] == nbd.STARTTLS
                kind = nbd.ACK if self.shown else nbd.UNSUPPORTED
                plain.sendall(struct.pack(">QIII", 0x3E889045565A9, nbd.STARTTLS, kind, 0))
            else:
                self.asked = plain.recv(3, socket.MSG_PEEK)[:2] == b"\x16\x03"
            if self.shown is None:
                if not self.exports:
                    plain.recv(1 << 16)  # the greeting of TLS
                    plain.sendall(bytes(64))
                self._hear(plain)
                return
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.shown / "cert.pem", self.shown / "key.pem")
            with context.wrap_socket(plain, server_side=True) as within:
                if not self.exports:
                    within.sendall(handover.KNOWN)
                self._hear(within)

    def _hear(self, connection: socket.socket) -> None:
        while more := connection.recv(1 << 16):
            self.said += more
            if self.shown is not None:
                return  # one word is enough to show that it is spoken to


def say_the_word(port: int, ours: str) -> None:
    with handover.call(HERE, port, PATIENCE, ours) as tell:
        tell("the token")


def ask_for_an_export(port: int, ours: str) -> None:
    with socket.create_connection((HERE, port), PATIENCE) as plain:
        nbd.connected(plain, "disk", HERE, ours)


def ask_for_sums(port: int, ours: str) -> None:
    told = {"address": HERE, "sums": port, "credentials": ours, "target": "vda", "size": 1}
    assert sieve._asked(told) is None


CALLERS = pytest.mark.parametrize("call", [say_the_word, ask_for_an_export, ask_for_sums])


def spoken(call: Callable[[int, str], None], home: Path, shown: str) -> bytes:
    """What an impostor that shows this is told."""
    path = home / shown / "shown"
    server = Impostor(path if path.exists() else None, exports=call is ask_for_an_export)
    with contextlib.suppress(ColoError, OSError, EOFError):
        call(server.port, str(home / "ours"))
    server.join(10)
    assert not server.is_alive()
    assert server.asked, "it was not asked for TLS: this proves nothing"
    return server.said


@CALLERS
@pytest.mark.parametrize("shown", FAULTS)
def test_nothing_is_said_to_one_who_has_not_the_peers_certificate(
    home: Path, call: Callable[[int, str], None], shown: str
) -> None:
    said = spoken(call, home, shown)
    assert said == b"" or (said.startswith(ALERT) and len(said) == LENGTH_OF_ALERT)


@CALLERS
def test_one_who_has_it_is_spoken_to(home: Path, call: Callable[[int, str], None]) -> None:
    assert spoken(call, home, "of the peer")


WHY = {
    "of another host": "does not prove to be the standby's host: IP address mismatch",
    "of another authority": "does not prove to be the standby's host: ",  # why hangs on the second it was made in
    "that has ended": "does not prove to be the standby's host: certificate has expired",
    "none, and no TLS": "is not the standby's QEMU, or does not take this host: the NBD server does not encrypt",
}


@pytest.mark.parametrize("shown", FAULTS)
def test_it_is_said_why_a_standbys_export_is_not_connected_with(home: Path, shown: str) -> None:
    path = home / shown / "shown"
    server = Impostor(path if path.exists() else None, exports=True)
    with pytest.raises(ColoError, match=re.escape(WHY[shown])):
        nbd.see_export(HERE, server.port, "disk", str(home / "ours"), PATIENCE)


def test_one_that_says_nothing_once_tls_was_agreed_on_is_waited_for_no_longer_than_that(home: Path) -> None:
    """QEMU would wait for ever, and its guest with it."""

    def answer() -> None:
        with server.accept()[0] as plain:
            plain.sendall(nbd.MAGIC + nbd.OPTIONS + struct.pack(">H", nbd.FIXED | nbd.NO_ZEROES))
            nbd.exactly(plain, 20)
            plain.sendall(struct.pack(">QIII", 0x3E889045565A9, nbd.STARTTLS, nbd.ACK, 0))
            while plain.recv(1 << 16):
                pass

    with socket.create_server((HERE, 0)) as server:
        threading.Thread(target=answer, daemon=True).start()
        port = server.getsockname()[1]
        with pytest.raises(ColoError, match=f"{HERE} port {port} does not answer within 0.5 s"):
            nbd.see_export(HERE, port, "disk", str(home / "ours"), 0.5)


WHY_OF_A_SERVER = {**WHY, "none, and no TLS": "is not the standby's QEMU, or does not take this host: [SSL"}


@pytest.mark.parametrize("shown", FAULTS)
def test_it_is_said_why_no_memory_is_sent_to_a_server(home: Path, shown: str) -> None:
    path = home / shown / "shown"
    server = Impostor(path if path.exists() else None, exports=False)
    with pytest.raises(ColoError, match=re.escape(WHY_OF_A_SERVER[shown])):
        mutual_tls.see_server(HERE, server.port, str(home / "ours"), PATIENCE)


def test_a_server_that_says_nothing_is_waited_for_no_longer_than_that(home: Path) -> None:
    with socket.create_server((HERE, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ColoError, match=f"{HERE} port {port} does not answer within 0.5 s"):
            mutual_tls.see_server(HERE, port, str(home / "ours"), 0.5)


def drip(words: bytes) -> socket.socket:
    """A server that says this, a byte every tenth of a second, to one caller."""
    server = socket.create_server((HERE, 0))

    def say() -> None:
        with server.accept()[0] as plain, contextlib.suppress(OSError):
            for at in range(len(words)):
                plain.sendall(words[at : at + 1])
                time.sleep(0.1)

    threading.Thread(target=say, daemon=True).start()
    return server


def test_an_export_whose_server_says_a_byte_at_a_time_is_waited_for_no_longer_than_that(home: Path) -> None:
    with drip(nbd.MAGIC + nbd.OPTIONS + bytes(14)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ColoError, match=f"{HERE} port {port} does not answer within 0.5 s"):
            nbd.see_export(HERE, port, "disk", str(home / "ours"), 0.5)


def test_a_server_that_says_a_byte_at_a_time_is_waited_for_no_longer_than_that(home: Path) -> None:
    with drip(b"\x16\x03\x03\x40\x00" + bytes(25)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ColoError, match=f"{HERE} port {port} does not answer within 0.5 s"):
            mutual_tls.see_server(HERE, port, str(home / "ours"), 0.5)


def test_what_comes_to_an_end_in_time_is_not_ended_after_it() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with sockets.within(0.2, ours):
            pass
        time.sleep(0.3)
        theirs.sendall(b"x")
        assert ours.recv(1) == b"x"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_peers_server_is_seen_and_refuses_who_has_shown_it_nothing(home: Path, version: ssl.TLSVersion) -> None:
    """So it goes on to listen; which of both ends the handshake is a matter of the version."""
    refusals = []

    def answer() -> None:
        context = mutual_tls.context_of(ssl.PROTOCOL_TLS_SERVER, str(home / "ours"), "server")
        context.verify_mode, context.maximum_version = ssl.CERT_REQUIRED, version
        try:
            context.wrap_socket(server.accept()[0], server_side=True).close()
        except ssl.SSLError as error:
            refusals.append(error.reason)

    with socket.create_server((HERE, 0)) as server:
        peer = threading.Thread(target=answer, daemon=True)
        peer.start()
        mutual_tls.see_server(HERE, server.getsockname()[1], str(home / "ours"), PATIENCE)
        peer.join(PATIENCE)
    assert refusals == ["PEER_DID_NOT_RETURN_A_CERTIFICATE"]


def taken(home: Path, shown: str, peer: str, host: str) -> bool:
    """Whether who listens takes a caller with this certificate for ``host``, whose address is ``peer``."""
    ours, theirs = socket.socketpair()
    context = ssl.create_default_context(cafile=home / "ours" / "ca-cert.pem")
    context.check_hostname = False
    context.load_cert_chain(home / shown / "shown" / "cert.pem", home / shown / "shown" / "key.pem")

    def call() -> None:
        with contextlib.suppress(OSError), context.wrap_socket(theirs) as within:
            within.recv(1)

    caller = threading.Thread(target=call, daemon=True)
    caller.start()
    try:
        mutual_tls.incoming(ours, peer, host, str(home / "ours")).close()
        return True
    except ssl.SSLError:
        return False
    finally:
        ours.close()
        caller.join(10)


@pytest.mark.parametrize(
    ("shown", "peer", "host", "is_taken"),
    [
        ("of the peer", HERE, "kvm2", True),
        ("of the peer", HERE, "kvm3", False),
        ("of the peer", "192.0.2.2", "kvm2", False),
        ("of another host", "192.0.2.9", "kvm2", False),
        ("of another authority", HERE, "kvm2", False),
        ("of another organisation", HERE, "kvm2", False),
    ],
)
def test_who_listens_takes_one_of_the_peers_name_and_address(
    home: Path, shown: str, peer: str, host: str, is_taken: bool
) -> None:
    assert taken(home, shown, peer, host) is is_taken
