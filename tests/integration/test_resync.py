# SPDX-License-Identifier: GPL-3.0-or-later
"""After a failover the lost host's images are compared, and only what differs is sent: then both are the same."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import survivor
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import resync
from colo_bed import OTHER, ROOT, TWO_DISKS, VIRSH, Bed, wait_for
from lockstep_lab import checker, probe

CLUSTER = 65536
OLD = "/var/tmp/old"
SLOW = 6 << 20  # bytes per second: half a minute for each disk
QUIET = 100_000  # ms between checkpoints: none lets a guest go on that was stopped
SLACK = 2 << 20  # bytes that the guest may write while its disks are copied, beyond what differs in the end


def raw(bed: Bed, host: str, where: str) -> None:
    """The content of the host's images, as files that can be compared."""
    for target, path in bed.images(host).items():
        bed.ssh(host, f"qemu-img convert -U -f {bed.formats[target]} -O raw {path.strip()} {where}-{target}")


def contents(bed: Bed, host: str) -> dict[str, str]:
    raw(bed, host, "/var/tmp/now")
    return {target: bed.ssh(host, f"sha256sum < /var/tmp/now-{target}").split()[0] for target in bed.formats}


def differing(bed: Bed, host: str, target: str) -> int:
    """Bytes of the clusters in which the content now is another than it was."""
    script = (
        "import sys; a, b = (open(p, 'rb') for p in sys.argv[1:]); n = 0\n"
        f"while x := a.read({CLUSTER}): n += {CLUSTER} * (x != b.read({CLUSTER}))\n"
        "print(n)"
    )
    return int(bed.ssh(host, f"python3 - {OLD}-{target} /var/tmp/now-{target}", stdin=script))


def copied(bed: Bed, host: str) -> dict[str, dict[str, int]]:
    """What the host says of its last copies that compared, by disk."""
    script = "cd /run/lockstep-colo && for f in *.copied; do echo $(echo $f | cut -d. -f2) $(cat $f); done"
    notes = bed.ssh(host, script)
    return {target: json.loads(words) for target, words in (line.split(None, 1) for line in notes.splitlines())}


def stop_both(bed: Bed, primary: str, standby: str) -> None:
    """End both QEMUs while the guest stands still and has nothing under way."""
    delay = {"execute": "migrate-set-parameters", "arguments": {"x-checkpoint-delay": QUIET}}
    bed.qmp(primary, json.dumps(delay))
    wait_for("a checkpoint to be over", lambda: bed.qmp(primary, "query-status")[0]["running"])
    bed.ssh(primary, f"sleep 2; {VIRSH} suspend web1; sleep 1; {VIRSH} destroy web1")
    bed.ssh(standby, f"{VIRSH} destroy web1")


def least(bed: Bed, host: str) -> int:
    """Bytes that the emptiest image of the host takes."""
    paths = " ".join(path.strip() for path in bed.images(host).values())
    return min(512 * int(blocks) for blocks in bed.ssh(host, f"stat -c %b {paths}").split())


def processes(bed: Bed, host: str, name: str) -> int:
    return int(bed.ssh(host, f"pgrep -fc '[h]ost[.]{name}' || true"))


def nothing_is_left_and_both_are_the_same(bed: Bed) -> None:
    """Of a guest on kvm2 that has a standby on kvm1 again; both QEMUs are ended for that."""
    assert not [name for name in bed.graph("kvm2")["nodes"] if name.endswith("-copy")]
    assert processes(bed, "kvm2", "sieve") == 0
    exports, nodes = bed.qmp("kvm2", "query-block-exports", "query-named-block-nodes")
    assert exports == []
    assert not [bitmap for node in nodes for bitmap in node.get("dirty-bitmaps", ()) if bitmap.get("name")]
    stop_both(bed, "kvm2", "kvm1")
    assert contents(bed, "kvm1") == contents(bed, "kvm2")


@pytest.fixture(name="lost")
def a_guest_that_lost_a_host(lab: Bed, tmp_path: Path) -> Bed:
    """The guest runs alone on kvm2; kvm1, which had it, is back, with images that are mostly right."""
    lab.fresh_guest(disks=TWO_DISKS, rate=200)
    for host in OTHER:
        lab.ssh(host, "rm -f /run/lockstep-colo/*.copied")  # of a guest before this one, which has the same UUID
    lab.deploy("--limit", "kvm,web1").good()
    probe.start(lab.lab, tmp_path)
    wait_for("enough on both disks to be worth it", lambda: least(lab, "kvm2") > 2 * resync.WORTH_IT, timeout=240)
    lab.power_off("kvm1")
    lab.failover("kvm1", "-e", "colo_lost=kvm1").good()
    survivor.serves(lab, tmp_path)
    lab.power_on("kvm1")
    return lab


