# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking a running guest off vhost, from recorded observations and from wherever a run may be killed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain import editing as xml
from ansible_collections.lockstep.colo.plugins.module_utils.domain import reading
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan import vhost
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Refusal
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements.network import vhost as vhost_row
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements.row import problems
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils import rules
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

PLAIN = recorded("unprotected-primary")


def domain(**changes) -> Observation:
    seen = replace(PLAIN, domain=replace(PLAIN.domain, **changes))
    return seen if seen.domain.active else replace(seen, monitor=None)


RUNNING = domain(vhost=True)
SAVING = domain(vhost=True, state="paused", saved_by_us=True)
SAVED = domain(state="shutoff", live_xml=None, saved_xml=PLAIN.domain.live_xml, saved_by_us=True)
EDITED = domain(state="shutoff", live_xml=None, saved_xml=xml.without_vhost(PLAIN.domain.live_xml), saved_by_us=True)
RESTORED = domain(saved_by_us=True)


def actions(seen: Observation) -> list[str]:
    return [step.action for step in vhost.save_and_restore(seen).steps]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (PLAIN, []),
        (RUNNING, ["managed_save"]),
        (SAVING, ["wait"]),
        (SAVED, ["define_saved", "start", "forget_save"]),
        (EDITED, ["start", "forget_save"]),
        (RESTORED, ["forget_save"]),
    ],
    ids=["no vhost", "running", "being saved", "saved", "edited", "restored"],
)
def test_each_place_where_a_run_may_end_has_its_way_on(seen: Observation, expected: list[str]) -> None:
    assert actions(seen) == expected
    if expected[:1] in (["managed_save"], ["wait"]):
        assert vhost.save_and_restore(seen).steps[-1].pivot


def test_the_guest_is_restored_with_a_vhost_device_that_is_not_there() -> None:
    edited = vhost.save_and_restore(SAVED).steps[0].arguments["xml"]
    assert edited.count(f'<backend vhost="{xml.NO_VHOST}"/>') == len(PLAIN.domain.nics)
    assert xml.without_vhost(edited) == edited
    assert reading.uuid(edited) == PLAIN.domain.uuid


def test_what_follows_is_a_domain_that_can_be_protected() -> None:
    after = rules.settle(RUNNING, vhost.save_and_restore)
    assert list(problems(vhost_row(RUNNING.domain, RUNNING)))
    assert not list(problems(vhost_row(after.domain, after)))


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (replace(PLAIN, domain=None), "no such domain"),
        (domain(state="shutoff"), "not running"),
        (domain(state="shutoff", saved_xml="<domain/>"), "not running"),
        (domain(nics=(replace(PLAIN.domain.nics[0], driver="vhost"),)), "states the driver vhost"),
        (domain(state="shutoff", saved_by_us=True), "its managed save is gone"),
    ],
    ids=["unknown", "shut off", "saved by somebody else", "stated", "save gone"],
)
def test_what_is_not_ours_to_restore_is_refused(seen: Observation, words: str) -> None:
    with pytest.raises(Refusal, match=words):
        vhost.save_and_restore(seen)


@pytest.mark.parametrize("seen", [SAVED, EDITED], ids=["saved", "edited"])
def test_a_guest_that_was_saved_goes_on_when_a_step_fails(seen: Observation) -> None:
    plan = vhost.rescue(RUNNING, seen)
    assert [step.action for step in plan.steps] == ["start", "forget_save"]
    assert plan.after.domain.state == "running"


@pytest.mark.parametrize(
    "seen",
    [PLAIN, RUNNING, SAVING, RESTORED, domain(state="shutoff", saved_by_us=True), replace(PLAIN, domain=None)],
    ids=["no vhost", "running", "being saved", "restored", "save gone", "unknown"],
)
def test_nothing_is_started_that_runs_or_was_not_saved(seen: Observation) -> None:
    assert vhost.rescue(RUNNING, seen).steps == ()
