# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every host of a pair needs, and what two have to be alike in."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import (
    Emulator,
)
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements import domain, hosts
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.verdict.requirements.asked import (
    HOST,
    OTHER,
    RUNNING,
    only,
    said,
)


def test_the_recorded_hosts_are_fit() -> None:
    assert said(hosts.emulator(HOST)) == []
    assert said(hosts.same_versions(RUNNING, OTHER)) == []


def test_what_a_qemu_lacks_is_named() -> None:
    assert "nothing is known" in only(hosts.emulator(replace(HOST, emulator=None))).what
    lacking = replace(HOST, emulator=Emulator("/q", "8.2.0", ("driver replication", "object colo-compare")))
    assert only(hosts.emulator(lacking)).what == "QEMU 8.2.0 on kvm1 lacks driver replication, object colo-compare"


def test_different_versions_are_named() -> None:
    other = replace(OTHER.host, libvirt="9.0.0", emulator=replace(OTHER.host.emulator, version="7.2.22"))
    found = [problem.what for problem in said(hosts.same_versions(RUNNING, replace(OTHER, host=other)))]
    assert [what.split()[0] for what in found] == ["QEMU", "libvirt"]
    assert "7.2.22 on kvm2" in found[0]


def test_a_guest_that_was_started_before_an_upgrade_has_the_old_version() -> None:
    old = replace(RUNNING, monitor=replace(RUNNING.monitor, version="7.2.22"))
    assert only(hosts.same_versions(old, OTHER)).what == "QEMU is 7.2.22 on kvm1 and 10.0.13 on kvm2"
    broken = replace(RUNNING, monitor=replace(RUNNING.monitor, version="10.0.6"))
    assert "never begins in QEMU 10.0.6" in only(domain.monitor(broken, broken)).what
