# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From every state of a pair one playbook leads on, and status names it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Checkpoints, Heard, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan import survive
from ansible_collections.lockstep.colo.plugins.module_utils.plan.give_up import give_up
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import pair, remarks
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.command import CONFIRMED, command
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.fence import ENDED, Fence
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements import overwriting
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements.row import Requirement
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import NAMES, recorded

PLAYBOOKS = Path(__file__).resolve().parents[5] / "playbooks"
NEXT = [
    ("protected-primary", "protected-secondary", ""),
    ("unprotected-primary", "unprotected-secondary", "deploy"),
    ("described-primary", "listening-secondary", "deploy"),
    ("syncing-primary", "syncing-secondary", "deploy"),
    ("protected-primary", "incomplete-secondary", "deploy"),
    ("protected-primary", "described-secondary", "deploy"),
    ("protected-primary", None, "status"),
    ("degraded-primary", None, "failover"),
    (None, "protected-secondary", "status"),
    (None, "degraded-secondary", "failover"),
    ("protected-primary", "failed-over-secondary", "failover"),
    ("stale-primary", "failed-over-secondary", "deploy"),
    ("peer-frozen-primary", "degraded-unasked-secondary", "unprotect"),
    ("peer-frozen-primary", None, "failover"),
    ("peer-frozen-primary", "stale-secondary", "deploy"),
    ("powered-off-primary", "stale-secondary", "start"),
    (None, None, "status"),
]


@pytest.mark.parametrize(("primary", "secondary", "playbook"), NEXT)
def test_the_next_playbook(primary: str | None, secondary: str | None, playbook: str) -> None:
    seen = [recorded(name) if name else None for name in (primary, secondary)]
    assert pair.pair(*seen).next == playbook


@pytest.mark.parametrize("name", NAMES)
def test_every_next_playbook_exists_and_only_a_protected_pair_has_none(name: str) -> None:
    found = pair.pair(recorded(name), None)
    assert bool(found.next) is (found.phase != "protected")
    assert not found.next or (PLAYBOOKS / f"{found.next}.yml").exists()


def test_a_pair_that_completes_checkpoints_is_not_lost_because_one_host_is_not_reached() -> None:
    found = pair.pair(recorded("protected-primary"), None)
    assert (found.phase, found.protected) == ("degraded", False)
    assert "kvm2 could not be looked at; the primary on kvm1 completes checkpoints with it" in found.problems[-1]
    unwatched = pair.pair(replace(recorded("protected-primary"), checkpoints=None), None)
    assert unwatched.next == "status"
    assert "completes checkpoints with it is not known" in unwatched.problems[-1]
    lone = replace(recorded("protected-primary"), peer_sockets=())
    assert pair.pair(lone, None).next == "failover"
    still = replace(recorded("protected-primary"), checkpoints=Checkpoints(20.0, 0))
    assert pair.pair(still, None).next == "failover"


def test_nor_is_one_whose_standby_hears_its_primary() -> None:
    hears = recorded("protected-secondary")
    assert "its standby heard from it" in pair.pair(None, hears).problems[-1]
    for seconds, playbook in ((1.0, "status"), (60.0, "failover")):
        assert pair.pair(None, replace(hears, heard=Heard("2026-11-28", seconds))).next == playbook
    assert pair.pair(None, replace(hears, heard=None)).next == "failover"


def test_of_two_guests_the_one_that_was_left_behind_is_ended() -> None:
    old, survivor = recorded("protected-primary"), recorded("failed-over-secondary")
    for halves in ((old, survivor), (survivor, old)):
        words = command("failover", "web1", {half.host.name: half for half in halves}, [], CONFIRMED).words
        assert "colo_lost=kvm1" in words
    [row] = [row for row in overwriting.standbys_domain(survivor, old) if row.state == "wrong"]
    assert "lockstep.colo.failover with -e colo_lost=kvm1 ends this one" in row.remedy
    given = give_up(old, survivor)
    assert "end_emulator" in [step.action for step in given.steps]
    assert survive.failover(survivor, Fence("kvm1", ENDED), peer=given.after).steps == ()
    marked = replace(old, marker=replace(old.marker, generation=survivor.generation))
    assert pair.pair(marked, survivor).next == "status", "whose writes are to be given up nobody can tell"
    foreign = replace(old, domain=replace(old.domain, record=None), marker=None)
    assert pair.pair(foreign, survivor).next == "status"


def test_a_domain_of_no_pair_is_named_where_it_cannot_be_protected() -> None:
    here = recorded("unprotected-primary")
    none = replace(here, domain=None, monitor=None, marker=None)
    there = replace(none, host=recorded("unprotected-secondary").host)
    found = pair.pair(none, there)
    assert (found.next, found.problems) == (
        "status",
        ("no host has a domain of this name: check colo_domain, or define it on one of them",),
    )
    found = pair.pair(ended(here, "shutdown"), there)
    assert (found.next, found.problems[-1]) == (
        "deploy",
        "the domain is off on kvm1: start it (virsh start), so that it can be protected",
    )
    found = pair.pair(here, replace(here, host=there.host))
    assert (found.next, found.problems[-1]) == (
        "status",
        "the domain runs on kvm1 and kvm2, and two guests answer: end one of them",
    )
    assert pair.pair(here, there).problems == ()


HALVES = {role: [name for name in NAMES if name.endswith(f"-{role}")] for role in ("primary", "secondary")}


@pytest.mark.parametrize("primary", [*HALVES["primary"], None])
def test_no_pair_is_degraded_or_stalled_without_a_word(primary: str | None) -> None:
    one, silent = recorded(primary) if primary else None, []
    for secondary in [*HALVES["secondary"], None]:
        found = pair.pair(one, recorded(secondary) if secondary else None)
        if found.phase in ("degraded", "stalled") and not found.problems:
            silent.append((secondary, found.phase))
    assert silent == []


