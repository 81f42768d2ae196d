# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small certificate authority in a directory of the control node, and in it a certificate for each KVM host.

    ca-key.pem  ca-cert.pem  HOST/key.pem  HOST/cert.pem

A certificate is what QEMU wants of it (docs/system/tls.rst): one for both ends of a connection, with the address that
is connected to in it, since that is what a socket's client looks for, and the host's name as the subject, which is what
who listens looks for.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    HAS_CRYPTOGRAPHY = True
except ImportError:  # a control node of pairs without TLS does without
    HAS_CRYPTOGRAPHY = False

ORGANISATION = "lockstep.colo"
AUTHORITY_DAYS = 3650
BACKDATED = timedelta(hours=1)  # for clocks that are apart
UTC = timezone.utc  # noqa: UP017 - a control node may have an older Python than the hosts
NO_CRYPTOGRAPHY = "this control node's Python has no cryptography: install it beside ansible-core, or colo_tls: off"
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Refused(ValueError):
    """What no certificate can be made for, or of, in words."""


@dataclass(frozen=True)
class Made:
    authority: Path
    certificate: Path
    key: Path
    ends: datetime | None  # of one that was given, where nothing here can read it
    changed: bool


def certify(directory: str, host: str, address: str, days: int, renew_before: int, *, dry: bool = False) -> Made:
    """The certificate of ``host``, made where there is none that is in force for so long; ``dry``: only say so."""
    if not HAS_CRYPTOGRAPHY:
        raise Refused(NO_CRYPTOGRAPHY)
    if not _HOST.fullmatch(host):
        raise Refused(f"{host!r} cannot be a certificate's name: use letters, digits, dots and dashes in the inventory")
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        raise Refused(f"colo_address of {host} is {address!r}, which is no IP address") from None
    home = Path(directory)
    paths = _paths(home, host)
    now = datetime.now(UTC)
    if dry:
        known = _in_force(*paths, ip, now + timedelta(days=renew_before)) if home.exists() else None
        return Made(*paths, _ends(known) if known else now + timedelta(days=days), known is None)
    with _alone(home):
        known = _in_force(*paths, ip, now + timedelta(days=renew_before))
        if known is None:
            issuer, signer = _authority(home, now)
            known = _issue(issuer, signer, paths[1], paths[2], host, ip, now, days)
            return Made(*paths, _ends(known), True)
        return Made(*paths, _ends(known), False)


def given(directory: str, host: str, address: str, days: int, renew_before: int, *, dry: bool = False) -> Made:
    """The operator's own, which are kept as they are; a host's preflight says what is wrong with one."""
    paths = _paths(Path(directory), host)
    for path in paths:
        if not path.is_file():
            raise Refused(f"{path} is not there: put it there, or leave colo_pki_make as it is")
    try:
        ends = _ends(x509.load_pem_x509_certificate(paths[1].read_bytes())) if HAS_CRYPTOGRAPHY else None
        return Made(*paths, ends, False)
    except ValueError as error:
        raise Refused(f"{paths[1]} cannot be read: {error}") from error


def _paths(home: Path, host: str) -> tuple[Path, Path, Path]:
    return home / "ca-cert.pem", home / host / "cert.pem", home / host / "key.pem"


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Forks of one run make certificates side by side, and the authority only once."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / ".lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _in_force(ca: Path, path: Path, key: Path, ip: object, until: datetime) -> x509.Certificate | None:
    """The certificate, where it is of this authority, for this address, and does not end before ``until``."""
    try:
        issuer, found = (x509.load_pem_x509_certificate(one.read_bytes()) for one in (ca, path))
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found.verify_directly_issued_by(issuer)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, x509.ExtensionNotFound):  # another authority's, or not ours any more
        return None
    except Exception as error:
        if type(error).__name__ != "InvalidSignature":
            raise
        return None
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    whole = private.public_key().public_bytes(*form) == found.public_key().public_bytes(*form)
    good = whole and ip in names.get_values_for_type(x509.IPAddress) and _ends(found) > until
    return found if good else None


def _ends(certificate: x509.Certificate) -> datetime:
    """Older versions of cryptography tell it without a time zone."""
    found = getattr(certificate, "not_valid_after_utc", None)
    return found if found is not None else certificate.not_valid_after.replace(tzinfo=UTC)


def _authority(home: Path, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    ca, key = home / "ca-cert.pem", home / "ca-key.pem"
    if ca.exists() != key.exists():
        missing = key if ca.exists() else ca
        raise Refused(
            f"{missing} is not there. Bring it back, or remove {home} for a new authority: every host then has to get "
            "a certificate anew before its pairs connect again"
        )
    if ca.exists():
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        return x509.load_pem_x509_certificate(ca.read_bytes()), private
    private = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"certificate authority of {now:%Y-%m-%d %H:%M:%S}")
    builder = _builder(name, name, private, now, AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(sign=True), critical=True)
    made = builder.sign(private, hashes.SHA256())
    _write_key(key, private)
    _write(ca, made.public_bytes(serialization.Encoding.PEM), 0o644)
    return made, private


def _issue(
    issuer: x509.Certificate,
    signer: ec.EllipticCurvePrivateKey,
    path: Path,
    key: Path,
    host: str,
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
    now: datetime,
    days: int,
) -> x509.Certificate:
    private = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name(host), issuer.subject, private, now, days)
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    alternatives = x509.SubjectAlternativeName([x509.DNSName(host), x509.IPAddress(ip)])
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(sign=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    builder = builder.add_extension(alternatives, critical=False)
    made = builder.sign(signer, hashes.SHA256())
    path.parent.mkdir(mode=0o700, exist_ok=True)
    _write_key(key, private)
    _write(path, made.public_bytes(serialization.Encoding.PEM), 0o644)
    return made


def _name(common: str) -> x509.Name:
    """In this order: QEMU compares the subject as the certificate has it."""
    parts = ((NameOID.ORGANIZATION_NAME, ORGANISATION), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def _builder(
    subject: x509.Name, issuer: x509.Name, private: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(private.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - BACKDATED).not_valid_after(now + timedelta(days=days))


def _usage(*, sign: bool) -> x509.KeyUsage:
    """Of an authority, or of a host; QEMU's own check wants encipherment of keys as well (crypto/tlscredsx509.c)."""
    return x509.KeyUsage(
        digital_signature=not sign, key_encipherment=not sign, key_cert_sign=sign, crl_sign=sign,
        content_commitment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip


def _write_key(path: Path, private: ec.EllipticCurvePrivateKey) -> None:
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    _write(path, private.private_bytes(serialization.Encoding.PEM, *form), 0o600)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by others for a moment."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
