# SPDX-License-Identifier: GPL-3.0-or-later
"""A write that fails: on the primary's own disk, or on its way to the standby. Nobody is told that it was written."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import survivor
from colo_bed import DIRECTORY, VIRSH, Bed, first_process, wait_for
from lockstep_lab import checker, guest, probe
from lockstep_lab.common import run

SMALL = f"{guest.IMAGES}/web1-small"
SIZE = 600 << 20  # bytes of that file system
SPARED = 256 << 10  # bytes of it that are left free: the guest writes some 50 kB a second


@pytest.fixture(name="small")
def a_guest_on_a_small_file_system(lab: Bed, tmp_path: Path):
    """The guest's image lies on an ext4 of kvm1 that can be filled."""
    lab.fresh_guest()
    image, place = lab.images("kvm1")["vda"].strip(), tmp_path / "small"
    lab.ssh("kvm1", f"{VIRSH} destroy web1; mkdir -p {SMALL}")
    place.mkdir()
    with (tmp_path / "small.img").open("wb") as file:
        file.truncate(SIZE)
    run(["mkfs.ext4", "-q", "-m", "0", tmp_path / "small.img"])
    run(["mount", "-o", "loop", tmp_path / "small.img", place])
    try:
        script = Path(__file__).with_name("mount_into.py")
        run([sys.executable, script, place, str(first_process(lab, "kvm1")), SMALL])
        lab.ssh("kvm1", f"cp --sparse=always --preserve=ownership,mode {image} {SMALL}/vda.qcow2 && rm {image}")
        moved = lab.xml("kvm1", "--inactive").replace(image, f"{SMALL}/vda.qcow2")
        lab.ssh("kvm1", f"{VIRSH} define /dev/stdin && {VIRSH} start web1", stdin=moved)
        guest.wait(lab.lab, timeout=180)
        yield lab
    finally:
        lab.mend()
        lab.ssh("kvm1", f"{VIRSH} destroy web1; umount -l {SMALL}; rmdir {SMALL}", check=False)
        run(["umount", place])


def status(bed: Bed, path: Path) -> tuple[int, dict]:
    done = bed.playbook("status", "--limit", "web1", "-e", f"colo_status_file={path}")
    return done.code, json.loads(path.read_text(encoding="utf-8"))[0]


def test_a_full_disk_of_the_primary_loses_nothing_on_either_host(small: Bed, tmp_path: Path) -> None:
    """Were the standby's success enough, the guest would read old content, and the primary's copy lack the writes."""
    small.deploy("--limit", "kvm,web1").good()
    probe.start(small.lab, tmp_path)
    wait_for("acknowledgements", lambda: probe.report(tmp_path)["acks"]["count"] > 100)
    small.ssh("kvm1", f"fallocate -l $(($(df --output=avail -B1 {SMALL} | tail -1) - {SPARED})) {SMALL}/other")
    # The guest is stopped by its disk, as libvirt has it by default; at the next checkpoint QEMU ends itself.
    wait_for("the end of the primary", lambda: "shut off" in small.ssh("kvm1", f"{VIRSH} domstate web1"), timeout=180)
    code, said = status(small, tmp_path / "status.json")
    assert code != 0
    assert said["next"] == "lockstep.colo.failover", said
    assert any("a write to one of its images failed" in words for words in said["problems"]), said
    copy = f"{guest.IMAGES}/web1-full.qcow2"  # where the checker, which is not in kvm1's mount namespace, finds it
    small.ssh("kvm1", f"cp --sparse=always {SMALL}/vda.qcow2 {copy}")
    here = checker.check(small.lab, "kvm1", copy, tmp_path, disk=0)
    assert here["ok"], {key: here[key] for key in here if key not in ("lost", "holes")}
    small.failover("kvm1", "-e", "colo_lost=kvm1").good()
    survivor.serves(small, tmp_path)
    survivor.lost_nothing(small, "kvm2", tmp_path)


def cut_disks(bed: Bed) -> None:
    """Reset kvm1's connection for the disks, and let it make no other."""
    reset = f"ss --kill --tcp --numeric 'dport = :{disks_port(bed)}'"
    chain = "add table inet lab; add chain inet lab out { type filter hook output priority 0; }"
    rule = f"add rule inet lab out tcp dport {disks_port(bed)} tcp flags == syn reject with tcp reset"
    bed.ssh("kvm1", f"nft '{chain}; {rule}' && {reset}")


