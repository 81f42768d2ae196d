# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import channels
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import (
    Certificate,
    Checkpoints,
    Observation,
)
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import PHASES, PKI_DIRECTORY
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import copies, pair, remarks
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import (
    NAMES,
    of_another_domain,
    recorded,
)

# What each recorded host says of the pair by itself.
EXPECTED = {
    "unprotected": ["unprotected-primary", "unprotected-secondary", "described-primary", "described-again-primary"],
    "listening": ["listening-secondary", "syncing-secondary"],
    "syncing": [
        "syncing-primary", "mirror-ready-primary", "migrating-primary", "pre-switchover-primary",
        "one-concluded-primary", "one-attached-primary", "all-attached-primary", "filters-in-primary",
    ],
    "protected": [
        "protected-primary", "protected-secondary", "thawed-primary", "incomplete-secondary",
        "protected-again-primary", "protected-again-secondary",
    ],
    "stalled": ["peer-frozen-primary"],
    "degraded": ["degraded-secondary", "degraded-unasked-primary", "degraded-unasked-secondary"],
    "failed_over": ["failed-over-primary", "failed-over-secondary"],
    "powered_off": [
        "described-secondary", "described-again-secondary", "powered-off-primary", "stale-primary", "stale-secondary",
    ],
}  # fmt: skip
BY_NAME = {name: phase for phase, names in EXPECTED.items() for name in names}
# Half-way to a quorum: the guest stands still or runs, and is not protected; nothing is copied yet.
HALF_WAY = [
    "stopped-primary", "one-parked-primary", "parked-primary", "parked-with-quorum-primary", "half-in-primary",
    "attached-stopped-primary", "going-on-with-parks-primary", "quorum-in-primary", "connected-primary",
]  # fmt: skip


@pytest.mark.parametrize(("name", "phase"), sorted(BY_NAME.items()))
def test_the_phase_of_every_recorded_host(name: str, phase: str) -> None:
    assert pair.phase(recorded(name)) == phase


@pytest.mark.parametrize("name", HALF_WAY)
def test_a_primary_that_is_half_way_to_a_quorum_is_unprotected(name: str) -> None:
    assert pair.phase(recorded(name)) == "unprotected"


@pytest.mark.parametrize("name", ["protected-primary", "protected-secondary", "failed-over-secondary"])
def test_a_qemu_that_is_older_than_the_installed_one_is_named(name: str) -> None:
    seen = recorded(name)
    assert not [note for note in remarks.notes(seen) if "cold start, and" in note]
    upgraded = replace(seen, host=replace(seen.host, emulator=replace(seen.host.emulator, version="11.1.3")))
    words = f"{seen.host.name}: the domain runs in QEMU {seen.monitor.version} until its next cold start, and 11.1.3 is"
    assert [note for note in remarks.notes(upgraded) if note.startswith(words)]


def test_every_recording_has_a_phase_of_the_vocabulary() -> None:
    assert {pair.phase(recorded(name)) for name in NAMES} <= set(PHASES)


PAIRS = [
    ("unprotected-primary", "unprotected-secondary", "unprotected", None),
    ("described-primary", "described-secondary", "unprotected", "kvm1"),
    ("described-primary", "listening-secondary", "unprotected", "kvm1"),
    ("syncing-primary", "syncing-secondary", "syncing", "kvm1"),
    ("protected-primary", "protected-secondary", "protected", "kvm1"),
    ("protected-again-primary", "protected-again-secondary", "protected", "kvm2"),
    ("protected-primary", None, "degraded", "kvm1"),
    ("protected-primary", "described-secondary", "degraded", "kvm1"),
    (None, "protected-secondary", "degraded", None),
    (None, "failed-over-secondary", "failed_over", "kvm2"),
    ("stale-primary", "failed-over-secondary", "failed_over", "kvm2"),
    ("failed-over-primary", "stale-secondary", "failed_over", "kvm2"),
    ("powered-off-primary", "stale-secondary", "powered_off", "kvm2"),
    (None, None, "unknown", None),
]


@pytest.mark.parametrize(("primary", "secondary", "phase", "holder"), PAIRS)
def test_the_verdict_over_a_pair(primary: str | None, secondary: str | None, phase: str, holder: str | None) -> None:
    seen = [recorded(name) if name else None for name in (primary, secondary)]
    found = pair.pair(*seen)
    assert (found.phase, found.holder, found.protected) == (phase, holder, phase == "protected")
    assert pair.pair(*reversed(seen)) == replace(found, problems=pair.pair(*reversed(seen)).problems), "either order"


