# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a domain, and its QEMU, has to be like."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import (
    Emulator,
    Monitor,
    Observation,
)
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements import domain
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import WANTED, recorded
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.verdict.requirements.asked import (
    DOMAIN,
    HOST,
    RUNNING,
    only,
    said,
)


def test_the_recorded_domain_is_fit() -> None:
    assert said(domain.running(RUNNING)) == []
    assert said(domain.machine(DOMAIN, Observation(HOST))) == []
    assert said(domain.devices(WANTED, DOMAIN, RUNNING)) == []


def test_a_domain_must_run_and_be_persistent() -> None:
    assert "no such domain" in only(domain.running(replace(RUNNING, domain=None))).what
    assert "transient" in only(domain.running(replace(RUNNING, domain=replace(DOMAIN, persistent=False)))).what
    off = replace(RUNNING, domain=replace(DOMAIN, state="shutoff"), monitor=None)
    assert "is shutoff" in only(domain.running(off)).what
    assert "Start it" in only(domain.running(off)).remedy
    of_a_pair = replace(recorded("stale-primary"), peer_sockets=())
    assert "lockstep.colo.start" in only(domain.running(of_a_pair)).remedy


def test_a_guest_that_an_operator_paused_stays_paused() -> None:
    stopped = replace(RUNNING.monitor, status="paused", running=False)
    paused = replace(RUNNING, domain=replace(DOMAIN, state="paused"), monitor=stopped)
    assert "is paused" in only(domain.running(paused)).what


def test_a_guest_that_a_checkpoint_stopped_for_a_moment_runs() -> None:
    assert said(domain.running(replace(RUNNING, domain=replace(DOMAIN, state="paused")))) == []


@pytest.mark.parametrize("name", ["stopped-primary", "one-parked-primary", "parked-primary", "pre-switchover-primary"])
def test_a_guest_that_an_earlier_run_stopped_is_ours_to_go_on_with(name: str) -> None:
    assert said(domain.running(recorded(name))) == []


@pytest.mark.parametrize(
    ("version", "fit"), [("10.0.13", False), ("7.2.22", False), ("11.1.2", False), ("11.1.3", True), ("12.0.0", True)]
)
def test_q35_is_refused_where_qemu_aborts_on_it(version: str, fit: bool) -> None:
    seen = Observation(replace(HOST, emulator=Emulator("/q", version)))
    problems = said(domain.machine(replace(DOMAIN, machine="pc-q35-10.0"), seen))
    assert (problems == []) is fit
    assert fit or "colo_qemu_from: backports" in problems[0].remedy
    assert said(domain.machine(replace(DOMAIN, machine="pc-i440fx-10.0"), seen)) == []


def test_q35_in_a_qemu_from_before_an_upgrade_needs_a_cold_start_alone() -> None:
    host = replace(HOST, emulator=Emulator("/q", "11.1.3"))
    seen = Observation(host, monitor=Monitor("running", True, "10.0.13", "none"))
    problem = only(domain.machine(replace(DOMAIN, machine="pc-q35-10.0"), seen))
    assert "QEMU 10.0.13" in problem.what
    assert "QEMU 11.1.3 by now: shut the guest down, start it" in problem.remedy
    assert "backports" not in problem.remedy


def test_devices_that_cannot_come_along_are_named() -> None:
    assert "a TPM" in only(domain.devices(WANTED, replace(DOMAIN, unsupported=("a TPM",)), RUNNING)).what
