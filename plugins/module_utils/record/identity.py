# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose a certificate is: its whole subject, as QEMU compares it, and its addresses. Pure."""

from __future__ import annotations

from typing import Any

from .address import canonical

ORGANISATION = "lockstep.colo"
SHORT = {"organizationName": "O", "organizationalUnitName": "OU", "commonName": "CN", "countryName": "C"}
ESCAPED = str.maketrans({mark: f"\\{mark}" for mark in ',+"\\<>;'})  # by RFC 4514


def subject(host: str) -> str:
    """The subject of the certificate of this host, its parts in the certificate's order."""
    return f"O={ORGANISATION},CN={host}"


def shown(certificate: dict[str, Any]) -> str:
    """The subject of a certificate, as ssl.SSLSocket.getpeercert tells of it."""
    return ",".join("+".join(_part(*one) for one in group) for group in certificate.get("subject", ()))


def addresses(certificate: dict[str, Any]) -> tuple[str, ...]:
    """The addresses that it is for, of the same."""
    return tuple(canonical(name) for kind, name in certificate.get("subjectAltName", ()) if kind == "IP Address")


def _part(kind: str, value: str) -> str:
    """One part, whose value does not read as two."""
    return f"{SHORT.get(kind, kind)}={value.translate(ESCAPED)}"
