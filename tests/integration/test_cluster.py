# SPDX-License-Identifier: GPL-3.0-or-later
"""A host falls silent, and nobody does anything: the cluster fences it, and the guest goes on from the other.

Each test goes on from the one before. What the power switch was asked is held against what became of the guest.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clustered
import pytest
from colo_bed import OTHER, Bed, wait_for
from lockstep_lab import cluster, powerswitch, probe
from lockstep_lab.common import HOSTS
from lockstep_lab.powerswitch import FAILS, LIES, WORKS, PowerSwitch
from watching import ready, role_of

pytestmark = pytest.mark.long
MAX_ATTEMPTS = 10  # at a fence that Pacemaker makes by itself, stonith-max-attempts
ON = {host: {"colo_automation": "word"} for host in HOSTS}


@dataclass(frozen=True)
class Guarded:
    """The pair in the cluster's charge, the boot of its guest, which nothing here restarts, and the switch."""

    bed: Bed
    boot: str
    switch: PowerSwitch

    def holder(self) -> str:
        """The host that the guest runs on, by the records."""
        (found,) = [host for host in HOSTS if role_of(self.bed, host) != "secondary"]
        return found

    def protected(self) -> str:
        """Once more both hosts on, the pair protected and in the cluster's charge; the primary's host."""
        self.switch.mode = WORKS
        self.bed.mend()
        self.bed.deploy("-e", "colo_automation=word").good()
        for host in HOSTS:
            self.bed.ssh(host, "crm_resource --cleanup", check=False)
        here = self.holder()
        wait_for("both watchers at work", lambda: ready(self.bed))
        wait_for("both halves in the cluster's charge", lambda: clustered.members(self.bed, here), timeout=120)
        return here

    def lost(self, host: str, acks: Path) -> dict[str, Any]:
        """What the client saw when that host lost its power, once the guest answers again; nothing may be lost."""
        probe.start(self.bed.lab, acks)
        time.sleep(3)
        moment = self.bed.power_off(host)
        survivor = OTHER[host]
        wait_for("the guest", lambda: self.bed.get(patience=5) == self.boot, timeout=90)
        time.sleep(3)
        seen = probe.report(acks, event=moment, clock="monotonic")
        told = clustered.told(self.bed, survivor), clustered.journal(self.bed, survivor)
        assert seen["boots"] == 1, told
        assert role_of(self.bed, survivor) == "alone", told
        found = self.bed.lost(survivor, acks, live=True)
        probe.stop(self.bed.lab, quiet=True)
        assert all(not word["lost_count"] and word["acknowledged"] for word in found.values()), found
        print(f"{host} lost: first answer after {seen['acks']['event_to_first_ms']} ms; {told[0]}\n{told[1]}")
        return seen


@pytest.fixture(scope="module")
def guarded(bed: Bed) -> Iterator[Guarded]:
    boot = bed.get()
    cluster.equip(bed.lab)
    with powerswitch.switch(bed.lab) as switch:
        bed.prepare(ON).good()
        bed.deploy("-e", "colo_automation=word").good()
        clustered.make(bed).good()
        yield Guarded(bed, boot, switch)


def test_the_role_changes_nothing_the_second_time(guarded: Guarded) -> None:
    again = clustered.make(guarded.bed).good()
    assert again.changed == 0, again.text[-4000:]


def test_the_host_of_the_primary_loses_its_power(guarded: Guarded, tmp_path: Path) -> None:
    here = guarded.protected()
    guarded.lost(here, tmp_path / "acks")
    assert [line for _at, line in guarded.switch.told if line == f"off {here}"]


def test_the_host_of_the_standby_loses_its_power(guarded: Guarded, tmp_path: Path) -> None:
    standby = OTHER[guarded.protected()]
    guarded.lost(standby, tmp_path / "acks")
    assert [line for _at, line in guarded.switch.told if line == f"off {standby}"]


def test_nothing_is_promoted_while_the_fence_fails(guarded: Guarded, tmp_path: Path) -> None:
    here = guarded.protected()
    survivor, acks = OTHER[here], tmp_path / "acks"
    probe.start(guarded.bed.lab, acks)
    time.sleep(3)
    guarded.switch.mode = FAILS
    moment = guarded.bed.power_off(here)
    wait_for("attempts", lambda: guarded.switch.asked(f"off {here}", moment) > MAX_ATTEMPTS, timeout=120)
    assert role_of(guarded.bed, survivor) == "secondary"
    assert "fence-" in clustered.told(guarded.bed, survivor)
    guarded.switch.mode = WORKS
    wait_for("the guest", lambda: guarded.bed.get(patience=5) == guarded.boot, timeout=120)
    assert role_of(guarded.bed, survivor) == "alone"
    found = guarded.bed.lost(survivor, acks, live=True)
    probe.stop(guarded.bed.lab, quiet=True)
    assert all(not word["lost_count"] and word["acknowledged"] for word in found.values()), found


def test_a_fence_that_lies_is_not_believed(guarded: Guarded) -> None:
    """The ring alone is cut: the cluster fences a host that is well, and in lockstep, and the switch does nothing."""
    here = guarded.protected()
    rules = "add table inet cut; add chain inet cut in { type filter hook input priority 0; }; add rule inet cut in udp"
    guarded.switch.mode = LIES
    began = time.monotonic()
    guarded.bed.ssh(here, f"nft '{rules} dport 5405 drop'")
    wait_for("a fence", lambda: any(line.startswith("off") for at, line in guarded.switch.told if at > began))
    time.sleep(15)
    try:
        assert {role_of(guarded.bed, host) for host in HOSTS} == {"primary", "secondary"}
        assert guarded.bed.get() == guarded.boot
    finally:
        guarded.bed.ssh(here, "nft delete table inet cut")
