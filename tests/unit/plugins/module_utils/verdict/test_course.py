# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where playbooks go on from, whichever host is named first and whichever answers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Host, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import copies, pair
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.course import Course, course
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import NAMES, recorded

NAMED = ("kvm1", "kvm2")
EMPTY = Observation(Host("kvm2", "m"))
_RUNS = recorded("unprotected-primary")
OFF = replace(_RUNS, domain=replace(_RUNS.domain, state="shutoff", live_xml=None), monitor=None)


def seen(name: str | None) -> Observation | None:
    return recorded(name) if name else None


def of(primary: Observation | None, secondary: Observation | None) -> Course:
    """The course, which is the same whichever host the inventory names first."""
    there = course(NAMED, (primary, secondary))
    back = course(("kvm2", "kvm1"), (secondary, primary))
    assert back == there or (primary is None) == (secondary is None)
    return there


@pytest.mark.parametrize(
    ("primary", "secondary", "source"),
    [
        ("protected-primary", "protected-secondary", "kvm1"),
        ("protected-primary", None, "kvm1"),
        (None, "protected-secondary", "kvm1"),
        ("described-primary", None, "kvm1"),
        ("unprotected-primary", "unprotected-secondary", "kvm1"),
        ("stale-primary", "failed-over-secondary", "kvm2"),
    ],
)
def test_the_source_is_where_the_guests_copy_is(primary: str | None, secondary: str | None, source: str) -> None:
    found = of(seen(primary), seen(secondary))
    assert (found.source, {found.source, found.standby}) == (source, set(NAMED))


def test_an_ordinary_domain_may_be_on_the_host_that_is_named_second() -> None:
    assert course(NAMED, (EMPTY, recorded("unprotected-primary"))).source == "kvm2"
    assert course(NAMED, (None, None)).source == course(NAMED, (EMPTY, EMPTY)).source == "kvm1"


@pytest.mark.parametrize(
    ("there", "source"),
    [
        (recorded("unprotected-primary"), "kvm2"),
        (OFF, "kvm1"),
        (replace(OFF, marker=recorded("failed-over-primary").marker), "kvm2"),
    ],
    ids=["it runs on the second", "it runs on neither", "the second's images are marked"],
)
def test_of_two_ordinary_domains_the_one_is_taken_that_the_guest_runs_on(there: Observation, source: str) -> None:
    assert course(NAMED, (OFF, there)).source == source
    assert copies.guest_is_there(OFF, there) is (source == "kvm2")
    assert course(NAMED, (recorded("unprotected-primary"), OFF)).source == "kvm1"


@pytest.mark.parametrize("primary", NAMES)
@pytest.mark.parametrize("secondary", [None, "protected-secondary", "failed-over-secondary", "unprotected-secondary"])
def test_the_holder_of_the_verdict_is_the_source(primary: str, secondary: str | None) -> None:
    one, other = recorded(primary), seen(secondary)
    holder = pair.pair(one, other).holder
    where = {one.host.name: 0, **({other.host.name: 1} if other else {})}
    if holder and len(where) == 1 + (other is not None):
        assert course(NAMED, (one, other)).source == NAMED[where[holder]]


def test_a_copy_that_was_handed_over_is_told_from_one_that_was_not() -> None:
    stale = recorded("stale-primary")
    assert not course(NAMED, (stale, None)).gave_away
    record = replace(stale.record, handed_over=True)
    gave = replace(stale, domain=replace(stale.domain, record=record))
    found = of(gave, recorded("protected-secondary"))
    assert (found.source, found.gave_away, found.outdates) == ("kvm1", True, True)


@pytest.mark.parametrize(
    ("primary", "secondary", "answered", "silent"),
    [
        ("protected-primary", "protected-secondary", ("kvm1", "kvm2"), ()),
        ("stale-primary", "failed-over-secondary", ("kvm2", "kvm1"), ()),
        (None, "protected-secondary", ("kvm2",), ("kvm1",)),
        ("unprotected-primary", None, ("kvm1",), ("kvm2",)),
        (None, None, (), ("kvm1", "kvm2")),
    ],
)
def test_who_is_silent_is_told_apart_and_the_source_is_asked_first(
    primary: str | None, secondary: str | None, answered: tuple[str, ...], silent: tuple[str, ...]
) -> None:
    found = course(NAMED, (seen(primary), seen(secondary)))
    assert (found.answered, found.silent) == (answered, silent)


def test_what_was_cut_off_is_gone_on_with_first() -> None:
    assert of(recorded("failed-over-primary"), None).finish
    assert not of(recorded("protected-primary"), recorded("protected-secondary")).finish
    stopped, listening = recorded("parked-primary"), recorded("listening-secondary")
    assert of(stopped, listening).resume
    assert not of(stopped, None).resume
    assert not of(recorded("described-primary"), listening).resume
    assert not of(recorded("described-primary"), listening).outdates
