# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole life of a pair whose hosts know each other by IPv6 addresses alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from colo_bed import VIRSH, Bed, Run
from lockstep_lab import probe

pytestmark = pytest.mark.long  # some five minutes

ADDRESSES = {"kvm1": "fd00:77::1", "kvm2": "fd00:77::2"}
# As people may write it; the kernel's way is in the records.
VARIABLES = {"kvm1": {"colo_address": "FD00:77:0::1"}, "kvm2": {"colo_address": ADDRESSES["kvm2"]}}


def give(bed: Bed, *hosts: str) -> None:
    """Their addresses, which a host does not keep when it loses its power."""
    for host in hosts:
        bed.ssh(host, f"sysctl -qw net.ipv6.conf.br0.disable_ipv6=0; ip -6 addr add {ADDRESSES[host]}/64 dev br0 nodad")


def run(bed: Bed, playbook: str, *words: str) -> Run:
    return bed.playbook(playbook, "--limit", "web1", *words, variables=VARIABLES).good()


def connections(bed: Bed, host: str) -> list[list[str]]:
    """Both ends of each established connection over the ports of the collection."""
    lines = bed.ssh(
        host, "ss -Htn state established | awk '{print $3, $4}' | grep -E ':2(1[6-9]|2|3[01])[0-9]{2,3}' || true"
    )
    return [line.split() for line in lines.splitlines()]


@pytest.fixture(scope="module")
def pair(bed: Bed) -> Bed:
    give(bed, "kvm1", "kvm2")
    check = bed.playbook("deploy", "--check", "--limit", "kvm,web1", variables=VARIABLES).good()
    assert "would be protected" in check.text
    deployed = bed.playbook("deploy", "--limit", "kvm,web1", variables=VARIABLES).good()
    assert "web1 is protected: the guest on kvm1" in deployed.text
    return bed


def test_every_channel_is_over_ipv6(pair: Bed) -> None:
    for host in ADDRESSES:
        found = connections(pair, host)
        assert len(found) >= 4, found
        assert all(end.startswith("[fd00:77::") for ends in found for end in ends), found
        assert f'address="{ADDRESSES["kvm1"]}"' in pair.xml(host, "--inactive")
    assert run(pair, "deploy").changed == 0


def test_the_loss_of_the_primary_and_the_way_back(pair: Bed, tmp_path: Path) -> None:
    boot, acks = pair.get(), tmp_path / "acks"
    probe.start(pair.lab, acks)
    pair.power_off("kvm1")
    pair.failover("kvm1", variables=VARIABLES).good()
    assert pair.get(patience=60) == boot
    assert connections(pair, "kvm2") == [], "connections with the lost host were not reset"
    probe.stop(pair.lab, quiet=True)
    assert pair.lost("kvm2", acks, live=True)["vda"]["lost"] == []
    pair.power_on("kvm1")
    give(pair, "kvm1")
    assert "web1 is protected: the guest on kvm2" in run(pair, "deploy").text
    run(pair, "switchover", "-e", "colo_guest_host=kvm1")
    assert pair.get() == boot
    assert "running" in pair.ssh("kvm1", f"{VIRSH} domstate web1")


def test_at_the_end_nothing_of_the_pair_is_left(pair: Bed) -> None:
    boot = pair.get()
    run(pair, "unprotect")
    assert pair.get() == boot
    assert connections(pair, "kvm1") == []
    assert "web1" not in pair.ssh("kvm2", f"{VIRSH} list --all --name")
