# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies between the hosts of a pair: addresses and ports."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import (
    Host,
    Observation,
    Passage,
)
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import PORT_RANGE, PORTS_PER_PAIR
from ansible_collections.lockstep.colo.plugins.module_utils.record.wanted import Wanted
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements import link
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements.row import Requirement
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.verdict.requirements.asked import (
    HOST,
    only,
    said,
)


def test_the_recorded_address_is_fit() -> None:
    assert said(link.address(HOST, "10.77.0.1")) == []


def test_the_replication_address_must_be_the_hosts_own() -> None:
    assert "is not an address of kvm1" in only(link.address(HOST, "10.77.0.2")).what
    assert "no replication address" in only(link.address(HOST, None)).what
    assert said(link.address(replace(HOST, addresses=("fd00::1",)), "fd00::1")) == []


def test_an_address_that_needs_a_device_with_it_is_refused() -> None:
    host = replace(HOST, addresses=("10.77.0.1", "fe80::1"))
    assert "fe80::1 of kvm1 is a link-local address" in only(link.address(host, "fe80::1")).what


@pytest.mark.parametrize(
    "address",
    ["[fd00::1]", "10.77.0.1/24", "::ffff:10.77.0.1", "0.0.0.0", "::", "127.0.0.1", "localhost", "kvm1", "10.77.0.1 "],
)
def test_what_a_socket_could_not_be_bound_to_as_it_is_written_is_refused(address: str) -> None:
    host = replace(HOST, addresses=("10.77.0.1", "fd00::1"))
    assert f"{address} is not an address of kvm1 (it has: 10.77.0.1, fd00::1)" in only(link.address(host, address)).what


def with_ports(*ports: int, reserved: tuple[int, ...] = ()) -> Host:
    return replace(HOST, ports=ports, reserved=reserved)


def stated(host: Host, first: int) -> list[Requirement]:
    return link.ports(Wanted(first_port=first), Observation(host), Observation(replace(HOST, name="kvm2", ports=())))


def test_a_block_is_free_when_none_of_its_ports_is_taken_on_either_host() -> None:
    first = PORT_RANGE.start
    assert link.free_block(with_ports(), with_ports()) == first
    assert link.free_block(with_ports(first + PORTS_PER_PAIR - 1), with_ports()) == first + PORTS_PER_PAIR
    assert link.free_block(with_ports(first), with_ports(first + PORTS_PER_PAIR)) == first + 2 * PORTS_PER_PAIR
    assert link.free_block(with_ports(), with_ports(reserved=(first,))) == first + PORTS_PER_PAIR


def test_there_may_be_no_block_left() -> None:
    assert link.free_block(with_ports(*PORT_RANGE), with_ports()) is None


def test_a_taken_port_is_named() -> None:
    assert "port 21601, 21603 is in use on kvm1" in only(stated(with_ports(21603, 21601, 5), 21600)).what
    assert "overlap those of another pair on kvm1" in only(stated(with_ports(reserved=(21600,)), 21600)).what


@pytest.mark.parametrize(
    ("other", "overlaps"), [(21584, False), (21585, True), (21600, True), (21615, True), (21616, False)]
)
def test_the_word_of_the_primarys_host_makes_no_ports_of_another_pair_the_pairs_own(other: int, overlaps: bool) -> None:
    there = recorded("described-secondary")
    there = replace(there, host=replace(there.host, reserved=(other,)))
    words = f"ports 21600-21615 overlap those of another pair on kvm2, {other}-{other + 15}"
    found = [problem.what for problem in said(link.ports(Wanted(), recorded("described-primary"), there))]
    assert found == [words] * overlaps


def test_a_peer_that_answers_nothing_at_all_is_not_said_to_lose_large_packets() -> None:
    primary, standby, lost = recorded("protected-primary"), recorded("protected-secondary"), Passage(1500, passes=False)
    assert said(link.large_packets(primary, replace(standby, latency=0.2, passage=lost)))
    assert not said(link.large_packets(primary, replace(standby, latency=None, passage=lost)))


@pytest.mark.parametrize(
    ("standby", "port", "words"),
    [
        ("described-secondary", 21600, "port 21600, for the migration channel, is in use on kvm2"),
        ("described-secondary", 21601, "port 21601, for the nbd channel, is in use on kvm2"),
        ("described-secondary", 21602, None),
        ("listening-secondary", 21600, None),
    ],
    ids=["migration", "nbd", "a port of the primary's", "its own"],
)
def test_a_stranger_may_have_taken_a_port_of_a_pair_whose_standby_is_off(
    standby: str, port: int, words: str | None
) -> None:
    there = recorded(standby)
    there = replace(there, host=replace(there.host, ports=(port,)))
    found = said(link.ports(Wanted(), recorded("described-primary"), there))
    assert [problem.what for problem in found] == [words] * (words is not None)