def disks_port(bed: Bed) -> int:
    return int(re.search(r'first-port="(\d+)"', bed.xml("kvm1"))[1]) + 1


@pytest.mark.long
def test_a_connection_of_the_disks_that_is_reset_loses_nothing(lab: Bed, tmp_path: Path) -> None:
    lab.fresh_guest(rate=50)
    lab.deploy("--limit", "kvm,web1").good()
    probe.start(lab.lab, tmp_path)
    for _reset in range(3):
        lab.ssh("kvm1", f"ss --kill --tcp --numeric 'dport = :{disks_port(lab)}'")
        time.sleep(3)
    assert status(lab, tmp_path / "status.json")[0] == 0
    lab.power_off("kvm1")
    lab.failover("kvm1", "-e", "colo_lost=kvm1").good()
    survivor.serves(lab, tmp_path)
    survivor.lost_nothing(lab, "kvm2", tmp_path)


@pytest.mark.long
def test_a_standby_that_lacks_a_write_is_named_and_renewed(lab: Bed, tmp_path: Path) -> None:
    """The connection of the disks alone ends: checkpoints go on, and the standby's disk lacks a write."""
    lab.fresh_guest(rate=50)
    lab.deploy("--limit", "kvm,web1").good()
    probe.start(lab.lab, tmp_path)
    cut_disks(lab)
    code, said = 0, {}

    def named() -> bool:
        nonlocal code, said
        code, said = status(lab, tmp_path / "status.json")
        return code != 0

    wait_for("the pair to be called other than protected", named, timeout=60)
    assert said["phase"] == "degraded", said
    assert any("did not reach the standby" in words for words in said["problems"]), said
    assert any("lost its connection for the disks alone" in words for words in said["problems"]), said
    refused = lab.failover("kvm1", "-e", "colo_lost=kvm1", "-e", "colo_doubt_timeout=15")
    assert refused.code == 2, "a guest was ended for a standby that lacks what it was told"
    assert "a write of the guest did not reach the standby" in refused.said()
    lab.ssh("kvm1", "nft delete table inet lab")
    lab.deploy().good()
    assert status(lab, tmp_path / "status.json")[0] == 0
    lab.power_off("kvm1")
    lab.failover("kvm1", "-e", "colo_lost=kvm1").good()
    survivor.serves(lab, tmp_path)
    survivor.lost_nothing(lab, "kvm2", tmp_path)
    lab.mend()
    lab.ssh("kvm1", f"rm -rf {DIRECTORY}/*-*-*-*-*")


def fill_copies(bed: Bed) -> None:
    """What the primary sends to kvm2 has nowhere to go: the file system of its copy has no room left."""
    size = f"$(($(df --output=used -B1 {DIRECTORY} | tail -1) + {SPARED}))"
    bed.ssh("kvm2", f"mount -o remount,size={size} {DIRECTORY}")


def loses_its_host(bed: Bed) -> None:
    cut_disks(bed)
    time.sleep(5)  # of acknowledgements, and some checkpoints
    bed.power_off("kvm1")


def loses_its_qemu_alone(bed: Bed) -> None:
    cut_disks(bed)
    time.sleep(5)
    bed.ssh("kvm1", "pkill -9 -f 'guest=web[1]'")


def is_connected_anew_too_late(bed: Bed) -> None:
    cut_disks(bed)
    time.sleep(4)
    bed.ssh("kvm1", "nft delete table inet lab")
    time.sleep(5)
    bed.power_off("kvm1")


def writes_to_a_full_standby(bed: Bed) -> None:
    """At once, before its own guest is stopped by the same disk: its QEMU ends itself at the checkpoint after that."""
    fill_copies(bed)
    wait_for("a write that fails", lambda: "send_chunk_error" in log_of(bed, "kvm2"))
    bed.power_off("kvm1")


def log_of(bed: Bed, host: str) -> str:
    return bed.ssh(host, "grep -a nbd_co_send /var/log/libvirt/qemu/web1.log || true")


