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

import base64
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
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    HAS_CRYPTOGRAPHY = hasattr(x509.Certificate, "verify_directly_issued_by")  # since 40
except ImportError:  # a control node of pairs without TLS does without
    HAS_CRYPTOGRAPHY = False

ORGANISATION = "lockstep.colo"
AUTHORITY_DAYS = 3650
MOST_DAYS = 36500  # an authority is made for twice as long at least, and the year of its end has four digits
BACKDATED = timedelta(hours=1)  # for clocks that are apart
UTC = timezone.utc  # noqa: UP017 - a control node may have an older Python than the hosts
NO_CRYPTOGRAPHY = (
    "this control node's Python has no cryptography 40 or later: install it beside ansible-core, or colo_tls: off"
)
ANEW = (
    "bring back what was there, or remove the directory for a new authority: every host then has to get a certificate "
    "anew, with -e colo_pki_replace=true, before its pairs connect again"
)
ENCRYPTED = b"ENCRYPTED"  # in the first lines of a key in PEM, whatever its format
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OURS = ("ca-key.pem", "ca-cert.pem")


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
    if host in _OURS:
        raise Refused(
            f"{host!r} is a file of the authority in {directory}: give the host another name in the inventory"
        )
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        raise Refused(f"colo_address of {host} is {address!r}, which is no IP address") from None
    home = Path(directory)
    paths = _paths(home, host)
    now = datetime.now(UTC)
    until = now + timedelta(days=min(renew_before, max(days, 0) / 2))  # a short one would be made anew by every run
    if dry:
        renewed = _renewed(home, now, days) is not None
        known = _in_force(*paths, host, ip, now, until) if home.exists() else None
        changed = known is None or renewed or bool(_open_to_others(home, paths[2]))
        return Made(*paths, _ends(known) if known else now + timedelta(days=days), changed)
    with _alone(home):
        changed = _shut(home, paths[2])
        if (made := _renewed(home, now, days)) is not None:
            _write(paths[0], made.public_bytes(serialization.Encoding.PEM), 0o644)
            changed = True
        known = _in_force(*paths, host, ip, now, until)
        if known is None:
            issuer, signer = _authority(home, now, days)
            known = _issue(issuer, signer, paths[1], paths[2], host, ip, now, days)
            changed = True
        return Made(*paths, _ends(known), changed)


def see_same(directory: str, host: str, known: str) -> None:
    """Refused where ``host`` knows another authority than that in ``directory``, or than one that would be made there.

    ``known``: its certificate in base64, empty where it has none. One that has ended, or is none, may be replaced.
    """
    if not HAS_CRYPTOGRAPHY:
        return  # whoever makes one says so
    try:
        there = x509.load_der_x509_certificate(base64.b64decode(known, validate=True))
        if _ends(there) <= datetime.now(UTC) or _is_in(Path(directory), there):
            return
    except (ValueError, UnsupportedAlgorithm):
        return
    raise Refused(
        f"{host} has a certificate of another authority than that of {directory}, which is in force until "
        f"{_ends(there):%Y-%m-%d}. Bring the directory here from the control node where that was made, or name it as "
        "colo_ca_directory; with -e colo_pki_replace=true the host gets a certificate of this authority, and its pairs "
        "connect again once their other hosts have one as well: run it for all of them"
    )


def _is_in(home: Path, authority: x509.Certificate) -> bool:
    """Whether it is the one that is there, which may have been renewed since."""
    try:
        found = x509.load_pem_x509_certificate((home / "ca-cert.pem").read_bytes())
    except FileNotFoundError:
        return False
    return found.subject == authority.subject and _key(found) == _key(authority)


def given(directory: str, host: str, address: str, days: int, renew_before: int, *, dry: bool = False) -> Made:
    """The operator's own, of which nothing but the key's mode is changed; a host's preflight says what is wrong."""
    home = Path(directory)
    paths = _paths(home, host)
    for path in paths:
        if not path.is_file():
            raise Refused(f"{path} is not there: put it there, or leave colo_pki_make as it is")
    try:
        ends = _ends(x509.load_pem_x509_certificate(paths[1].read_bytes())) if HAS_CRYPTOGRAPHY else None
    except ValueError as error:
        raise Refused(f"{paths[1]} cannot be read: {error}") from error
    if ENCRYPTED in paths[2].read_bytes():
        raise Refused(f"{paths[2]} is encrypted, and QEMU is told no password: put the key there without one")
    shut = bool(_open_to_others(home, paths[2])) if dry else _shut(home, paths[2])
    return Made(*paths, ends, shut)


