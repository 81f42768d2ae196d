# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What two watchers say to each other over TLS, on this machine, with certificates made for it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.host import hotline

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="certificates are made with openssl")


def certificate(place: Path, name: str, subject: str, *words: str) -> None:
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    files = ["-keyout", str(place / f"{name}-key.pem"), "-out", str(place / f"{name}-cert.pem")]
    subprocess.run([*command, *files, "-subj", subject, *words], check=True, capture_output=True)


def pki(place: Path, authority: Path | None = None, name: str = "kvm1") -> Path:
    """A host's directory; of the authority of another one, where that is given."""
    place.mkdir()
    if authority is None:
        certificate(place, "ca", "/CN=ca", "-addext", "basicConstraints=critical,CA:TRUE")
    else:
        for file in authority.glob("ca-*"):
            shutil.copy(file, place)
    by = ["-CA", str(place / "ca-cert.pem"), "-CAkey", str(place / "ca-key.pem")]
    names = [
        "-addext",
        f"subjectAltName=DNS:{name}.example,IP:10.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]
    for end in ("server", "client"):
        certificate(place, end, f"/CN={name}", *names, *by)
    return place


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pki(tmp_path_factory.mktemp("pki") / "ours")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pki(tmp_path_factory.mktemp("pki") / "theirs")


class Host:
    """One that listens on a free port of this machine."""

    def __init__(self, where: Path, converse: Callable[[hotline.Line], None], address: str = "127.0.0.1") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.complaints: list[str] = []
        words = (address, self.port, str(where), converse, self.complaints.append)
        threading.Thread(target=hotline.listen, args=words, daemon=True).start()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("it does not listen")


def echo(line: hotline.Line) -> None:
    while True:
        line.say({"heard": line.hear(), "from": sorted(line.names)})


def test_both_know_by_the_certificate_with_whom_they_speak(ours: Path) -> None:
    host = Host(ours, echo)
    line = hotline.call("127.0.0.1", host.port, str(ours))
    assert line.names == {"kvm1", "kvm1.example", "10.0.0.1"}
    line.say([1, "ä"])
    assert line.hear() == {"heard": [1, "ä"], "from": ["10.0.0.1", "kvm1", "kvm1.example"]}
    line.close()


@pytest.mark.parametrize(("address", "elsewhere"), [("127.0.0.1", False), ("", True)])
def test_it_is_reached_at_its_addresses_alone(ours: Path, address: str, elsewhere: bool) -> None:
    host = Host(ours, echo, address)
    with socket.socket() as other:
        assert (other.connect_ex(("127.0.0.2", host.port)) == 0) is elsewhere


@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8::7"])
def test_an_address_that_is_not_there_yet_can_be_listened_at(ours: Path, address: str) -> None:
    complaints: list[str] = []
    words = (address, 0, str(ours), echo, complaints.append)
    listener = threading.Thread(target=hotline.listen, args=words, daemon=True)
    listener.start()
    listener.join(0.3)
    assert listener.is_alive()


def test_a_host_of_another_authority_is_not_spoken_to_by_either(ours: Path, theirs: Path) -> None:
    heard: list[object] = []
    host = Host(ours, lambda line: heard.append(line.hear()))
    with pytest.raises(ssl.SSLError):
        hotline.call("127.0.0.1", host.port, str(theirs))
    assert heard == []


def test_who_shows_no_certificate_is_not_heard(ours: Path) -> None:
    heard: list[object] = []
    host = Host(ours, lambda line: heard.append(line.hear()))
    context = ssl.create_default_context(cafile=str(ours / "ca-cert.pem"))
    context.check_hostname = False
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", host.port), 5) as plain:
        line = context.wrap_socket(plain)
        line.sendall(b"{}\n")
        assert line.recv(1) == b""
    assert heard == []


def test_plain_text_and_silence_are_cut_off(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hotline, "HANDSHAKE", 0.3)
    host = Host(ours, echo)
    for words in (b"GET / HTTP/1.0\r\n\r\n", b""):
        with socket.create_connection(("127.0.0.1", host.port), 5) as plain:
            plain.sendall(words)
            plain.settimeout(5)
            left = b"?"
            while left:
                try:
                    left = plain.recv(4096)
                except ConnectionResetError:
                    break
    line = hotline.call("127.0.0.1", host.port, str(ours))
    line.say(1)
    assert line.hear()["heard"] == 1, "it listens on"
    line.close()


def test_a_line_without_end_is_an_error(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hotline, "LONGEST", 1000)
    host = Host(ours, echo)
    line = hotline.call("127.0.0.1", host.port, str(ours))
    with contextlib.suppress(OSError):  # it is cut off while it talks, or afterwards
        for _time in range(100):
            line._connection.sendall(b"x" * 1000)
            time.sleep(0.01)
    assert any("a line without end" in words for words in host.complaints)


def test_whoever_is_silent_at_one_address_keeps_no_other_out(ours: Path) -> None:
    host = Host(ours, echo)
    with contextlib.ExitStack() as silent:
        for _time in range(hotline.MOST_CALLERS):
            stranger = socket.create_connection(("127.0.0.1", host.port), 5, source_address=("127.0.0.66", 0))
            silent.enter_context(stranger)
        line = hotline.call("127.0.0.1", host.port, str(ours))
        line.say(1)
        assert line.hear()["heard"] == 1
        line.close()


def test_one_address_has_room_again_when_its_callers_are_gone(ours: Path) -> None:
    host = Host(ours, echo)
    for _time in range(3 * hotline.MOST_OF_ONE):
        line = hotline.call("127.0.0.1", host.port, str(ours))
        line.say(1)
        assert line.hear()["heard"] == 1
        line.close()
        time.sleep(0.05)


def test_a_line_that_is_nested_without_end_is_no_json(ours: Path) -> None:
    host = Host(ours, echo)
    line = hotline.call("127.0.0.1", host.port, str(ours))
    line._connection.sendall(b"[" * 200_000 + b"\n")
    with pytest.raises(OSError, match=r"."):
        line.hear()
    deadline = time.monotonic() + 10
    while not any("nested too deep" in words for words in host.complaints):
        assert time.monotonic() < deadline, host.complaints
        time.sleep(0.02)
