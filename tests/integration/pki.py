# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates for the hosts of a lab, of a CA that is forgotten at once: named and addressed as the inventory does."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from colo_bed import Bed
from lockstep_lab.common import HOSTS

DIRECTORY = "/etc/lockstep-colo/pki"
ADDRESSES = {"kvm1": "10.77.0.1", "kvm2": "10.77.0.2"}


def install(bed: Bed) -> None:
    """What the watchers of both hosts show each other."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        _key, authority = _new(place, "ca", "/CN=a lab's authority", "-addext", "basicConstraints=critical,CA:TRUE")
        for host in HOSTS:
            key, certificate = of_host(place, host)
            files = {"ca-cert.pem": authority}
            for end in ("server", "client"):
                files |= {f"{end}-cert.pem": certificate, f"{end}-key.pem": key}
            here = [f"cat > {DIRECTORY}/{name} <<'E'\n{text}E" for name, text in files.items()]
            script = "\n".join([f"mkdir -p {DIRECTORY}", *here, f"chmod 600 {DIRECTORY}/*-key.pem", ""])
            bed.ssh(host, "sh -e", stdin=script)


def of_host(place: Path, host: str, name: str | None = None) -> tuple[str, str]:
    """A key and a certificate for a host, by the authority in ``place``."""
    by = ["-CA", str(place / "ca.pem"), "-CAkey", str(place / "ca.key")]
    san = f"subjectAltName=DNS:{name or host},IP:{ADDRESSES[host]}"
    return _new(
        place, host, f"/CN={name or host}", "-addext", san, "-addext", "basicConstraints=critical,CA:FALSE", *by
    )


def _new(place: Path, name: str, subject: str, *words: str) -> tuple[str, str]:
    key, certificate = place / f"{name}.key", place / f"{name}.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "30",
    ]
    command += ["-keyout", str(key), "-out", str(certificate), "-subj", subject, *words]
    subprocess.run(command, check=True, capture_output=True)
    return key.read_text(), certificate.read_text()
