# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.apply.steps import Outcome
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import to_data
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Host, Job, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan.step import Step, qmp, wait
from ansible_collections.lockstep.colo.plugins.module_utils.run import result
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
    assert SECRET not in json.dumps(result.seen(SEEN))
    assert json.dumps(result.seen(SEEN, secrets=True)).count(SECRET) == 2


def test_an_observation_says_whether_passwords_were_taken_out_of_it() -> None:
    told = [result.seen(SEEN), result.seen(SEEN, secrets=True), result.seen(recorded("protected-primary"))]
    assert [one["observation"]["domain"]["redacted"] for one in told] == [True, False, False]


def test_a_run_returns_no_password_anywhere() -> None:
    changed = replace(SEEN.domain, inactive_xml=SEEN.domain.inactive_xml.replace("web1", "web2"))
    define = Step("define web1 with the changed XML", "define", {"xml": SEEN.domain.inactive_xml})
    given = Result(SEEN, replace(SEEN, domain=changed), [define])
    returned = result.returned(given)
    assert SECRET not in json.dumps(returned)
    assert "web2" in returned["diff"][0]["after"]
    assert "web1" in returned["diff"][0]["before"]
    json.dumps(returned)


@pytest.mark.parametrize("before_only", [True, False])
def test_a_domain_that_comes_or_goes_shows_no_password_either(before_only: bool) -> None:
    none = replace(SEEN, domain=None, monitor=None)
    given = Result(SEEN, none) if before_only else Result(none, SEEN)
    assert SECRET not in json.dumps(result.returned(given))
    shown = result.returned(given)["diff"][0]
    assert bool(shown["before"]) is before_only
    assert bool(shown["after"]) is not before_only


def test_redacting_leaves_the_observation_itself_alone() -> None:
    result.seen(SEEN)
    assert SECRET in SEEN.domain.inactive_xml


def test_the_diff_tells_steps_from_waits() -> None:
    given = Result(SEEN, SEEN, [qmp("do it", "stop"), wait("see it", "alone", 1.0)])
    assert result.returned(given)["diff"] == [{"prepared": "  step: do it\n  wait: see it\n"}]
    assert result.returned(Result(SEEN, SEEN))["diff"] == []


@pytest.mark.parametrize(("done", "total", "percent"), [(0, 0, 0.0), (1, 3, 33.3), (5, 5, 100.0)])
def test_progress_is_in_bytes_and_percent(done: int, total: int, percent: float) -> None:
    found = result.progress(Job("mirror", "running", done, total))
    assert found == {"status": "running", "done": done, "total": total, "percent": percent}


def test_a_sync_at_work_is_in_the_result() -> None:
    found = result.seen(recorded("syncing-primary"))["sync"]
    assert set(found) == {"colo-vda-sync", "colo-vdb-sync"}
    assert all(item["status"] == "running" and 0 <= item["percent"] < 100 for item in found.values())


def test_a_host_without_a_domain_is_returned_as_well() -> None:
    seen = Observation(Host("kvm2", "m2"))
    assert result.seen(seen)["phase"] == "unprotected"
    assert result.seen(seen)["observation"] == to_data(seen)


def test_a_run_that_announced_a_guest_tells_what_was_not_seen_of_its_way() -> None:
    seen = recorded("failed-over-secondary")  # when nothing was watched
    told = Result(seen, seen, outcome=Outcome(watched=True, unwatched="no raw sockets"))
    assert [words.rpartition(": ")[2] for words in result.unsure(told)] == ["no raw sockets"] * len(seen.domain.nics)
    assert result.unsure(Result(seen, seen)) == [], "it announced nothing"
