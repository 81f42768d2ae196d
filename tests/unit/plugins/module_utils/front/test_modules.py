# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.front import modules
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import to_data
from ansible_collections.lockstep.colo.plugins.module_utils.record.wanted import Wanted, WantedDisk
from ansible_collections.lockstep.colo.plugins.module_utils.run import result
from ansible_collections.lockstep.colo.plugins.module_utils.run.converge import Result
from ansible_collections.lockstep.colo.plugins.module_utils.run.goals import Handover, Questions
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import fenced, recorded

SEEN = recorded("protected-primary")


def test_what_was_returned_is_understood_as_peer() -> None:
    returned = result.returned(Result(SEEN, SEEN))
    for value in (returned, returned["observation"], json.dumps(returned), json.dumps(returned["observation"])):
        found = modules.reachable(value)
        assert found.monitor == SEEN.monitor
        assert found.record == SEEN.record


@pytest.mark.parametrize("value", [None, "unreachable"])
def test_a_peer_may_be_unreachable_where_that_makes_sense(value: str | None) -> None:
    assert modules.reachable(value) is None


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
        modules.reachable(value)


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


class Module:
    """What AnsibleModule made of a task."""

    def __init__(self, check: bool = False, **params: Any) -> None:
        self.check_mode = check
        self.params = {"name": "web1", "host": "kvm2", "directory": "/d", **params}


@pytest.mark.parametrize(("check", "projected"), [(True, to_data(SEEN)), (True, None), (False, to_data(SEEN))])
def test_what_was_projected_is_asked_for_in_check_mode_alone(check: bool, projected: Any) -> None:
    asked = modules.request(Module(check, projected=projected))
    assert asked.check is check
    assert (asked.projected == SEEN) if check and projected else asked.projected is None


def test_options_are_what_the_core_is_asked_for() -> None:
    proof = {"rc": 0, "changed": False}
    given = {"host": "kvm1", "ground": "command", "proof": proof, "confirmed": "kvm1", "method": ""}
    asked = modules.request(Module(role="secondary", fence=given, handover=None, unproven=True, peer=to_data(SEEN)))
    assert (asked.domain, asked.host, asked.role, asked.wanted) == ("web1", "kvm2", "secondary", Wanted(directory="/d"))
    assert (asked.fence, asked.handover) == (fenced("kvm1"), None)
    assert asked.unproven
    assert asked.peer == SEEN
    drilled = modules.request(Module(addresses=["192.0.2.80"], timeout=3.0, handover={"token": "t", "timeout": 5.0}))
    assert drilled.questions == Questions(("192.0.2.80",), 3.0)
    assert drilled.handover == Handover("t", 5.0)


def test_a_key_is_in_no_invocation() -> None:
    file = {"name": "server-key.pem", "src": "/ca/key.pem", "owner": "root", "mode": "0600"}
    told = modules._invocation({"files": [{**file, "content": "planted"}], "place": "/pki"})
    assert told == {"module_args": {"files": [file], "place": "/pki"}}


def test_a_python_without_libvirt_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules.session, "missing_libraries", lambda: ["lxml", "libvirt"])
    monkeypatch.setattr(modules, "has_respawned", lambda: True)
    module = MagicMock()
    modules._need_libraries(module)
    said = module.fail_json.call_args.kwargs
    assert said["missing_libraries"] == ["lxml", "libvirt"]
    assert "lockstep.colo.deploy does, where --limit does not leave this host out" in said["msg"]
