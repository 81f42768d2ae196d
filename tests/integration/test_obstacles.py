# SPDX-License-Identifier: GPL-3.0-or-later
"""What gets in the way of a pair, one thing each: it is named, the guest goes on, and a playbook leads on.

Beside test_ways_out, from which it has its guest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from colo_bed import VIRSH, Bed
from test_ways_out import fresh, status

pytestmark = pytest.mark.long  # some two minutes each

MIGRATION = 21600
CHAIN = "add table inet lab; add chain inet lab o { type filter hook output priority 0; }"
RULES = {"drop": "{way} {port} drop"}


@pytest.fixture
def firewall(lab: Bed) -> Iterator[Callable[..., None]]:
    """Has a rule of RULES in a host's way out, until the test is over or it is told to ``end``."""
    hosts: set[str] = set()

    def end() -> None:
        while hosts:
            lab.ssh(hosts.pop(), "nft delete table inet lab", check=False)

    def set_up(host: str, rule: str, port: int = 0) -> None:
        hosts.add(host)
        rules = "; ".join(
            f"add rule inet lab o tcp {RULES[rule].format(way=way, port=port)}" for way in ("dport", "sport")
        )
        lab.ssh(host, f"nft '{CHAIN}; {rules}'")

    set_up.end = end
    yield set_up
    end()


def test_a_port_of_the_standby_that_a_firewall_blocks_is_named(lab: Bed, firewall: Callable) -> None:
    boot = fresh(lab)
    firewall("kvm1", "drop", MIGRATION)
    run = lab.deploy()
    assert run.code
    assert "is protected" not in run.text
    assert "firewall" in run.text
    assert lab.get(patience=20) == boot
    firewall.end()
    assert "web1 is protected" in lab.deploy().good().text
    assert lab.get() == boot


KEPT = {
    "checkpoint": f"{VIRSH} checkpoint-create-as web1 s1",
    "internal snapshot": f"{VIRSH} snapshot-create-as web1 s1",
}


@pytest.mark.parametrize("kind", KEPT)
def test_what_libvirt_keeps_of_a_guest_does_not_keep_it_from_moving(lab: Bed, kind: str) -> None:
    boot = fresh(lab, after=KEPT[kind])
    run = lab.deploy().good()
    assert "snapshots or checkpoints (s1)" in run.said()
    lab.playbook("unprotect", "--limit", "web1", "-e", "colo_guest_host=kvm2").good()
    assert lab.get(patience=20) == boot
    assert "web1" not in lab.ssh("kvm1", f"{VIRSH} list --all --name")


def test_a_stranger_on_the_migration_port_is_no_standby_that_listens(lab: Bed) -> None:
    boot = fresh(lab)
    lab.deploy().good()
    lab.ssh("kvm2", f"{VIRSH} destroy web1")
    listen = f'import socket, time; s = socket.create_server(("10.77.0.2", {MIGRATION})); time.sleep(900)'
    unit = "systemd-run --quiet --collect --unit=lab-stranger"
    lab.ssh("kvm2", f"{unit} /usr/bin/python3 -c '{listen}'")
    try:
        found = status(lab)
        assert found["phase"] not in ("protected", "listening", "syncing"), found
        run = lab.deploy()
        assert run.code
        assert f"port {MIGRATION}, for the migration channel, is in use on kvm2" in run.text, run.text[-3000:]
        assert "Have the standby listen" not in run.text, "it was met half-way"
        assert lab.get(patience=20) == boot
    finally:
        lab.ssh("kvm2", "systemctl stop lab-stranger", check=False)
    assert "web1 is protected" in lab.deploy().good().text
    assert lab.get(patience=20) == boot
