# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plans of a pair with credentials: they are there before anything connects, on every channel, and go with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain import editing
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import channels, states
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Certificate, Observation, Shown
from ansible_collections.lockstep.colo.plugins.module_utils.plan import describe, effects, listen, protect, survive
from ansible_collections.lockstep.colo.plugins.module_utils.plan.parts import entry, layers, undo
from ansible_collections.lockstep.colo.plugins.module_utils.plan.plan import Plan
from ansible_collections.lockstep.colo.plugins.module_utils.record import xml as record_xml
from ansible_collections.lockstep.colo.plugins.module_utils.record.identity import subject
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import (
    EXCEPT_PROXY,
    OFF,
    PKI_DIRECTORY,
    REQUIRED,
    TLS,
    VocabularyError,
)
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import preflight, remarks
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.pair import pair
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Refusal
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements import encryption
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import WANTED, recorded

YEAR = 365 * 86400.0


def certified(seen: Observation, address: str, **changes: Any) -> Observation:
    name, now = subject(seen.host.name), seen.host.clock or 1.8e9
    known = Certificate(None, name, name, now - 10, now + YEAR, (address,), "a")
    return replace(seen, host=replace(seen.host, clock=now, certificate=replace(known, **changes)))


def encrypted(name: str, **changes: Any) -> Observation:
    """A recording as of a pair with credentials."""
    seen = recorded(name)
    record = replace(seen.record, credentials=PKI_DIRECTORY)
    live = seen.domain.live_record and replace(seen.domain.live_record, credentials=PKI_DIRECTORY)
    xml = editing.protect(seen.domain.inactive_xml, record)
    seen = replace(seen, domain=replace(seen.domain, record=record, live_record=live, inactive_xml=xml))
    return certified(seen, record.local.address, **changes)


def with_objects(seen: Observation) -> Observation:
    known = {part["id"]: part["qom-type"] for part in channels.credentials(seen.record)}
    return replace(seen, monitor=replace(seen.monitor, objects={**seen.monitor.objects, **known}))


def with_tls(name: str, tls: str) -> Observation:
    """A recording as of a pair that was formed with this; one that has a QEMU of ours has told it of its keys."""
    if tls == OFF:
        seen = recorded(name)
        return certified(seen, seen.record.local.address)
    seen = proxy_in_clear(name) if tls == EXCEPT_PROXY else encrypted(name)
    return with_objects(seen) if name.startswith("listening") else seen


def titles(plan: Plan) -> list[str]:
    return [step.title for step in plan.steps]


def sent(plan: Plan) -> list[tuple[str, dict[str, Any]]]:
    return [(step.arguments["command"], step.arguments["arguments"]) for step in plan.steps if step.action == "qmp"]


def place(commands: list[tuple[str, dict[str, Any]]], command: str, **given: Any) -> int:
    found = [at for at, (name, args) in enumerate(commands) if name == command and given.items() <= args.items()]
    assert found, (command, given)
    return found[0]


def test_a_standby_has_credentials_before_anything_listens() -> None:
    commands = sent(listen.secondary(WANTED, encrypted("started-secondary"), encrypted("described-primary")))
    ready = max(place(commands, "object-add", id=name) for name in channels.CREDENTIALS)
    asked = {"tls-creds": channels.SERVER, "tls-authz": channels.PEER}
    encrypts = place(commands, "migrate-set-parameters", **asked)
    assert ready < place(commands, "chardev-add")
    assert ready < place(commands, "nbd-server-start", **asked) < place(commands, "migrate-incoming")
    assert ready < encrypts < place(commands, "migrate-incoming")
    identity = next(args for name, args in commands if args.get("id") == channels.PEER)["identity"]
    assert identity == "O=lockstep.colo,CN=kvm1"


def test_a_primary_has_them_before_it_listens_and_shows_them_wherever_it_connects() -> None:
    plan = protect.primary(WANTED, encrypted("described-primary"), with_objects(encrypted("listening-secondary")))
    commands = sent(plan)
    ready = max(place(commands, "object-add", id=name) for name in channels.CREDENTIALS)
    assert [name for name, args in commands if args.get("id") in channels.CREDENTIALS] == ["object-add"] * 3
    assert ready < place(commands, "chardev-add")
    assert place(commands, "migrate-set-parameters", **{"tls-creds": channels.CLIENT}) < place(commands, "migrate")
    assert place(commands, "blockdev-add", **{"driver": "nbd", "tls-creds": channels.CLIENT}) > ready


