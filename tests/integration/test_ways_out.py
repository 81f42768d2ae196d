# SPDX-License-Identifier: GPL-3.0-or-later
"""What people's bug reports did to pairs: every way out is open, and what is told is so.

Each case has a guest of its own. The scripts from which they come played a whole situation; here its end is looked at.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.channels import QUIET
from colo_bed import DIRECTORY, ONE_DISK, VIRSH, Bed, Run, wait_for
from lockstep_lab import guest, hosts, probe
from lockstep_lab.common import GUEST_ADDRESS
from lockstep_lab.guest import IMAGES

pytestmark = pytest.mark.long  # some two minutes each


MIRROR, COMPARE = 21602, 21603
IDLE_MIRROR, IDLE_COMPARE = 21604, 21605  # of the second NIC, over which the guest says nothing by itself
BACKED = f"cd {IMAGES} && qemu-img create -q -f qcow2 web1-base.qcow2 256M"


def fresh(
    bed: Bed, edit: Callable[[str], str] | None = None, prepare: str = "true", after: str = "true", rate: int = 50
) -> str:
    """A guest that runs on kvm1, whose domain was edited before its start; its boot."""
    probe.stop(bed.lab, quiet=True)
    bed.mend()
    with bed.lab.lock():
        guest.remove(bed.lab, "web1")
    for host in ("kvm1", "kvm2"):
        bed.ssh(
            host, f"{VIRSH} undefine --snapshots-metadata web1 2>/dev/null; rm -rf {DIRECTORY}/*-*-*-*-*", check=False
        )
    bed.disks = ONE_DISK
    bed.ssh("kvm1", prepare)
    with bed.lab.lock():
        guest.define(bed.lab, "kvm1", guest.Guest(disks=ONE_DISK, writer_rate=rate), start=False)
    if edit:
        xml = bed.xml("kvm1", "--inactive")
        edited = edit(xml)
        assert edited != xml, "nothing was edited"
        bed.ssh("kvm1", f"{VIRSH} define --validate /dev/stdin", stdin=edited)
    bed.ssh("kvm1", f"{VIRSH} start web1")
    guest.wait(bed.lab, timeout=240)
    bed.ssh("kvm1", after)
    time.sleep(3)
    return bed.get()


def status(bed: Bed) -> dict:
    """What status writes of the pair, however it ends."""
    path = bed.lab.state / "status.json"
    path.unlink(missing_ok=True)
    bed.playbook("status", "--limit", "web1", "-e", f"colo_status_file={path}", "-e", "colo_status_watch=6")
    return dict(json.loads(path.read_text(encoding="utf-8"))[0])


def lose(bed: Bed, host: str) -> Run:
    bed.power_off(host)
    return bed.failover(host, "-e", f"colo_lost={host}")


# The guest's own block node, however QEMU names its file.


def before_target(text: str) -> Callable[[str], str]:
    return lambda xml: xml.replace("<target dev='vda'", f"{text}<target dev='vda'", 1)


def driver(options: str) -> Callable[[str], str]:
    return lambda xml: xml.replace("type='qcow2'/>", f"type='qcow2' {options}/>", 1)


def throttled(xml: str) -> str:
    group = "<group_name>lab</group_name><total_bytes_sec>500000000</total_bytes_sec>"
    groups = f"<throttlegroups><throttlegroup>{group}</throttlegroup></throttlegroups>"
    filters = "<throttlefilters><throttlefilter group='lab'/></throttlefilters>"
    return xml.replace("</disk>", f"{filters}</disk>", 1).replace("<os>", f"{groups}<os>", 1)


RELATIVE = f"{BACKED} && qemu-img create -q -f qcow2 -F qcow2 -b web1-base.qcow2 web1-vda.qcow2"
ABSOLUTE_OVER_RELATIVE = (
    f"{BACKED} && qemu-img create -q -f qcow2 -F qcow2 -b web1-base.qcow2 web1-mid.qcow2"
    f" && qemu-img create -q -f qcow2 -F qcow2 -b {IMAGES}/web1-mid.qcow2 web1-vda.qcow2"
)
SHAPES = {
    "relative backing file": (RELATIVE, None),
    "absolute overlay above a relative one": (ABSOLUTE_OVER_RELATIVE, None),
    "no backing store over a backed image": (
        f"{BACKED} && qemu-img create -q -f qcow2 -F qcow2 -b web1-base.qcow2 web1-vda.qcow2",
        before_target("<backingStore/>"),
    ),
    "copy on read": ("true", driver("copy_on_read='on'")),
    "throttled": ("true", throttled),
    "slice of a raw file": (
        f"cd {IMAGES} && truncate -s 260M web1-vda.qcow2",
        lambda xml: re.sub(
            r"(<disk .*?)type='qcow2'(.*?)<source file='([^']*)'/>",
            r"\1type='raw'\2<source file='\3'><slices>"
            r"<slice type='storage' offset='1048576' size='268435456'/></slices></source>",
            xml,
            count=1,
            flags=re.S,
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_what_was_put_in_can_be_taken_out(lab: Bed, shape: str) -> None:
    prepare, edit = SHAPES[shape]
    boot = fresh(lab, edit, prepare)
    before = lab.xml("kvm1", "--inactive")
    if "raw" in shape:
        lab.disks = guest.virtio_disks({"vda": "raw"})
    deployed = lab.deploy()
    if deployed.code:  # what could not be found again, or was never tried, is refused, before anything is changed
        refusals = "once other layers are under it", "not possible with COLO", "nobody has tried this with COLO"
        assert any(words in deployed.text for words in refusals), deployed.text[-3000:]
        assert deployed.changed == 0
        assert "urn:lockstep" not in lab.xml("kvm1")
        assert lab.get() == boot
        return
    lab.playbook("unprotect", "--limit", "web1").good()
    assert lab.get() == boot
    assert lab.xml("kvm1", "--inactive") == before
    lab.deploy().good()
    lose(lab, "kvm2").good()
    assert lab.get(patience=20) == boot


# Channels


def call(bed: Bed) -> None:
    """Ask something of the guest, whether it answers or not: what comes to it goes over its mirror."""
    words = ["ip", "netns", "exec", bed.lab.client_ns, "ping", "-q", "-c", "3", "-W", "1", GUEST_ADDRESS]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr  # all answered, or not


@pytest.fixture
def blocked(lab: Bed) -> Iterator[Callable[[int], None]]:
    """Lets no packet to or from a port pass kvm1, until the test is over."""

    def block(port: int) -> None:
        rules = "; ".join(
            f"add rule inet lab {hook} tcp {way} {port} drop" for hook in ("i", "o") for way in ("dport", "sport")
        )
        chains = "".join(
            f"add chain inet lab {name} {{ type filter hook {hook} priority -5; }}; "
            for name, hook in (("i", "input"), ("o", "output"))
        )
        lab.ssh("kvm1", f"nft '{'add table inet lab; '}{chains}{rules}'")

    yield block
    lab.ssh("kvm1", "nft delete table inet lab", check=False)


@pytest.mark.parametrize("port", [MIRROR, COMPARE], ids=["mirror", "compare"])
def test_a_channel_that_a_firewall_blocks_is_no_protected_pair(lab: Bed, blocked: Callable, port: int) -> None:
    boot = fresh(lab)
    blocked(port)
    run = lab.deploy()
    assert run.code
    assert "is protected" not in run.text
    assert "firewall" in run.text
    assert lab.get() == boot
    lab.ssh("kvm1", "nft delete table inet lab")
    assert "web1 is protected" in lab.deploy().good().text
    assert lab.get() == boot


@pytest.mark.parametrize("port", [MIRROR, COMPARE], ids=["mirror", "compare"])
def test_a_channel_that_is_closed_later_is_seen_by_status(lab: Bed, blocked: Callable, port: int) -> None:
    fresh(lab)
    lab.deploy().good()
    blocked(port)
    call(lab)
    time.sleep(8)
    found = status(lab)
    assert found["phase"] != "protected"
    assert re.search(r"firewall|connected|no checkpoint", " ".join(found["problems"])), found
    lab.ssh("kvm1", "nft delete table inet lab")
    lab.playbook(found["next"].rpartition(".")[2], "--limit", "web1").good()
    lab.deploy().good()


@pytest.mark.parametrize("port", [IDLE_MIRROR, IDLE_COMPARE], ids=["mirror", "compare"])
def test_of_a_channel_that_is_closed_beside_an_idle_nic_status_does_not_say_that_it_is_well(
    lab: Bed, blocked: Callable, port: int
) -> None:
    lab.fresh_guest(nics=2, rate=50)
    lab.deploy().good()
    well = status(lab)
    assert (well["phase"], well["problems"]) == ("protected", []), well
    blocked(port)
    time.sleep(QUIET + 10)
    found = status(lab)
    assert [words for words in (*found["problems"], *found["notes"]) if str(port) in words], found
    assert any(str(port) in words for words in found["problems"]) is (found["phase"] != "protected"), found
    lab.ssh("kvm1", "nft delete table inet lab")
    lab.deploy().good()


def test_large_packets_that_are_lost_are_named_and_every_exit_ends_the_copy(lab: Bed) -> None:
    boot = fresh(lab)
    drop = "; ".join(f"add rule inet lab o tcp {way} 21600-23199 meta length > 1300 drop" for way in ("dport", "sport"))
    for host in ("kvm1", "kvm2"):
        lab.ssh(
            host, f"nft 'add table inet lab; add chain inet lab o {{ type filter hook output priority 0; }}; {drop}'"
        )
    try:
        run = lab.deploy("--limit", "web1")
        assert run.code
        assert "large packets" in run.text or "MTU" in run.text
        assert lab.get() == boot
        lab.playbook("unprotect", "--limit", "web1").good()
        assert lab.get() == boot
    finally:
        for host in ("kvm1", "kvm2"):
            lab.ssh(host, "nft delete table inet lab", check=False)


# Where the guest is reached


def test_a_survivor_that_nobody_hears_is_no_success(lab: Bed) -> None:
    boot = fresh(lab)
    lab.deploy().good()
    tap = lab.ssh("kvm2", f"{VIRSH} domiflist web1 | awk 'NF {{print $1; exit}}'").strip()
    drop = f"add rule bridge lab f iifname {tap} drop"
    lab.ssh(
        "kvm2", f"nft 'add table bridge lab; add chain bridge lab f {{ type filter hook forward priority 0; }}; {drop}'"
    )
    run = lose(lab, "kvm1")
    assert run.code == 2
    assert "clients do not reach it" in run.text
    assert "nothing that NIC" in run.text
    assert "running" in lab.ssh("kvm2", f"{VIRSH} domstate web1")
    lab.ssh("kvm2", "nft delete table bridge lab")
    assert lab.get(patience=20) == boot
    assert lab.failover("kvm1", "-e", "colo_lost=kvm1").good().changed == 0


def test_a_survivor_that_is_heard_says_nothing_of_it(lab: Bed) -> None:
    boot = fresh(lab)
    lab.deploy().good()
    again = lab.deploy().good()
    assert (again.changed, "ready.yml" in again.text) == (0, False), "both hosts were looked at once more"
    run = lose(lab, "kvm1").good()
    assert "clients do not reach it" not in run.text
    assert "see the guest's frames leave" in run.text or run.code == 0
    assert lab.get(patience=20) == boot
    assert not [words for words in status(lab)["problems"] if "NIC" in words]


# What cannot be seen


def test_status_names_each_host_that_tells_nothing_and_why(lab: Bed) -> None:
    fresh(lab)
    lab.deploy().good()
    with lab.lab.lock():
        hosts.set_cut(lab.lab, "kvm2", True)
    time.sleep(5)
    cut = status(lab)
    assert (cut["holder"], cut["next"]) == ("kvm1", "lockstep.colo.failover"), cut
    assert cut["phase"] in ("degraded", "stalled"), cut
    assert any(re.match(r"kvm2 could not be observed: \w", words) for words in cut["problems"]), cut
    for host in ("kvm1", "kvm2"):
        lab.power_off(host)
    off = status(lab)
    assert (off["phase"], off["holder"]) == ("unknown", None), off
    assert [words.partition(" ")[0] for words in off["problems"]] == ["kvm1", "kvm2"], off
    lab.mend()


# What libvirt keeps of a domain


def test_snapshots_are_told_of_and_do_not_keep_a_guest_from_moving(lab: Bed) -> None:
    path = f"{IMAGES}/web1-vda.s1.qcow2"
    boot = fresh(lab, after=f"{VIRSH} snapshot-create-as web1 s1 --disk-only --diskspec vda,file={path}")
    run = lab.deploy().good()
    assert "snapshots or checkpoints (s1)" in run.said()
    assert "backups that go on from a checkpoint" in run.said()
    lab.playbook("unprotect", "--limit", "web1", "-e", "colo_guest_host=kvm2").good()
    assert lab.get() == boot
    assert "web1" not in lab.ssh("kvm1", f"{VIRSH} list --all --name")


def test_a_full_standby_is_named_and_unprotect_frees_the_guest(lab: Bed) -> None:
    boot = fresh(lab, rate=0)
    lab.ssh("kvm2", f"mkdir -p {DIRECTORY}; mount -t tmpfs -o size=900M,mode=0711 none {DIRECTORY}")
    try:
        lab.deploy().good()
        fill = f"fallocate -l $(( $(df --output=avail -B1 {DIRECTORY} | tail -1) - 1048576 )) {DIRECTORY}/other"
        lab.ssh("kvm2", fill, check=False)
        wait_for("the pair to be no longer protected", lambda: status(lab)["phase"] != "protected", 120)
        found = status(lab)
        assert found["next"] == "lockstep.colo.unprotect", found
        assert any("free for images" in words for words in found["problems"]), found
        refused = lab.deploy()
        assert refused.code
        assert "free for images" in refused.text
        assert lab.get(patience=20) == boot, "the guest was not freed"
        lab.playbook("unprotect", "--limit", "web1").good()
        assert lab.get(patience=20) == boot
    finally:
        lab.ssh("kvm2", f"umount -l {DIRECTORY}", check=False)
