# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What playbooks do next, whichever host is named first and whichever answers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Host, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import copies, pair
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.course import (
    COURSES,
    Chosen,
    Course,
    Held,
    course,
)
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Problem
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements.encryption import Encryption
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.vhost import Vhost
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import NAMES, recorded

NAMED = ("kvm1", "kvm2")
EMPTY = Observation(Host("kvm2", "m"))
_RUNS = recorded("unprotected-primary")
OFF = replace(_RUNS, domain=replace(_RUNS.domain, state="shutoff", live_xml=None), monitor=None)
_STALE = recorded("stale-primary")
GAVE_AWAY = replace(_STALE, domain=replace(_STALE.domain, record=replace(_STALE.record, handed_over=True)))
ENDED = replace(EMPTY, domain=replace(OFF.domain, record=recorded("protected-secondary").record))
SETTLED = Held((), Encryption(False, ()), Vhost(False, ()))
WRONG = (Problem("it is wrong", "Mend it"),)


def seen(name: str | None) -> Observation | None:
    return recorded(name) if name else None


def of(primary: Observation | None, secondary: Observation | None, playbook: str = "deploy") -> Course:
    """The course, which is the same whichever host the inventory names first."""
    there = course(playbook, NAMED, (primary, secondary))
    back = course(playbook, ("kvm2", "kvm1"), (secondary, primary))
    assert back == there or (primary is None) == (secondary is None)
    return there


def after(
    playbook: str,
    held: Held | None = None,
    halves: tuple[str | None, str | None] = ("protected-primary", "protected-secondary"),
    **chosen: str | bool,
) -> tuple[str, ...]:
    """What comes next, where the standby's host was ``held`` against the other."""
    found = [
        course(playbook, names, both, held_by, Chosen(**chosen)).next
        for names, both, held_by in (
            (NAMED, (seen(halves[0]), seen(halves[1])), (None, held)),
            (NAMED[::-1], (seen(halves[1]), seen(halves[0])), (held, None)),
        )
    ]
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize(
    ("primary", "secondary", "holder"),
    [
        ("protected-primary", "protected-secondary", "kvm1"),
        ("protected-primary", None, "kvm1"),
        (None, "protected-secondary", "kvm1"),
        ("described-primary", None, "kvm1"),
        ("unprotected-primary", "unprotected-secondary", "kvm1"),
        ("stale-primary", "failed-over-secondary", "kvm2"),
    ],
)
def test_the_holder_is_where_the_guests_copy_is(primary: str | None, secondary: str | None, holder: str) -> None:
    found = of(seen(primary), seen(secondary))
    assert (found.holder, {found.holder, found.standby}) == (holder, set(NAMED))


def test_an_ordinary_domain_may_be_on_the_host_that_is_named_second() -> None:
    assert course("status", NAMED, (EMPTY, recorded("unprotected-primary"))).holder == "kvm2"
    assert course("status", NAMED, (None, None)).holder == course("status", NAMED, (EMPTY, EMPTY)).holder == "kvm1"


@pytest.mark.parametrize(
    ("there", "holder"),
    [
        (recorded("unprotected-primary"), "kvm2"),
        (OFF, "kvm1"),
        (replace(OFF, marker=recorded("failed-over-primary").marker), "kvm2"),
    ],
    ids=["it runs on the second", "it runs on neither", "the second's images are marked"],
)
def test_of_two_ordinary_domains_the_one_is_taken_that_the_guest_runs_on(there: Observation, holder: str) -> None:
    assert course("status", NAMED, (OFF, there)).holder == holder
    assert copies.guest_is_there(OFF, there) is (holder == "kvm2")
    assert course("status", NAMED, (recorded("unprotected-primary"), OFF)).holder == "kvm1"


@pytest.mark.parametrize("primary", NAMES)
@pytest.mark.parametrize("secondary", [None, "protected-secondary", "failed-over-secondary", "unprotected-secondary"])
def test_the_holder_of_the_verdict_is_the_same(primary: str, secondary: str | None) -> None:
    one, other = recorded(primary), seen(secondary)
    holder = pair.pair(one, other).holder
    where = {one.host.name: 0, **({other.host.name: 1} if other else {})}
    if holder and len(where) == 1 + (other is not None):
        assert course("status", NAMED, (one, other)).holder == NAMED[where[holder]]


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
def test_who_is_silent_is_told_apart_and_the_holder_is_asked_first(
    primary: str | None, secondary: str | None, answered: tuple[str, ...], silent: tuple[str, ...]
) -> None:
    found = course("status", NAMED, (seen(primary), seen(secondary)))
    assert (found.answered, found.silent) == (answered, silent)


def test_what_was_cut_off_is_gone_on_with_first() -> None:
    assert of(recorded("failed-over-primary"), None).next == ("finish", "deploy")
    assert "finish" not in of(recorded("protected-primary"), recorded("protected-secondary")).next
    stopped, listening = recorded("parked-primary"), recorded("listening-secondary")
    assert of(stopped, listening).next == ("resume", "deploy")
    assert of(stopped, None).next == ("deploy",)
    assert of(recorded("described-primary"), listening).next == ("deploy",)


def test_a_guest_is_freed_whose_standby_has_ended() -> None:
    frozen = recorded("degraded-primary")
    assert of(frozen, ENDED).next == ("free", "deploy")
    assert "free" not in of(frozen, recorded("protected-secondary")).next
    assert "free" not in of(frozen, None).next
    assert "free" not in of(frozen, ENDED, "unprotect").next


def test_a_standby_that_a_start_would_leave_behind_is_outdated_first() -> None:
    assert of(GAVE_AWAY, recorded("protected-secondary"), "start").next == ("outdate", "start")
    assert of(OFF, None, "start").next == ("start",)
    assert of(recorded("described-primary"), recorded("listening-secondary"), "start").next == ("start",)