@pytest.mark.parametrize(
    ("formed", "wanted"),
    [(OFF, REQUIRED), (REQUIRED, OFF), (OFF, EXCEPT_PROXY), (EXCEPT_PROXY, REQUIRED), (REQUIRED, EXCEPT_PROXY)],
)
def test_a_standby_that_listens_with_other_tls_than_is_wanted_by_now_is_begun_anew(formed: str, wanted: str) -> None:
    """As after a run that was killed, and one with another wish: QEMU does not say what its sockets were told."""
    primary, standby = (with_tls(name, formed) for name in ("described-primary", "listening-secondary"))
    wish = replace(WANTED, tls=wanted)
    primary = describe.primary(wish, primary, standby).after
    standby = describe.secondary(replace(wish, address="10.77.0.2", peer_address="10.77.0.1"), standby, primary).after
    assert (primary.record.tls, standby.record.tls) == (wanted, wanted)
    assert titles(listen.secondary(wish, standby, primary))[0] == "end the standby that is no use"
    again = with_tls("listening-secondary", wanted)
    assert not listen.secondary(wish, again, primary).changes


@pytest.mark.parametrize(
    "name",
    ["one-parked-primary", "parked-primary", "half-in-primary", "attached-stopped-primary", "quorum-in-primary",
     "connected-primary"],
)  # fmt: skip
@pytest.mark.parametrize(("formed", "wanted"), [(OFF, REQUIRED), (EXCEPT_PROXY, REQUIRED), (REQUIRED, OFF)])
def test_what_a_run_left_without_a_standby_is_begun_anew_with_what_is_wanted(
    name: str, formed: str, wanted: str
) -> None:
    """A full copy follows anyway. The guest goes on before anything is told of other TLS."""
    seen, off, listens = with_tls(name, formed), with_tls("described-secondary", formed), "listening-secondary"
    wish = replace(WANTED, tls=wanted)
    described = describe.primary(wish, seen, off).after
    there = describe.secondary(replace(wish, address="10.77.0.2", peer_address="10.77.0.1"), off, described).after
    assert (described.record.tls, there.record.tls, described.domain.live_record.tls) == (wanted, wanted, formed)
    again = protect.primary(wish, described, with_tls(listens, wanted))
    assert again.steps[-1].pivot
    alone = again.after
    assert (states.is_up(alone), alone.monitor.running) == (False, True)
    plan = protect.primary(wish, alone, with_tls(listens, wanted))
    assert plan.steps[0].action == "record"
    assert plan.after.domain.live_record.tls == wanted
    assert not encryption.of_pair(replace(wish, tls=OFF), seen, off, []).in_clear


@pytest.mark.parametrize(
    ("name", "standby"),
    [("connected-primary", "listening-secondary"), ("syncing-primary", "described-secondary"),
     ("migrating-primary", "described-secondary"), ("protected-primary", "described-secondary")],
)  # fmt: skip
def test_what_has_a_standby_or_is_being_copied_stays_as_it_was_formed(name: str, standby: str) -> None:
    seen, there = with_tls(name, OFF), with_tls(standby, OFF)
    wish = replace(WANTED, tls=REQUIRED)
    assert encryption.chosen(wish, seen, there) == OFF
    assert encryption.of_pair(wish, seen, there, []).in_clear


