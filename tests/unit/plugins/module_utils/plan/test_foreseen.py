# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What plans say that they come to is what was recorded of a real pair after they were carried out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.depth import BRIEF
from ansible_collections.lockstep.colo.plugins.module_utils.plan import describe, listen, protect, survive
from ansible_collections.lockstep.colo.plugins.module_utils.plan.foreseen import differences
from ansible_collections.lockstep.colo.plugins.module_utils.plan.plan import Plan
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import (
    NAMES,
    WANTED,
    fenced,
    heard_just_now,
    recorded,
)


def fail_over(name: str, lost: str) -> Plan:
    return survive.failover(heard_just_now(recorded(name)), fenced(lost))


@pytest.mark.parametrize(
    ("plan", "left"),
    [
        (fail_over("protected-secondary", "kvm1"), "failed-over-secondary"),
        (fail_over("protected-again-primary", "kvm1"), "failed-over-primary"),
        (listen.secondary(WANTED, recorded("started-secondary"), recorded("described-primary")), "listening-secondary"),
        (
            listen.secondary(WANTED, recorded("described-secondary"), recorded("described-primary")),
            "listening-secondary",
        ),
        (
            protect.primary(WANTED, recorded("described-primary"), recorded("listening-secondary")),
            "protected-primary",
        ),
    ],
    ids=["a promotion", "a primary that goes on", "a standby half-way", "a standby", "lockstep"],
)
def test_what_was_foreseen_is_what_was_recorded(plan: Plan, left: str) -> None:
    assert plan.steps
    assert differences(plan.before, plan.before, recorded(left))
    assert differences(plan.before, plan.after, recorded(left)) == []


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_unforeseen_of_what_did_not_change(name: str) -> None:
    assert differences(recorded(name), recorded(name), recorded(name)) == []


def test_what_a_short_look_does_not_see_is_no_difference() -> None:
    seen = recorded("protected-primary")
    assert differences(seen, seen, replace(seen, depth=BRIEF, domain=replace(seen.domain, autostart=True))) == []


def test_what_was_there_and_comes_into_view_is_no_difference() -> None:
    before, left = recorded("unprotected-primary"), recorded("described-primary")
    described = describe.primary(WANTED, before, recorded("unprotected-secondary"))
    assert not before.images
    assert any(image.exists for image in left.images.values())
    assert differences(before, described.after, left) == []


def test_what_was_to_be_made_and_is_not_there_is_one() -> None:
    before, left = recorded("unprotected-secondary"), recorded("described-secondary")
    peer = recorded("described-primary")
    described = describe.secondary(replace(WANTED, address="10.77.0.2", peer_address="10.77.0.1"), before, peer)
    assert differences(before, described.after, left) == []
    path = next(path for path, image in left.images.items() if image.exists)
    lost = replace(left, images={**left.images, path: replace(left.images[path], exists=False)})
    assert [words.partition(":")[0] for words in differences(before, described.after, lost)] == ["images"]


def test_what_goes_out_of_view_with_the_record_is_no_difference() -> None:
    before, left = recorded("described-secondary"), recorded("unprotected-secondary")
    assert any(image.exists for image in before.images.values())
    undescribed = describe.plain("secondary", before, None)
    assert differences(before, undescribed.after, left) == []
    assert differences(before, before, left), "the domain is still there"


def test_lockstep_is_connected_where_only_what_is_closed_was_left_of_a_standby_before() -> None:
    left = recorded("protected-primary").peer_sockets
    before = replace(recorded("described-primary"), peer_sockets=left, closed_sockets=left)
    plan = protect.primary(WANTED, before, recorded("listening-secondary"))
    assert differences(plan.before, plan.after, recorded("protected-primary")) == []


def test_a_connection_that_is_closed_and_not_forgotten_yet_is_none() -> None:
    seen = recorded("released-primary")
    assert seen.peer_sockets == ()
    closing = replace(seen, peer_sockets=("10.77.0.1:1 10.77.0.2:2",), closed_sockets=("10.77.0.1:1 10.77.0.2:2",))
    assert differences(seen, seen, closing) == []
    still_open = replace(closing, closed_sockets=())
    assert differences(seen, seen, still_open) == ["QEMU's connected: True, foreseen was False"]
