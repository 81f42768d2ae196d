# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment has still to do on both hosts, from recorded states."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.depth import UNASKED
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Checkpoints
from ansible_collections.lockstep.colo.plugins.module_utils.plan.pending import pending
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Refusal
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import WANTED, recorded

THERE = replace(WANTED, address=WANTED.peer_address, peer_address=WANTED.address)  # as the standby's host has it


ONE = Checkpoints(0.5, 1)


def steps(guest: str, standby: str, checkpoints: Checkpoints | None = ONE, **other: object) -> list[str]:
    seen = replace(recorded(guest), checkpoints=checkpoints)
    found = pending(replace(THERE, **other), seen, recorded(standby))
    return [f"{host}: {step.title}" for host, step in found]


def test_nothing_is_to_be_done_about_a_pair_that_is_as_wanted() -> None:
    assert steps("protected-primary", "protected-secondary") == []


@pytest.mark.parametrize("checkpoints", [None, Checkpoints(7.0, 0)])
def test_without_a_checkpoint_that_was_seen_it_is_still_to_be_waited_for(checkpoints: Checkpoints | None) -> None:
    assert steps("protected-primary", "protected-secondary", checkpoints) == ["kvm1: see a whole checkpoint"]


def test_a_socket_that_nobody_is_connected_with_is_still_to_be_waited_for() -> None:
    seen = replace(recorded("protected-primary"), checkpoints=ONE)
    cut = dict.fromkeys(seen.monitor.chardevs, "disconnected:tcp:0.0.0.0:0,server=on")
    apart = replace(seen, monitor=replace(seen.monitor, chardevs=cut))
    assert "see that the standby is connected with each socket" in [
        step.title for _host, step in pending(THERE, apart, recorded("protected-secondary"))
    ]


def test_what_is_wanted_otherwise_is_to_be_changed_on_both_hosts() -> None:
    found = steps("protected-primary", "protected-secondary", checkpoint_delay=500)
    assert {step.partition(":")[0] for step in found} == {"kvm1", "kvm2"}
    assert "kvm1: define web1 with the changed XML" in found


def test_a_standby_that_may_not_be_promoted_yet_is_to_be_completed() -> None:
    *connections, last = steps("protected-primary", "incomplete-secondary")
    assert last == "kvm2: write that the standby has completed a checkpoint"
    assert all(step.startswith("kvm2: ") and ("-red-" in step or "socket" in step) for step in connections)


@pytest.mark.parametrize(
    ("guest", "standby"),
    [
        ("unprotected-primary", "unprotected-secondary"),
        ("described-primary", "unprotected-secondary"),
        ("described-primary", "listening-secondary"),
        ("syncing-primary", "syncing-secondary"),
    ],
)
def test_from_half_way_the_steps_reach_lockstep(guest: str, standby: str) -> None:
    assert "kvm1: send the guest's memory to the standby" in steps(guest, standby)


def test_what_one_plan_refuses_is_refused() -> None:
    with pytest.raises(Refusal, match="is not an address of kvm2"):
        steps("protected-primary", "protected-secondary", address="10.77.0.9")


@pytest.mark.parametrize("name", ["protected-primary", "protected-secondary"])
def test_of_a_qemu_that_hangs_it_is_refused_in_words(name: str) -> None:
    """libvirt waits for that QEMU, and tells of the domain without its XML."""
    halves = {one: replace(recorded(one), checkpoints=ONE) for one in ("protected-primary", "protected-secondary")}
    one = halves[name]
    known = replace(one.domain, inactive_xml="", live_xml=None, machine="", memory=0, emulator=None, disks=(), nics=())
    halves[name] = replace(one, domain=known, depth=UNASKED, monitor=None, monitor_problem="libvirt did not answer")
    with pytest.raises(Refusal, match="QEMU's monitor does not answer: libvirt did not answer"):
        pending(THERE, *halves.values())
