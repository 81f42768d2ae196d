# SPDX-License-Identifier: GPL-3.0-or-later
"""A QEMU of a pair that hangs while both hosts answer: what status names leads on, and no try closes another way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from colo_bed import HOSTS, Bed
from lockstep_lab import probe
from test_ways_out import fresh, status

pytestmark = pytest.mark.long  # some three minutes each


@pytest.fixture
def stop(lab: Bed) -> Iterator[Callable[[str], None]]:
    """Stops the QEMU of web1 on a host, as one is that hangs, until the test is over."""

    def say(host: str, signal: str) -> None:
        lab.ssh(host, f"pkill -{signal} -f guest=web1,", check=False)

    yield lambda host: say(host, "STOP")
    for host in HOSTS:
        say(host, "CONT")


def test_a_primary_that_hangs_gives_way_to_its_standby(lab: Bed, stop: Callable[[str], None], tmp_path) -> None:
    boot = fresh(lab)
    lab.deploy().good()
    probe.start(lab.lab, tmp_path)
    time.sleep(5)
    stop("kvm1")
    refused = lab.playbook("unprotect", "--limit", "web1")
    assert refused.code
    assert "does not answer" in refused.text
    found = status(lab)
    assert (found["phase"], found["next"]) == ("degraded", "lockstep.colo.failover"), found
    assert "colo_lost=kvm1" in found["command"], found
    lab.failover("kvm1", "-e", "colo_lost=kvm1").good()
    assert lab.get(patience=30) == boot
    assert lab.serves_from("kvm2")
    assert not lab.serves_from("kvm1")
    probe.stop(lab.lab, quiet=True)
    word = lab.lost("kvm2", tmp_path, live=True)["vda"]
    assert word["acknowledged"]
    assert word["lost"] == []
    assert "web1 is protected" in lab.deploy().good().text
    assert lab.get() == boot


def test_a_standby_that_hangs_is_renewed(lab: Bed, stop: Callable[[str], None]) -> None:
    boot = fresh(lab)
    lab.deploy().good()
    stop("kvm2")
    time.sleep(10)
    found = status(lab)
    assert (found["phase"] != "protected", found["next"]) == (True, "lockstep.colo.deploy"), found
    assert "web1 is protected" in lab.deploy().good().text
    assert lab.get() == boot
