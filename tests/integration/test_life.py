# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes after the first protection: changing sides, being off, coming back, and being ordinary again.

The tests go on from each other, in this order; each finds the pair protected.
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain import reading
from colo_bed import DIRECTORY, VIRSH, Bed, wait_for
from lockstep_lab import guest, probe


@pytest.fixture(scope="module")
def before(bed: Bed) -> str:
    """The domain before there was a pair; the pair is there from now on."""
    xml = bed.xml("kvm1", "--inactive")
    bed.deploy("--limit", "kvm,web1").good()
    return xml


def start_refused(bed: Bed, host: str) -> str:
    """What virsh says, which must not start the domain."""
    answer = bed.ssh(host, f"{VIRSH} start web1 2>&1; true")
    assert "shut off" in bed.ssh(host, f"{VIRSH} domstate web1"), answer
    return answer


def ran(bed: Bed, host: str) -> bool:
    return "running" in bed.ssh(host, f"{VIRSH} domstate web1", check=False)


# Another front end, on a host that has the core and no Ansible: how it stands, and what a failover would do.
FRONT_END = """
import importlib.util, json, sys
sys.path.insert(0, "/root/core")
from module_utils.run import goals, result, session
from module_utils.run.status import status

assert importlib.util.find_spec("ansible") is None, "this host has Ansible"
assert session.missing_libraries() == []
with session.open_session("qemu:///system", "web1", None) as hypervisor:
    found = status(hypervisor, goals.Request("web1", "kvm2"))
fenced = goals.Request("web1", "kvm2", check=True, fence=goals.Fence("kvm1", proof={"rc": 0}))
done = goals.reach("surviving", fenced, uri="qemu:///system", owner="a test")
try:
    goals.reach("surviving", goals.Request("web1", "kvm2", check=True), uri="qemu:///system", owner="a test")
except result.FAILURES as error:
    refused = result.failure(error, "web1", "kvm2")["msg"]
print(json.dumps({**result.returned(done), "phase": found["phase"], "refused": refused}))
"""


def test_another_front_end_reaches_the_same_goals_without_ansible(bed: Bed, before: str) -> None:
    bed.send_core("kvm2")
    found = json.loads(bed.ssh("kvm2", "python3 -", stdin=FRONT_END))
    assert found["phase"] == "protected"
    assert "let the guest of this host take over" in found["steps"]
    assert found["done"] == []
    assert "it is not proven that kvm1 is down" in found["refused"]
    check = bed.module("kvm2", "colo_failover", check=True, name="web1", fence={"host": "kvm1", "proof": {"rc": 0}})
    assert check["steps"] == found["steps"]


def test_a_healthy_pair_changes_sides_and_back(bed: Bed, before: str, tmp_path: Path) -> None:
    boot, acks = bed.get(), tmp_path / "acks"
    probe.start(bed.lab, acks)
    for host in ("kvm2", "kvm1"):
        run = bed.playbook("switchover", "-e", f"colo_guest_host={host}").good()
        assert f"web1 is protected: the guest on {host}" in run.text
        assert bed.get() == boot
        assert bed.playbook("switchover", "-e", f"colo_guest_host={host}").good().changed == 0
    probe.stop(bed.lab, quiet=True)
    assert probe.report(acks)["boots"] == 1
    word = bed.lost("kvm1", acks, live=True)["vda"]
    assert word["acknowledged"]
    assert word["lost"] == []


def power_itself_off(bed: Bed) -> None:
    bed.get("cgi-bin/poweroff")
    wait_for("the guest to be off", lambda: "shut off" in bed.ssh("kvm1", f"{VIRSH} domstate web1"))


@pytest.mark.long  # as a step of start is played by the kills of make test
def test_a_guest_that_powers_itself_off_stays_off_until_it_is_started(bed: Bed, before: str) -> None:
    power_itself_off(bed)
    assert "of a COLO pair: its disks may not be the newest copy" in start_refused(bed, "kvm1")
    bed.playbook("start").good()
    assert ran(bed, "kvm1")
    left = bed.module("kvm2", "colo_failover", name="web1", fence={"host": "kvm1", "proof": {"rc": 0}})
    # Its guest has powered itself off as well, and perhaps ended its QEMU already.
    refusals = "has not completed a checkpoint", "a secondary that is powered_off cannot fail over"
    assert any(words in left["msg"] for words in refusals), "the standby from before could still be promoted"
    assert not ran(bed, "kvm2")
    assert bed.playbook("start").good().changed == 0
    guest.wait(bed.lab, timeout=180)
    bed.deploy().good()
    assert bed.playbook("start").good().changed == 0, "a protected pair needs no start"