@pytest.mark.parametrize("wanted", [REQUIRED, EXCEPT_PROXY, OFF])
@pytest.mark.parametrize("said", [REQUIRED, EXCEPT_PROXY, OFF])
@pytest.mark.parametrize("before", [None, REQUIRED, EXCEPT_PROXY, OFF])
def test_a_host_takes_no_less_tls_than_is_wanted_from_what_its_peer_says(
    wanted: str, said: str, before: str | None
) -> None:
    """But for a pair that it has itself, and that stays as it was formed."""
    here = (
        certified(recorded("unprotected-secondary"), "10.77.0.2")
        if before is None
        else with_tls("listening-secondary", before)
    )
    wish = replace(WANTED, tls=wanted, address="10.77.0.2", peer_address="10.77.0.1")
    if TLS.index(said) > TLS.index(wanted) and said != before:
        with pytest.raises(Refusal, match=f"the primary's record has tls: {said}, which is less than tls: {wanted}"):
            describe.secondary(wish, here, with_tls("described-primary", said))
    else:
        describe.secondary(wish, here, with_tls("described-primary", said))


@pytest.mark.parametrize("encrypts", [True, False])
def test_qemu_is_not_the_first_to_wait_for_who_listens(encrypts: bool) -> None:
    """Nor does it wait long; in clear the first to connect with the migration's port would be the one that is taken."""
    primary, standby = (
        with_tls(name, REQUIRED if encrypts else OFF) for name in ("described-primary", "listening-secondary")
    )
    steps = protect.primary(WANTED, primary, standby).steps
    asked = [step.arguments["port"] for step in steps if step.action == "see_answer"]
    assert asked == ([21601, 21600] if encrypts else [21601])
    looks = [at for at, step in enumerate(steps) if step.action == "see_answer"]
    commands = [step.arguments.get("command") for step in steps]
    assert looks[0] < commands.index("blockdev-mirror")
    assert steps[commands.index("migrate") + 1].arguments == {"until": "sending", "patience": entry.HELD}
    if encrypts:
        assert commands.index("blockdev-mirror") < looks[1] < commands.index("migrate")
    added = [step for step in steps if step.arguments.get("arguments", {}).get("driver") == "nbd"]
    assert {step.timeout for step in added} == {entry.HELD}


@pytest.mark.parametrize("name", ["described-primary", "started-secondary"])
def test_every_socket_of_the_network_is_encrypted(name: str) -> None:
    seen = encrypted(name)
    for part in states.proxy_parts(seen):
        if not part.object and part.arguments["backend"]["data"]["addr"]["type"] == "inet":
            data = part.arguments["backend"]["data"]
            assert data["tls-creds"] == (channels.SERVER if data["server"] else channels.CLIENT)
            assert data.get("tls-authz") == (channels.PEER if data["server"] else None)


@pytest.mark.parametrize(
    ("name", "plan"),
    [
        ("protected-primary", undo.undo),
        ("syncing-primary", undo.undo),
        ("protected-secondary", survive.promote),
    ],
)
def test_every_way_out_takes_them_with_it_after_what_uses_them(name: str, plan: Any) -> None:
    commands = sent(plan(with_objects(encrypted(name))))
    gone = [place(commands, "object-del", id=one) for one in channels.CREDENTIALS]
    sockets = [at for at, (command, _args) in enumerate(commands) if command == "chardev-remove"]
    assert max(sockets) < min(gone)
    assert place(commands, "migrate-set-parameters", **channels.NO_CREDENTIALS) < min(gone)


def test_the_clients_do_not_wait_for_credentials_to_be_removed() -> None:
    plan = survive.promote(with_objects(encrypted("protected-secondary")))
    serves = next(at for at, step in enumerate(plan.steps) if step.serves)
    given = [step.arguments.get("arguments", {}) for step in plan.steps]
    assert serves < min(at for at, one in enumerate(given) if one.get("id") == channels.PEER)


def test_one_that_somebody_removed_is_put_back() -> None:
    seen = with_objects(encrypted("protected-primary"))
    objects = {name: kind for name, kind in seen.monitor.objects.items() if name != channels.CLIENT}
    drifted = list(states.drifted(replace(seen, monitor=replace(seen.monitor, objects=objects))))
    assert [drift.part.name for drift in drifted] == [channels.CLIENT]
    assert list(states.drifted(seen)) == []


@pytest.mark.parametrize("name", ["described-primary", "syncing-primary", "protected-primary"])
def test_the_plan_ends_without_any_of_them(name: str) -> None:
    seen = encrypted(name)
    seen = with_objects(seen) if name != "described-primary" else seen
    last = effects.fold(seen, undo.undo(seen).steps)
    assert not set(channels.CREDENTIALS) & set(last.monitor.objects)


