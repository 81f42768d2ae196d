# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian 12, whose QEMU withholds large packets that come encrypted: what users are told, and a life of their choice.

Runs with LOCKSTEP_LAB_SUITE=bookworm alone. The inventory of that lab has the choice, colo_tls: except_proxy.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import survivor
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import channels
from colo_bed import Bed
from lockstep_lab import probe, rootfs
from lockstep_lab.common import HOSTS

IN_CLEAR = "goes over the replication network in clear"

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        os.environ.get("LOCKSTEP_LAB_SUITE") != rootfs.OLDER, reason="needs LOCKSTEP_LAB_SUITE=bookworm"
    ),
]


def status(bed: Bed) -> tuple[tuple[str, str], str]:
    """The phase and the holder, and all that the playbook said."""
    file = bed.lab.state / "debian12.json"
    run = bed.playbook("status", "--limit", "web1", "-e", f"colo_status_file={file}", "-e", "colo_status_watch=5")
    (pair,) = json.loads(file.read_text(encoding="utf-8"))
    return (pair["phase"], pair["holder"]), run.said()


def protected(bed: Bed, host: str) -> None:
    """In lockstep, with keys on both hosts, and said to be so but for the packets."""
    stands, said = status(bed)
    assert stands == ("protected", host), said[-3000:]
    assert IN_CLEAR in said, said[-3000:]
    for one in HOSTS:
        assert set(channels.CREDENTIALS) <= set(bed.graph(one)["objects"]), f"{one} has no keys in QEMU"


def test_encrypted_packets_are_refused_until_somebody_chooses(bed: Bed) -> None:
    before, boot = bed.fingerprint(), bed.get()
    refused = bed.deploy("-e", "colo_tls=required")
    assert refused.code
    assert "withholds large packets" in refused.said(), refused.text[-3000:]
    assert "set colo_tls to except_proxy" in refused.said()
    assert bed.fingerprint() == before
    assert bed.get() == boot


def test_by_choice_a_pair_lives_a_whole_life(bed: Bed, tmp_path: Path) -> None:
    boot = bed.get()
    probe.start(bed.lab, tmp_path)
    assert IN_CLEAR in bed.deploy().good().said()
    protected(bed, "kvm1")
    bed.power_off("kvm1")
    bed.failover("kvm1", "-e", "colo_lost=kvm1").good()
    survivor.serves(bed, tmp_path)
    bed.power_on("kvm1")
    bed.deploy().good()
    protected(bed, "kvm2")
    assert bed.get() == boot
    bed.playbook("unprotect").good()
    print(f"{survivor.lost_nothing(bed, 'kvm2', tmp_path)} acknowledged, 0 lost")
