# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pair that is whole is not taken apart where it could not be formed again, by its certificates or its QEMU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Certificate, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan import change_sides
from ansible_collections.lockstep.colo.plugins.module_utils.record.identity import subject
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import (
    EXCEPT_PROXY,
    OFF,
    PKI_DIRECTORY,
    REQUIRED,
)
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.course import Chosen, Course, course
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Refusal
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

PARTS = "refuse_to_part"


def certified(name: str, *, formed: str = REQUIRED, **changes: Any) -> Observation:
    seen = recorded(name)
    record = replace(seen.record, credentials=None if formed == OFF else PKI_DIRECTORY)
    whose, now = subject(seen.host.name), seen.host.clock or 1.8e9
    known = Certificate(None, whose, whose, now - 10, now + 10, (record.local.address,), "a")
    host = replace(seen.host, clock=now, certificate=replace(known, **changes))
    return replace(seen, host=host, domain=replace(seen.domain, record=record))


def going(playbook: str, formed: str = REQUIRED, chosen: Chosen | None = None, **changes: Any) -> Course:
    halves = certified("protected-primary", formed=formed), certified("protected-secondary", formed=formed, **changes)
    return course(playbook, ("kvm1", "kvm2"), halves, chosen=chosen or Chosen())


@pytest.mark.parametrize("playbook", ["drill", "switchover"])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ends": 1.0}, "kvm2 has a certificate that has ended"),
        ({"authority": "b"}, "of different authorities"),
        ({"addresses": ("10.77.0.9",)}, "kvm2 has a certificate for 10.77.0.9, not for 10.77.0.2"),
        ({"problem": "server-key.pem is not there"}, "kvm2 has no certificate: server-key.pem is not there"),
    ],
)
def test_it_is_refused_with_what_keeps_it(playbook: str, changes: dict[str, Any], words: str) -> None:
    found = going(playbook, **changes)
    assert PARTS in found.next
    (why,) = found.kept_by
    assert words in why
    assert "Run deploy" in why
    fine = going(playbook)
    assert (PARTS in fine.next, fine.kept_by) == (False, ())


def test_hosts_know_each_other_while_one_authority_takes_the_place_of_another() -> None:
    """Each has to know the other's."""
    assert len(going("drill", authority="b", authorities=("a", "b")).kept_by) == 1
    both = [certified(f"protected-{half}", authorities=("a", "b")) for half in ("primary", "secondary")]
    newer = certified("protected-secondary", authority="b", authorities=("a", "b"))
    assert course("drill", ("kvm1", "kvm2"), (both[0], newer)).kept_by == ()


def in_qemu(seen: Observation, runs: str, has: str) -> Observation:
    emulator = replace(seen.host.emulator, version=has)
    return replace(seen, monitor=replace(seen.monitor, version=runs), host=replace(seen.host, emulator=emulator))


def parting(playbook: str, tls: str, primary: tuple[str, str], secondary: tuple[str, str]) -> Course:
    """Of a pair without TLS, whose QEMUs run as the first version, while the host has the other."""
    halves = [certified("protected-primary", formed=OFF), certified("protected-secondary", formed=OFF)]
    seen = tuple(in_qemu(half, *versions) for half, versions in zip(halves, (primary, secondary), strict=True))
    return course(playbook, ("kvm1", "kvm2"), seen, chosen=Chosen(tls=tls))


OLD, NEW = "7.2.22", "10.0.13"


@pytest.mark.parametrize("playbook", ["drill", "switchover"])
@pytest.mark.parametrize(("tls", "refused"), [(REQUIRED, True), (EXCEPT_PROXY, False), (OFF, False)])
def test_a_qemu_that_withholds_packets_forms_no_other_pair_with_tls(playbook: str, tls: str, refused: bool) -> None:
    found = parting(playbook, tls, (OLD, OLD), (OLD, OLD))
    assert (PARTS in found.next) is refused
    assert all("withholds large packets" in why for why in found.kept_by)
    assert parting(playbook, tls, (NEW, NEW), (NEW, NEW)).kept_by == ()
    assert parting("unprotect", tls, (OLD, OLD), (OLD, OLD)).kept_by == ()


@pytest.mark.parametrize(
    ("playbook", "upgraded", "refused"),
    [
        ("drill", 1, True),
        ("drill", 0, False),
        ("switchover", 0, True),
        ("switchover", 1, False),
        ("unprotect", 0, False),
    ],
)
def test_a_standby_whose_host_has_another_qemu_by_now_would_be_the_last(
    playbook: str, upgraded: int, refused: bool
) -> None:
    """The next one runs in the installed QEMU, and the guest goes on in the one that it runs in."""
    versions = [(NEW, NEW), (NEW, NEW)]
    versions[upgraded] = (NEW, "11.1.3")
    found = parting(playbook, OFF, *versions)
    assert (PARTS in found.next, len(found.kept_by)) == (refused, refused)
    assert all("QEMU is 10.0.13 on" in why for why in found.kept_by)


def test_a_failover_and_a_deploy_are_not_hindered() -> None:
    for playbook in ("failover", "deploy", "start", "status", "unprotect"):
        found = going(playbook, ends=1.0)
        assert (PARTS in found.next, found.kept_by) == (False, ())
    lost = course("failover", ("kvm1", "kvm2"), (None, certified("protected-secondary", ends=1.0)))
    assert lost.next == ("failover",)


@pytest.mark.parametrize(
    ("playbook", "formed", "tls", "refused"),
    [
        ("drill", REQUIRED, OFF, False),
        ("drill", OFF, REQUIRED, True),
        ("drill", OFF, OFF, False),
        ("switchover", REQUIRED, OFF, True),  # the word that the guest has ended
        ("switchover", OFF, REQUIRED, True),
        ("switchover", OFF, OFF, False),
        ("unprotect", REQUIRED, OFF, True),
        ("unprotect", OFF, REQUIRED, False),  # nothing is formed after it
    ],
)
def test_only_what_will_be_used_has_to_be_good(playbook: str, formed: str, tls: str, refused: bool) -> None:
    where = "kvm2" if playbook != "drill" else ""
    found = going(playbook, formed, Chosen(guest_host=where, tls=tls), ends=1.0)
    assert (PARTS in found.next) is refused


def test_a_guest_that_was_given_away_already_is_taken_over() -> None:
    stale = certified("stale-primary", ends=1.0)
    given = replace(stale, domain=replace(stale.domain, record=replace(stale.record, handed_over=True)))
    there = certified("protected-secondary", ends=1.0)
    assert course("switchover", ("kvm1", "kvm2"), (given, there)).next == ("change_sides", "take_over", "deploy")


def test_no_guest_is_ended_for_a_word_that_could_not_be_said() -> None:
    there = certified("protected-secondary", ends=1.0)
    with pytest.raises(Refusal, match="kvm2 has a certificate that has ended"):
        change_sides.hand_over(certified("protected-primary"), there, change_sides.Handover("token"))
    clear = certified("protected-primary", formed=OFF), certified("protected-secondary", formed=OFF, ends=1.0)
    assert change_sides.hand_over(*clear, change_sides.Handover("token")).steps
