# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificates that the control node makes, as QEMU and a host's own look read them."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import channels
from ansible_collections.lockstep.colo.plugins.module_utils.observe.certificates import certificate
from ansible_collections.lockstep.colo.plugins.plugin_utils import authority

KVM1, KVM2 = ("kvm1", "10.0.0.1"), ("kvm2", "127.0.0.1")


def certify(home: Path, host: str = "kvm1", address: str = "10.0.0.1", days: int = 730, **more: object) -> object:
    return authority.certify(str(home), host, address, days, 60, **more)


def installed(made: authority.Made, where: Path) -> Path:
    """As the role pki installs it on a host."""
    where.mkdir()
    for name in ("server", "client"):
        shutil.copy(made.certificate, where / f"{name}-cert.pem")
        shutil.copy(made.key, where / f"{name}-key.pem")
    shutil.copy(made.authority, where / "ca-cert.pem")
    return where


def test_what_is_made_is_what_the_channels_ask_for(tmp_path: Path) -> None:
    seen = certificate(str(installed(certify(tmp_path / "pki"), tmp_path / "host")))
    assert (seen.problem, seen.subject, seen.client) == (None, channels.subject("kvm1"), channels.subject("kvm1"))
    assert seen.addresses == ("10.0.0.1",)
    assert seen.begins < seen.ends


def test_keys_are_their_owners_alone(tmp_path: Path) -> None:
    made = certify(tmp_path / "pki")
    keys = [made.key, tmp_path / "pki" / "ca-key.pem"]
    assert [key.stat().st_mode & 0o777 for key in keys] == [0o600, 0o600]
    assert (tmp_path / "pki").stat().st_mode & 0o777 == 0o700


def test_one_that_is_in_force_is_kept(tmp_path: Path) -> None:
    first, second = certify(tmp_path), certify(tmp_path)
    assert (first.changed, second.changed) == (True, False)
    assert first.ends == second.ends


@pytest.mark.parametrize(
    ("spoil", "again"),
    [
        (lambda home: None, {"address": "10.0.0.9"}),
        (lambda home: (home / "kvm1" / "key.pem").unlink(), {}),
        (lambda home: (home / "kvm1" / "cert.pem").write_text("no certificate", encoding="ascii"), {}),
        (lambda home: [(home / f"ca-{one}.pem").unlink() for one in ("cert", "key")], {}),
    ],
    ids=["another address", "no key", "no certificate", "another authority"],
)
def test_one_that_is_of_no_use_is_made_anew(tmp_path: Path, spoil: object, again: dict) -> None:
    certify(tmp_path)
    spoil(tmp_path)
    assert certify(tmp_path, **again).changed


def test_one_that_ends_soon_is_made_anew(tmp_path: Path) -> None:
    certify(tmp_path, days=59)
    assert certify(tmp_path).changed


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    assert certify(tmp_path / "pki", dry=True).changed
    assert not (tmp_path / "pki").exists()


@pytest.mark.parametrize(
    ("host", "address", "words"),
    [("../kvm1", "10.0.0.1", "cannot be a certificate's name"), ("kvm1", "kvm1.example.org", "is no IP address")],
)
def test_what_no_certificate_can_be_made_for_is_said(tmp_path: Path, host: str, address: str, words: str) -> None:
    with pytest.raises(authority.Refused, match=words):
        certify(tmp_path, host, address)


def test_an_authority_without_its_key_is_not_replaced_behind_ones_back(tmp_path: Path) -> None:
    certify(tmp_path)
    (tmp_path / "ca-key.pem").unlink()
    with pytest.raises(authority.Refused, match="is not there"):
        certify(tmp_path, "kvm2", "10.0.0.2")


def test_what_is_missing_on_a_host_is_named(tmp_path: Path) -> None:
    assert "server-key.pem" in certificate(str(tmp_path)).problem
    home = installed(certify(tmp_path / "pki"), tmp_path / "host")
    (home / "server-cert.pem").write_text("-----BEGIN CERTIFICATE-----\nx\n", encoding="ascii")
    assert "cannot be read" in certificate(str(home)).problem


def test_a_key_of_another_certificate_is_named(tmp_path: Path) -> None:
    home = installed(certify(tmp_path / "pki"), tmp_path / "host")
    shutil.copy(certify(tmp_path / "pki", "kvm2", "10.0.0.2").key, home / "client-key.pem")
    assert "key values mismatch" in certificate(str(home)).problem


def talk(server: Path, client: Path, address: str) -> str:
    """What a client that looks for ``address`` in the certificate hears of a server, both with their certificates."""
    listening, connecting = (ssl.SSLContext(one) for one in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT))
    for context, home, name in ((listening, server, "server"), (connecting, client, "client")):
        context.load_cert_chain(home / f"{name}-cert.pem", home / f"{name}-key.pem")
        context.load_verify_locations(home / "ca-cert.pem")
    listening.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as port:

        def serve() -> None:
            try:
                with listening.wrap_socket(port.accept()[0], server_side=True) as one:
                    one.sendall(b"heard")
            except OSError:
                pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with (
                socket.create_connection(port.getsockname(), 5) as raw,
                connecting.wrap_socket(raw, server_hostname=address) as one,
            ):
                return one.recv(5).decode()
        except OSError as error:
            return type(error).__name__
        finally:
            thread.join(5)


def test_two_hosts_of_one_authority_hear_each_other_and_nobody_else(tmp_path: Path) -> None:
    ours = [installed(certify(tmp_path / "pki", *one), tmp_path / one[0]) for one in (KVM1, KVM2)]
    stranger = installed(certify(tmp_path / "other", "kvm1", "10.0.0.1"), tmp_path / "stranger")
    assert talk(ours[1], ours[0], "127.0.0.1") == "heard"
    assert talk(ours[1], stranger, "127.0.0.1") != "heard"
    assert talk(ours[0], ours[1], "127.0.0.1") != "heard"  # kvm1's, which is for another address
