# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import CommandFailed
from ansible_collections.lockstep.colo.plugins.module_utils.host import uplinks

# As ip(8) of iproute2 6.15 prints it; of a veth ``link`` is there where its other end is in the same namespace.
LINKS = [
    {"ifname": "eth0"},
    {"ifname": "bond0.7", "link": "bond0", "linkinfo": {"info_kind": "vlan"}},
    {"ifname": "vx0", "linkinfo": {"info_kind": "vxlan"}},
    {"ifname": "keep", "linkinfo": {"info_kind": "dummy"}},
    {"ifname": "veth1", "link_index": 2, "link_netnsid": 0, "linkinfo": {"info_kind": "veth"}},
    {"ifname": "veth2", "link": "loose", "linkinfo": {"info_kind": "veth"}},
    {"ifname": "veth3", "link": "bridged", "linkinfo": {"info_kind": "veth"}},
]


@pytest.fixture(autouse=True)
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with hardware, and a bridge br0 with all kinds of ports, of which vnet0 is a guest's tap."""
    for device in ("eth0/device", "vnet0/tun_flags", "loose", "bridged/master"):
        (tmp_path / device).mkdir(parents=True)
    for port in ("vnet0", *(link["ifname"] for link in LINKS)):
        (tmp_path / "br0/brif" / port).mkdir(parents=True)
    monkeypatch.setattr(uplinks, "NETWORK", tmp_path)
    monkeypatch.setattr(uplinks, "run", lambda *_command: json.dumps(LINKS))
    return tmp_path


def test_what_leads_to_a_guest_or_a_container_or_nowhere_is_no_uplink() -> None:
    """A veth that leads to another bridge may lead on from there."""
    assert uplinks.uplinks_of("br0") == ("bond0.7", "eth0", "veth3", "vx0")


def test_a_host_that_is_a_container_leaves_by_the_end_of_a_veth(network: Path) -> None:
    (network / "eth0/device").rmdir()
    assert uplinks.uplinks_of("br0") == ("bond0.7", "eth0", "veth1", "veth2", "veth3", "vx0")


@pytest.mark.parametrize("said", [None, "", "[]", "no JSON"])
def test_what_nobody_says_the_kind_of_may_be_an_uplink(monkeypatch: pytest.MonkeyPatch, said: str | None) -> None:
    def answer(*_command: str) -> str:
        if said is None:
            raise CommandFailed("ip failed")
        return said

    monkeypatch.setattr(uplinks, "run", answer)
    assert uplinks.uplinks_of("br0") == tuple(sorted(link["ifname"] for link in LINKS))


def test_a_bridge_of_taps_alone_has_none(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(uplinks, "run")
    (network / "br1/brif/vnet0").mkdir(parents=True)
    assert uplinks.uplinks_of("br1") == ()
