# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import states
from ansible_collections.lockstep.colo.plugins.module_utils.plan.parts import layers
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils import rules
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded


def test_a_mirror_at_work_is_no_reason_to_touch_the_disk() -> None:
    """QEMU puts a filter of the job between; attached past it the guest would write what the mirror does not see."""
    seen = recorded("syncing-primary")
    assert all(disk.node.startswith("#block") for disk in seen.domain.disks)
    assert [disk.node for disk in states.replicated(seen)] == ["colo-vda", "colo-vdb"]
    assert layers.slide_in(seen, lambda _disk: pytest.fail("a layer is asked for")) == []


def test_a_guest_that_its_operator_stopped_is_not_let_go() -> None:
    seen = recorded("described-primary")
    paused = rules.after(seen, layers.qmp("", "stop"))
    assert not states.stopped_by_us(paused)
    assert layers.unpark(paused) == []
    assert "cont" not in [step.arguments.get("command") for step in layers.slide_out(paused)]


@pytest.mark.parametrize(
    "name", ["one-parked-primary", "parked-primary", "parked-with-quorum-primary", "half-in-primary"]
)
def test_a_parked_guest_gets_its_disks_back_and_goes_on(name: str) -> None:
    seen = recorded(name)
    *_before, freed = rules.walk(seen, layers.unpark(seen))
    assert freed.monitor.running
    assert not any(node.endswith("-park") for node in rules.attached_to(freed).values())


def test_a_standby_is_slid_in_without_stop_and_cont() -> None:
    seen = recorded("started-secondary")
    steps = layers.slide_in(
        seen, lambda disk: [layers.graph.quorum_layer(layers.graph.quorum(disk.target), "libvirt-1-format")]
    )
    assert not {"stop", "cont"} & {step.arguments["command"] for step in steps}


def test_what_feeds_a_comparison_goes_before_it_and_what_takes_from_it_after_it() -> None:
    found = [step.arguments["arguments"]["id"] for step in layers.remove_objects(recorded("protected-primary").monitor)]
    parts = [name.rpartition("-")[2] for name in found]
    assert parts == ["in"] * 2 + ["compare"] * 2 + ["mirror", "out"] * 2
