# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that go without a word: cut off from the network, or frozen, and powered off only by the fence."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
import survivor
from colo_bed import LAB, OTHER, Bed
from lockstep_lab import hosts, probe


@pytest.mark.parametrize(
    ("how", "lost"),
    [
        pytest.param("cut", "kvm1", id="primary cut off"),
        pytest.param("cut", "kvm2", id="secondary cut off", marks=pytest.mark.long),
        pytest.param("freeze", "kvm1", id="primary frozen", marks=pytest.mark.long),
        pytest.param("freeze", "kvm2", id="secondary frozen", marks=pytest.mark.long),
    ],
)
def test_silence(lab: Bed, tmp_path: Path, how: str, lost: str) -> None:
    lab.fresh_guest()
    before, left = lab.xml("kvm1", "--inactive"), OTHER[lost]
    probe.start(lab.lab, tmp_path)
    lab.deploy().good()
    time.sleep(5)
    with lab.lab.lock():
        if how == "cut":
            hosts.set_cut(lab.lab, lost, True)
        else:
            hosts.set_frozen(lab.lab, lost, True)
    silent = time.monotonic()
    time.sleep(5)
    here = Path(__file__).parent
    fence = {
        "colo_fence_tasks": "fence/command.yml",
        "colo_fence_command": [sys.executable, str(LAB), "--name", lab.lab.name, "power-off", lost],
        "colo_fence_verify_command": [sys.executable, str(here / "is_off.py"), lab.lab.name, lost],
    }
    lab.playbook("failover", "--limit", "web1", "-e", json.dumps(fence)).good()
    survivor.serves(lab, tmp_path)
    survivor.left_nothing(lab, left)
    survivor.ordinary(lab, left, before)
    after = probe.report(tmp_path, since=silent + 5, clock="monotonic")["acks"]["count"]
    assert after, "nothing was written after the failover"
    survivor.lost_nothing(lab, left, tmp_path)
