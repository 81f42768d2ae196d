# SPDX-License-Identifier: GPL-3.0-or-later
"""The guest that people's tools make, q35 with UEFI, on the QEMU of backports: a whole life of it.

Runs with LOCKSTEP_LAB_SUITE=trixie-backports alone: older QEMUs abort its standby, and deploy refuses it there.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import survivor
from colo_bed import VIRSH, Bed, wait_for
from lockstep_lab import guest, probe, rootfs
from lockstep_lab.common import HOSTS

pytestmark = pytest.mark.skipif(
    os.environ.get("LOCKSTEP_LAB_SUITE") != rootfs.BACKPORTS, reason="needs LOCKSTEP_LAB_SUITE=trixie-backports"
)
MACHINES = ["q35", pytest.param("pc-q35-10.0", marks=pytest.mark.long)]  # the newest, and that of the release's QEMU
LIBVIRTS_OWN = ("'-mon' is deprecated", "-compat ")  # libvirt 11.3 with QEMU 11.1, and what it asks QEMU to tell
SHAPE = {
    "disks": (guest.Disk("sda", "qcow2", "scsi"),),
    "devices": (guest.VIRTIO_SCSI,),
    "vcpus": 2,
    "uefi": True,
    "memory": guest.UEFI_MEMORY,
    "strict": True,
}


def protected(bed: Bed, host: str) -> None:
    """Deploy finds nothing to do, and says that the guest runs there."""
    run = bed.deploy().good()
    assert run.changed == 0, run.text[-4000:]
    assert f"the guest on {host}" in run.text, run.text[-2000:]


def warnings(bed: Bed, host: str) -> list[str]:
    """What QEMU calls deprecated of what it was started with, and libvirt is not known to do by itself."""
    text = bed.ssh(host, "cat /var/log/libvirt/qemu/web1.log")
    assert "qemu-system-x86_64" in text, f"{host} has no log of the guest's QEMU"
    lines = [line for line in text.splitlines() if re.search("deprecated", line)]
    return [line for line in lines if not any(known in line for known in LIBVIRTS_OWN)]


def from_backports(bed: Bed, host: str) -> set[str]:
    """The sources of what is installed from there."""
    asked = bed.ssh(host, "dpkg-query --show --showformat '${source:Package} ${Version}\\n'")
    return {line.split()[0] for line in asked.splitlines() if "~bpo" in line}


def failures(bed: Bed, host: str) -> list[str]:
    """What the guest's kernel said of its own failures while it was on that host, also as a standby."""
    said = "BUG: |Oops: |general protection fault|Kernel panic|invalid opcode|segfault"
    return bed.ssh(host, f"grep -aE '{said}' /var/log/libvirt/qemu/web1-console.log || true").splitlines()


def test_from_a_refusal_to_a_protected_pair(lab: Bed) -> None:
    """The release's QEMU cannot; then it takes one variable and one cold start."""
    bed, release = lab, {host: {"colo_qemu_from": "stable"} for host in HOSTS}
    bed.mend()
    with bed.lab.lock():
        guest.remove(bed.lab, "web1")
    left = bed.prepare(release).good()
    advice = re.search(r"apt-get install (--allow-downgrades [^\"\n]*)", left.said())
    assert advice, "the role does not say how to go back"
    for host in HOSTS:
        assert from_backports(bed, host) == {"qemu", "seabios"}, "a downgrade, or more than QEMU"
        bed.ssh(host, "apt-get update -q")
        bed.ssh(host, f"apt-get install -q -y --no-install-recommends {advice.group(1)} ovmf", timeout=300)
        assert from_backports(bed, host) == set()
    assert bed.prepare(release).good().changed == 0

    bed.fresh_guest(rate=50, machine="q35", **SHAPE)
    boot = bed.get()
    refused = bed.playbook("deploy", "--limit", "kvm,web1", variables=release)
    assert refused.code
    assert "Set colo_qemu_from: backports for both hosts" in refused.said(), refused.text[-3000:]
    older = bed.deploy("--limit", "kvm,web1")
    assert older.code
    assert "by now: shut the guest down, start it" in older.said(), older.text[-3000:]
    assert bed.get() == boot, "the guest did not go on in its QEMU"
    for host in HOSTS:
        assert from_backports(bed, host) == {"qemu", "seabios"}

    bed.ssh("kvm1", f"{VIRSH} shutdown web1")
    wait_for("the guest to be off", lambda: "shut off" in bed.ssh("kvm1", f"{VIRSH} domstate web1"))
    bed.ssh("kvm1", f"{VIRSH} start web1")
    guest.wait(bed.lab, timeout=180)
    bed.deploy("--limit", "kvm,web1").good()
    assert bed.deploy("--limit", "kvm,web1").good().changed == 0
    protected(bed, "kvm1")


@pytest.mark.parametrize("machine", MACHINES)
def test_a_q35_guest_with_uefi_lives_a_whole_life(lab: Bed, machine: str, tmp_path: Path) -> None:
    bed, acks = lab, tmp_path / "acks"
    for host in HOSTS:
        bed.ssh(host, "apt-get install -q -y --no-install-recommends ovmf")
    bed.fresh_guest(rate=50, machine=machine, **SHAPE)
    before, boot = bed.xml("kvm1", "--inactive"), bed.get()
    assert "type='pflash'" in bed.xml("kvm1")
    probe.start(bed.lab, acks)

    bed.deploy("--limit", "kvm,web1").good()
    protected(bed, "kvm1")
    bed.power_off("kvm1")
    bed.failover("kvm1").good()
    survivor.serves(bed, acks)
    bed.power_on("kvm1")
    bed.deploy().good()
    protected(bed, "kvm2")
    assert bed.get() == boot

    bed.get("cgi-bin/reboot")
    wait_for("the guest to boot again", lambda: bed.get() != boot, timeout=180)
    again = bed.get()
    wait_for("lockstep after the boot", lambda: bed.deploy().changed == 0, timeout=120)
    protected(bed, "kvm2")
    assert {host: failures(bed, host) for host in HOSTS} == {host: [] for host in HOSTS}
    bed.playbook("switchover", "-e", "colo_guest_host=kvm1").good()
    protected(bed, "kvm1")
    bed.playbook("unprotect", "-e", "colo_guest_host=kvm1").good()
    assert bed.get() == again

    assert {host: warnings(bed, host) for host in HOSTS} == {host: [] for host in HOSTS}
    survivor.left_nothing(bed, "kvm1")
    survivor.ordinary(bed, "kvm1", before)
    acknowledged = survivor.lost_nothing(bed, "kvm1", acks)
    assert probe.report(acks)["boots"] == 2
    print(f"{machine}: {acknowledged} acknowledged, 0 lost, 2 boots")
