# SPDX-License-Identifier: GPL-3.0-or-later
"""A third machine in the replication network of a protected pair: what it gets of each channel, with TLS or not."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.plugin_utils import authority
from colo_bed import Bed, wait_for
from lockstep_lab.common import CLIENT_ADDRESS, HOSTS

ROOT = Path(__file__).resolve().parents[2]
REQUIRED = ("-e", "colo_tls=required")
LISTENERS = {"kvm2": (21600, 21601), "kvm1": (21602, 21603)}  # migration, nbd; mirror, compare

pytestmark = pytest.mark.long


def certificates(bed: Bed, home: Path) -> dict[str, Path]:
    """Those of another authority, though it says that it is kvm1, and of another host of the pair's own authority."""
    known = home / "known"
    shutil.copytree(bed.lab.state / "colo-ca", known)
    made = {
        "of another authority": authority.certify(str(home / "other"), "kvm1", HOSTS["kvm1"], 100, 10),
        "of another host": authority.certify(str(known), "kvm9", CLIENT_ADDRESS, 100, 10),
    }
    return {name: one.certificate.parent for name, one in made.items()}


def strangers(bed: Bed, known: dict[str, Path]) -> dict[str, dict[str, str]]:
    """By port and by what the stranger shows: what it got."""
    ports = [f"{HOSTS[host]}:{port}" for host, numbers in LISTENERS.items() for port in numbers]
    shown = [f"{name}={path}" for name, path in known.items()]
    script = ["python3", str(ROOT / "tests/integration/stranger.py"), *ports, "--certificates", *shown]
    words = ["ip", "netns", "exec", bed.lab.client_ns, *script]
    done = subprocess.run(words, capture_output=True, text=True, timeout=180, check=True)
    return json.loads(done.stdout)


def protected(bed: Bed) -> bool:
    return bed.playbook("status", "--limit", "web1", "-e", "colo_status_watch=2").code == 0


def test_with_tls_a_stranger_gets_nothing_and_ends_nothing(lab: Bed, tmp_path: Path) -> None:
    lab.fresh_guest(rate=50)
    lab.prepare({host: {"colo_tls": "required"} for host in HOSTS}).good()
    lab.deploy(*REQUIRED).good()
    boot = lab.get()
    found = strangers(lab, certificates(lab, tmp_path))
    print(json.dumps(found, indent=1))
    assert {what for port in found.values() for what in port.values() if not what.startswith("nothing")} == set()
    wait_for("the pair to be protected as before", lambda: protected(lab))
    assert lab.get() == boot
    lost = lab.power_off("kvm1")
    lab.failover("kvm1", *REQUIRED).good()
    assert lab.get() == boot
    assert lost


def test_without_tls_it_lists_the_disks(lab: Bed) -> None:
    """So that the test above can fail."""
    lab.fresh_guest(rate=50)
    lab.deploy().good()
    assert strangers(lab, {})[f"{HOSTS['kvm2']}:21601"]["in clear"] == "the list of disks"
