# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that QEMU or a peer would refuse are a problem of this host's certificate, before anything connects."""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observe.certificates import certificate
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.now(timezone.utc)  # noqa: UP017 - as in the code that is tested
DAY = timedelta(days=1)
BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
PEM = serialization.Encoding.PEM
Issued = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def usage(*names: str) -> x509.KeyUsage:
    known = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: name in names for name in known})


def issue(
    common: str,
    issuer: Issued | None = None,
    *,
    authority: bool | None = False,
    uses: tuple[str, ...] = ("digital_signature", "key_encipherment"),
    purposes: tuple[Any, ...] = BOTH,
    address: str | None = "10.77.0.1",
    begins: datetime = NOW - DAY,
    ends: datetime = NOW + DAY,
) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer[0].subject if issuer else name)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(begins).not_valid_after(ends).add_extension(usage(*uses), critical=True)
    if authority is not None:
        builder = builder.add_extension(x509.BasicConstraints(authority, None), critical=True)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(purposes)), critical=False)
    if address:
        names = [x509.IPAddress(ipaddress.ip_address(address))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


def root(common: str = "an authority", **how: Any) -> Issued:
    return issue(common, **{"authority": True, "uses": ("key_cert_sign",), "purposes": (), "address": None, **how})


def installed(
    where: Path, authority: Issued, host: Issued, *, above: tuple[Issued, ...] = (), others: tuple[Issued, ...] = (),
    encryption: serialization.KeySerializationEncryption | None = None, before: bytes = b"",
) -> str:  # fmt: skip
    """``above`` follow the host's certificate in its file, ``others`` come first in the authority's."""
    form = PEM, serialization.PrivateFormat.PKCS8, encryption or serialization.NoEncryption()
    known = [one.public_bytes(PEM) for one, _key in (*others, authority)]
    (where / "ca-cert.pem").write_bytes(before.join([b"", *known]))
    for end in ("server", "client"):
        shown = [one.public_bytes(PEM) for one, _key in (host, *above)]
        (where / f"{end}-cert.pem").write_bytes(before.join([b"", *shown]))
        (where / f"{end}-key.pem").write_bytes(host[1].private_bytes(*form))
    return str(where)


ROOT = root()


@pytest.mark.parametrize(
    ("authority", "host", "words"),
    [
        (ROOT, issue("kvm1", root("another")), "server-cert.pem is issued by none of ca-cert.pem: put its issuer"),
        (root("twin"), issue("kvm1", root("twin")), "server-cert.pem is refused .* certificate signature failure"),
        (ROOT, issue("kvm1", ROOT, uses=("key_encipherment",)), "server-cert.pem has a key usage without a digital"),
        (ROOT, issue("kvm1", ROOT, uses=("key_agreement",)), "server-cert.pem has a key usage without a digital"),
        (ROOT, issue("kvm1", ROOT, purposes=BOTH[:1]), "client-cert.pem is refused .* unsuitable"),
        (ROOT, issue("kvm1", ROOT, purposes=BOTH[1:]), "server-cert.pem is refused .* unsuitable"),
        (issue("kvm9", ROOT), issue("kvm1", ROOT), "ca-cert.pem is no certificate of an authority"),
        (ROOT, issue("kvm1", ROOT, authority=True), "server-cert.pem is a certificate of an authority"),
    ],
    ids=[
        "another issuer",
        "of its name",
        "enciphers alone",
        "agrees alone",
        "server only",
        "client only",
        "no CA",
        "a CA",
    ],
)
def test_what_no_channel_would_take_is_a_problem(authority: Issued, host: Issued, words: str, tmp_path: Path) -> None:
    problem = certificate(installed(tmp_path, authority, host)).problem
    assert re.search(words, problem or ""), problem


def intermediate(above: Issued) -> Issued:
    return issue("between", above, authority=True, uses=("key_cert_sign",), purposes=(), address=None)


def test_an_intermediate_is_in_the_authoritys_file_and_not_only_in_the_hosts(tmp_path: Path) -> None:
    """OpenSSL takes it from who shows it, and QEMU does not (our measurement, 7.2.22)."""
    between = intermediate(ROOT)
    host = issue("kvm1", between)
    problem = certificate(installed(tmp_path, ROOT, host, above=(between,))).problem
    assert "server-cert.pem is issued by none of ca-cert.pem: put its issuer, such as an intermediate, in" in problem
    for others in ((), (ROOT,)):
        assert certificate(installed(tmp_path, between, host, above=(between,), others=others)).problem is None


def test_an_encrypted_key_is_a_problem_and_nobody_is_asked_for_its_password(tmp_path: Path) -> None:
    encryption = serialization.BestAvailableEncryption(b"a password")
    problem = certificate(installed(tmp_path, ROOT, issue("kvm1", ROOT), encryption=encryption)).problem
    assert problem == f"a certificate of {tmp_path} cannot be read: its key is encrypted, and QEMU is told no password"


def test_text_of_any_kind_may_be_before_a_certificate(tmp_path: Path) -> None:
    text = "Subject: CN=Müller\n".encode()
    assert certificate(installed(tmp_path, ROOT, issue("kvm1", ROOT), before=text)).problem is None


def test_of_several_authorities_each_is_known_and_none_may_have_ended(tmp_path: Path) -> None:
    """QEMU refuses credentials with any that has, or that is none."""
    old, ended = root("an older authority"), root("one of before", ends=NOW - DAY / 2)
    alone = certificate(installed(tmp_path, ROOT, issue("kvm1", ROOT)))
    seen = certificate(installed(tmp_path, ROOT, issue("kvm1", ROOT), others=(old,)))
    assert (seen.problem, seen.authority) == (None, alone.authority)
    assert (seen.authorities[1:], len(seen.authorities)) == (alone.authorities, 2)
    late = certificate(installed(tmp_path, ROOT, issue("kvm1", ROOT), others=(ended,)))
    assert late.ends < NOW.timestamp() < seen.ends
    none = certificate(installed(tmp_path, issue("kvm9", ROOT), issue("kvm1", ROOT), others=(ROOT,)))
    assert none.problem == f"{tmp_path}/ca-cert.pem is no certificate of an authority"


def test_an_authority_that_does_not_say_so_is_none(tmp_path: Path) -> None:
    """OpenSSL takes it for its key usage, and QEMU does not."""
    mute = root(authority=None)
    problem = certificate(installed(tmp_path, mute, issue("kvm1", mute))).problem
    assert problem == f"{tmp_path}/ca-cert.pem is no certificate of an authority"


@pytest.mark.parametrize(
    "how",
    [{}, {"ends": NOW - DAY / 2}, {"begins": NOW + DAY / 2}, {"address": None}, {"address": "fd00::1"}],
    ids=["good", "has ended", "does not begin yet", "of no address", "of IPv6"],
)
def test_what_else_is_said_of_one_is_no_problem_of_its_files(how: dict[str, Any], tmp_path: Path) -> None:
    seen = certificate(installed(tmp_path, ROOT, issue("kvm1", ROOT, **how)))
    assert seen.problem is None
    assert seen.ends > seen.begins
    assert len(seen.addresses) == (how.get("address", "") is not None)