def test_a_pair_is_not_protected_where_the_standby_is_not_in_lockstep() -> None:
    found = pair.pair(recorded("protected-primary"), recorded("listening-secondary"))
    assert found.phase == "degraded"
    assert any("clients may be frozen" in problem for problem in found.problems)


def test_a_standby_in_lockstep_whose_primary_is_nowhere_is_not_protected() -> None:
    found = pair.pair(recorded("unprotected-secondary"), recorded("protected-secondary"))
    assert (found.phase, found.holder, found.protected) == ("degraded", None, False)
    assert "no host has the primary's copy" in found.problems


def test_a_pair_whose_standby_may_not_be_promoted_is_not_protected() -> None:
    found = pair.pair(recorded("protected-primary"), recorded("incomplete-secondary"))
    assert found.phase == "syncing"
    assert "the standby on kvm2 may not be promoted" in found.problems[-1]


def test_a_pair_whose_standby_does_not_read_its_packets_is_not_protected() -> None:
    primary, standby = recorded("protected-primary"), recorded("protected-secondary")
    deaf = replace(standby, monitor=replace(standby.monitor, unread=("colo-net0-red-in",)))
    found = pair.pair(primary, deaf)
    assert (found.phase, found.protected, found.next) == ("degraded", False, "deploy")
    assert any("colo-net0-f-red-in anew, which gets no packets" in words for words in found.problems)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("state", ["protected", "described", "stale", "syncing"])
def test_two_domains_of_one_name_are_no_pair(state: str, which: int) -> None:
    seen = [recorded(f"{state}-primary"), recorded(f"{state}-secondary")]
    seen[which] = of_another_domain(seen[which])
    found = pair.pair(*seen)
    assert (found.phase == "protected", found.protected, found.next) == (False, False, "status")
    assert "has another domain of this name (UUID" in found.problems[-1]
    assert all(one.domain.uuid in found.problems[-1] and one.host.name in found.problems[-1] for one in seen)


def of_host(name: str, host: str, generation: int) -> Observation:
    """What was recorded, as a host of another name would say it of a copy of another generation."""
    seen = recorded(name)
    record = replace(seen.record, generation=generation)
    named = replace(seen.host, name=host)
    return replace(seen, host=named, domain=replace(seen.domain, record=record, live_record=record))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("described-primary", "kvm1 that it is none, and unprotected: "),
        ("protected-primary", "kvm1 that it is none, and protected: "),
        ("failed-over-secondary", "kvm1 that it is none, and failed_over: "),
        ("protected-secondary", "kvm1 that it is one of generation 1, not 9: "),
    ],
)
def test_a_host_is_not_protected_by_one_that_says_otherwise_of_itself(name: str, says: str) -> None:
    honest, liar = of_host(name, "kvm1", 1), of_host("protected-primary", "kvm2", 9)
    for seen in ((honest, liar), (liar, honest)):
        found = pair.pair(*seen)
        assert (found.phase, found.holder, found.protected, found.next) == ("degraded", "kvm2", False, "status")
        assert any(words.startswith("kvm2 says that ") and says in words for words in found.problems)


def test_a_verdict_of_a_host_adds_what_a_new_standby_would_be_refused_for_and_no_more() -> None:
    own = pair.pair(recorded("degraded-primary"), recorded("described-secondary"))
    assert (own.phase, own.next) == ("degraded", "deploy")
    said = replace(own, problems=(*own.problems, "no disk"), notes=("all is well",), next="unprotect")
    assert pair.held_against(own, "kvm1", own) == own
    assert pair.held_against(own, "kvm1", said) == replace(said, notes=own.notes)
    assert pair.held_against(own, "kvm1", replace(said, next="failover")).next == "deploy"
    assert pair.held_against(own, "kvm1", replace(own, problems=())).problems == own.problems


def test_a_verdict_that_is_not_of_what_was_seen_makes_nothing_green() -> None:
    whole = pair.pair(recorded("protected-primary"), recorded("protected-secondary"))
    worse = pair.pair(recorded("degraded-primary"), recorded("described-secondary"))
    for own, said in ((worse, whole), (whole, worse), (whole, None), (whole, replace(whole, holder="kvm2"))):
        found = pair.held_against(own, "kvm1", said)
        assert (found.phase, found.protected, found.next) == ("degraded", False, "status")
        assert found.problems[:-1] == own.problems
    words = "kvm1 says of both hosts protected (kvm1 has the guest), and what each says of itself comes to degraded ("
    assert words in pair.held_against(worse, "kvm1", whole).problems[-1]