def _paths(home: Path, host: str) -> tuple[Path, Path, Path]:
    return home / "ca-cert.pem", home / host / "cert.pem", home / host / "key.pem"


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Forks of one run make certificates side by side, and the authority only once."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / ".lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _open_to_others(home: Path, key: Path) -> list[Path]:
    """Of the keys and their directories, what others can enter or read; the whole one where nothing else is in it."""
    if not home.is_dir():
        return []
    ours = all(one.name.startswith((".", "ca-")) or (one / "key.pem").is_file() for one in home.iterdir())
    if not ours and home.stat().st_mode & 0o022:
        raise Refused(f"others can write to {home}: name a directory of your own as colo_ca_directory")
    paths = [home / "ca-key.pem", key.parent, key, *([home] if ours else [])]
    return [path for path in paths if path.exists() and path.stat().st_mode & 0o077]


def _shut(home: Path, key: Path) -> bool:
    """Keys are their owner's alone, however they came here."""
    found = _open_to_others(home, key)
    for path in found:
        path.chmod(0o700 if path.is_dir() else 0o600)
    return bool(found)


def _in_force(
    ca: Path, path: Path, key: Path, host: str, ip: object, now: datetime, until: datetime
) -> x509.Certificate | None:
    """The certificate, where it is of this authority, for this name and address, and does not end before ``until``.

    One that ends with an authority that is not made here is kept to its end: a new one would end then as well.
    """
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
    named = found.subject == _name(host) and ip in names.get_values_for_type(x509.IPAddress)
    good = named and _belongs(private, found) and _ends(issuer) > now
    return found if good and _ends(found) > min(until, _ends(issuer) - timedelta(seconds=1)) else None


def _belongs(private: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> bool:
    return _key(private) == _key(certificate)


def _key(of: ec.EllipticCurvePrivateKey | x509.Certificate) -> bytes:
    """The public one."""
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return of.public_key().public_bytes(*form)


def _ends(certificate: x509.Certificate) -> datetime:
    """Older versions of cryptography tell it without a time zone."""
    found = getattr(certificate, "not_valid_after_utc", None)
    return found if found is not None else certificate.not_valid_after.replace(tzinfo=UTC)


def _found(home: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The authority that is there."""
    ca, key = home / "ca-cert.pem", home / "ca-key.pem"
    try:
        certificate = x509.load_pem_x509_certificate(ca.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Refused(f"the authority in {home} cannot be read ({error}): {ANEW}") from error
    if not _belongs(private, certificate):
        raise Refused(f"{key} is not the key of {ca}: {ANEW}")
    return certificate, private


def _renewed(home: Path, now: datetime, days: int) -> x509.Certificate | None:
    """The authority's certificate anew, where it would end before what is made now; with its own key and name.

    So what it has issued stays good, and hosts that still have the older one go on with it to its end. The operator's
    own is left as it is; so is one whose key is kept elsewhere, as long as it is not needed.
    """
    if not ((home / "ca-cert.pem").exists() and (home / "ca-key.pem").exists()):
        return None
    found, private = _found(home)
    organisations = [one.value for one in found.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    ours = found.subject == found.issuer and organisations == [ORGANISATION]
    if not ours or _ends(found) > now + timedelta(days=days):
        return None
    return _signed_by_itself(found.subject, private, now, days)


def _signed_by_itself(
    name: x509.Name, private: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.Certificate:
    builder = _builder(name, name, private, now, now + timedelta(days=max(AUTHORITY_DAYS, 2 * days)))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.add_extension(_usage(sign=True), critical=True).sign(private, hashes.SHA256())


def _authority(home: Path, now: datetime, days: int) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    ca, key = home / "ca-cert.pem", home / "ca-key.pem"
    if ca.exists() != key.exists():
        raise Refused(f"{key if ca.exists() else ca} is not there: {ANEW}")
    if ca.exists():
        found, private = _found(home)
        if _ends(found) <= now:
            raise Refused(f"the authority in {home} ended on {_ends(found):%Y-%m-%d}: {ANEW}")
        return found, private
    private = ec.generate_private_key(ec.SECP256R1())
    made = _signed_by_itself(_name(f"certificate authority of {now:%Y-%m-%d %H:%M:%S}"), private, now, days)
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
    ends = min(now + timedelta(days=days), _ends(issuer))
    builder = _builder(_name(host), issuer.subject, private, now, ends)
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    alternatives = x509.SubjectAlternativeName([x509.DNSName(host), x509.IPAddress(ip)])
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(sign=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    builder = builder.add_extension(alternatives, critical=False)
    made = builder.sign(signer, hashes.SHA256())
    path.parent.mkdir(mode=0o700, exist_ok=True)
    _sync(path.parent.parent)
    _write_key(key, private)
    _write(path, made.public_bytes(serialization.Encoding.PEM), 0o644)
    return made


def _name(common: str) -> x509.Name:
    """In this order: QEMU compares the subject as the certificate has it."""
    parts = ((NameOID.ORGANIZATION_NAME, ORGANISATION), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def _builder(
    subject: x509.Name, issuer: x509.Name, private: ec.EllipticCurvePrivateKey, now: datetime, ends: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(private.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - BACKDATED).not_valid_after(ends)


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
    """Whole or not at all, whatever happens to the power, and never readable by others for a moment."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
