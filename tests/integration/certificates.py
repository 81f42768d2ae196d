# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates that no channel of a pair may take, though each is right but in one thing."""

from __future__ import annotations

import shutil
from pathlib import Path

from ansible_collections.lockstep.colo.plugins.plugin_utils import authority
from colo_bed import Bed
from lockstep_lab.common import CLIENT_ADDRESS, HOSTS

AN_HOUR_AGO = -1 / 48  # as days in force, of a certificate that was made an hour ago


def untaken(bed: Bed, home: Path) -> dict[str, Path]:
    """By what is wrong with it, the directory of each; they are made in ``home``."""
    for copy in ("known", "ended"):
        shutil.copytree(bed.lab.state / "colo-ca", home / copy)
    made = {"of another host of the authority": authority.certify(str(home / "known"), "kvm9", CLIENT_ADDRESS, 100, 10)}
    for host, address in HOSTS.items():
        made[f"of another {host}"] = authority.certify(str(home / "other"), host, address, 100, 10)
        shutil.rmtree(home / "ended" / host)
        made[f"of {host}, ended"] = authority.certify(str(home / "ended"), host, address, AN_HOUR_AGO, 10)
    return {name: one.certificate.parent for name, one in made.items()}