@pytest.mark.long
def test_deploy_starts_no_guest_that_is_off(bed: Bed, before: str) -> None:
    power_itself_off(bed)
    refused = bed.deploy()
    assert refused.code != 0
    assert "lockstep.colo.start" in refused.said()
    assert not ran(bed, "kvm1")
    bed.playbook("start").good()
    guest.wait(bed.lab, timeout=180)
    bed.deploy().good()


@pytest.mark.long
def test_both_hosts_lose_their_power_and_only_the_newest_copy_runs_again(bed: Bed, before: str) -> None:
    for host in ("kvm1", "kvm2"):
        bed.power_off(host)
    bed.mend()
    assert not ran(bed, "kvm1")
    assert not ran(bed, "kvm2")
    bed.playbook("start").good()
    guest.wait(bed.lab, timeout=180)
    bed.deploy().good()


@pytest.mark.long
def test_a_stale_copy_that_is_back_alone_never_runs(bed: Bed, before: str) -> None:
    bed.power_off("kvm1")
    bed.failover("kvm1").good()
    bed.power_off("kvm2")
    bed.power_on("kvm1")
    assert "COLO pair" in start_refused(bed, "kvm1")
    alone = bed.playbook("start")
    assert alone.code != 0
    assert "kvm2 cannot be reached: it may have a newer copy" in alone.said()
    assert not ran(bed, "kvm1")
    bed.mend()
    bed.playbook("start").good()
    assert ran(bed, "kvm2")
    assert not ran(bed, "kvm1")
    assert "stale" in bed.playbook("status").said()
    guest.wait(bed.lab, timeout=180)
    bed.playbook("reprotect").good()
    assert "web1 is protected: the guest on kvm2" in bed.deploy().good().text


@pytest.mark.long
def test_what_was_edited_meanwhile_survives_and_the_rest_is_as_before(bed: Bed, before: str) -> None:
    bed.playbook("switchover", "-e", "colo_guest_host=kvm2").good()
    boot = bed.get()
    bed.ssh("kvm2", f"{VIRSH} setvcpus web1 2 --maximum --config")
    bed.deploy().good()
    assert ">2</vcpu>" in bed.xml("kvm1", "--inactive"), "the standby does not have what was edited on the primary"
    assert bed.get() == boot
    run = bed.playbook("unprotect", "-e", "colo_guest_host=kvm1").good()
    assert "web1 is an ordinary domain on kvm1" in run.text
    assert bed.get() == boot
    wanted = before.replace(">1</vcpu>", " current='1'>2</vcpu>")
    lines = [reading.canonical(xml).splitlines() for xml in (wanted, bed.xml("kvm1", "--inactive"))]
    assert lines[0] == lines[1], "\n".join(difflib.unified_diff(*lines, "wanted", "found", lineterm=""))
    graph = bed.graph("kvm1")
    assert not [name for kind in ("nodes", "objects", "chardevs") for name in graph[kind] if name.startswith("colo-")]
    assert not bed.ssh("kvm2", f"{VIRSH} list --all --name").strip()
    for host in ("kvm1", "kvm2"):
        assert not bed.ssh(host, f"find {DIRECTORY} -type f").strip()
    assert bed.playbook("unprotect").good().changed == 0


def test_a_drill_disproves_what_a_standby_does_not_answer_for(bed: Bed, before: str) -> None:
    bed.deploy().good()
    boot = bed.get()
    addresses = {"colo_drill_addresses": ["10.77.0.50", "10.77.0.99"]}
    run = bed.playbook("drill", "-e", json.dumps(addresses))
    assert run.code == 2, run.text[-4000:]
    assert "No answer from 10.77.0.99." in run.said()
    assert "The guest runs on kvm1, protected again." in run.said()
    assert bed.get() == boot
    assert bed.deploy().good().changed == 0


@pytest.mark.long
def test_a_drill_proves_a_standby(bed: Bed, before: str) -> None:
    boot = bed.get()
    good = bed.playbook("drill", "-e", json.dumps({"colo_drill_addresses": ["10.77.0.50"]})).good()
    assert "10.77.0.50 answered, and its images are sound" in good.said()
    assert bed.get() == boot
    assert bed.deploy().good().changed == 0
