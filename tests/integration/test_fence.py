# SPDX-License-Identifier: GPL-3.0-or-later
"""Lies about a fence: a host that is said to have no power, and has it. Each test goes on from the one before."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import survivor
from colo_bed import VIRSH, Bed, Run, wait_for
from lockstep_lab import hosts, probe

PATIENT = ("-e", "colo_doubt_timeout=15")  # an ssh connection on a busy machine


@pytest.fixture(scope="module", autouse=True)
def protected(bed: Bed) -> str:
    """The pair, with the hosts as the role host leaves them; the boot of its guest, which nothing here restarts."""
    boot = bed.get()
    bed.deploy("--limit", "kvm,web1").good()
    return boot


def said_to_be_off(bed: Bed, lost: str, *words: str) -> Run:
    return bed.failover(lost, "-e", f"colo_lost={lost}", *words)


def state(bed: Bed, host: str) -> str:
    return bed.ssh(host, f"{VIRSH} domstate web1").strip()


def processes(bed: Bed, host: str) -> str:
    return bed.ssh(host, "pgrep -f '[q]emu-system-x86_64 .*guest=web1' || true").strip()


def cut(bed: Bed, host: str, value: bool) -> None:
    with bed.lab.lock():
        hosts.set_cut(bed.lab, host, value)


def is_protected(bed: Bed) -> bool:
    return bed.playbook("status", "--limit", "web1").code == 0


@pytest.mark.long
def test_a_standby_is_not_ended_for_what_its_primary_was_before(bed: Bed) -> None:
    """Two deploys at once: the second looked at the primary before the first had brought the pair into lockstep."""
    primary = bed.module("kvm1", "colo_info", name="web1", secrets=True)
    primary["observation"]["monitor"]["migration"]["status"] = "none"
    before = processes(bed, "kvm2")
    assert before
    result = bed.module("kvm2", "colo_pair", name="web1", role="secondary", peer=primary)
    assert result["failed"]
    assert "another run has brought the pair there since kvm1 was looked at" in result["msg"]
    assert processes(bed, "kvm2") == before
    assert is_protected(bed)


@pytest.mark.long
@pytest.mark.parametrize("words", [("--check",), ()], ids=["check mode", "run"])
def test_a_frozen_host_is_not_believed_to_have_no_power(bed: Bed, words: tuple[str, ...]) -> None:
    with bed.lab.lock():
        hosts.set_frozen(bed.lab, "kvm1", True)
    try:
        run = said_to_be_off(bed, "kvm1", *words)
    finally:
        bed.mend()
    assert run.code == 2, run.text[-3000:]
    assert "kvm1 answers on 10.77.0.1, so it has power" in run.said()
    assert run.changed == 0
    wait_for("the pair in lockstep, as before", lambda: is_protected(bed), timeout=120)


def test_the_guest_of_a_host_that_answers_is_ended_there_before_it_serves_here(
    bed: Bed, protected: str, tmp_path: Path
) -> None:
    probe.start(bed.lab, tmp_path)
    time.sleep(3)
    run = said_to_be_off(bed, "kvm1", *PATIENT).good()
    assert "kvm1 answered, though it was said to have no power: its guest was ended there" in run.said()
    assert not processes(bed, "kvm1"), "two guests"
    assert state(bed, "kvm1") == "shut off"
    assert "COLO pair" in bed.ssh("kvm1", f"{VIRSH} start web1 2>&1; true")
    assert state(bed, "kvm1") == "shut off"
    survivor.serves(bed, tmp_path)
    assert bed.get() == protected
    probe.stop(bed.lab, quiet=True)
    assert bed.lost("kvm2", tmp_path, live=True)["vda"]["lost"] == []
    assert said_to_be_off(bed, "kvm1", *PATIENT).good().changed == 0, "it may be run again"
    assert "web1 is protected: the guest on kvm2" in bed.deploy().good().text


def test_a_standby_that_was_left_behind_is_not_promoted(bed: Bed, protected: str) -> None:
    """The guest is on kvm2. Its standby is cut off, and said to have no power: no one can know better."""
    cut(bed, "kvm1", True)
    alone = said_to_be_off(bed, "kvm1").good()
    assert "web1 is failed_over on kvm2" in alone.said()
    left = time.monotonic()
    cut(bed, "kvm2", True)
    cut(bed, "kvm1", False)
    assert "the standby last heard from kvm2" in bed.playbook("status", "--limit", "web1").said()
    within = int(time.monotonic() - left)
    refused = said_to_be_off(bed, "kvm2", "-e", f"colo_promote_within={within}")
    assert refused.code == 2, refused.text[-3000:]
    assert "if kvm2 went on alone after that, it has acknowledged writes that this copy lacks" in refused.said()
    assert refused.changed == 0
    cut(bed, "kvm2", False)
    assert bed.get() == protected

    seen = said_to_be_off(bed, "kvm2", *PATIENT, "-e", "colo_promote_within=-1")
    assert seen.code == 2, seen.text[-3000:]
    assert "kvm2 has a newer copy (generation 3, this one is 2) and went on alone" in seen.said()
    assert bed.get() == protected
    assert "web1 is protected: the guest on kvm2" in bed.deploy().good().text


@pytest.mark.long
def test_minutes_after_a_loss_a_standby_is_still_promoted_at_once(bed: Bed, protected: str) -> None:
    bed.power_off("kvm2")
    time.sleep(200)
    run = said_to_be_off(bed, "kvm2").good()
    assert "As a standby it last heard from kvm2 at" in run.said()
    assert bed.get() == protected
