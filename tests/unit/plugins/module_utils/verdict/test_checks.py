# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import (
    Domain,
    Emulator,
    Host,
    HugePages,
    Monitor,
    Observation,
)
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import PORT_RANGE, PORTS_PER_PAIR
from ansible_collections.lockstep.colo.plugins.module_utils.record.wanted import Wanted, WantedDisk
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import checks
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Problem
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import WANTED, recorded

RUNNING = recorded("unprotected-primary")
OTHER = recorded("unprotected-secondary")
DOMAIN = RUNNING.domain
HOST = RUNNING.host


def only(problems: Iterable[Problem]) -> Problem:
    found = list(problems)
    assert len(found) == 1, [str(problem) for problem in found]
    assert found[0].remedy
    return found[0]


def disk(**changes: Any) -> Domain:
    return replace(DOMAIN, disks=(replace(DOMAIN.disks[0], **changes), DOMAIN.disks[1]))


def nic(**changes: Any) -> Domain:
    return replace(DOMAIN, nics=(replace(DOMAIN.nics[0], **changes), *DOMAIN.nics[1:]))


def test_the_recorded_hosts_are_fit() -> None:
    assert list(checks.emulator(HOST)) == []
    assert list(checks.same_versions(RUNNING, OTHER)) == []
    assert list(checks.running(RUNNING)) == []
    assert list(checks.machine(DOMAIN, Observation(HOST))) == []
    assert list(checks.disks(DOMAIN, WANTED)) == []
    assert list(checks.nics(DOMAIN)) == []
    assert list(checks.devices(DOMAIN, WANTED)) == []
    assert list(checks.memory(DOMAIN, OTHER)) == []
    assert list(checks.bridges(DOMAIN, OTHER.host)) == []
    assert list(checks.address(HOST, "10.77.0.1")) == []


def test_what_a_qemu_lacks_is_named() -> None:
    assert "nothing is known" in only(checks.emulator(replace(HOST, emulator=None))).what
    lacking = replace(HOST, emulator=Emulator("/q", "8.2.0", ("driver replication", "object colo-compare")))
    assert only(checks.emulator(lacking)).what == "QEMU 8.2.0 on kvm1 lacks driver replication, object colo-compare"


def test_different_versions_are_named() -> None:
    other = replace(OTHER.host, libvirt="9.0.0", emulator=replace(OTHER.host.emulator, version="7.2.22"))
    found = [problem.what for problem in checks.same_versions(RUNNING, replace(OTHER, host=other))]
    assert [what.split()[0] for what in found] == ["QEMU", "libvirt"]
    assert "7.2.22 on kvm2" in found[0]


def test_a_guest_that_was_started_before_an_upgrade_has_the_old_version() -> None:
    old = replace(RUNNING, monitor=replace(RUNNING.monitor, version="7.2.22"))
    assert only(checks.same_versions(old, OTHER)).what == "QEMU is 7.2.22 on kvm1 and 10.0.13 on kvm2"
    broken = replace(RUNNING, monitor=replace(RUNNING.monitor, version="10.0.6"))
    assert "never begins in QEMU 10.0.6" in only(checks.running_emulator(broken)).what


def test_a_domain_must_run_and_be_persistent() -> None:
    assert "no such domain" in only(checks.running(replace(RUNNING, domain=None))).what
    assert "transient" in only(checks.running(replace(RUNNING, domain=replace(DOMAIN, persistent=False)))).what
    off = replace(RUNNING, domain=replace(DOMAIN, state="shutoff"), monitor=None)
    assert "is shutoff" in only(checks.running(off)).what
    assert "Start it" in only(checks.running(off)).remedy
    of_a_pair = replace(recorded("stale-primary"), peer_sockets=())
    assert "lockstep.colo.start" in only(checks.running(of_a_pair)).remedy


