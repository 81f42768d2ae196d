# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.front import modules
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import to_data
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Host, Job, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan.step import Step, Wanted, WantedDisk, qmp, wait
from ansible_collections.lockstep.colo.plugins.module_utils.run.converge import Result
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

SECRET = "hunter2-and-more"


def with_password(seen: Observation) -> Observation:
    """The recorded domain with a VNC password, as a dump with VIR_DOMAIN_XML_SECURE has it."""

    def give(xml: str) -> str:
        assert "<graphics " in xml
        return xml.replace("<graphics ", f'<graphics passwd="{SECRET}" ', 1)

    domain = seen.domain
    return replace(seen, domain=replace(domain, inactive_xml=give(domain.inactive_xml), live_xml=give(domain.live_xml)))


SEEN = with_password(recorded("protected-primary"))


def test_an_observation_is_returned_without_passwords_unless_they_are_asked_for() -> None:
    assert SECRET not in json.dumps(modules.seen(SEEN))
    assert json.dumps(modules.seen(SEEN, secrets=True)).count(SECRET) == 2


def test_a_run_returns_no_password_anywhere() -> None:
    changed = replace(SEEN.domain, inactive_xml=SEEN.domain.inactive_xml.replace("web1", "web2"))
    define = Step("define web1 with the changed XML", "define", {"xml": SEEN.domain.inactive_xml})
    result = Result(SEEN, replace(SEEN, domain=changed), [define])
    returned = modules.returned(result)
    assert SECRET not in json.dumps(returned)
    assert "web2" in returned["diff"][0]["after"]
    assert "web1" in returned["diff"][0]["before"]
    json.dumps(returned)


@pytest.mark.parametrize("before_only", [True, False])
def test_a_domain_that_comes_or_goes_shows_no_password_either(before_only: bool) -> None:
    none = replace(SEEN, domain=None, monitor=None)
    result = Result(SEEN, none) if before_only else Result(none, SEEN)
    assert SECRET not in json.dumps(modules.returned(result))
    shown = modules.returned(result)["diff"][0]
    assert bool(shown["before"]) is before_only
    assert bool(shown["after"]) is not before_only


def test_redacting_leaves_the_observation_itself_alone() -> None:
    modules.seen(SEEN)
    assert SECRET in SEEN.domain.inactive_xml


def test_the_diff_tells_steps_from_waits() -> None:
    result = Result(SEEN, SEEN, [qmp("do it", "stop"), wait("see it", "alone", 1.0)])
    assert modules.returned(result)["diff"] == [{"prepared": "  step: do it\n  wait: see it\n"}]
    assert modules.returned(Result(SEEN, SEEN))["diff"] == []


def test_what_was_returned_is_understood_as_peer() -> None:
    returned = modules.returned(Result(SEEN, SEEN))
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


@pytest.mark.parametrize(("done", "total", "percent"), [(0, 0, 0.0), (1, 3, 33.3), (5, 5, 100.0)])
def test_progress_is_in_bytes_and_percent(done: int, total: int, percent: float) -> None:
    found = modules.progress(Job("mirror", "running", done, total))
    assert found == {"status": "running", "done": done, "total": total, "percent": percent}


def test_a_sync_at_work_is_in_the_result() -> None:
    found = modules.seen(recorded("syncing-primary"))["sync"]
    assert set(found) == {"colo-vda-sync", "colo-vdb-sync"}
    assert all(item["status"] == "running" and 0 <= item["percent"] < 100 for item in found.values())


def test_a_host_without_a_domain_is_returned_as_well() -> None:
    seen = Observation(Host("kvm2", "m2"))
    assert modules.seen(seen)["phase"] == "unprotected"
    assert modules.seen(seen)["observation"] == to_data(seen)


@pytest.mark.parametrize(
    ("check", "projected", "found"),
    [(True, to_data(SEEN), SEEN.domain.uuid), (True, None, None), (False, to_data(SEEN), None)],
)
def test_what_was_projected_is_seen_in_check_mode_alone(
    monkeypatch: pytest.MonkeyPatch, check: bool, projected: Any, found: str | None
) -> None:
    bare = Observation(Host("kvm2", "m2"))
    monkeypatch.setattr(modules, "observe", lambda *_where, **_options: bare)
    params = {"name": "web1", "directory": "/d", "host": "kvm2", "projected": projected}
    seen = modules.look(None, params, check=check)
    assert (seen.domain.uuid if seen.domain else None) == found