def test_only_what_differs_is_sent_and_both_are_the_same(lost: Bed, tmp_path: Path) -> None:
    boot = lost.get()
    raw(lost, "kvm1", OLD)
    lost.deploy("-e", "colo_resync=changed").good()
    assert lost.get() == boot
    nothing_is_left_and_both_are_the_same(lost)
    assert set(copied(lost, "kvm2")) == set(lost.formats)
    for target, told in copied(lost, "kvm2").items():
        differs = differing(lost, "kvm1", target)
        print(f"{target}: {differs} bytes differ, {told}")
        assert told["moved"] <= 1.3 * differs + SLACK
        assert told["saved"] > 0
    assert processes(lost, "kvm1", "sums") == 0
    probe.stop(lost.lab)
    for number, (target, path) in enumerate(lost.images("kvm1").items()):
        here = checker.check(lost.lab, "kvm1", path.strip(), tmp_path, disk=number)
        assert here["ok"], (target, {key: here[key] for key in here if key not in ("lost", "holes")})


@pytest.fixture(name="protected")
def a_pair_that_has_written(lab: Bed, tmp_path: Path) -> Bed:
    """In lockstep on kvm1, and what the guest has written is on both."""
    lab.fresh_guest(disks=TWO_DISKS, rate=200)
    for host in OTHER:
        lab.ssh(host, "rm -f /run/lockstep-colo/*.copied")
    lab.deploy("--limit", "kvm,web1").good()
    probe.start(lab.lab, tmp_path)
    wait_for("enough on both disks to be worth it", lambda: least(lab, "kvm2") > 2 * resync.WORTH_IT, timeout=240)
    return lab


@pytest.mark.long
def test_after_a_change_of_sides_what_was_written_is_sent_alone(protected: Bed, tmp_path: Path) -> None:
    boot = protected.get()
    protected.playbook("switchover", "-e", "colo_guest_host=kvm2", "-e", "colo_resync=changed").good()
    told = copied(protected, "kvm2")
    assert {target: (one["way"], one["left"]) for target, one in told.items()} == dict.fromkeys(
        protected.formats, ("written", 0)
    )
    assert protected.get(patience=240) == boot
    nothing_is_left_and_both_are_the_same(protected)
    probe.stop(protected.lab)
    for number, (target, path) in enumerate(protected.images("kvm1").items()):
        here = checker.check(protected.lab, "kvm1", path.strip(), tmp_path, disk=number)
        assert here["ok"], (target, {key: here[key] for key in here if key not in ("lost", "holes")})


@pytest.mark.long
@pytest.mark.parametrize("fault", ["its host's power", "what compares", "what answers"])
def test_a_fault_in_the_middle_costs_the_guest_nothing(lost: Bed, tmp_path: Path, fault: str) -> None:
    """The next run reaches the goal, and nothing is left of the one before."""
    boot, errors = lost.get(), lost.io_errors("kvm2")
    words = lost.command("deploy", "--limit", "web1", "-e", "colo_resync=changed", "-e", f"colo_sync_speed={SLOW}")
    with subprocess.Popen(words, cwd=ROOT, env=lost.environment(), stdin=subprocess.DEVNULL) as deploy:
        note = "cat /run/lockstep-colo/*.vda.copied"
        wait_for("comparing", lambda: "saved" in lost.ssh("kvm2", note, check=False), timeout=240)
        if fault == "its host's power":
            lost.power_off("kvm1")
        else:
            host, name = ("kvm2", "sieve") if fault == "what compares" else ("kvm1", "sums")
            lost.ssh(host, f"pkill -KILL -f 'host[.]{name}'")
        code = deploy.wait(400)
    assert (code == 0) is (fault == "what answers"), "without sums all is sent; without the rest there is no standby"
    assert lost.get() == boot
    assert lost.io_errors("kvm2") == errors
    if fault == "its host's power":
        lost.power_on("kvm1")
    lost.deploy("-e", "colo_resync=changed").good()
    assert lost.get() == boot
    nothing_is_left_and_both_are_the_same(lost)