def test_a_guest_that_an_operator_paused_stays_paused() -> None:
    stopped = replace(RUNNING.monitor, status="paused", running=False)
    paused = replace(RUNNING, domain=replace(DOMAIN, state="paused"), monitor=stopped)
    assert "is paused" in only(checks.running(paused)).what


def test_a_guest_that_a_checkpoint_stopped_for_a_moment_runs() -> None:
    assert list(checks.running(replace(RUNNING, domain=replace(DOMAIN, state="paused")))) == []


@pytest.mark.parametrize("name", ["stopped-primary", "one-parked-primary", "parked-primary", "pre-switchover-primary"])
def test_a_guest_that_an_earlier_run_stopped_is_ours_to_go_on_with(name: str) -> None:
    assert list(checks.running(recorded(name))) == []


@pytest.mark.parametrize(
    ("version", "fit"), [("10.0.13", False), ("7.2.22", False), ("11.1.2", False), ("11.1.3", True), ("12.0.0", True)]
)
def test_q35_is_refused_where_qemu_aborts_on_it(version: str, fit: bool) -> None:
    seen = Observation(replace(HOST, emulator=Emulator("/q", version)))
    problems = list(checks.machine(replace(DOMAIN, machine="pc-q35-10.0"), seen))
    assert (problems == []) is fit
    assert fit or "colo_qemu_from: backports" in problems[0].remedy
    assert list(checks.machine(replace(DOMAIN, machine="pc-i440fx-10.0"), seen)) == []


def test_q35_in_a_qemu_from_before_an_upgrade_needs_a_cold_start_alone() -> None:
    host = replace(HOST, emulator=Emulator("/q", "11.1.3"))
    seen = Observation(host, monitor=Monitor("running", True, "10.0.13", "none"))
    problem = only(checks.machine(replace(DOMAIN, machine="pc-q35-10.0"), seen))
    assert "QEMU 10.0.13" in problem.what
    assert "QEMU 11.1.3 by now: shut the guest down, start it" in problem.remedy
    assert "backports" not in problem.remedy


def test_devices_that_cannot_come_along_are_named() -> None:
    assert "a TPM" in only(checks.devices(replace(DOMAIN, unsupported=("a TPM",)), WANTED)).what


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": "cdrom"}, "it is a cdrom"),
        ({"readonly": True}, "read-only"),
        ({"type": "network"}, "of type network"),
        ({"format": "raw"}, "stated as qcow2, and the domain says raw"),
    ],
)
def test_disks_that_cannot_be_replicated_are_refused(changes: dict[str, Any], words: str) -> None:
    problem = only(checks.disks(disk(**changes), WANTED))
    assert words in problem.what
    assert problem.disk == "vda"


def test_a_disk_that_does_not_exist_is_refused_with_those_that_do() -> None:
    wanted = Wanted(disks=(*WANTED.disks, WantedDisk("vdx", "raw")))
    problem = only(checks.disks(DOMAIN, wanted))
    assert "it has: vda, vdb" in problem.what
    assert problem.disk == "vdx"


def test_no_writable_disk_may_be_left_out() -> None:
    assert only(checks.disks(DOMAIN, Wanted(disks=WANTED.disks[:1]))).disk == "vdb"
    assert "no disk is named" in next(problem.what for problem in checks.disks(DOMAIN, Wanted()))


def test_every_problem_is_said_at_once() -> None:
    domain = replace(DOMAIN, disks=(replace(DOMAIN.disks[0], readonly=True, type="network"), DOMAIN.disks[1]))
    assert len(list(checks.disks(domain, Wanted(disks=(WantedDisk("vda", "raw"),))))) == 4


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
    problems = list(checks.vhost(domain))
    assert bool(problems) is refused
    if refused:
        assert "vhost" in problems[0].what
        assert "<driver name='qemu'/>" in problems[0].remedy


def test_a_nic_that_is_not_on_a_bridge_is_refused() -> None:
    assert "not on a bridge" in only(checks.nics(nic(bridge=None, type="user"))).what


