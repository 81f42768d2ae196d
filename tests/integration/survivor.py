# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be true of a guest after a failover: the claims of the collection, one function each, in this order.

They share a state: the later ones stop the guest and start it afresh.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

from ansible_collections.lockstep.colo.plugins.module_utils.domain import editing, reading
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import IOTHREAD
from colo_bed import VIRSH, Bed, wait_for
from lockstep_lab import guest, probe

COLO_DRIVERS = {"quorum", "replication", "blkdebug", "null-co", "nbd"}


def serves(bed: Bed, acks: Path) -> None:
    """The guest answers, and it is the one that was booted before: never rebooted."""
    guest.wait(bed.lab, timeout=60)
    assert bed.get(), "no answer"
    boots = probe.report(acks)["boot_ids"]
    assert len(boots) == 1, f"the guest was rebooted: {boots}"
    assert bed.get() == boots[0]


def left_nothing(bed: Bed, host: str) -> None:
    """No node, object, chardev, export, job, capability, thread, socket or file of COLO is left on the survivor."""
    graph = bed.graph(host)
    for kind in ("nodes", "objects", "chardevs", "exports", "jobs", "iothreads"):
        assert not [name for name in graph[kind] if name.startswith("colo-")], (kind, graph[kind])
    assert not COLO_DRIVERS & {driver for driver, _file in graph["nodes"].values()}, graph["nodes"]
    assert not graph["exports"], graph["exports"]
    assert not graph["jobs"], graph["jobs"]
    assert f"iothread{IOTHREAD}" not in graph["iothreads"], graph["iothreads"]
    assert "x-colo" not in graph["capabilities"], graph["capabilities"]
    # That a process has: what the kernel still tries to send to a host that is gone is nobody's.
    sockets = bed.ssh(host, "ss -Htanp | grep -E ':2(1[6-9]|2[0-9]|3[01])[0-9][0-9] ' || true").splitlines()
    assert not [line for line in sockets if "users:" in line], sockets
    assert not bed.ssh(host, "find /var/lib/libvirt -name '*.active.qcow2' -o -name '*.hidden.qcow2'").strip()


def ordinary(bed: Bed, host: str, before: str) -> None:
    """The persistent XML, without its record, is that from before it was protected, save its images' paths."""
    now = editing.unprotect(bed.xml(host, "--inactive"))
    for target, path in bed.images(host).items():
        before = re.sub(
            rf"<source file='[^']*'(/>\s*<target dev='{target}')", rf"<source file='{path.strip()}'\1", before
        )
    lines = [reading.canonical(xml).splitlines() for xml in (before, now)]
    assert lines[0] == lines[1], "\n".join(difflib.unified_diff(*lines, "before", "now", lineterm=""))
    other = before.replace(">1</vcpu>", ">2</vcpu>")
    assert reading.canonical(now) != reading.canonical(other), "compares nothing"


def confined(bed: Bed, host: str, ordinary: set[str]) -> None:
    """AppArmor holds the guest's QEMU, does not only complain, and refused it nothing that an ``ordinary`` one may."""
    label = bed.ssh(host, "cat /proc/$(cat /run/libvirt/qemu/web1.pid)/attr/current").strip()
    assert label.startswith("libvirt-"), label
    assert label.endswith("(enforce)"), label
    bed.ssh(host, f"aa-exec -p {label.split()[0]} -- cat /etc/shadow", check=False)
    seen = refused(bed, host)
    assert "cat" in seen, "the journal does not tell what is refused, so that this check cannot fail"
    more = set().union(*(names for program, names in seen.items() if program != "cat")) - ordinary
    assert not more, f"{host}: AppArmor refused {more}"


def refused(bed: Bed, host: str) -> dict[str, set[str]]:
    """By program, what AppArmor refused it in the name of a guest since the host booted; numbers are left out."""
    journal = 'journalctl -b -o cat | grep -a \'apparmor="DENIED".*profile="libvirt-\' || true'
    found: dict[str, set[str]] = {}
    for line in bed.ssh(host, journal).splitlines():
        words = dict(re.findall(r'(\w+)="([^"]*)"', line))
        what = f"{words.get('operation', '')} {words.get('name') or words.get('capname', '')}"
        found.setdefault(words.get("comm", ""), set()).add(re.sub(r"\d+", "N", what))
    return found


