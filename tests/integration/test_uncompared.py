# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest with clients over IPv6 and in a VLAN, whose frames COLO cannot hold back: refused, dropped or allowed."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import survivor
from colo_bed import OTHER, Bed, wait_for
from lockstep_lab import network, probe
from lockstep_lab.common import GUEST_ADDRESS_6

DROP, ALLOW = ("-e", "colo_uncompared=drop"), ("-e", "colo_uncompared=allow")
UNHELD = {"ipv6", "vlan"}  # ways of an acknowledgement that is not compared


def tables(bed: Bed, host: str) -> list[str]:
    """Our tables of nftables on a host."""
    listed = bed.ssh(host, "nft list tables bridge").split("\n")
    return [line.split()[-1] for line in listed if "lockstep-colo-" in line]


def told(bed: Bed) -> list[str]:
    """What status says of frames that are not compared."""
    path = bed.lab.state / "status.json"
    bed.playbook("status", "--limit", "web1", "-e", f"colo_status_file={path}", "-e", "colo_status_watch=2")
    (pair,) = json.loads(path.read_text(encoding="utf-8"))
    return [words for words in pair["problems"] if "over IPv6" in words]


def heard(acks: Path, since: float, ways: set[str] = UNHELD) -> dict[str, int]:
    """How many acknowledgements came by these ways since a monotonic time."""
    found = probe.report(acks, since=since, clock="monotonic")["ways"]
    return {way: word["count"] for way, word in found.items() if way in ways}


def reaches(bed: Bed) -> bool:
    """Whether the client gets a page over IPv6."""
    return bool(network.inside(bed.lab, ["get", f"http://[{GUEST_ADDRESS_6}]/boot_id", "2"], timeout=20).strip())


def test_a_guest_that_is_seen_to_serve_is_refused_and_nothing_is_changed(lab: Bed) -> None:
    lab.fresh_guest(rate=50, ipv6=True, vlan=7)
    before, boot = lab.fingerprint(), lab.get()
    run = lab.deploy()
    assert run.code == 2, run.text[-3000:]
    assert "the guest serves with frames that COLO cannot hold back" in run.said()
    assert "IPv6, VLAN 7" in run.said()
    assert "Choose with colo_uncompared" in run.said()
    assert lab.fingerprint() == before
    assert lab.get() == boot
    assert tables(lab, "kvm1") == tables(lab, "kvm2") == []


@pytest.mark.long
@pytest.mark.parametrize("lost", ["kvm1", "kvm2"])
def test_what_is_dropped_cannot_be_lost(lab: Bed, tmp_path: Path, lost: str) -> None:
    lab.fresh_guest(rate=50, ipv6=True, vlan=7)
    left = OTHER[lost]
    probe.start(lab.lab, tmp_path)
    wait_for("acknowledgements over IPv6 and in the VLAN", lambda: set(heard(tmp_path, 0)) == UNHELD)
    lab.deploy(*DROP).good()
    protected = time.monotonic()
    assert [len(tables(lab, host)) for host in ("kvm1", "kvm2")] == [1, 0]
    assert told(lab) == []
    assert lab.deploy(*DROP).good().changed == 0
    assert lab.deploy().good().changed == 0, "a pair that drops them goes on to"
    gone = lab.power_off(lost)
    assert heard(tmp_path, protected) == {}
    assert heard(tmp_path, protected, {"ipv4"})["ipv4"] > 100
    time.sleep(1)
    lab.failover(lost).good()
    wait_for("a page over IPv6", lambda: reaches(lab))
    wait_for("acknowledgements over IPv6 and in the VLAN", lambda: set(heard(tmp_path, gone)) == UNHELD)
    assert tables(lab, left) == []
    survivor.serves(lab, tmp_path)
    survivor.left_nothing(lab, left)
    survivor.lost_nothing(lab, left, tmp_path)


@pytest.mark.long
def test_what_was_flushed_is_put_back_and_unprotect_leaves_nothing(lab: Bed, tmp_path: Path) -> None:
    lab.fresh_guest(rate=50, ipv6=True, vlan=7)
    lab.deploy(*DROP).good()
    lab.ssh("kvm1", "nft flush ruleset")
    assert ["the rule of nftables is gone" in words for words in told(lab)] == [True]
    again = lab.deploy(*DROP, "--diff").good()
    assert "let nothing pass from the guest on" in again.said()
    probe.start(lab.lab, tmp_path)
    since = time.monotonic()
    time.sleep(3)
    assert heard(tmp_path, since) == {}
    assert told(lab) == []

    # The other way round, in lockstep.
    lab.deploy(*ALLOW).good()
    wait_for("acknowledgements over IPv6 and in the VLAN", lambda: set(heard(tmp_path, since)) == UNHELD)
    assert tables(lab, "kvm1") == []
    assert ["colo_uncompared is allow" in words for words in told(lab)] == [True]
    assert lab.deploy().code == 2, "the choice was taken back, and the guest is seen to serve"
    lab.deploy(*DROP).good()

    lab.playbook("switchover", "--limit", "web1").good()
    assert [len(tables(lab, host)) for host in ("kvm1", "kvm2")] == [0, 1]
    since = time.monotonic()
    time.sleep(3)
    assert heard(tmp_path, since) == {}
    lab.playbook("unprotect", "--limit", "web1").good()
    wait_for("a page over IPv6", lambda: reaches(lab))
    assert tables(lab, "kvm1") == tables(lab, "kvm2") == []
    assert told(lab) == []
    probe.stop(lab.lab)