@pytest.mark.parametrize(
    ("playbook", "host", "moves"),
    [
        ("switchover", "", True),
        ("switchover", "kvm1", False),
        ("switchover", "kvm2", True),
        ("unprotect", "", False),
        ("unprotect", "kvm1", False),
        ("unprotect", "kvm2", True),
        ("deploy", "kvm2", False),
        ("drill", "kvm2", False),
    ],
)
def test_the_guest_moves_where_it_is_wanted_elsewhere(playbook: str, host: str, moves: bool) -> None:
    assert ("change_sides" in after(playbook, guest_host=host)) is moves


def test_a_survivor_stays_where_it_is_unless_it_is_wanted_elsewhere() -> None:
    survivor = ("failed-over-primary", "unprotected-secondary")
    assert "change_sides" not in after("switchover", halves=survivor)
    assert "change_sides" in after("switchover", halves=survivor, guest_host="kvm2")


def test_a_guest_that_was_given_away_already_is_only_taken_over() -> None:
    assert of(GAVE_AWAY, recorded("protected-secondary"), "switchover").next == ("change_sides", "take_over", "deploy")
    assert "take_over" not in of(_STALE, recorded("protected-secondary"), "switchover").next
    assert of(GAVE_AWAY, recorded("protected-secondary"), "unprotect").next == ("unprotect",)


@pytest.mark.parametrize("halves", [("protected-primary", None), ("failed-over-primary", "protected-secondary")])
def test_only_the_standby_of_a_protected_pair_is_tried_out(halves: tuple[str, str | None]) -> None:
    assert after("drill", tls="off") == ("drill", "deploy")
    standby = recorded("protected-secondary")
    heard = replace(standby.domain, nics=tuple(replace(nic, tap_up=True) for nic in standby.domain.nics))
    found = of(recorded("protected-primary"), replace(standby, domain=heard), "drill")
    assert "drill" not in found.next, "it would answer beside the guest, and be refused half-way"
    assert "drill" not in after("drill", halves=halves, tls="off")


def test_one_host_is_lost_where_the_other_answers() -> None:
    here, there = recorded("protected-primary"), recorded("protected-secondary")
    assert of(here, None, "failover").next == of(None, there, "failover").next == ("failover",)
    assert of(here, there, "failover").next == of(None, None, "failover").next == ()
    unclear = course("failover", ("kvm1", "kvm2"), (None, there), unclear=("kvm1",))
    assert unclear.next == (), "a host that answers is taken for lost"


@pytest.mark.parametrize("playbook", ["deploy", "switchover"])
def test_a_pair_is_settled_only_where_it_was_seen_that_nothing_is_left(playbook: str) -> None:
    assert after(playbook, SETTLED, guest_host="kvm1") == ()
    for held in (None, replace(SETTLED, pending=None), replace(SETTLED, pending=("kvm1: one step",))):
        assert after(playbook, held, guest_host="kvm1") == ("deploy",)
    assert after(playbook, SETTLED, ("failed-over-primary", None), guest_host="kvm1") == ("finish", "deploy")


@pytest.mark.parametrize("playbook", ["deploy", "switchover"])
def test_passwords_are_read_where_it_is_not_known_without_them_whether_something_is_left(playbook: str) -> None:
    seen = recorded("protected-primary")
    guest = replace(seen, domain=replace(seen.domain, redacted=True))
    chosen = Chosen(guest_host="kvm1")

    def words(held: Held | None) -> tuple[str, ...]:
        return course(playbook, NAMED, (guest, recorded("protected-secondary")), (None, held), chosen).next

    assert words(None) == words(replace(SETTLED, pending=None)) == ("read_passwords", "deploy")
    assert words(SETTLED) == ()


def test_what_the_host_of_the_guest_says_of_both_does_not_count() -> None:
    halves = recorded("protected-primary"), recorded("protected-secondary")
    assert course("deploy", NAMED, halves, (SETTLED, None)).next == ("deploy",)


def test_a_pair_in_clear_is_formed_anew_only_where_that_was_chosen() -> None:
    clear = replace(SETTLED, encryption=Encryption(True, ()))
    assert after("deploy", clear) == after("deploy", SETTLED, tls_renew=True) == after("unprotect", clear)[1:] == ()
    assert after("deploy", clear, tls_renew=True) == ("renew",)
    kept = replace(clear, encryption=Encryption(True, WRONG))
    assert after("deploy", kept) == ()
    assert after("deploy", kept, tls_renew=True) == ("refuse_renewal", "renew")


def test_a_guest_is_taken_off_vhost_only_where_that_was_chosen() -> None:
    used = Held(None, Encryption(False, ()), Vhost(True, ()))
    assert after("deploy", used) == after("deploy", used, vhost="refuse") == ("deploy",)
    assert after("deploy", replace(used, vhost=Vhost(False, WRONG)), vhost="save_and_restore") == ("deploy",)
    assert after("deploy", used, vhost="save_and_restore") == ("take_off_vhost", "deploy")
    wrong = replace(used, vhost=Vhost(True, WRONG))
    assert after("deploy", wrong, vhost="save_and_restore") == ("refuse_vhost", "take_off_vhost", "deploy")


@pytest.mark.parametrize("primary", [None, *NAMES])
@pytest.mark.parametrize("secondary", [None, "protected-secondary", "listening-secondary", "failed-over-secondary"])
def test_each_playbook_does_its_own_words_in_their_order(primary: str | None, secondary: str | None) -> None:
    for playbook, words in COURSES.items():
        found = course(playbook, NAMED, (seen(primary), seen(secondary))).next
        assert [word for word in words if word in found] == list(found)
        assert found or playbook in ("failover", "status")  # until it is known that nothing is left
