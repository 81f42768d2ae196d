# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a cluster manager sees each half that was recorded, and which may be promoted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Heard, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.standing import (
    COULD_TAKE_IT,
    HAS_THE_GUEST,
    could_go_on,
    standing,
    unfit,
)
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import NAMES, heard_just_now, recorded

# As they were recorded, and heard a moment ago: state and score where the manager has the half in its charge.
STANDS = {
    "protected-primary": ("promoted", HAS_THE_GUEST),
    "protected-again-primary": ("promoted", HAS_THE_GUEST),
    "degraded-primary": ("degraded", HAS_THE_GUEST),
    "degraded-unasked-primary": ("degraded", HAS_THE_GUEST),
    "peer-frozen-primary": ("degraded", HAS_THE_GUEST),
    "syncing-primary": ("degraded", HAS_THE_GUEST),
    "failed-over-primary": ("degraded", HAS_THE_GUEST),
    "failed-over-secondary": ("degraded", HAS_THE_GUEST),
    "protected-secondary": ("unpromoted", COULD_TAKE_IT),
    "degraded-secondary": ("unpromoted", COULD_TAKE_IT),
    "degraded-unasked-secondary": ("unpromoted", COULD_TAKE_IT),
    "listening-secondary": ("unpromoted", None),
    "syncing-secondary": ("unpromoted", None),
    "incomplete-secondary": ("unpromoted", None),
    "stale-primary": ("unpromoted", None),
    "powered-off-primary": ("unpromoted", None),
    "unprotected-primary": ("unpromoted", None),  # an ordinary domain is not the cluster's
}


@pytest.mark.parametrize("name", STANDS)
def test_each_recorded_half_stands_as_it_was_seen(name: str) -> None:
    found = standing(heard_just_now(recorded(name)), in_charge=True)
    assert (found.state, found.score) == STANDS[name], found.why
    assert bool(found.why) is (STANDS[name] not in (("promoted", HAS_THE_GUEST), ("unpromoted", COULD_TAKE_IT)))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_in_charge_is_stopped_unless_it_runs(name: str) -> None:
    seen = heard_just_now(recorded(name))
    runs = bool(seen.record and seen.domain.active)
    assert (standing(seen, in_charge=False).state == "stopped") is not runs
    assert standing(seen, in_charge=False).score == standing(seen, in_charge=True).score


@pytest.mark.parametrize("name", NAMES)
def test_no_copy_has_a_score_that_neither_runs_the_guest_nor_could_take_it(name: str) -> None:
    seen = heard_just_now(recorded(name))
    runs = bool(seen.record and seen.domain.active)
    assert standing(replace(seen, domain=seen.domain and replace(seen.domain, state="shutoff")), True).score is None
    assert runs or standing(seen, True).score is None


STANDBY = heard_just_now(recorded("protected-secondary"))


def incomplete(seen: Observation) -> Observation:
    return replace(seen, domain=replace(seen.domain, record=replace(seen.record, complete=None)))


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (incomplete(STANDBY), "has not completed a checkpoint"),
        (replace(STANDBY, heard=None), "at a time that is not known"),
        (replace(STANDBY, heard=Heard("long ago", 301.0)), "last heard from kvm1"),
        (replace(STANDBY, known_to_lack=True), "lacks writes of the guest"),
        (replace(STANDBY, domain=replace(STANDBY.domain, state="shutoff")), "nothing of the guest but an older image"),
    ],
)
def test_a_word_of_the_past_gives_a_standby_no_score(seen: Observation, words: str) -> None:
    found = standing(seen, in_charge=True)
    assert (found.score, words in found.why) == (None, True), found.why
    assert any(unfit(seen))
    assert not could_go_on(seen)


@pytest.mark.parametrize(
    ("name", "goes_on"),
    [
        ("protected-primary", True),
        ("degraded-primary", True),
        ("degraded-unasked-primary", True),
        ("degraded-unasked-secondary", True),
        ("protected-secondary", True),
        ("described-primary", False),
        ("listening-secondary", False),
        ("failed-over-primary", False),
        ("powered-off-primary", False),
        ("unprotected-primary", False),
    ],
)
def test_only_a_half_in_lockstep_goes_on_alone(name: str, goes_on: bool) -> None:
    assert could_go_on(heard_just_now(recorded(name))) is goes_on
