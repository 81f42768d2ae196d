# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json
import subprocess
import sys
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.filter.colo_command import colo_command
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import from_data
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.command import CONFIRMED
from ansible_collections.lockstep.colo.plugins.plugin_utils.report import document, page
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import NAMES
from ansible_collections.lockstep.colo.tests.unit.plugins.plugin_utils.report import cases

SECRET = "hunter2"
KEYS = ["format", "version", "made", "runbook", "pair", "before", "after", "tasks", "fence", "client", "summary"]


def test_a_document_says_what_it_is() -> None:
    found = document.build(cases.FAILOVER, cases.MADE)
    assert list(found) == KEYS
    assert (found["format"], found["version"], found["made"]) == ("lockstep.colo report", 1, "2026-11-23T02:30:00.000Z")


@pytest.mark.parametrize("options", [cases.FAILOVER, cases.DEPLOY])
def test_the_same_input_gives_the_same_document_and_is_left_alone(options: dict[str, Any]) -> None:
    given = copy.deepcopy(options)
    once, twice = (json.dumps(document.build(options, cases.MADE)) for _time in range(2))
    assert once == twice
    assert options == given


def test_hosts_are_kept_with_their_observations() -> None:
    found = document.build(cases.DEPLOY, cases.MADE)
    assert list(found["after"]["hosts"]) == ["kvm1", "kvm2"]
    host = found["after"]["hosts"]["kvm1"]
    assert (host["state"], host["phase"]) == ("observed", "protected")
    assert (
        host["observation"]["monitor"]["nodes"]["colo-vda-remote"]["children"]["children.1"] == "colo-vda-replication"
    )
    assert found["after"]["verdict"]["holder"] == "kvm1"
    assert len(found["after"]["channels"]) == 6


@pytest.mark.parametrize("name", NAMES)
def test_an_observation_comes_without_xml_and_is_understood_without(name: str) -> None:
    found = cases.built(after={"kvm1": cases.result(name)})["after"]["hosts"]["kvm1"]
    assert found["state"] == "observed"
    text = json.dumps(found)
    assert "_xml" not in text
    assert "<domain" not in text
    assert "json:{" not in text
    if found["observation"]["domain"]:
        found["observation"]["domain"]["inactive_xml"] = ""
    assert isinstance(from_data(Observation, found["observation"]), Observation)


@pytest.mark.parametrize(
    ("result", "state", "message"),
    [
        ("unreachable", "unreachable", None),
        ({"unreachable": True, "msg": "no route"}, "unreachable", "no route"),
        ({"failed": True, "msg": "Python has no libvirt"}, "not_observed", "Python has no libvirt"),
        ({"skipped": True}, "not_observed", None),
        ("kvm1", "not_observed", None),
        ([], "not_observed", None),
        ({"observation": None}, "not_observed", None),
        ({"observation": {"host": {"name": "kvm1"}}}, "not_observed", None),
        ({"observation": {"host": 3}}, "not_observed", None),
        (None, "not_asked", None),
    ],
)
def test_a_host_that_was_not_observed_is_said_to_be(result: Any, state: str, message: str | None) -> None:
    found = cases.built(after={"kvm1": result, "kvm2": cases.result("protected-secondary")})["after"]
    host = found["hosts"]["kvm1"]
    assert (host["state"], host["observation"]) == (state, None)
    if message:
        assert host["message"] == message
    assert found["verdict"]["phase"] == "degraded"


def test_where_nobody_answered_there_is_no_verdict() -> None:
    found = cases.built(after=cases.side(None, None))["after"]
    assert found["verdict"] is None
    assert found["channels"] == []


def test_where_nobody_looked_there_is_nothing() -> None:
    found = cases.built()
    assert [found[key] for key in ("before", "after", "tasks", "fence", "client")] == [None] * 5
    assert cases.built(tasks=[])["tasks"] == []


def test_a_phase_that_only_qemu_knows_is_not_known_where_it_was_not_asked() -> None:
    """The verdict alone would say degraded, which is right for one that was asked and did not answer."""
    unasked = cases.built(after=cases.side(None, "degraded-unasked-secondary"))["after"]
    assert unasked["hosts"]["kvm2"]["phase"] is None
    assert unasked["verdict"]["phase"] is None
    asked = cases.built(after=cases.side(None, "degraded-secondary"))["after"]
    assert asked["hosts"]["kvm2"]["phase"] == "degraded"
    assert asked["verdict"]["phase"] == "degraded"


def test_a_verdict_that_is_given_counts() -> None:
    given = {"phase": "stalled", "holder": "kvm1", "problems": ["x"], "more": SECRET}
    found = cases.built(after=cases.side("protected-primary", "protected-secondary"), verdict=given)
    expected = {
        "phase": "stalled", "holder": "kvm1", "problems": ["x"], "notes": [], "next": "", "first": "", "command": "",
    }  # fmt: skip
    assert found["after"]["verdict"] == expected
    assert (
        cases.built(after=cases.side("protected-primary", None), verdict={})["after"]["verdict"]["phase"] == "degraded"
    )


