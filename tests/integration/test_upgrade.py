# SPDX-License-Identifier: GPL-3.0-or-later
"""A pair that was formed by the last commit without TLS goes on in the hands of this one: seen, left alone, led out."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from colo_bed import ROOT, Bed
from lockstep_lab import probe
from lockstep_lab.common import HOSTS

BEFORE_TLS = "d5f56a3"
NAMED = "neither encrypted nor authenticated"
WHOLE = ("--limit", "kvm,web1")

pytestmark = pytest.mark.long


class Older(Bed):
    """The same lab in the hands of an older collection."""

    def __init__(self, bed: Bed, collections: Path) -> None:
        super().__init__(bed.lab.name)
        self.collections = collections

    def environment(self) -> dict[str, str]:
        known = super().environment()
        del known["ANSIBLE_CALLBACKS_ENABLED"]  # what steps foresaw is no question to the older one
        return {**known, "ANSIBLE_COLLECTIONS_PATH": str(self.collections)}


@pytest.fixture(scope="module")
def older(lab: Bed, tmp_path_factory: pytest.TempPathFactory) -> Older:
    archive = ["git", "-C", ROOT, "archive", BEFORE_TLS]
    packed = subprocess.run(archive, capture_output=True, check=False)
    if packed.returncode:
        pytest.fail(f"this history has no {BEFORE_TLS}, from which to upgrade: {packed.stderr.decode().strip()}")
    collections = tmp_path_factory.mktemp("older")
    tree = collections / "ansible_collections/lockstep/colo"
    tree.mkdir(parents=True)
    subprocess.run(["tar", "-x", "-C", tree], input=packed.stdout, check=True)
    return Older(lab, collections)


@pytest.fixture(name="formed")
def formed_before(lab: Bed, older: Older) -> Bed:
    """The lab with a pair of the older collection, on hosts that never had a certificate."""
    lab.fresh_guest(rate=50)
    for host in HOSTS:
        lab.ssh(host, "rm -rf /etc/lockstep-colo/pki")
    older.deploy(*WHOLE).good()
    return lab


def generation(bed: Bed) -> str:
    return re.search(r'generation="(\d+)"', bed.xml("kvm1"))[1]


def test_status_names_what_is_missing_and_deploy_does_not_form_the_pair_anew(formed: Bed) -> None:
    """It is made ready to let go of its standby, as the older collection did not, which costs the guest nothing."""
    boot, before = formed.get(), generation(formed)
    assert NAMED in formed.playbook("status", "--limit", "web1").good().said()
    kept = formed.deploy(*WHOLE).good()
    assert "was formed with colo_tls off" in kept.said()
    assert generation(formed) == before
    assert NAMED in formed.playbook("status", "--limit", "web1").good().said()
    assert formed.deploy().good().changed == 0
    assert formed.get() == boot


@pytest.mark.parametrize("lost", list(HOSTS))
def test_failover_frees_the_guest_and_deploy_makes_a_pair_with_tls(formed: Bed, lost: str, tmp_path: Path) -> None:
    boot, holder = formed.get(), "kvm2" if lost == "kvm1" else "kvm1"
    probe.start(formed.lab, tmp_path)
    formed.power_off(lost)
    formed.failover(lost, "-e", f"colo_lost={lost}").good()
    assert formed.get(patience=60) == boot
    formed.power_on(lost)
    again = formed.deploy(*WHOLE).good()
    assert f"web1 is protected: the guest on {holder}" in again.said()
    assert NAMED not in formed.playbook("status", "--limit", "web1").good().said()
    probe.stop(formed.lab, quiet=True)
    word = formed.lost(holder, tmp_path, live=True)["vda"]
    assert word["acknowledged"]
    assert word["lost"] == []
