# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates are replaced, and end, while a pair runs: that takes nothing down, and ways out and back work.

The tests go on from each other.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.plugin_utils import authority
from colo_bed import Bed, wait_for
from lockstep_lab import probe
from lockstep_lab.common import HOSTS

PKI = "/etc/lockstep-colo/pki"
SHORT = 400  # seconds, in which a pair has to be formed
OLDER = "the pair was formed before the certificate that is installed was"
GIVEN = {host: {"colo_pki_make": False} for host in HOSTS}

pytestmark = pytest.mark.long


def status(bed: Bed) -> tuple[str, str]:
    """The phase, and all that the playbook said."""
    file = bed.lab.state / "renewal.json"
    run = bed.playbook("status", "--limit", "web1", "-e", f"colo_status_file={file}", "-e", "colo_status_watch=2")
    (pair,) = json.loads(file.read_text(encoding="utf-8"))
    return pair["phase"], run.said()


def installed(bed: Bed, host: str) -> str:
    return bed.ssh(host, f"sha256sum {PKI}/*-cert.pem {PKI}/*-key.pem")


def replace_certificates(bed: Bed) -> None:
    before = {host: installed(bed, host) for host in HOSTS}
    for host in HOSTS:
        shutil.rmtree(bed.lab.state / "colo-ca" / host)
    bed.prepare().good()
    assert not [host for host in HOSTS if installed(bed, host) == before[host]]


def test_certificates_are_replaced_while_the_pair_runs_and_both_ways_out_work(lab: Bed, tmp_path: Path) -> None:
    lab.fresh_guest(rate=50)
    lab.deploy().good()
    boot, acks = lab.get(), tmp_path / "acks"
    probe.start(lab.lab, acks)
    replace_certificates(lab)
    phase, said = status(lab)
    assert (phase, said.count(OLDER)) == ("protected", 2)
    assert lab.deploy().good().changed == 0, "the pair was formed anew"
    lab.power_off("kvm1")
    lab.failover("kvm1").good()
    assert lab.get(patience=60) == boot
    lab.power_on("kvm1")
    assert "web1 is protected: the guest on kvm2" in lab.deploy("--limit", "kvm,web1").good().text
    assert OLDER not in status(lab)[1]
    probe.stop(lab.lab, quiet=True)
    word = lab.lost("kvm2", acks, live=True)["vda"]
    assert word["acknowledged"]
    assert word["lost"] == []


def test_a_pair_whose_certificates_were_replaced_changes_sides(lab: Bed, tmp_path: Path) -> None:
    lab.fresh_guest(rate=50)
    lab.deploy().good()
    boot, acks = lab.get(), tmp_path / "acks"
    probe.start(lab.lab, acks)
    replace_certificates(lab)
    run = lab.playbook("switchover", "-e", "colo_guest_host=kvm2").good()
    assert "web1 is protected: the guest on kvm2" in run.text
    assert lab.get() == boot
    probe.stop(lab.lab, quiet=True)
    word = lab.lost("kvm2", acks, live=True)["vda"]
    assert word["acknowledged"]
    assert word["lost"] == []


def test_certificates_end_while_the_pair_runs_and_deploy_renews_them(lab: Bed, tmp_path: Path) -> None:
    lab.fresh_guest(rate=50)
    home = lab.lab.state / "colo-ca"
    began = time.time()
    for host, address in HOSTS.items():
        shutil.rmtree(home / host)
        authority.certify(str(home), host, address, SHORT / 86400, 0)
    lab.prepare(GIVEN).good()
    lab.deploy().good()
    boot, acks = lab.get(), tmp_path / "acks"
    probe.start(lab.lab, acks)
    phase, said = status(lab)
    assert (phase, "its certificate ends in 0 days" in said) == ("protected", True)
    wait_for("the end of the certificates", lambda: time.time() > began + SHORT + 1, timeout=SHORT)
    phase, said = status(lab)
    assert (phase, "what is connected goes on, nothing connects anew" in said) == ("protected", True)
    assert lab.get() == boot
    lab.power_off("kvm1")
    lab.failover("kvm1").good()
    assert lab.get(patience=60) == boot
    lab.power_on("kvm1")
    refused = lab.deploy()
    assert refused.code != 0
    assert "has a certificate that has ended" in refused.said()
    assert lab.get() == boot
    assert "web1 is protected: the guest on kvm2" in lab.deploy("--limit", "kvm,web1").good().text
    probe.stop(lab.lab, quiet=True)
    assert lab.lost("kvm2", acks, live=True)["vda"]["lost"] == []
