# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files a KVM host lacks of its certificate, by the names that QEMU's tls-creds-x509 looks for."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

CERTIFICATE_MODE, KEY_MODE = "0644", "0600"


def files(authority: Path, certificate: Path, key: Path, owner: str) -> list[dict[str, Any]]:
    """What a host shall have: one key for both ends of a connection, and only QEMU's user can read it."""
    public = {"mode": CERTIFICATE_MODE, "owner": "root"}
    wanted = [{"name": "ca-cert.pem", "src": str(authority), **public}]
    for end in ("server", "client"):
        wanted.append({"name": f"{end}-cert.pem", "src": str(certificate), **public})
        wanted.append({"name": f"{end}-key.pem", "src": str(key), "mode": KEY_MODE, "owner": owner})
    return wanted


def missing(wanted: list[dict[str, Any]], installed: dict[str, Any]) -> list[dict[str, Any]]:
    """Of ``wanted``, what a host has otherwise or not at all; ``installed``: OWNER MODE SHA-256, by name."""
    told = [(file, _told(file)) for file in wanted]
    return [file for file, words in told if words is None or installed.get(file["name"]) != words]


def _told(file: dict[str, Any]) -> str | None:
    """As roles/host/files/look.sh tells one; None of one that is still to be made."""
    try:
        content = Path(file["src"]).read_bytes()
    except FileNotFoundError:
        return None
    return f"{file['owner']} {file['mode'].lstrip('0')} {hashlib.sha256(content).hexdigest()}"
