# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a host's firewall admits by the inventory, and what is typed into the firewalls of others."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.lockstep.colo.plugins.filter.colo_admit import colo_admit
from ansible_collections.lockstep.colo.plugins.filter.colo_peers import colo_peers

HOSTS = {
    "kvm1": {"colo_address": "10.0.0.1"},
    "kvm2": {"colo_address": "10.0.0.2", "colo_second_addresses": ["10.1.0.2", "fd01::2"]},
    "kvm3": {"colo_address": "fd00::3"},
    "bare": {},
    "web1": {"colo_primary": "kvm1", "colo_secondary": "kvm2"},
    "web2": {"colo_primary": "kvm3", "colo_secondary": "kvm1"},
    "web3": {"colo_primary": "kvm1", "colo_secondary": "bare"},
    "web4": {"colo_primary": "kvm2", "colo_secondary": "kvm3"},
    "web5": {"colo_primary": "kvm1", "colo_secondary": "nowhere"},
    "web6": {},
}
PAIRS = [name for name in HOSTS if name.startswith("web")]


def test_a_host_admits_the_other_host_of_each_of_its_pairs() -> None:
    assert colo_peers(PAIRS, HOSTS, "kvm1") == ["10.0.0.2", "fd00::3"]
    assert colo_peers(PAIRS, HOSTS, "kvm2") == ["10.0.0.1", "fd00::3"]
    assert colo_peers(["web1"], HOSTS, "kvm3") == []
    assert colo_peers(PAIRS, HOSTS, "kvm1", "colo_second_addresses") == ["10.1.0.2", "fd01::2"]


def test_an_address_that_a_host_told_itself_opens_no_firewall() -> None:
    hosts = {**HOSTS, "kvm2": {"colo_address": "192.0.2.66", "ansible_facts": {"colo_address": "192.0.2.66"}}}
    with pytest.raises(AnsibleFilterError, match="kvm2 has facts that are"):
        colo_peers(PAIRS, hosts, "kvm1")


@pytest.mark.parametrize("end", ["colo_primary", "colo_secondary"])
def test_nor_does_a_peer_that_a_host_chose_for_itself(end: str) -> None:
    hosts = {**HOSTS, "web4": {**HOSTS["web4"], end: "kvm1", "ansible_facts": {end: "kvm1"}}}
    with pytest.raises(AnsibleFilterError, match=f"web4 has facts that are.*{end}"):
        colo_peers(PAIRS, hosts, "kvm1")


def test_another_firewall_is_told_each_peer() -> None:
    own = ["10.0.0.1", "fd00::1"]
    said = colo_admit(["10.0.0.2", "fd00::3"], ["ufw", "firewalld", "other"], own, "21600-23199")
    assert said[0] == "ufw allow proto tcp from 10.0.0.2 to 10.0.0.1 port 21600:23199"
    assert 'family="ipv4" source address="10.0.0.2"' in said[1]
    assert 'family="ipv6" source address="fd00::3" destination address="fd00::1"' in said[3]
    assert 'port port="21600-23199" protocol="tcp" accept' in said[3]
    assert len(said) == 4
    assert colo_admit(["10.0.0.2"], ["ufw"], own, 21599) == ["ufw allow proto tcp from 10.0.0.2 to 10.0.0.1 port 21599"]
