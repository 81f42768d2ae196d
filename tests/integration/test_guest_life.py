# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guest, and an operator with virsh, may do to a pair in lockstep: what becomes of it, and what status says.

The tests go on from each other, in this order.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from colo_bed import VIRSH, Bed, wait_for
from lockstep_lab import guest

pytestmark = pytest.mark.long

# What virsh is refused by libvirt or QEMU; nothing becomes of the pair.
REFUSED = {
    "kvm1": ("save web1 /var/tmp/web1.save", "managedsave web1", "dump --memory-only web1 /var/tmp/web1.dump",
             "snapshot-create-as web1 internal", "blockresize web1 vda 1G"),
    "kvm2": ("save web1 /var/tmp/web1.save",),
}  # fmt: skip
# What is carried out, and undone by the next checkpoint.
UNDONE = {"kvm1": ("suspend web1",), "kvm2": ("suspend web1", "reset web1")}
# What makes the guest boot again, on both hosts.
BOOTS = {
    "a reset": lambda bed: bed.ssh("kvm1", f"{VIRSH} reset web1"),
    "a reboot": lambda bed: bed.get("cgi-bin/reboot"),
    "a panic": lambda bed: bed.get("cgi-bin/panic"),
}


@pytest.fixture(scope="module", autouse=True)
def protected(bed: Bed) -> None:
    bed.deploy("--limit", "kvm,web1").good()


def status(bed: Bed, directory: Path) -> dict:
    path = directory / "status.json"
    bed.playbook("status", "-e", f"colo_status_file={path}")
    return json.loads(path.read_text(encoding="utf-8"))[0]


def still_protected(bed: Bed, directory: Path) -> None:
    """Status says so, if not at a moment in which the guest stands still, and deploy finds nothing to do."""
    wait_for("status to say protected", lambda: status(bed, directory)["phase"] == "protected")
    assert bed.deploy().good().changed == 0


def test_what_virsh_does_to_a_pair_is_refused_or_undone(bed: Bed, tmp_path: Path) -> None:
    boot = bed.get()
    for host, commands in REFUSED.items():
        for command in commands:
            assert "refused" in bed.ssh(host, f"timeout 60 {VIRSH} {command} || echo refused", timeout=90), command
            wait_for(f"the guest to answer after {command}", lambda: bed.get() == boot)
    for host, commands in UNDONE.items():
        for command in commands:
            bed.ssh(host, f"{VIRSH} {command}")
            wait_for(f"the guest to answer after {command}", lambda: bed.get() == boot)
    still_protected(bed, tmp_path)


@pytest.mark.parametrize("what", BOOTS)
def test_a_guest_that_boots_again_stays_protected(bed: Bed, tmp_path: Path, what: str) -> None:
    boot = bed.get()
    BOOTS[what](bed)
    wait_for(f"the guest to boot after {what}", lambda: bed.get() != boot, timeout=120)
    still_protected(bed, tmp_path)


def test_a_standby_that_is_shut_down_is_degraded_until_deploy_renews_it(bed: Bed, tmp_path: Path) -> None:
    boot = bed.get()
    bed.ssh("kvm2", f"{VIRSH} shutdown web1")
    wait_for("the standby to be off", lambda: "shut off" in bed.ssh("kvm2", f"{VIRSH} domstate web1"))
    assert status(bed, tmp_path)["phase"] in ("degraded", "stalled")
    bed.deploy().good()
    assert bed.get() == boot
    still_protected(bed, tmp_path)


def test_a_primary_that_is_destroyed_is_served_from_the_standby_alone(bed: Bed, tmp_path: Path) -> None:
    boot = bed.get()
    time.sleep(3)  # a whole checkpoint after the last change
    bed.ssh("kvm1", f"{VIRSH} destroy web1")
    seen = status(bed, tmp_path)
    assert seen["phase"] == "powered_off"
    assert "the standby on kvm2 still has the guest as it ran last" in " ".join(seen["problems"])
    for playbook, advice in (
        ("deploy", "lockstep.colo.start"),
        ("start", "Serve from there with lockstep.colo.failover"),
    ):
        refused = bed.playbook(playbook, "--limit", "web1")
        assert refused.code, refused.text[-2000:]
        assert advice in refused.said(), refused.said()[-2000:]
    assert "shut off" in bed.ssh("kvm1", f"{VIRSH} domstate web1")
    bed.failover("kvm1", "-e", "colo_lost=kvm1", "-e", "colo_doubt_timeout=15").good()
    assert bed.get() == boot
    bed.playbook("reprotect").good()
    bed.playbook("switchover", "-e", "colo_guest_host=kvm1").good()
    assert bed.get() == boot
    still_protected(bed, tmp_path)


def test_a_guest_that_is_shut_down_stays_off_until_it_is_started(bed: Bed, tmp_path: Path) -> None:
    bed.ssh("kvm1", f"{VIRSH} shutdown web1")
    wait_for("the guest to be off", lambda: "shut off" in bed.ssh("kvm1", f"{VIRSH} domstate web1"))
    seen = status(bed, tmp_path)
    assert seen["phase"] == "powered_off"
    assert "still has the guest" not in " ".join(seen["problems"])
    assert bed.deploy().code, "deploy started a guest that was shut down"
    bed.playbook("start").good()
    guest.wait(bed.lab, timeout=180)
    bed.deploy().good()
    still_protected(bed, tmp_path)