def test_two_guests_are_named() -> None:
    found = pair.pair(recorded("protected-primary"), recorded("failed-over-secondary"))
    assert found.holder == "kvm2"
    assert any("the guest runs on kvm1 as well, and two guests answer" in words for words in found.problems)
    assert not any("stale" in words for words in found.problems)


def test_uefi_variables_that_the_standby_has_not_got_are_said() -> None:
    primary, standby = recorded("protected-primary"), recorded("protected-secondary")

    def said(here: str | None, there: str | None) -> bool:
        seen = [
            replace(one, domain=replace(one.domain, nvram_digest=digest))
            for one, digest in ((primary, here), (standby, there))
        ]
        found = pair.pair(*seen)
        assert found.phase == "protected"
        return any("UEFI variables has not reached the standby on kvm2" in problem for problem in found.problems)

    assert said("new", "old")
    assert said("new", None)
    assert not said("same", "same")
    assert not said(None, None), "a guest without such variables"


def test_the_newest_copy_holds_the_guest_whatever_the_other_host_says() -> None:
    found = pair.pair(recorded("stale-primary"), recorded("failed-over-secondary"))
    assert found.holder == "kvm2"
    assert any("the copy on kvm1 is stale (generation 1, the newest is 2)" in problem for problem in found.problems)


def test_a_primary_without_its_replication_layer_is_not_protected() -> None:
    seen = recorded("protected-primary")
    nodes = {name: replace(node, children={"children.0": "x"}) for name, node in seen.monitor.nodes.items()}
    assert pair.phase(replace(seen, monitor=replace(seen.monitor, nodes=nodes))) == "degraded"


def test_colo_without_a_running_guest_is_stalled() -> None:
    seen = recorded("protected-primary")
    assert pair.phase(replace(seen, monitor=replace(seen.monitor, running=False))) == "stalled"


def test_a_lockstep_without_checkpoints_is_stalled() -> None:
    """The standby's host stands still, the primary's QEMU says colo and running, and no checkpoint comes."""
    assert recorded("peer-frozen-primary").checkpoints.count == 0
    assert pair.phase(recorded("peer-frozen-primary")) == "stalled"


@pytest.mark.parametrize(
    ("delay", "count", "found"),
    [
        (2000, 0, ("stalled", False, "unprotect")),
        (3000, 0, ("protected", False, "status")),
        (3000, 1, ("protected", True, "")),
    ],
)
def test_a_pair_is_protected_only_where_it_could_have_been_seen_that_it_is_not(
    delay: int, count: int, found: tuple[str, bool, str]
) -> None:
    seen = recorded("protected-primary")
    record = replace(seen.record, checkpoint_delay=delay)
    watched = Checkpoints(5.0, count, None)
    primary = replace(seen, checkpoints=watched, domain=replace(seen.domain, record=record, live_record=record))
    verdict = pair.pair(primary, recorded("protected-secondary"))
    assert (verdict.phase, verdict.protected, verdict.next) == found
    assert any("none was completed in 5 s" in words for words in verdict.problems) is (found[2] == "status")


@pytest.mark.parametrize("name", ["protected-primary", "protected-secondary"])
def test_lockstep_without_connections_is_degraded(name: str) -> None:
    assert recorded(name).peer_sockets
    assert pair.phase(replace(recorded(name), peer_sockets=())) == "degraded"


@pytest.mark.parametrize("name", ["protected-primary", "protected-secondary"])
def test_a_qemu_that_does_not_answer_is_degraded_and_said(name: str) -> None:
    seen = replace(recorded(name), monitor=None, monitor_problem="QEMU did not answer query-status within 3 s")
    assert pair.phase(seen) == "degraded"
    assert any("query-status" in words for words in remarks.problems(seen))


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("protected-secondary", True),
        ("protected-again-secondary", True),
        ("incomplete-secondary", False),
        ("listening-secondary", False),
    ],
)
def test_only_a_standby_that_wrote_it_down_has_completed_a_checkpoint(name: str, whole: bool) -> None:
    assert copies.completed(recorded(name)) is whole


