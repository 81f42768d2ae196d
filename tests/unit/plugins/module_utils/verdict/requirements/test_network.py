# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guest sends, and the bridges that it is on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import (
    Carried,
    Domain,
    Host,
    Lan,
)
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements import network
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements.row import NOTE, WRONG
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.verdict.requirements.asked import (
    DOMAIN,
    OTHER,
    RUNNING,
    only,
    said,
)


def nic(**changes: Any) -> Domain:
    return replace(DOMAIN, nics=(replace(DOMAIN.nics[0], **changes), *DOMAIN.nics[1:]))


def test_the_recorded_networks_are_fit() -> None:
    assert said(network.nics(DOMAIN, RUNNING)) == []
    assert said(network.bridges(DOMAIN, OTHER.host)) == []


@pytest.mark.parametrize(
    ("changes", "open_vhost", "refused"),
    [
        ({"driver": "vhost"}, False, True),
        ({"driver": None}, True, True),
        ({"driver": "qemu"}, True, False),
        ({"driver": None}, False, False),
        ({"model": "e1000", "driver": None}, True, False),
    ],
)
def test_vhost_is_refused_by_what_it_says_and_by_what_qemu_has_open(
    changes: dict[str, Any], open_vhost: bool, refused: bool
) -> None:
    domain = replace(replace(DOMAIN, nics=(replace(DOMAIN.nics[0], **changes),)), vhost=open_vhost)
    problems = said(network.vhost(domain, RUNNING))
    assert bool(problems) is refused
    if refused:
        assert "vhost" in problems[0].what
        assert "<driver name='qemu'/>" in problems[0].remedy


def test_a_nic_that_is_not_on_a_bridge_is_refused() -> None:
    assert "not on a bridge" in only(network.nics(nic(bridge=None, type="user"), RUNNING)).what


def test_the_standbys_host_needs_the_bridges() -> None:
    other = replace(OTHER.host, bridges=())
    assert all("no bridge br0" in problem.what for problem in said(network.bridges(DOMAIN, other)))
    assert len(said(network.bridges(DOMAIN, other))) == len([one for one in DOMAIN.nics if one.bridge])


# VLANs

PLAIN = Lan("br0", 1500, ("eth0",))
OWN = Carried(1, 1, tagged=False)  # what the kernel puts each port of a bridge into that filters


def apart(*carried: Carried, own: int | None = 1) -> Lan:
    return replace(PLAIN, filters=True, own=own, carried=carried)


def on(lan: Lan, host: Host) -> Host:
    return replace(host, lans=(lan,), networks=())


@pytest.mark.parametrize(
    ("vlans", "here", "there", "state", "words"),
    [
        ((), PLAIN, PLAIN, None, ""),
        ((), PLAIN, apart(OWN), None, ""),
        ((), apart(OWN), PLAIN, None, ""),
        ((7,), apart(OWN, Carried(7, 7)), apart(OWN, Carried(2, 4094)), None, ""),
        ((7,), apart(OWN, Carried(7, 7)), apart(OWN), WRONG, "no uplink (eth0) is in VLAN 7"),
        ((7,), apart(OWN, Carried(7, 7)), apart(OWN, Carried(8, 20)), WRONG, "no uplink (eth0) is in VLAN 7"),
        ((7,), apart(OWN, Carried(7, 7)), PLAIN, WRONG, "bridge br0 there knows no VLANs"),
        ((7,), apart(OWN), apart(OWN), None, ""),
        ((7, 9), apart(OWN, Carried(7, 9)), apart(OWN, Carried(7, 7)), WRONG, "no uplink (eth0) is in VLAN 9"),
        ((), PLAIN, apart(OWN, own=5), WRONG, "no uplink (eth0) is in VLAN 5"),
        ((), PLAIN, apart(OWN, own=None), WRONG, "puts a tap into no VLAN"),
        ((), apart(Carried(5, 5), own=5), apart(Carried(6, 6), own=6), WRONG, "in VLAN 6 there, and in VLAN 5 here"),
        ((), apart(Carried(5, 5), own=5), PLAIN, NOTE, "without a tag there, and in VLAN 5 here"),
        ((7,), apart(Carried(7, 7, tagged=False)), apart(Carried(7, 7)), NOTE, "in VLAN 7 there, and without a tag"),
        ((), PLAIN, replace(apart(), carried=None), NOTE, "it is not known which VLANs"),
    ],
)
def test_a_bridge_that_keeps_vlans_apart_lets_out_what_leaves_here(
    vlans: tuple[int, ...], here: Lan, there: Lan, state: str | None, words: str
) -> None:
    domain = replace(DOMAIN, nics=(replace(DOMAIN.nics[0], vlans=vlans),))
    rows = network.networks(domain, on(here, RUNNING.host), on(there, OTHER.host))
    found = [(row.state, row.found, bool(row.remedy)) for row in rows if row.state in (WRONG, NOTE)]
    assert [(one, remedy) for one, _what, remedy in found] == [(state, True)] * (state is not None)
    assert all(words in what for _one, what, _remedy in found), found
