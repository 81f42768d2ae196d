# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host lacks of its certificate is told from what the role host read there."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.plugin_utils import authority, installing
from cryptography.hazmat.primitives import serialization

LOOK = Path(__file__).resolve().parents[4] / "roles" / "host" / "files" / "look.sh"
OWNER = pwd.getpwuid(os.getuid()).pw_name


def looked(directory: Path) -> dict[str, str]:
    """As the role's own script tells of a directory."""
    script = LOOK.read_text(encoding="utf-8")
    start = script.index("for file in /etc/lockstep-colo/pki")
    loop = script[start : script.index("done", start) + len("done")].replace("/etc/lockstep-colo/pki", str(directory))
    said = subprocess.run(["sh", "-c", loop], capture_output=True, text=True, check=False)
    assert said.stderr == ""
    return {
        name.strip(): told.strip(" '")
        for name, _colon, told in (line.partition(":") for line in said.stdout.splitlines())
    }


@pytest.fixture
def wanted(tmp_path: Path) -> list[dict]:
    made = authority.certify(str(tmp_path / "ca"), "kvm1", "10.0.0.1", 730, 60)
    return [{**file, "owner": OWNER} for file in installing.files(made.authority, made.certificate, made.key, OWNER)]


@pytest.fixture
def host(tmp_path: Path, wanted: list[dict]) -> Path:
    place = tmp_path / "host"
    place.mkdir()
    for file in wanted:
        (place / file["name"]).write_bytes(Path(file["src"]).read_bytes())
        (place / file["name"]).chmod(int(file["mode"], 8))
    return place


def test_a_host_that_has_all_lacks_nothing(wanted: list[dict], host: Path) -> None:
    assert installing.missing(wanted, looked(host)) == []


def test_a_bare_host_lacks_all(wanted: list[dict], tmp_path: Path) -> None:
    assert looked(tmp_path / "nothing") == {}
    assert installing.missing(wanted, {}) == wanted
    assert {file["name"]: file["mode"] for file in wanted}["server-key.pem"] == "0600"


@pytest.mark.parametrize("name", ["ca-cert.pem", "server-cert.pem", "client-key.pem"])
def test_what_is_another_or_open_to_others_is_put_right(wanted: list[dict], host: Path, name: str) -> None:
    (host / name).chmod(0o640)
    assert [file["name"] for file in installing.missing(wanted, looked(host))] == [name]
    (host / name).write_text("another", encoding="ascii")
    (host / name).chmod(int(next(file["mode"] for file in wanted if file["name"] == name), 8))
    assert [file["name"] for file in installing.missing(wanted, looked(host))] == [name]


def test_one_that_is_still_to_be_made_is_missing() -> None:
    wanted = installing.files(Path("/no/ca-cert.pem"), Path("/no/cert.pem"), Path("/no/key.pem"), "qemu")
    assert installing.missing(wanted, {"ca-cert.pem": "root 644 x"}) == wanted


def test_files_of_the_operators_own_are_taken_as_they_are_or_refused(tmp_path: Path) -> None:
    with pytest.raises(authority.Refused, match=r"ca-cert\.pem is not there"):
        authority.given(str(tmp_path), "kvm1", "10.0.0.1", 730, 60)
    made = authority.certify(str(tmp_path), "kvm1", "10.0.0.1", 30, 60)
    given = authority.given(str(tmp_path), "kvm1", "10.0.0.9", 730, 60)
    assert (given.changed, given.ends) == (False, made.ends)


def test_a_key_that_is_encrypted_is_of_no_use(tmp_path: Path) -> None:
    made = authority.certify(str(tmp_path), "kvm1", "10.0.0.1", 30, 60)
    key = serialization.load_pem_private_key(made.key.read_bytes(), None)
    for form in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL):
        encryption = serialization.BestAvailableEncryption(b"a password")
        made.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))
        with pytest.raises(authority.Refused, match=r"key\.pem is encrypted, and QEMU is told no password"):
            authority.given(str(tmp_path), "kvm1", "10.0.0.1", 30, 60)