LOSSES = {
    loses_its_host: "kvm1 lost its connection for the disks alone, and went on",
    loses_its_qemu_alone: "kvm1 lost its connection for the disks alone, and went on",
    is_connected_anew_too_late: "kvm1 had no connection for the disks for",
    writes_to_a_full_standby: "a write of the guest failed on this host (ENOSPC)",
}


@pytest.mark.long
@pytest.mark.parametrize("loses", LOSSES, ids=lambda one: one.__name__)
def test_a_standby_that_lacks_a_write_is_not_promoted_though_nobody_looked(
    lab: Bed, tmp_path: Path, loses: Callable[[Bed], None]
) -> None:
    """The primary lacks none, and is lost: its copy alone has what clients were told. It is started once it is back."""
    lab.fresh_guest(rate=50)
    if loses is writes_to_a_full_standby:
        lab.ssh("kvm2", f"mount -t tmpfs -o size=2g tmpfs {DIRECTORY}")
    lab.deploy("--limit", "kvm,web1").good()
    probe.start(lab.lab, tmp_path)
    wait_for("acknowledgements", lambda: probe.report(tmp_path)["acks"]["count"] > 50)
    loses(lab)
    before = lab.fingerprint(of=["kvm2"], graph=False)
    refused = lab.failover("kvm1", "-e", "colo_lost=kvm1", "-e", "colo_doubt_timeout=15")
    assert refused.code == 2, refused.text[-3000:]
    assert LOSSES[loses] in refused.said()
    assert refused.changed == 0
    assert lab.fingerprint(of=["kvm2"], graph=False) == before
    assert "bring kvm1 back, whose copy is whole, and run lockstep.colo.start" in refused.said()
    lab.mend()
    said = status(lab, tmp_path / "status.json")[1]
    assert said["next"] == "lockstep.colo.start", said
    assert any(LOSSES[loses] in words for words in said["problems"]), said
    lab.playbook("start", "--limit", "web1").good()
    guest.wait(lab.lab, timeout=120)
    survivor.lost_nothing(lab, "kvm1", tmp_path)
    lab.ssh("kvm1", "nft delete table inet lab", check=False)
    lab.ssh("kvm2", f"{VIRSH} destroy web1; umount -l {DIRECTORY}", check=False)


@pytest.mark.long
def test_a_full_root_does_not_keep_a_guest_from_serving(lab: Bed, tmp_path: Path) -> None:
    """No room for libvirt's XML, with the record in it, nor for what Ansible unpacks; the marker has its own."""
    lab.fresh_guest(rate=50)
    boot = lab.get()
    lab.deploy("--limit", "kvm,web1").good()
    places = ("/etc/libvirt/qemu", "/var/tmp", "/tmp", "/root")
    for place in places:
        small = f"kept=$(mktemp -d -p /run) && mode=$(stat -c %a {place}) && cp -a {place}/. $kept"
        small += f" && mount -t tmpfs -o size=8m,mode=$mode tmpfs {place} && cp -a $kept/. {place}"
        small += f" && rm -r $kept && (head -c 9M /dev/zero > {place}/other || true)"
        lab.ssh("kvm2", small)
    probe.start(lab.lab, tmp_path)
    wait_for("acknowledgements", lambda: probe.report(tmp_path)["acks"]["count"] > 100)
    lab.power_off("kvm1")
    run = lab.failover("kvm1", "-e", "colo_lost=kvm1")
    survivor.serves(lab, tmp_path)
    assert run.code == 2, "that the domain's XML could not be written has to be said"
    assert "No space left on device" in run.said()
    assert "Free space there, and run again" in run.said()
    lab.ssh("kvm2", f"rm {' '.join(f'{place}/other' for place in places)}")
    lab.failover("kvm1", "-e", "colo_lost=kvm1").good()
    assert lab.get() == boot
    lab.ssh("kvm2", f"cd / && umount -l {' '.join(places[1:])}")  # the checker works in there, from outside
    survivor.left_nothing(lab, "kvm2")
    survivor.lost_nothing(lab, "kvm2", tmp_path)
    lab.mend()
    lab.ssh("kvm2", f"umount -l {places[0]}")
