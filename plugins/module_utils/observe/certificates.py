# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The certificate by which this host is known on the channels of its pairs, and whether its key belongs to it."""

from __future__ import annotations

import hashlib
import os
import ssl
from pathlib import Path
from typing import Any

from ..observation.seen import Certificate
from ..record.address import canonical
from ..record.pair import PKI_DIRECTORY

CERTIFICATES = ("ca-cert.pem", "server-cert.pem", "client-cert.pem")  # by the names that QEMU looks for
KEYS = ("server-key.pem", "client-key.pem")
SHORT = {"organizationName": "O", "organizationalUnitName": "OU", "commonName": "CN", "countryName": "C"}


def certificate(directory: str = PKI_DIRECTORY) -> Certificate:
    """The certificate of this host; with ``problem`` where a file is missing or cannot be read."""
    missing = [name for name in (*CERTIFICATES, *KEYS) if not os.path.exists(f"{directory}/{name}")]
    if missing:
        return Certificate(problem=f"{', '.join(missing)} of {directory} is not there")
    try:
        found = [_decoded(f"{directory}/{name}") for name in CERTIFICATES]
        for end in ("server", "client"):  # a key of another certificate is an SSLError
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_cert_chain(f"{directory}/{end}-cert.pem", f"{directory}/{end}-key.pem")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        return Certificate(problem=f"a certificate of {directory} cannot be read: {error}")
    server = found[1]
    return Certificate(
        subject=_subject(server),
        client=_subject(found[2]),
        ends=min(ssl.cert_time_to_seconds(one["notAfter"]) for one in found),
        begins=max(ssl.cert_time_to_seconds(one["notBefore"]) for one in found),
        addresses=tuple(canonical(name) for kind, name in server.get("subjectAltName", ()) if kind == "IP Address"),
        authority=_digest(f"{directory}/ca-cert.pem"),
        installed=max(os.stat(f"{directory}/{name}").st_mtime for name in CERTIFICATES),
    )


def _decoded(path: str) -> dict[str, Any]:
    """As ssl.getpeercert tells one. The standard library has no other way to read one from a file."""
    return ssl._ssl._test_decode_cert(path)  # type: ignore[attr-defined]


def _subject(found: dict[str, Any]) -> str:
    parts = [part for group in found.get("subject", ()) for part in group]
    return ",".join(f"{SHORT.get(name, name)}={value}" for name, value in parts)


def _digest(path: str) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(Path(path).read_text(encoding="ascii"))).hexdigest()