def test_a_pair_that_is_up_stays_as_it_was_formed() -> None:
    there = certified(recorded("protected-secondary"), "10.77.0.2")
    seen = certified(recorded("protected-primary"), "10.77.0.1")
    plan = describe.primary(replace(WANTED, tls=REQUIRED), seen, there)
    assert plan.after.record.credentials is None


def described(**changes: Any) -> Plan:
    there = certified(recorded("unprotected-secondary"), "10.77.0.2")
    here = certified(recorded("unprotected-primary"), "10.77.0.1", **changes)
    return describe.primary(replace(WANTED, tls=REQUIRED), here, there)


def test_a_new_pair_has_credentials_where_they_are_required() -> None:
    assert described().after.record.credentials == PKI_DIRECTORY


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"problem": "server-key.pem is not there"}, "kvm1 has no certificate: server-key.pem is not there"),
        ({"subject": subject("kvm9")}, "a certificate of O=lockstep.colo,CN=kvm9, not of"),
        ({"addresses": ("10.77.0.9",)}, "a certificate for 10.77.0.9, not for 10.77.0.1"),
        ({"ends": 1.0}, "a certificate that has ended"),
        ({"begins": 9e9}, "a certificate that does not begin yet"),
        ({"authority": "b"}, "of different authorities"),
    ],
)
def test_a_certificate_that_no_channel_would_take_is_refused_first(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Refusal, match="certificate") as refused:
        described(**changes)
    assert words in str(refused.value)


def test_a_pair_without_credentials_says_so_and_one_whose_certificate_ends_too() -> None:
    assert any("neither encrypted" in note for note in remarks.notes(recorded("protected-primary")))
    fine = encrypted("protected-primary")
    assert not any("certificate" in note or "encrypted" in note for note in remarks.notes(fine))
    soon = encrypted("protected-primary", ends=fine.host.clock + 20 * 86400)
    assert any("ends in 20 days" in note for note in remarks.notes(soon))
    ended = encrypted("protected-primary", ends=fine.host.clock - 86400)
    assert any("has ended" in note for note in remarks.notes(ended))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"problem": "server-key.pem is not there"}, "it has no certificate: server-key.pem is not there"),
        ({"subject": subject("kvm9")}, "it has a certificate of O=lockstep.colo,CN=kvm9, not of"),
        ({"addresses": ("10.77.0.9",)}, "it has a certificate for 10.77.0.9, not for 10.77.0.1"),
        ({"ends": 1.0}, "it has a certificate that has ended"),
        ({"begins": 9e9}, "it has a certificate that does not begin yet"),
        ({"authority": "b"}, "the certificates of kvm1 and kvm2 are of different authorities"),
    ],
)
def test_whatever_would_refuse_the_next_standby_is_noted_before(changes: dict[str, Any], words: str) -> None:
    primary, standby = with_objects(encrypted("protected-primary", **changes)), encrypted("protected-secondary")
    (note,) = (note for note in pair(primary, standby).notes if "certificate" in note)
    assert words in note
    assert "the next standby will be refused" in note
    assert not [note for note in pair(primary, standby).notes if "certificate" in note and note.startswith("kvm2")]


def test_a_pair_in_clear_has_no_word_of_certificates() -> None:
    here = certified(recorded("protected-primary"), "10.77.0.1", ends=1.0, authority="b")
    there = certified(recorded("protected-secondary"), "10.77.0.2")
    assert not [note for note in pair(here, there).notes if "certificate" in note]


def test_a_pair_that_is_up_without_credentials_needs_no_certificate() -> None:
    there = certified(recorded("protected-secondary"), "10.77.0.2", problem="none is there")
    seen = certified(recorded("protected-primary"), "10.77.0.1", problem="none is there")
    assert describe.primary(replace(WANTED, tls=REQUIRED), seen, there).after.record.credentials is None


def renewal(**changes: Any) -> encryption.Encryption:
    """Of a pair that was formed without TLS, which is wanted now."""
    here = certified(recorded("protected-primary"), "10.77.0.1")
    there = certified(recorded("protected-secondary"), "10.77.0.2", **changes)
    return encryption.of_pair(replace(WANTED, tls=REQUIRED), here, there, [])


