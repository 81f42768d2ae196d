# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The certificate by which this host is known on the channels of its pairs, and whether its key belongs to it."""

from __future__ import annotations

import hashlib
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..host import mutual_tls
from ..observation.seen import Certificate
from ..record import identity
from ..record.pair import PKI_DIRECTORY
from .handshake import refusal

CERTIFICATES = ("ca-cert.pem", "server-cert.pem", "client-cert.pem")  # by the names that QEMU looks for
KEYS = ("server-key.pem", "client-key.pem")
PEM = re.compile(f"{ssl.PEM_HEADER}.*?{ssl.PEM_FOOTER}", re.DOTALL)
VERSION, EXTENSIONS = b"\xa0", b"\xa3"  # the first field of a certificate and the last; both may be left out (RFC 5280)
BASIC_CONSTRAINTS, KEY_USAGE = b"\x06\x03\x55\x1d\x13", b"\x06\x03\x55\x1d\x0f"  # names: 2.5.29.19, 2.5.29.15
DIGITAL_SIGNATURE = 0x80  # in the first byte of a key usage


def certificate(directory: str = PKI_DIRECTORY) -> Certificate:
    """The certificate of this host; with ``problem`` where a file is missing, cannot be read, or is of no use."""
    missing = [name for name in (*CERTIFICATES, *KEYS) if not os.path.exists(f"{directory}/{name}")]
    if missing:
        return Certificate(problem=f"{', '.join(missing)} of {directory} is not there")
    try:
        ends = [_decoded(f"{directory}/{name}") for name in CERTIFICATES[1:]]
        for end in ("server", "client"):  # a key of another certificate is an SSLError
            context = mutual_tls.context_of(ssl.PROTOCOL_TLS_CLIENT, directory, end)
        # QEMU refuses its credentials once any of ca-cert.pem has ended.
        found = [*ends, *context.get_ca_certs()]
        authorities, (server, *_rest), (client, *_rest) = (_read(f"{directory}/{name}") for name in CERTIFICATES)
        installed = max(os.stat(f"{directory}/{name}").st_mtime for name in CERTIFICATES)
        addresses = identity.addresses(ends[0])
        refused = _refused_by_qemu(directory, authorities, {"server": server, "client": client})
        refused = refused or refusal(directory, next(iter(addresses), None))
    except (OSError, ValueError, IndexError) as error:  # ssl.SSLError is an OSError
        return Certificate(problem=f"a certificate of {directory} cannot be read: {error}")
    return Certificate(
        problem=refused,
        subject=identity.shown(ends[0]),
        client=identity.shown(ends[1]),
        ends=min(ssl.cert_time_to_seconds(one["notAfter"]) for one in found),
        begins=max(ssl.cert_time_to_seconds(one["notBefore"]) for one in found),
        addresses=addresses,
        authority=next((one.authority for one in authorities if one.subject == server.issuer), ""),
        authorities=tuple(one.authority for one in authorities),
        installed=installed,
    )


def _decoded(path: str) -> dict[str, Any]:
    """As ssl.getpeercert tells one. The standard library has no other way to read one from a file."""
    return ssl._ssl._test_decode_cert(path)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class _Certificate:
    """What the standard library does not tell of one: names as they are encoded, and what it is for."""

    issuer: bytes
    subject: bytes
    authority: str  # a digest of its subject and public key, which one that is renewed keeps
    is_authority: bool
    signs: bool


def _read(path: str) -> list[_Certificate]:
    """Those of a file, in its order; it may have any text besides."""
    found = PEM.findall(Path(path).read_bytes().decode("ascii", errors="replace"))
    if not found:
        raise ValueError(f"none is in {path}")
    return [_parsed(ssl.PEM_cert_to_DER_cert(one)) for one in found]


def _parsed(der: bytes) -> _Certificate:
    signed = next(_elements(next(_elements(der))[1]))
    fields = list(_elements(signed[1]))
    _serial, _signature, issuer, _validity, subject, key = fields[fields[0][0][:1] == VERSION :][:6]
    last, content = fields[-1]
    extensions = dict(_extensions(content)) if last[:1] == EXTENSIONS else {}
    said = list(_elements(next(_elements(extensions.get(BASIC_CONSTRAINTS, b"\x30\x00")))[1]))
    usage = next(_elements(extensions[KEY_USAGE]))[1] if KEY_USAGE in extensions else b"\x00\xff"
    return _Certificate(
        issuer[0],
        subject[0],
        hashlib.sha256(subject[0] + key[0]).hexdigest(),
        is_authority=bool(said) and said[0] == (b"\x01\x01\xff", b"\xff"),
        signs=bool(usage[1] & DIGITAL_SIGNATURE),  # behind the number of bits that do not count
    )


def _extensions(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each by its name, with what it says."""
    (_whole, extensions), *_rest = _elements(content)
    for _whole, extension in _elements(extensions):
        name, *_critical, value = _elements(extension)
        yield name[0], value[1]


def _refused_by_qemu(directory: str, authorities: list[_Certificate], ends: Mapping[str, _Certificate]) -> str | None:
    """What QEMU refuses and OpenSSL takes (crypto/tlscredsx509.c; our measurements, 7.2.22).

    An authority that does not say that it is one, or a host that does; a key that may not sign; and an issuer that is
    only in the file of the host, since QEMU holds no more than the first certificate of that against ca-cert.pem.
    """
    if not all(one.is_authority for one in authorities):
        return f"{directory}/ca-cert.pem is no certificate of an authority"
    for end, one in ends.items():
        path = f"{directory}/{end}-cert.pem"
        if one.is_authority:
            return f"{path} is a certificate of an authority, not of a host"
        if not one.signs:
            return f"{path} has a key usage without a digital signature"
        if one.issuer not in {known.subject for known in authorities}:
            return f"{path} is issued by none of ca-cert.pem: put its issuer, such as an intermediate, in there"
    if len({one.issuer for one in ends.values()}) > 1:
        return f"server-cert.pem and client-cert.pem of {directory} are of different authorities"
    return None


def _elements(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """What is in there one after the other by DER (X.690): each as a whole, and its content."""
    while data:
        length, begin = data[1], 2
        if length & 0x80:
            begin += length & 0x7F
            length = int.from_bytes(data[2:begin], "big")
        if begin + length > len(data):
            raise ValueError("a certificate is cut off")
        yield data[: begin + length], data[begin : begin + length]
        data = data[begin + length :]
