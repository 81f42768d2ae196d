# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenarios' hands: up, guest, lose HOST, verify, mend, down. It keeps its notes in the lab's directory."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[2]
for part in ("tests/integration", "tests/lab", ".cache/collections"):
    sys.path.insert(0, str(ROOT / part))

from lockstep_lab import control  # noqa: E402

control.leave([str(ROOT / ".cache/venv/bin/python"), "-B", __file__, *sys.argv[1:]])

import pauses  # noqa: E402
import survivor  # noqa: E402
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import channels  # noqa: E402
from colo_bed import ONE_DISK, OTHER, TWO_DISKS, Bed  # noqa: E402
from lockstep_lab import probe  # noqa: E402
from lockstep_lab.common import HOSTS  # noqa: E402

BLOCK = 512  # bytes, of what stat counts
SLACK = 32 << 20  # bytes; a whole disk has 256 MiB


def main(verb: str, *words: str) -> None:
    bed = Bed(os.environ.get("LOCKSTEP_LAB_NAME", "colo-molecule"))
    instances = os.environ.get("LOCKSTEP_LAB_INSTANCES")
    bed.disks = ONE_DISK if instances else TWO_DISKS
    acks, notes = bed.lab.state / "acks", bed.lab.state / "molecule.json"
    if verb == "up":
        bed.up(instances=instances)
    elif verb == "guest":
        # An emulated host has no time for more, with the guest's own work beside it.
        bed.fresh_guest(disks=bed.disks, nics=len(bed.disks), rate=50 if instances else 0)
        known = {"before": bed.xml("kvm1", "--inactive"), "refused": []}
        if instances:
            known["refused"] = sorted(set().union(*survivor.refused(bed, "kvm1").values()))
        notes.write_text(json.dumps(known), encoding="utf-8")
        record(bed, "kvm1", acks)
    elif verb == "lose":
        time.sleep(5)  # some checkpoints under full load
        for number, target in enumerate(bed.formats):
            assert probe.acknowledged(acks, number), f"nothing is being written to {target}"
        sparse(bed)
        known = noted(notes)
        for host in HOSTS:
            keys = set(channels.CREDENTIALS) - set(bed.graph(host)["objects"])
            assert not keys, f"QEMU on {host} is without {keys}"
            if instances:
                survivor.confined(bed, host, set(known["refused"]))
        known["stood_still"] = pauses.when_protected(bed)
        known["lost"], known["moment"] = words[0], bed.power_off(words[0])
        notes.write_text(json.dumps(known), encoding="utf-8")
    elif verb == "verify":
        verify(bed, acks, noted(notes))
    elif verb == "mend":
        bed.mend()
        record(bed, OTHER[noted(notes)["lost"]], acks)
    elif verb == "down":
        bed.down()
    else:
        raise SystemExit(f"no such verb: {verb}")


def sparse(bed: Bed) -> None:
    """The standby's images take no more room than the guest's own: holes were copied as holes."""
    for target in bed.formats:
        taken = []
        for host in HOSTS:
            path = bed.images(host)[target].strip()
            taken.append(BLOCK * int(bed.ssh(host, f"stat -c %b {path}")))
        assert max(taken) < min(taken) + SLACK, f"{target} takes {taken} bytes on {' and '.join(HOSTS)}"


def noted(notes: Path) -> dict:
    return json.loads(notes.read_text(encoding="utf-8"))


def record(bed: Bed, host: str, acks: Path) -> None:
    """Begin to record what the client is told, and when the guest, which runs on that host, stands still."""
    shutil.rmtree(acks, ignore_errors=True)
    probe.start(bed.lab, acks)
    pauses.record(bed, host)


def verify(bed: Bed, acks: Path, known: dict) -> None:
    host = OTHER[known["lost"]]
    print(f"the guest stood still for {known['stood_still']} ms to be protected, says its QEMU")
    live = bed.xml(host)
    survivor.serves(bed, acks)
    print(f"{host}: the guest answers and was never rebooted")
    survivor.left_nothing(bed, host)
    print(f"{host}: nothing of COLO is left in QEMU")
    survivor.ordinary(bed, host, known["before"])
    print(f"{host}: the persistent XML is that of an ordinary domain")
    if bed.lab.facts().get("instances"):
        survivor.confined(bed, host, set(known["refused"]))
        print(f"{host}: AppArmor is enforcing, and refused QEMU nothing that an ordinary guest may")
    survivor.snapshots(bed, host)
    print(f"{host}: snapshot and blockcommit work")
    survivor.saves(bed, host)
    print(f"{host}: save and restore work")
    after = probe.report(acks, since=known["moment"], clock="monotonic")["disks"]
    assert len(after) == len(bed.disks), f"no writes acknowledged since the loss: {after}"
    print(f"{host}: acknowledged and there: {survivor.lost_nothing(bed, host, acks)}, lost 0")
    survivor.cold_start(bed, host, live)
    print(f"{host}: cold start works, and the live XML differed at most in -incoming")


if __name__ == "__main__":
    main(*sys.argv[1:])