def test_a_pair_in_clear_can_be_formed_anew_where_both_hosts_have_certificates() -> None:
    assert renewal() == encryption.Encryption(True, ())
    words = [problem.what for problem in renewal(problem="server-key.pem is not there").besides]
    assert words == ["kvm2 has no certificate: server-key.pem is not there"]
    assert ["of different authorities" in problem.what for problem in renewal(authority="b").besides] == [True]


def test_a_pair_that_has_tls_or_shall_have_none_is_not_formed_anew() -> None:
    there = certified(recorded("protected-secondary"), "10.77.0.2")
    clear = certified(recorded("protected-primary"), "10.77.0.1")
    wanted = replace(WANTED, tls=REQUIRED)
    assert not encryption.of_pair(wanted, encrypted("protected-primary"), there, []).in_clear
    assert not encryption.of_pair(replace(wanted, tls=OFF), clear, there, []).in_clear
    assert not encryption.of_pair(wanted, clear, None, []).in_clear
    assert not encryption.of_pair(wanted, certified(recorded("described-primary"), "10.77.0.1"), there, []).in_clear


def test_the_preflight_names_a_pair_that_was_formed_without() -> None:
    there = certified(recorded("protected-secondary"), "10.77.0.2")
    clear = certified(recorded("protected-primary"), "10.77.0.1")
    wanted = replace(WANTED, tls=REQUIRED)
    (row,) = encryption.encryption(wanted, clear, there)
    assert (row.state, "was formed with colo_tls off" in row.found) == ("note", True)
    assert [row.state for row in encryption.encryption(wanted, encrypted("protected-primary"), there)] == ["ok"]
    assert row in preflight.of_pair(wanted, clear, there)


def in_qemu(seen: Observation, version: str) -> Observation:
    monitor = seen.monitor and replace(seen.monitor, version=version)
    emulator = replace(seen.host.emulator, version=version)
    return replace(seen, monitor=monitor, host=replace(seen.host, emulator=emulator))


def in_old_qemu(tls: str) -> Plan:
    here = in_qemu(certified(recorded("unprotected-primary"), "10.77.0.1"), "7.2.22")
    there = in_qemu(certified(recorded("unprotected-secondary"), "10.77.0.2"), "7.2.22")
    return describe.primary(replace(WANTED, tls=tls), here, there)


def test_a_qemu_that_withholds_packets_is_refused_until_somebody_chooses() -> None:
    with pytest.raises(Refusal, match=r"QEMU 7.2.22 of kvm1 withholds large packets .* kvm2 withholds"):
        in_old_qemu(REQUIRED)
    record = in_old_qemu(EXCEPT_PROXY).after.record
    assert (record.credentials, record.clear_proxy, record.tls) == (PKI_DIRECTORY, True, EXCEPT_PROXY)
    assert in_old_qemu(OFF).after.record.tls == OFF


def proxy_in_clear(name: str) -> Observation:
    seen = encrypted(name)
    record = replace(seen.record, clear_proxy=True)
    live = seen.domain.live_record and replace(seen.domain.live_record, clear_proxy=True)
    xml = editing.protect(seen.domain.inactive_xml, record)
    return replace(seen, domain=replace(seen.domain, record=record, live_record=live, inactive_xml=xml))


def test_by_choice_packets_go_in_clear_and_nothing_else() -> None:
    commands = sent(listen.secondary(WANTED, proxy_in_clear("started-secondary"), proxy_in_clear("described-primary")))
    assert place(commands, "nbd-server-start", **{"tls-creds": channels.SERVER, "tls-authz": channels.PEER})
    assert place(commands, "migrate-set-parameters", **{"tls-creds": channels.SERVER, "tls-authz": channels.PEER})
    for name in ("described-primary", "started-secondary"):
        parts = [part for part in states.proxy_parts(proxy_in_clear(name)) if not part.object]
        assert not [part for part in parts if "tls-creds" in part.arguments["backend"]["data"]]
    assert any(
        "its memory and disks are encrypted" in note for note in remarks.notes(proxy_in_clear("protected-primary"))
    )
    there = encrypted("protected-secondary")
    wanted = replace(WANTED, tls=REQUIRED)
    assert encryption.of_pair(wanted, proxy_in_clear("protected-primary"), there, []) == encryption.Encryption(True, ())
    assert not encryption.of_pair(replace(wanted, tls=OFF), proxy_in_clear("protected-primary"), there, []).in_clear
    (row,) = encryption.encryption(wanted, proxy_in_clear("protected-primary"), there)
    assert (row.state, "formed with colo_tls except_proxy" in row.found) == ("note", True)