NEXT = {
    "failed over, and the lost host is away": (None, "failed-over-secondary"),
    "the primary does not answer": (None, "protected-secondary"),
    "unprotected": ("unprotected-primary", "unprotected-secondary"),
    "off, and the standby's host does not answer": ("powered-off-primary", None),
    "protected": ("protected-primary", "protected-secondary"),
}


@pytest.mark.parametrize("names", NEXT.values(), ids=NEXT)
@pytest.mark.parametrize("fence_tasks", [CONFIRMED, "my_fence.yml"])
def test_what_is_next_is_said_as_status_says_it(names: tuple[str | None, str | None], fence_tasks: str) -> None:
    given, inventory = cases.side(*names), ["hosts.yml", "my pairs.yml"]
    verdict = cases.built(after=given, inventory=inventory, fence_tasks=fence_tasks)["after"]["verdict"]
    said = colo_command(verdict["next"], "web1", given, inventory, fence_tasks)
    assert (verdict["command"], verdict["first"]) == (said["line"], said["first"])
    assert bool(verdict["command"]) is (names != NEXT["protected"])


def test_of_a_verdict_that_is_given_no_other_command_is_said_than_one_of_the_collections() -> None:
    found = cases.built(verdict={"phase": "degraded", "next": "deploy; rm -rf /"})["after"]["verdict"]
    assert (found["command"], found["first"]) == ("", "")


def test_a_pair_has_two_hosts() -> None:
    with pytest.raises(ValueError, match="name kvm1, kvm2 and kvm3: a pair has two hosts"):
        cases.built(before={"kvm1": None, "kvm2": None}, after={"kvm3": None})


def test_hosts_keep_the_order_in_which_they_were_given() -> None:
    found = cases.built(before={"kvm2": None}, after={"kvm1": None, "kvm2": None})
    assert list(found["after"]["hosts"]) == ["kvm2", "kvm1"]


def with_secrets(value: Any) -> Any:
    """The same data, with a password in every place from which one has been known to come."""
    if isinstance(value, dict):
        changed = {key: with_secrets(item) for key, item in value.items()}
        if "inactive_xml" in changed:
            xml = f"<domain><graphics passwd='{SECRET}'/><secret>{SECRET}</secret></domain>"
            changed.update(inactive_xml=xml, live_xml=xml)
        if "monitor_problem" in changed:
            changed["monitor_problem"] = f"QEMU said: password={SECRET}"
        if "file" in changed and "driver" in changed:
            changed["file"] = f"https://admin:{SECRET}@store.example/disk"
        if "done" in changed:
            changed.update(invocation={"module_args": {"peer": SECRET}}, stdout=SECRET, ansible_facts={"x": SECRET})
            changed["msg"] = f"token: {SECRET}"
        return changed
    return [with_secrets(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("options", [cases.FAILOVER, cases.DEPLOY])
def test_no_password_comes_into_a_document(options: dict[str, Any]) -> None:
    given = with_secrets(options)
    given["fence"] = {
        "host": "kvm1",
        "ground": "command",
        "proof": {"rc": 0},
        "method": f"ipmitool -U admin -P {SECRET} power off",
    }
    given["tasks"].append({"title": "x", "result": {"failed": True, "msg": f"--password {SECRET} was refused"}})
    assert json.dumps(given).count(SECRET) > 5
    assert SECRET not in json.dumps(document.build(given, cases.MADE))


CONTROL_NODE = """
import json, sys
for name in ("lxml", "libvirt"):
    sys.modules[name] = None
from datetime import datetime
from ansible_collections.lockstep.colo.plugins.plugin_utils.report import document, page
from ansible_collections.lockstep.colo.plugins.module_utils.record import schema
assert schema.LXML_IMPORT_ERROR
print(len(page.render(document.build(json.load(sys.stdin), datetime(2026, 11, 23)))))
"""


def test_a_control_node_needs_neither_lxml_nor_libvirt() -> None:
    found = subprocess.run(
        [sys.executable, "-c", CONTROL_NODE],
        input=json.dumps(cases.FAILOVER),
        capture_output=True,
        check=False,
        text=True,
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
    )
    assert found.returncode == 0, found.stderr
    assert int(found.stdout) > 10000


@pytest.mark.parametrize(
    "said",
    [
        {"served_after": 1e18}, {"seconds": 1e18}, {"seconds": -1e18}, {"began": "0001-01-01T00:00:00+23:59"},
        {"began": "9999-12-31T23:59:59Z", "seconds": 5, "served_after": 5},
        {"began": "0001-01-01T00:00:00Z", "seconds": -5, "served_after": -5},
        {"done": [{"title": "x", "began": 0, "ended": 1e19}]},
    ],
)  # fmt: skip
@pytest.mark.parametrize("ended", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", None])
def test_times_that_no_task_can_have_are_not_known(said: dict[str, Any], ended: str | None) -> None:
    result = {"title": "t", "steps": ["a"], "began": "2026-01-01T00:00:00Z", **said}
    given = {"title": "t", "host": "kvm1", "ended": ended, "result": result}
    page.render(document.build({**cases.FAILOVER, "tasks": [given]}, cases.MADE))
