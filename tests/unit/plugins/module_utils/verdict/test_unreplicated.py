# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest in lockstep that has something which its standby does not get is not protected, and everybody is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan import describe
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import pair
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Refusal
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.unreplicated import unreplicated
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import (
    NAMES,
    WANTED,
    dropping,
    recorded,
)

PRIMARY, STANDBY = dropping(recorded("protected-primary")), dropping(recorded("protected-secondary"))
ENDED = recorded("described-secondary")
DOMAIN = PRIMARY.domain
MAC = "52:54:00:ff:ff:01"


def having(seen: Observation = PRIMARY, **domain: Any) -> Observation:
    return replace(seen, domain=replace(seen.domain, **domain))


def in_qemu(**monitor: Any) -> Observation:
    return replace(PRIMARY, monitor=replace(PRIMARY.monitor, **monitor))


def plugged(**disk: Any) -> Observation:
    new = replace(DOMAIN.disks[0], **{"target": "vdz", "node": "libvirt-9-format", "alias": "virtio-disk9", **disk})
    return having(disks=(*DOMAIN.disks, new))


WITH_NIC = having(nics=(*DOMAIN.nics, replace(DOMAIN.nics[0], mac=MAC, alias="net9", tap="vnet9")))
SAME_MAC = having(nics=(*DOMAIN.nics, replace(DOMAIN.nics[0], alias="net9", tap="vnet9")))
# As a pair was formed of a guest whose second NIC its persistent domain did not have.
NOT_IN_RECORD = having(record=replace(DOMAIN.record, nics=DOMAIN.record.nics[:1]))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_out_of_what_was_recorded(name: str) -> None:
    assert unreplicated(recorded(name)) == []


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (WITH_NIC, f"the guest has NIC {MAC}, which the pair has not"),
        (SAME_MAC, f"the guest has NIC {DOMAIN.nics[0].mac}, which"),
        (NOT_IN_RECORD, f"virsh detach-interface web1 bridge --mac {DOMAIN.nics[1].mac} --live"),
        (plugged(), "the guest can write to disk vdz"),
        (plugged(device="lun", type="block"), "the guest can write to disk vdz"),
        (in_qemu(writers={**PRIMARY.monitor.writers, "virtio9": "#block9"}), "through the device virtio9"),
    ],
)
def test_what_the_pair_has_not_leaves_it_unprotected(seen: Observation, words: str) -> None:
    found = pair.pair(seen, STANDBY)
    assert (found.phase, found.protected, found.next) == ("degraded", False, "unprotect")
    assert any(words in problem for problem in found.problems), found.problems
    with pytest.raises(Refusal, match=words.split(",", 1)[0]):
        describe.primary(WANTED, seen, STANDBY)


@pytest.mark.parametrize("seen", [plugged(readonly=True), plugged(device="cdrom", readonly=True)])
def test_what_the_guest_cannot_write_to_is_no_matter(seen: Observation) -> None:
    assert pair.pair(seen, STANDBY).protected


def test_a_new_standby_gets_what_the_guest_has_by_then() -> None:
    assert pair.pair(WITH_NIC, ENDED).next == "deploy"


def without(part: str) -> Observation:
    return in_qemu(objects={name: kind for name, kind in PRIMARY.monitor.objects.items() if name != part})


OFF = in_qemu(settings={**PRIMARY.monitor.settings, "colo-net0-f-mirror": {"status": "off"}})


@pytest.mark.parametrize("seen", [OFF, without("colo-net0-f-out"), without("colo-net1-compare")])
def test_packets_that_go_by_their_comparison_leave_a_pair_unprotected_until_deploy_mends_it(seen: Observation) -> None:
    found = pair.pair(seen, STANDBY)
    assert (found.phase, found.protected, found.next) == ("degraded", False, "deploy")
    assert any("the packet proxy was changed" in problem for problem in found.problems)


def test_a_pace_of_the_comparison_is_no_reason() -> None:
    slow = in_qemu(settings={**PRIMARY.monitor.settings, "colo-net0-compare": {"compare_timeout": 9000}})
    assert pair.pair(slow, STANDBY).protected