@pytest.mark.parametrize(
    ("version", "formed", "words"),
    [
        ("10.0.13", recorded, "deploy with -e colo_tls=required -e colo_tls_renew=true"),
        ("10.0.13", proxy_in_clear, "deploy with -e colo_tls=required -e colo_tls_renew=true"),
        ("7.2.22", recorded, "deploy with -e colo_tls=except_proxy -e colo_tls_renew=true"),
        ("7.2.22", proxy_in_clear, "QEMU 8.0 or later, as Debian 13 has, does not"),
    ],
)
def test_a_remark_advises_no_more_tls_than_the_qemu_that_runs_can_have(version: str, formed: Any, words: str) -> None:
    (note,) = (each for each in remarks.notes(in_qemu(formed("protected-primary"), version)) if "colo_tls was" in each)
    assert words in note
    assert note.count("colo_tls=") == words.count("colo_tls=")


def test_the_choice_is_in_the_record_for_a_survivor_without_an_inventory() -> None:
    record = proxy_in_clear("protected-primary").record
    assert record_xml.from_xml(record_xml.to_xml(record)) == record
    with pytest.raises(VocabularyError):
        replace(record, credentials=None)


NOW = 1.79e9


def shows(name: str, *, installed: float = NOW, given: float | None = None, **changes: Any) -> Observation:
    """An encrypted half whose QEMU has credentials since 2001, of a certificate that was installed when it was
    ``given``, where that was noted."""
    seen = with_objects(encrypted(name, installed=installed, **changes))
    noted = None if given is None else Shown(seen.host.clock + 20 * 86400, given)
    return replace(seen, shown=noted, domain=replace(seen.domain, began=1.0e9))


@pytest.mark.parametrize("given", [None, NOW - 1])
def test_a_standby_that_only_listens_is_begun_anew_for_another_certificate(given: float | None) -> None:
    seen, peer = shows("listening-secondary", given=given), encrypted("described-primary")
    assert titles(listen.secondary(WANTED, seen, peer))[0] == "end the standby that is no use"


@pytest.mark.parametrize("installed", [1.0e9 - 1, None])
def test_it_listens_on_with_the_certificate_that_is_installed(installed: float | None) -> None:
    peer = encrypted("described-primary")
    assert not listen.secondary(WANTED, shows("listening-secondary", installed=installed), peer).steps
    assert not listen.secondary(WANTED, shows("listening-secondary", given=NOW), peer).steps


@pytest.mark.parametrize("name", ["syncing-primary", "mirror-ready-primary", "all-attached-primary"])
def test_a_copy_that_is_under_way_goes_on_with_the_certificates_that_it_began_with(name: str) -> None:
    standby, primary = shows("listening-secondary"), shows(name)
    assert not listen.secondary(WANTED, standby, primary).steps
    assert "object-del" not in [command for command, _args in sent(protect.primary(WANTED, primary, standby))]


@pytest.mark.parametrize(("given", "anew"), [(None, True), (NOW - 1, True), (NOW, False)])
def test_a_primary_outside_lockstep_takes_the_certificate_that_is_installed(given: float | None, anew: bool) -> None:
    seen = shows("quorum-in-primary", given=given)
    plan = protect.primary(WANTED, seen, shows("listening-secondary", given=NOW))
    removed = {args["id"] for command, args in sent(plan) if command == "object-del"}
    assert (set(channels.CREDENTIALS) <= removed, plan.steps[-1].pivot) == (anew, anew)
    after = effects.fold(seen, plan.steps)
    if anew:
        again = protect.primary(WANTED, after, shows("listening-secondary", given=NOW))
        assert place(sent(again), "object-add", id=channels.CLIENT) < place(sent(again), "migrate")


