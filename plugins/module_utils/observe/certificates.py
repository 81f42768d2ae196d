# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The certificate by which this host is known on the channels of its pairs, and whether its key belongs to it."""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..observation.seen import Certificate
from ..record import identity
from ..record.pair import PKI_DIRECTORY
from .handshake import refusal

CERTIFICATES = ("ca-cert.pem", "server-cert.pem", "client-cert.pem")  # by the names that QEMU looks for
KEYS = ("server-key.pem", "client-key.pem")
VERSION, EXTENSIONS = b"\xa0", b"\xa3"  # the first field of a certificate and the last; both may be left out (RFC 5280)
BASIC_CONSTRAINTS = b"\x06\x03\x55\x1d\x13"  # the extension's name, 2.5.29.19


def certificate(directory: str = PKI_DIRECTORY) -> Certificate:
    """The certificate of this host; with ``problem`` where a file is missing, cannot be read, or is of no use."""
    missing = [name for name in (*CERTIFICATES, *KEYS) if not os.path.exists(f"{directory}/{name}")]
    if missing:
        return Certificate(problem=f"{', '.join(missing)} of {directory} is not there")
    try:
        found = [_decoded(f"{directory}/{name}") for name in CERTIFICATES]
        authority = _issuer(f"{directory}/ca-cert.pem")
        for end in ("server", "client"):  # a key of another certificate is an SSLError
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_cert_chain(f"{directory}/{end}-cert.pem", f"{directory}/{end}-key.pem")
        installed = max(os.stat(f"{directory}/{name}").st_mtime for name in CERTIFICATES)
        server = found[1]
        addresses = identity.addresses(server)
        refused = _misplaced(directory) or refusal(directory, next(iter(addresses), None))
    except (OSError, ValueError, IndexError) as error:  # ssl.SSLError is an OSError
        return Certificate(problem=f"a certificate of {directory} cannot be read: {error}")
    return Certificate(
        problem=refused,
        subject=identity.shown(server),
        client=identity.shown(found[2]),
        ends=min(ssl.cert_time_to_seconds(one["notAfter"]) for one in found),
        begins=max(ssl.cert_time_to_seconds(one["notBefore"]) for one in found),
        addresses=addresses,
        authority=authority,
        installed=installed,
    )


def _decoded(path: str) -> dict[str, Any]:
    """As ssl.getpeercert tells one. The standard library has no other way to read one from a file."""
    return ssl._ssl._test_decode_cert(path)  # type: ignore[attr-defined]


def _issuer(path: str) -> str:
    """A digest of an authority's subject and public key, by which a certificate is held to be issued by it.

    An authority that is renewed keeps both, and each host takes what either of its certificates has issued.
    """
    fields = _fields(path)
    _serial, _signature, _issued_by, _validity, subject, key = fields[fields[0][0][:1] == VERSION :][:6]
    return hashlib.sha256(subject[0] + key[0]).hexdigest()


def _misplaced(directory: str) -> str | None:
    """What QEMU refuses and OpenSSL takes: an authority that does not say that it is one, or a host that does."""
    if not _is_authority(f"{directory}/ca-cert.pem"):
        return f"{directory}/ca-cert.pem is no certificate of an authority"
    ends = [f"{directory}/{name}" for name in CERTIFICATES[1:]]
    return next(
        (f"{path} is a certificate of an authority, not of a host" for path in ends if _is_authority(path)), None
    )


def _is_authority(path: str) -> bool:
    last, content = _fields(path)[-1]
    if last[:1] != EXTENSIONS:
        return False
    for _whole, extension in _elements(next(_elements(content))[1]):
        name, *_critical, value = _elements(extension)
        if name[0] == BASIC_CONSTRAINTS:
            said = list(_elements(next(_elements(value[1]))[1]))
            return bool(said) and said[0] == (b"\x01\x01\xff", b"\xff")
    return False


def _fields(path: str) -> list[tuple[bytes, bytes]]:
    """Those of a certificate that are signed."""
    text = Path(path).read_text(encoding="ascii")
    whole = text[text.index(ssl.PEM_HEADER) : text.index(ssl.PEM_FOOTER)] + ssl.PEM_FOOTER  # of several the first
    signed = next(_elements(ssl.PEM_cert_to_DER_cert(whole)))
    return list(_elements(next(_elements(signed[1]))[1]))


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
