# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What plans say that they come to is what was recorded of a real pair after they were carried out."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.depth import BRIEF
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import (
    Disk,
    Domain,
    Image,
    Job,
    Migration,
    Monitor,
    Nic,
    Node,
    Observation,
)
from ansible_collections.lockstep.colo.plugins.module_utils.plan import (
    describe,
    foreseen,
    listen,
    protect,
    survive,
)
from ansible_collections.lockstep.colo.plugins.module_utils.plan.foreseen import differences
from ansible_collections.lockstep.colo.plugins.module_utils.plan.plan import Plan
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import (
    NAMES,
    WANTED,
    dropping,
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
    other = replace(seen, domain=replace(seen.domain, autostart=True))
    assert differences(seen, seen, other)
    assert differences(seen, seen, replace(other, depth=BRIEF)) == []
    assert differences(replace(seen, depth=BRIEF), seen, other) == [], (
        "what was not seen before was not foreseen either"
    )


def test_what_was_there_and_comes_into_view_is_no_difference() -> None:
    before, left = recorded("unprotected-primary"), dropping(recorded("described-primary"))
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


# What is not compared, with the reason: of each class, its fields.
NOT_COMPARED: dict[type, dict[str, str]] = {
    Observation: {
        "how far a look went": "depth directory format",
        "no step changes it": "files accounts passage latency trial peer_answers automation",
        "the guest, other programs and the clock do": "space uncompared checkpoints heard without_writes received "
        "quiet",
        "a note of what was seen, or of what another command does meanwhile": "known_to_lack standby_lacks compared "
        "left",
        "a note that may fail, which fails nothing": "shown",
        "the step that is there for it has looked itself": "announced",
        "of peer_sockets, which are compared": "stuck_sockets connections",
        "there is no monitor then": "monitor_problem",
    },
    Domain: {
        "no step changes it": "name uuid persistent snapshots",
        "of the XML, which libvirt fills in; a define that it took is what was wanted": "machine memory vcpus emulator "
        "inactive_xml live_xml type cpu_mode huge_page nvram files processors numa_nodes partition unsupported untried "
        "foreign otherwise listens network_filters live_incoming",
        "libvirt's and the host's account of a QEMU that began or ended": "began nvram_digest tainted ended_by "
        "last_words deleted",
        "how an observation was handed on, after it was compared": "redacted",
        "the kernel decides when QEMU starts, and the plan without vhost looks again": "vhost",
    },
    Monitor: {
        "no step changes it": "version",
        "QEMU's own account of devices and of our objects, which are compared by their names": "writers settings",
        "the other end may close a socket at any time": "unread",
        "whether writes are lost is for the next look to say": "lost_writes",
    },
    Migration: {"why one ended, or cannot begin, in QEMU's words": "error blocked"},
    Disk: {
        "of the XML": "device type source format bus readonly shareable",
        "libvirt's and QEMU's names and numbers": "alias virtual_size failed_writes",
    },
    Nic: {
        "of the XML": "model type bridge driver driver_element queues network vlans",
        "libvirt's names": "alias tap",
    },
    Node: {"of the image below it": "file virtual_size"},
    Job: {"how far it is": "type done total error", "what a run has seen of the link": "speed"},
    Image: {"of a file that is there": "path format virtual_size in_use inode allocated"},
}


def spied(value: Any, read: set[tuple[type, str]]) -> Any:
    """The same, but what is read of it is noted as (class, field)."""
    kind = type(value)
    if isinstance(value, dict):
        return {key: spied(one, read) for key, one in value.items()}
    if isinstance(value, tuple):
        return tuple(spied(one, read) for one in value)
    if kind not in NOT_COMPARED:
        return value

    class Spy(kind):
        def __getattribute__(self, name: str) -> Any:
            if name in kind.__dataclass_fields__:
                read.add((kind, name))
            return super().__getattribute__(name)

    spy = object.__new__(Spy)
    spy.__dict__.update({field.name: spied(getattr(value, field.name), read) for field in fields(value)})
    return spy


@pytest.mark.parametrize("kind", NOT_COMPARED, ids=lambda kind: kind.__name__)
def test_whatever_is_seen_is_compared_or_has_a_reason(kind: type) -> None:
    read: set[tuple[type, str]] = set()
    for name in ("protected-primary", "syncing-primary", "stopped-primary"):
        foreseen._outline(spied(recorded(name), read), whole_host=True)
    excused = [name for names in NOT_COMPARED[kind].values() for name in names.split()]
    compared = {name for of, name in read if of is kind}
    assert sorted([*compared, *excused]) == sorted(field.name for field in fields(kind))