def test_a_pair_in_lockstep_keeps_to_its_certificates() -> None:
    primary, standby = shows("protected-primary"), shows("protected-secondary")
    assert "object-del" not in [command for command, _args in sent(protect.primary(WANTED, primary, standby))]
    assert "end the standby that is no use" not in titles(listen.secondary(WANTED, standby, primary))


@pytest.mark.parametrize(
    ("plan", "of"),
    [
        (lambda: listen.secondary(WANTED, at("started-secondary"), at("described-primary")), "started-secondary"),
        (lambda: protect.primary(WANTED, at("described-primary"), listening()), "described-primary"),
    ],
)
def test_it_is_noted_which_certificate_is_shown_before_it_is_read(plan: Any, of: str) -> None:
    steps = plan().steps
    noted = next(number for number, step in enumerate(steps) if step.action == "note_shown")
    given = [n for n, one in enumerate(steps) if one.arguments.get("arguments", {}).get("id") in channels.CREDENTIALS]
    assert noted < min(given)
    seen = at(of)
    assert effects.fold(seen, steps).shown == Shown(seen.host.certificate.ends, NOW)


def at(name: str) -> Observation:
    return encrypted(name, installed=NOW)


def listening() -> Observation:
    return shows("listening-secondary", given=NOW)


def older(primary: Observation, standby: Observation) -> list[str]:
    return [note for note in pair(primary, standby).notes if "was formed before the certificate" in note]


def test_a_pair_on_an_older_certificate_says_so_and_when_that_ends() -> None:
    for note in older(shows("protected-primary"), shows("protected-secondary")):
        assert note.endswith("switchover forms the pair with this one")
        assert "which" not in note
    first, second = older(shows("protected-primary", given=NOW - 1), shows("protected-secondary", given=NOW - 1))
    assert "kvm1: the pair was formed before" in first
    assert "goes on with the one from then, which ends in 20 days: once that has ended" in first
    assert "kvm2: " in second
    assert not older(shows("protected-primary", given=NOW), shows("protected-secondary", given=NOW))


def test_an_end_that_is_far_is_a_date_and_one_that_is_past_is_none() -> None:
    seen, standby = shows("protected-primary", given=NOW - 1), shows("protected-secondary", given=NOW)
    (note,) = older(replace(seen, shown=Shown(4.0e9, NOW - 1)), standby)
    assert "which ends on 2096-10-02:" in note
    (note,) = older(replace(seen, shown=Shown(1.0e9, NOW - 1)), standby)
    assert "which has ended:" in note


def test_where_a_standby_only_listens_deploy_is_the_way_to_the_newer_certificate() -> None:
    (note,) = older(encrypted("described-primary", installed=NOW), shows("listening-secondary", given=NOW - 1))
    assert note.endswith("deploy forms the pair with this one")


def admitting(name: str, identity: str) -> Observation:
    seen = with_objects(encrypted(name))
    known = {**seen.monitor.settings, channels.PEER: {"identity": identity}}
    return replace(seen, monitor=replace(seen.monitor, settings=known))


def test_what_admits_an_earlier_peer_admits_this_one_instead() -> None:
    seen = admitting("protected-primary", subject("kvm9"))
    (drift,) = states.drifted(seen)
    assert (drift.part.name, drift.key, drift.wanted) == (channels.PEER, "identity", subject("kvm2"))
    assert list(states.drifted(admitting("protected-primary", subject("kvm2")))) == []
    where = {"path": f"/objects/{channels.PEER}", "property": "identity", "value": subject("kvm2")}
    assert [step.arguments for step in layers.admit_peer(seen)] == [{"command": "qom-set", "arguments": where}]


def test_a_standby_that_would_admit_an_earlier_peer_does_not_listen_yet() -> None:
    seen = with_objects(encrypted("listening-secondary"))
    peer = seen.record.peer.host
    assert states.listens(admitting("listening-secondary", subject(peer))) is states.listens(seen)
    assert not states.listens(admitting("listening-secondary", subject("kvm9")))