def ended(seen: Observation, by: str, *last: str) -> Observation:
    domain = replace(seen.domain, state="shutoff", live_xml=None, live_record=None, ended_by=by, last_words=last)
    return replace(seen, domain=domain, monitor=None, peer_sockets=())


def test_a_primary_that_crashed_leaves_its_guest_to_the_standby() -> None:
    assert (
        pair.pair(ended(recorded("protected-primary"), "crashed"), recorded("protected-secondary")).next == "failover"
    )
    assert pair.pair(ended(recorded("protected-primary"), "shutdown"), recorded("protected-secondary")).next == "start"


def handed_over() -> Observation:
    seen = ended(recorded("protected-primary"), "destroyed")
    return replace(seen, domain=replace(seen.domain, record=replace(seen.record, handed_over=True)))


def test_a_copy_that_was_handed_over_is_served_by_the_standby_or_started_where_that_has_ended() -> None:
    found = pair.pair(handed_over(), recorded("protected-secondary"))
    assert (found.phase, found.next) == ("stale", "failover")
    found = pair.pair(handed_over(), ended(recorded("protected-secondary"), "destroyed"))
    assert (found.phase, found.next) == ("stale", "start")
    assert "handed over by kvm1" in found.problems[-1]


def test_what_a_qemu_said_last_is_a_problem_and_what_it_means_is_said() -> None:
    crashed = ended(recorded("protected-secondary"), "crashed", "invalid runstate transition: 'io-error' -> 'colo'")
    [words] = [words for words in remarks.problems(crashed) if "ended with" in words]
    assert "kvm2: its QEMU ended with: invalid runstate transition" in words
    assert "a write to one of its images failed" in words
    assert not any("ended with" in words for words in remarks.problems(recorded("protected-secondary")))


def test_what_is_harmless_is_no_problem() -> None:
    seen = recorded("protected-primary")
    assert any("tainted" in words for words in remarks.notes(seen))
    assert not any("tainted" in words for words in remarks.problems(seen))


@pytest.mark.parametrize(
    ("primary", "secondary", "words"),
    [
        ("described-primary", "listening-secondary", "kvm2 has a standby that waits for its guest"),
        ("described-primary", "described-secondary", "kvm2 has a standby that does not run"),
        ("described-primary", "half-in-secondary", "kvm2 has a standby that"),
        ("described-primary", "unprotected-secondary", None),
        ("protected-primary", "protected-secondary", None),
        ("failed-over-primary", "stale-secondary", None),
    ],
)
def test_what_a_deploy_left_half_made_is_named(primary: str, secondary: str, words: str | None) -> None:
    found = [one for one in pair.pair(recorded(primary), recorded(secondary)).problems if "did not come to its" in one]
    assert bool(found) is bool(words), found
    assert not words or words in found[0]


def crashed_standby() -> Observation:
    return ended(recorded("protected-secondary"), "crashed")


def test_where_a_new_standby_would_be_refused_the_guest_is_freed_first() -> None:
    holder = recorded("degraded-primary")
    full = Requirement("disk space", "kvm2", "756 MiB", "kvm2 has 0 MiB free for images", "wrong", "Free space there")
    assert pair.pair(holder, crashed_standby()).next == "deploy"
    found = pair.pair(holder, crashed_standby(), [full])
    assert (found.phase, found.next) == ("degraded", "unprotect")
    assert "kvm2 has 0 MiB free for images" in found.problems[-1]
    assert pair.pair(holder, None, [full]).next == "failover"


@pytest.mark.parametrize("status", ["colo", "finish-migrate", "internal-error"])
def test_a_guest_that_stands_still_for_a_standby_that_has_ended_gets_another(status: str) -> None:
    seen = recorded("protected-primary")
    still = replace(seen, monitor=replace(seen.monitor, running=False, status=status), checkpoints=None)
    found = pair.pair(still, crashed_standby())
    assert (found.phase, found.next) == ("stalled", "deploy")
    assert any("no standby runs on kvm2" in words for words in found.problems)
    assert any(f"stands still (QEMU says {status})" in words for words in found.problems)
    assert pair.pair(still, recorded("protected-secondary")).next == "unprotect"
    full = Requirement("disk space", "kvm2", "756 MiB", "kvm2 has 0 MiB free for images", "wrong", "Free space there")
    assert pair.pair(still, crashed_standby(), [full]).next == "unprotect"


def test_a_primary_that_waits_in_lockstep_without_connections_is_said_to_stand_still() -> None:
    seen = recorded("protected-primary")
    apart = replace(
        seen, monitor=replace(seen.monitor, running=False, status="colo"), peer_sockets=(), checkpoints=None
    )
    found = pair.pair(apart, recorded("degraded-secondary"))
    assert found.phase == "degraded"
    assert any("stands still (QEMU says colo)" in words for words in found.problems)


def test_a_standby_that_has_ended_is_not_said_to_be_kept_off_by_a_firewall() -> None:
    holder = recorded("degraded-primary")
    cut = {**holder.monitor.chardevs, "colo-net0-mirror": "disconnected:tcp:10.77.0.1:21602,server=on"}
    seen = replace(holder, monitor=replace(holder.monitor, chardevs=cut))
    assert "firewalls" in " ".join(pair.pair(seen, recorded("degraded-secondary")).problems)
    assert "firewalls" not in " ".join(pair.pair(seen, crashed_standby()).problems)


def test_a_survivor_whose_domain_somebody_removed_is_no_traceback() -> None:
    gone = replace(recorded("failed-over-secondary"), domain=None)
    found = pair.pair(recorded("stale-primary"), gone)
    assert (found.phase, found.next) == ("stale", "start")
