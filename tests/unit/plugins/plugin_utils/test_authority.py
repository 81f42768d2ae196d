# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificates that the control node makes, as QEMU and a host's own look read them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import ssl
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Host
from ansible_collections.lockstep.colo.plugins.module_utils.observe.certificates import certificate
from ansible_collections.lockstep.colo.plugins.module_utils.record.identity import subject
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements import encryption
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
    assert (seen.problem, seen.subject, seen.client) == (None, subject("kvm1"), subject("kvm1"))
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


def test_one_of_another_host_is_made_anew_though_it_has_the_address(tmp_path: Path) -> None:
    certify(tmp_path)
    other = certify(tmp_path, "kvm2", "10.0.0.1")
    for path in (other.certificate, other.key):
        shutil.copy(path, tmp_path / "kvm1" / path.name)
    assert certify(tmp_path, dry=True).changed
    made = certify(tmp_path)
    assert made.changed
    assert certificate(str(installed(made, tmp_path / "host"))).subject == subject("kvm1")
    assert not certify(tmp_path).changed


@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize("name", ["ca-key.pem", "ca-cert.pem"])
def test_no_host_has_the_name_of_a_file_of_the_authority(tmp_path: Path, name: str, dry: bool) -> None:
    with pytest.raises(authority.Refused, match=r"is a file of the authority in .* another name in the inventory"):
        certify(tmp_path, name, dry=dry)
    assert not list(tmp_path.iterdir())


def test_one_that_ends_soon_is_made_anew(tmp_path: Path) -> None:
    certify(tmp_path, days=59)
    assert certify(tmp_path).changed


def test_a_short_one_is_kept_for_half_its_time(tmp_path: Path) -> None:
    certify(tmp_path, days=59)
    assert not certify(tmp_path, days=59).changed


def before(monkeypatch: pytest.MonkeyPatch, years: float) -> None:
    """What is made now is made so long ago."""

    class Then(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(tz) - timedelta(days=365 * years)

    monkeypatch.setattr(authority, "datetime", Then)


def ends_in(path: Path) -> int:
    """Days."""
    certificate = authority.x509.load_pem_x509_certificate(path.read_bytes())
    return (authority._ends(certificate) - datetime.now(authority.UTC)).days


def test_an_authority_is_renewed_before_what_it_makes_would_outlive_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "pki"
    with monkeypatch.context() as then:
        before(then, 8.5)
        certify(home)
    assert certify(home, *KVM2, days=365).changed
    older = installed(certify(home, *KVM2, days=365), tmp_path / "kvm2")
    key = (home / "ca-key.pem").read_bytes()
    assert ends_in(home / "ca-cert.pem") in range(540, 550)
    assert certify(home, dry=True).changed
    made = certify(home)
    assert made.changed
    assert (home / "ca-key.pem").read_bytes() == key
    assert ends_in(home / "ca-cert.pem") == authority.AUTHORITY_DAYS - 1
    assert not certify(home, *KVM2).changed, "what it has issued is still good"
    assert talk(older, installed(made, tmp_path / "kvm1"), "127.0.0.1") == "heard"


def told_apart(one: Path, another: Path) -> list[str]:
    """What a preflight has against two hosts with these files."""
    hosts = [Host(path.name, "", certificate=certificate(str(path))) for path in (one, another)]
    assert [host.certificate.problem for host in hosts] == [None, None]
    return [row.state for row in encryption.same_authority(*hosts, needed=True)]


def test_hosts_with_either_certificate_of_a_renewed_authority_are_a_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "pki"
    with monkeypatch.context() as then:
        before(then, 8.5)
        certify(home, *KVM2)
    older = installed(certify(home, *KVM2, days=365), tmp_path / "kvm2")
    newer = installed(certify(home), tmp_path / "kvm1")
    assert (older / "ca-cert.pem").read_bytes() != (newer / "ca-cert.pem").read_bytes()
    assert told_apart(older, newer) == ["ok"]
    for name in ("kvm1", "other"):
        other = installed(certify(tmp_path / "another", name), tmp_path / f"{name} of another")
        assert told_apart(older, other) == ["wrong"]
    several = newer / "ca-cert.pem"
    several.write_bytes(b"# both\n" + several.read_bytes() + (other / "ca-cert.pem").read_bytes())
    assert told_apart(older, newer) == ["ok"]


def test_an_authority_that_is_cut_off_is_named(tmp_path: Path) -> None:
    host = installed(certify(tmp_path / "pki"), tmp_path / "host")
    whole = (host / "ca-cert.pem").read_text(encoding="ascii").splitlines()
    (host / "ca-cert.pem").write_text("\n".join([*whole[:3], whole[-1], ""]), encoding="ascii")
    assert "cannot be read" in certificate(str(host)).problem


def test_an_authority_that_has_ended_issues_nothing_before_it_is_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as then:
        before(then, 11)
        certify(tmp_path)
    key = tmp_path / "ca-key.pem"
    kept = key.read_bytes()
    key.unlink()
    with pytest.raises(authority.Refused, match="is not there"):
        certify(tmp_path)
    key.write_bytes(kept)
    assert certify(tmp_path).changed
    assert ends_in(tmp_path / "ca-cert.pem") > 3600


@pytest.mark.parametrize("years", [9.9, 11])
def test_an_authority_of_the_operators_own_is_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, years: float
) -> None:
    monkeypatch.setattr(authority, "ORGANISATION", "somebody else")
    with monkeypatch.context() as then:
        before(then, years)
        certify(tmp_path)
    monkeypatch.undo()
    kept = (tmp_path / "ca-cert.pem").read_bytes()
    if years > 10:
        with pytest.raises(authority.Refused, match="ended on"):
            certify(tmp_path)
    else:
        made = certify(tmp_path)
        assert ends_in(made.certificate) == ends_in(made.authority), "nothing outlives its authority"
        assert not certify(tmp_path).changed
    assert (tmp_path / "ca-cert.pem").read_bytes() == kept


