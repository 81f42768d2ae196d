# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.front import modules
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import to_data
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Host, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.record.wanted import Wanted, WantedDisk
from ansible_collections.lockstep.colo.plugins.module_utils.run import result, session
from ansible_collections.lockstep.colo.plugins.module_utils.run.converge import Result
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

SEEN = recorded("protected-primary")


def test_what_was_returned_is_understood_as_peer() -> None:
    returned = result.returned(Result(SEEN, SEEN))
    for value in (returned, returned["observation"], json.dumps(returned), json.dumps(returned["observation"])):
        found = modules.peer({"peer": value})
        assert found.monitor == SEEN.monitor
        assert found.record == SEEN.record


@pytest.mark.parametrize("value", [None, "unreachable"])
def test_a_peer_may_be_unreachable_where_that_makes_sense(value: str | None) -> None:
    assert modules.peer({"peer": value}) is None
    with pytest.raises(ColoError, match=r"the other host is unreachable. .*colo_failover"):
        modules.reachable_peer({"peer": value})


@pytest.mark.parametrize(
    "value",
    [
        "kvm2",
        "{",
        "[]",
        "3",
        [],
        3,
        {},
        {"observation": None},
        {"msg": "failed", "failed": True},
        {"observation": {"host": 3, "x": 1}},
    ],
)
def test_anything_else_is_refused_with_words(value: Any) -> None:
    with pytest.raises(ColoError, match="peer is not what colo_info returns"):
        modules.peer({"peer": value})


def test_options_that_are_not_given_keep_the_cores_defaults() -> None:
    assert modules.wanted({"name": "web1", "address": None}) == Wanted()
    given = {
        "disks": [{"target": "vda", "format": "raw", "path": None}],
        "address": "10.0.0.1",
        "first_port": 21616,
        "sync_speed": 0,
        "checkpoint_delay": 100,
    }
    assert modules.wanted(given) == Wanted(
        disks=(WantedDisk("vda", "raw"),), address="10.0.0.1", first_port=21616, checkpoint_delay=100
    )


def test_an_address_is_taken_as_the_kernel_writes_it() -> None:
    assert modules.wanted({"address": "FD00:0::1", "peer_address": "fd00::0002"}) == Wanted(
        address="fd00::1", peer_address="fd00::2"
    )


@pytest.mark.parametrize(
    ("check", "projected", "found"),
    [(True, to_data(SEEN), SEEN.domain.uuid), (True, None, None), (False, to_data(SEEN), None)],
)
def test_what_was_projected_is_seen_in_check_mode_alone(
    monkeypatch: pytest.MonkeyPatch, check: bool, projected: Any, found: str | None
) -> None:
    bare = Observation(Host("kvm2", "m2"))
    monkeypatch.setattr(session, "observe", lambda *_where, **_options: bare)
    params = {"name": "web1", "directory": "/d", "host": "kvm2", "projected": projected}
    seen = modules.look(None, params, check=check)
    assert (seen.domain.uuid if seen.domain else None) == found
