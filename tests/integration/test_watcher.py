# SPDX-License-Identifier: GPL-3.0-or-later
"""A QEMU is lost, and nobody does anything: the watchers do. Each test goes on from the one before."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import survivor
from colo_bed import OTHER, VIRSH, Bed, wait_for
from lockstep_lab import hosts, probe
from lockstep_lab.common import HOSTS
from watching import journal, kill_qemu, ready, unforeseen

ON = {host: {"colo_automation": "word", "colo_metrics_directory": "/var/tmp"} for host in HOSTS}


@pytest.fixture(scope="module", autouse=True)
def guarded(bed: Bed) -> str:
    """The pair, guarded; the boot of its guest, which nothing here restarts."""
    boot = bed.get()
    bed.prepare(ON).good()
    bed.deploy("-e", "colo_automation=word").good()
    yield boot
    bed.prepare().good()


@pytest.fixture(autouse=True)
def foresees_what_it_does(bed: Bed) -> None:
    yield
    assert not [words for host in HOSTS if hosts.running(bed.lab, host) for words in unforeseen(bed, host)]


def status(bed: Bed) -> dict:
    file = bed.lab.state / "watched.json"
    bed.playbook("status", "--limit", "web1", "-e", f"colo_status_file={file}")
    (pair,) = json.loads(file.read_text(encoding="utf-8"))
    return pair


def holder(bed: Bed) -> str:
    return status(bed)["holder"]


@pytest.mark.long
def test_a_primary_whose_qemu_is_killed_is_replaced_and_nobody_does_anything(
    bed: Bed, guarded: str, tmp_path: Path
) -> None:
    wait_for("both watchers at work", lambda: ready(bed))
    acks = tmp_path / "acks"
    probe.start(bed.lab, acks)
    time.sleep(3)
    killed = kill_qemu(bed, "kvm1")
    wait_for("the guest on kvm2", lambda: bed.get(patience=5) == guarded, timeout=60)
    time.sleep(3)
    seen = probe.report(acks, event=killed, clock="monotonic")
    assert seen["boots"] == 1
    assert seen["acks"]["event_to_first_ms"] < 5000, (seen["acks"], journal(bed, "kvm1"), journal(bed, "kvm2"))
    assert holder(bed) == "kvm2"
    refused = bed.ssh("kvm1", f"{VIRSH} start web1 2>&1 || true")
    assert "is the primary of a COLO pair" in refused
    found = bed.lost("kvm2", acks, live=True)
    probe.stop(bed.lab, quiet=True)
    assert all(not word["lost_count"] and word["acknowledged"] for word in found.values()), found


@pytest.mark.long
@pytest.mark.parametrize("lost", ["standby", "primary"])
def test_so_is_whichever_is_lost_after_it_was_protected_again(
    bed: Bed, guarded: str, lost: str, tmp_path: Path
) -> None:
    bed.deploy("-e", "colo_automation=word").good()
    wait_for("both watchers at work", lambda: ready(bed))
    here = holder(bed)
    host = here if lost == "primary" else OTHER[here]
    acks = tmp_path / "acks"
    probe.start(bed.lab, acks)
    time.sleep(3)
    killed = kill_qemu(bed, host)
    wait_for("the guest", lambda: bed.get(patience=5) == guarded, timeout=60)
    time.sleep(3)
    seen = probe.report(acks, event=killed, clock="monotonic")
    assert seen["acks"]["event_to_first_ms"] < 5000, (seen["acks"], journal(bed, "kvm1"), journal(bed, "kvm2"))
    assert holder(bed) == OTHER[host]
    survivor.left_nothing(bed, OTHER[host])
    found = bed.lost(OTHER[host], acks, live=True)
    probe.stop(bed.lab, quiet=True)
    assert all(not word["lost_count"] and word["acknowledged"] for word in found.values()), found


@pytest.mark.long
def test_a_guest_that_powers_itself_off_is_left_off(bed: Bed, guarded: str) -> None:
    bed.deploy("-e", "colo_automation=word").good()
    wait_for("both watchers at work", lambda: ready(bed))
    here = holder(bed)
    try:
        bed.get("cgi-bin/poweroff")
    except Exception:  # the guest may go before it has answered
        pass
    wait_for("the shut down guest", lambda: "shut off" in bed.ssh(here, f"{VIRSH} domstate web1"))
    time.sleep(5)
    assert status(bed)["phase"] == "powered_off", (journal(bed, "kvm1"), journal(bed, "kvm2"))
    bed.playbook("start", "--limit", "web1").good()