def test_the_standbys_host_needs_twice_the_memory_unless_the_standby_runs_already() -> None:
    need = 2 * DOMAIN.memory
    enough, short = (replace(OTHER, host=replace(OTHER.host, memory_available=have)) for have in (need, need - 1))
    assert list(checks.memory(DOMAIN, enough)) == []
    assert "free memory" in only(checks.memory(DOMAIN, short)).what
    assert list(checks.memory(DOMAIN, replace(short, domain=recorded("listening-secondary").domain))) == []
    stopped = replace(short, domain=recorded("described-secondary").domain)
    assert "free memory" in only(checks.memory(DOMAIN, stopped)).what


@pytest.mark.parametrize(("size", "enough"), [(0, True), (2 << 20, True), (1 << 30, False)])
def test_a_guest_in_huge_pages_needs_them_on_the_standbys_host_and_ordinary_memory_once(
    size: int, enough: bool
) -> None:
    domain = replace(DOMAIN, huge_page=size)
    pages = (HugePages(1 << 30, 0, False), HugePages(2 << 20, DOMAIN.memory >> 21, True))
    there = replace(OTHER, host=replace(OTHER.host, memory_available=DOMAIN.memory, huge_pages=pages))
    assert list(checks.memory(domain, there)) == []
    assert (list(checks.huge_pages(domain, there)) == []) is enough
    short = replace(there, host=replace(there.host, huge_pages=(replace(pages[1], free=(DOMAIN.memory >> 21) - 1),)))
    assert "free huge pages" in only(checks.huge_pages(domain, short)).what
    assert list(checks.huge_pages(domain, replace(short, domain=recorded("listening-secondary").domain))) == []
    assert list(checks.huge_pages(DOMAIN, short)) == []


def test_the_standbys_host_needs_the_bridges() -> None:
    other = replace(OTHER.host, bridges=())
    assert all("no bridge br0" in problem.what for problem in checks.bridges(DOMAIN, other))
    assert len(list(checks.bridges(DOMAIN, other))) == len([one for one in DOMAIN.nics if one.bridge])


def test_the_replication_address_must_be_the_hosts_own() -> None:
    assert "is not an address of kvm1" in only(checks.address(HOST, "10.77.0.2")).what
    assert "no replication address" in only(checks.address(HOST, None)).what
    assert list(checks.address(replace(HOST, addresses=("fd00::1",)), "fd00::1")) == []


def test_an_address_that_needs_a_device_with_it_is_refused() -> None:
    host = replace(HOST, addresses=("10.77.0.1", "fe80::1"))
    assert "fe80::1 of kvm1 is a link-local address" in only(checks.address(host, "fe80::1")).what


def with_ports(*ports: int, reserved: tuple[int, ...] = ()) -> Host:
    return replace(HOST, ports=ports, reserved=reserved)


def test_a_block_is_free_when_none_of_its_ports_is_taken_on_either_host() -> None:
    first = PORT_RANGE.start
    assert checks.free_block(with_ports(), with_ports()) == first
    assert checks.free_block(with_ports(first + PORTS_PER_PAIR - 1), with_ports()) == first + PORTS_PER_PAIR
    assert checks.free_block(with_ports(first), with_ports(first + PORTS_PER_PAIR)) == first + 2 * PORTS_PER_PAIR
    assert checks.free_block(with_ports(), with_ports(reserved=(first,))) == first + PORTS_PER_PAIR


def test_there_may_be_no_block_left() -> None:
    assert checks.free_block(with_ports(*PORT_RANGE), with_ports()) is None


def test_a_taken_port_is_named() -> None:
    assert "port 21601, 21603 is in use on kvm1" in only(checks.port_problems(with_ports(21603, 21601, 5), 21600)).what
    assert "belong to another pair" in only(checks.port_problems(with_ports(reserved=(21600,)), 21600)).what