def test_what_is_written_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def name(handle: int) -> str:
        return Path(f"/proc/self/fd/{handle}").readlink().name.partition(".pem")[0]

    monkeypatch.setattr(authority.os, "fsync", lambda handle: (done.append(name(handle)), sync(handle)))
    monkeypatch.setattr(Path, "replace", lambda one, to: (done.append(f"named {to.name}"), replace(one, to)))
    certify(tmp_path / "pki")
    for where, file in (("pki", "ca-key"), ("pki", "ca-cert"), ("kvm1", "key"), ("kvm1", "cert")):
        at = done.index(f"named {file}.pem")
        assert (done[at - 1], done[at + 1]) == (f".{file}", where)


def test_keys_that_came_here_open_to_others_are_shut(tmp_path: Path) -> None:
    home = tmp_path / "pki"
    made = certify(home)
    ways = {home: 0o700, home / "kvm1": 0o700, home / "ca-key.pem": 0o600, made.key: 0o600}
    for path, mode in ways.items():
        path.chmod(mode | 0o055)
    assert certify(home, dry=True).changed
    assert home.stat().st_mode & 0o777 == 0o755
    assert certify(home).changed
    assert {path: path.stat().st_mode & 0o777 for path in ways} == ways
    assert not certify(home).changed


def test_a_key_of_the_operators_own_is_shut_as_well(tmp_path: Path) -> None:
    key = certify(tmp_path / "pki").key
    key.chmod(0o644)
    key.parent.chmod(0o755)
    asked = str(tmp_path / "pki"), *KVM1, 730, 60
    assert authority.given(*asked, dry=True).changed
    assert key.stat().st_mode & 0o777 == 0o644
    assert authority.given(*asked).changed
    assert [path.stat().st_mode & 0o777 for path in (key, key.parent)] == [0o600, 0o700]
    assert not authority.given(*asked).changed
    (tmp_path / "pki" / "theirs").mkdir()
    (tmp_path / "pki").chmod(0o777)
    with pytest.raises(authority.Refused, match="others can write to"):
        authority.given(*asked)


def test_the_longest_that_may_be_asked_for_can_be_made(tmp_path: Path) -> None:
    assert certify(tmp_path, days=authority.MOST_DAYS).changed


def test_a_directory_with_other_things_in_it_is_left_as_it_is_and_refused_where_others_write(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("", encoding="ascii")
    tmp_path.chmod(0o755)
    certify(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    tmp_path.chmod(0o777)
    with pytest.raises(authority.Refused, match="others can write to"):
        certify(tmp_path)


@pytest.mark.parametrize("name", ["ca-cert.pem", "ca-key.pem"])
@pytest.mark.parametrize("dry", [True, False])
def test_an_authority_that_cannot_be_read_is_said(tmp_path: Path, name: str, dry: bool) -> None:
    certify(tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_text("garbage", encoding="ascii")
    with pytest.raises(authority.Refused, match="cannot be read"):
        certify(tmp_path, dry=dry)
    (tmp_path / name).write_bytes(whole)
    other = tmp_path / "other"
    certify(other)
    shutil.copy(other / name, tmp_path / name)
    with pytest.raises(authority.Refused, match="is not the key of"):
        certify(tmp_path, dry=dry)


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


def test_an_older_cryptography_is_refused_in_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Before 40 it cannot say whether a certificate is of an authority: the first deploy would be the last."""
    monkeypatch.setattr(authority.x509, "Certificate", type("Certificate", (), {}))
    spec = importlib.util.find_spec(authority.__name__)
    older = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(older)
    with pytest.raises(older.Refused, match="no cryptography 40 or later"):
        older.certify(str(tmp_path), "kvm1", "10.0.0.1", 730, 60)
    assert not list(tmp_path.iterdir())