def snapshots(bed: Bed, host: str) -> None:
    """An external snapshot, and back: libvirt understands the disks again."""
    options = " ".join(f"--diskspec {target},file={path.strip()}.snap" for target, path in bed.images(host).items())
    bed.ssh(host, f"{VIRSH} snapshot-create-as web1 lab --disk-only --no-metadata {options}")
    for target in bed.images(host):
        assert bed.ssh(host, f"{VIRSH} domblklist web1 | grep '{target} .*snap$'").strip()
        bed.ssh(host, f"{VIRSH} blockcommit web1 {target} --active --pivot --wait --timeout 120", timeout=180)
    assert "snap" not in bed.ssh(host, f"{VIRSH} domblklist web1")
    bed.ssh(host, f"rm -f {guest.IMAGES}/*.snap {guest.IMAGES}/colo/*/*.snap")
    assert bed.get(), "no answer after blockcommit"


def saves(bed: Bed, host: str) -> None:
    """Save to a file and restore."""
    boot = bed.get()
    bed.ssh(host, f"{VIRSH} save web1 /var/tmp/web1.save", timeout=120)
    assert "shut off" in bed.ssh(host, f"{VIRSH} domstate web1")
    bed.ssh(host, f"{VIRSH} restore /var/tmp/web1.save && rm /var/tmp/web1.save", timeout=120)
    wait_for("the restored guest", lambda: bed.get() == boot)


def lost_nothing(bed: Bed, host: str, acks: Path) -> dict[str, int]:
    """Shut off; every write that was acknowledged is there; the images are clean. Acknowledged numbers by disk."""
    found = checked(bed, host, acks)
    all_there(bed, host, found)
    return {target: word["acknowledged"] for target, word in found.items()}


def checked(bed: Bed, host: str, acks: Path) -> dict[str, Any]:
    """Shut off; the checker's word on each disk."""
    probe.stop(bed.lab, quiet=True)
    try:
        bed.get("cgi-bin/poweroff")
    except Exception:  # the guest may go before it has answered
        pass
    wait_for("the shut down guest", lambda: "shut off" in bed.ssh(host, f"{VIRSH} domstate web1"))
    found = bed.lost(host, acks)
    assert len(found) == len(bed.disks)
    return found


def all_there(bed: Bed, host: str, found: dict[str, Any]) -> None:
    """Of a guest that is shut off: the checker found every write, and its images are clean."""
    for target, word in found.items():
        assert word["ok"], (target, {key: word[key] for key in word if key not in ("lost", "holes")}, word["lost"][:20])
        assert not word["holes_count"], (target, word["holes_count"], word["holes"][:20])
    for path in bed.images(host).values():
        kind = "qcow2" if path.strip().endswith("qcow2") else "raw"
        if kind == "qcow2":
            assert "No errors" in bed.ssh(host, f"qemu-img check -f qcow2 {path}")


def cold_start(bed: Bed, host: str, live_before: str) -> None:
    """It starts afresh, and what libvirt held of the running domain before differs at most in what a standby is started
    with: -incoming, and images in which holes stay holes."""
    bed.ssh(host, f"{VIRSH} start web1")
    guest.wait(bed.lab, timeout=180)
    live = bed.xml(host)
    assert "-incoming" not in live
    if "discard=" not in live:
        live_before = live_before.replace(" discard='unmap'", "")
    lines = _steady(live_before), _steady(live)
    assert lines[0] == lines[1], "\n".join(difflib.unified_diff(*lines, "before", "now", lineterm=""))


def _steady(live: str) -> list[str]:
    """The live XML without the record, -incoming and what is new at each start (ids, terminals, labels)."""
    text = reading.canonical(editing.unprotect(live))
    text = re.sub(r"<qemu:arg value=\"(-incoming|defer)\"[^>]*>(</qemu:arg>)?\s*", "", text)
    text = re.sub(r" (id|port|tty|path|index)=\"[^\"]*\"", "", text)
    text = re.sub(r"<target dev=\"vnet[0-9]+\">", "<target>", text)
    lines = [line.strip() for line in re.sub(r"(?=<)", "\n", text).splitlines()]
    # What holds the arguments is nothing by itself: without -incoming it may be empty, or not there at all.
    kept = [line for line in lines if line and not re.match(r"</?(seclabel|label|imagelabel|qemu:commandline)", line)]
    return [line for line in kept if not line.startswith("</")]