def test_what_was_completed_in_an_older_generation_does_not_count() -> None:
    seen = recorded("protected-secondary")
    newer = replace(
        seen, domain=replace(seen.domain, record=replace(seen.record, generation=seen.record.generation + 1))
    )
    assert not copies.completed(newer)


def test_what_an_operator_should_know_is_said() -> None:
    seen = recorded("protected-secondary")
    assert not any("link" in words for words in remarks.problems(seen))
    nics = tuple(replace(nic, tap_up=True) for nic in seen.domain.nics)
    noisy = replace(seen, domain=replace(seen.domain, nics=nics, autostart=True))
    assert sum("its packets reach the network" in words for words in remarks.problems(noisy)) == len(nics)
    assert any("autostart is on" in words for words in remarks.problems(noisy))
    assert any("runs alone, unprotected" in words for words in remarks.problems(recorded("failed-over-secondary")))
    assert any("-incoming" in words for words in remarks.notes(recorded("failed-over-secondary")))


def test_a_standby_that_outlived_its_primary_is_named_as_what_can_serve() -> None:
    primary = recorded("protected-primary")
    off = replace(primary, domain=replace(primary.domain, state="shutoff"), monitor=None)
    words = "the standby on kvm2 still has the guest as it ran last"
    found = pair.pair(off, recorded("protected-secondary"))
    assert (found.phase, found.holder) == ("powered_off", "kvm1")
    assert any(words in problem for problem in found.problems)
    for standby in ("incomplete-secondary", "listening-secondary"):
        assert not any(words in problem for problem in pair.pair(off, recorded(standby)).problems)
    by_itself = replace(off, domain=replace(off.domain, ended_by="shutdown"))
    assert not any(words in problem for problem in pair.pair(by_itself, recorded("protected-secondary")).problems)


INSTALLED, BACK_THEN = 1.79e9, 1.7e9


def with_certificate(name: str, installed: float, began: float = 1.75e9) -> Observation:
    """A half of a pair with TLS, whose QEMU began then; its host has the certificate since it was ``installed``."""
    seen = recorded(name)
    host = replace(seen.host, certificate=Certificate(installed=installed))
    record = replace(seen.record, credentials=PKI_DIRECTORY)
    given = {part["id"]: part["qom-type"] for part in channels.credentials(record)}
    monitor = replace(seen.monitor, objects={**seen.monitor.objects, **given})
    return replace(seen, host=host, monitor=monitor, domain=replace(seen.domain, began=began, record=record))


@pytest.mark.parametrize(
    ("primary", "secondary", "named"),
    [
        (BACK_THEN, BACK_THEN, []),
        (INSTALLED, BACK_THEN, ["kvm1"]),
        (INSTALLED, INSTALLED, ["kvm1", "kvm2"]),
    ],
)
def test_a_pair_that_goes_on_with_an_older_certificate_is_named(
    primary: float, secondary: float, named: list[str]
) -> None:
    # The primary's QEMU began long before it was in a pair: what counts is that of the standby.
    one = with_certificate("protected-primary", primary, began=1.6e9)
    found = pair.pair(one, with_certificate("protected-secondary", secondary)).notes
    older = [note.partition(":")[0] for note in found if "formed before the certificate" in note]
    assert older == named
    assert not [note for note in pair.pair(one, None).notes if "formed before" in note], "nothing is known of it"


THIRTY_DAYS = 30 * 86400.0  # seconds
RENEWED = "deploy with the KVM hosts in its limit renews it"


@pytest.mark.parametrize("name", ["protected-primary", "protected-secondary"])
@pytest.mark.parametrize(
    ("left", "said"),
    [
        (THIRTY_DAYS + 1, None),
        (THIRTY_DAYS - 1, "ends in 30 days"),
        (86400.0 + 1, "ends in 1 days"),
        (1.0, "ends in 0 days"),
        (-1.0, None),  # the next standby would be refused
    ],
)
def test_the_end_of_a_certificate_is_named_thirty_days_before(name: str, left: float, said: str | None) -> None:
    seen = with_certificate(name, BACK_THEN)
    seen = replace(seen, host=replace(seen.host, certificate=Certificate(ends=seen.host.clock + left)))
    half = {"protected-primary": (seen, None), "protected-secondary": (None, seen)}[name]
    notes = [words for words in pair.pair(*half).notes if "its certificate" in words]
    assert notes == ([] if said is None else [f"{seen.host.name}: its certificate {said}; {RENEWED}"])
