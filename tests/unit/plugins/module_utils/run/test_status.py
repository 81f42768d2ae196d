# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is looked at, and what is said of it, with and without the other host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import Timeout
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import from_data
from ansible_collections.lockstep.colo.plugins.module_utils.observation.depth import THOROUGH, Sights
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import (
    Checkpoints,
    Observation,
    StartHook,
    Trial,
)
from ansible_collections.lockstep.colo.plugins.module_utils.record.wanted import Wanted, WantedDisk
from ansible_collections.lockstep.colo.plugins.module_utils.run import status
from ansible_collections.lockstep.colo.plugins.module_utils.run.goals import Request
from ansible_collections.lockstep.colo.plugins.module_utils.run.result import seen as returned
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import of_another_domain, recorded


@pytest.fixture(name="asked")
def observations_that_are_recorded(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    asked: dict[str, Any] = {"seen": recorded("unprotected-secondary")}

    def observe(_hypervisor: Any, _name: str, _directory: str, depth: str, sights: Sights, *, host_name: str) -> Any:
        asked.update(depth=depth, sights=sights, host_name=host_name)
        return asked["seen"]

    monkeypatch.setattr(status, "observe", observe)
    return asked


def look(peer: Observation | None = None, *, verdict: bool = True, **wanted: Any) -> dict[str, Any]:
    return status.status(None, Request("web1", "kvm2", wanted=Wanted(**wanted), peer=peer), status.Ask(verdict=verdict))


@pytest.mark.parametrize("verdict", [False, True], ids=["not asked for", "unreachable"])
def test_alone_a_host_is_held_against_what_every_host_needs(asked: dict[str, Any], verdict: bool) -> None:
    result = look(verdict=verdict)
    assert ("verdict" in result) is verdict
    assert [row["requirement"] for row in result["preflight"]] == [
        "QEMU", "libvirt", "AppArmor", "start hook", "host shutdown",
    ]  # fmt: skip
    assert result["unfit"] == []
    assert (asked["depth"], asked["sights"], asked["host_name"]) == (THOROUGH, Sights(), "kvm2")


def test_in_check_mode_a_host_that_is_still_to_be_prepared_is_not_unfit(asked: dict[str, Any]) -> None:
    bare = replace(asked["seen"].host, start_hook=StartHook())
    asked["seen"] = replace(asked["seen"], host=bare)
    assert ["start" in one["what"] for one in look(verdict=False)["unfit"]] == [True]
    assert look(verdict=False, dry=True)["unfit"] == []


def test_where_the_peer_has_the_guest_this_host_is_seen_as_its_standbys(asked: dict[str, Any]) -> None:
    primary = recorded("unprotected-primary")
    result = look(peer=primary, address="10.77.0.9", peer_address="10.77.0.1", tls="off")
    assert asked["sights"].uuid == primary.domain.uuid
    assert asked["sights"].peer_address == "10.77.0.1"
    assert len(asked["sights"].images) == 3 * len(primary.domain.disks)
    (wrong,) = [row for row in result["preflight"] if row["state"] == "wrong"]
    assert (wrong["requirement"], wrong["host"]) == ("replication address", "kvm2")
    assert "10.77.0.9 is not an address of kvm2" in wrong["found"]


def test_the_guests_own_host_measures_how_far_the_standby_is_and_looks_at_nothing_of_it(asked: dict[str, Any]) -> None:
    asked["seen"] = recorded("protected-primary")
    result = look(peer=recorded("protected-secondary"))
    assert asked["sights"] == Sights(peer_address="10.77.0.2")
    other = {row["requirement"]: row["state"] for row in result["preflight"] if row["state"] not in ("ok", "unknown")}
    assert other == {"encryption": "note"}, "the recorded pair has no TLS"
    assert result["verdict"]["phase"] == "protected"


@pytest.mark.parametrize("states", [("protected", "protected"), ("unprotected", "described"), ("powered-off", "stale")])
def test_of_another_domain_of_the_name_it_says_so(asked: dict[str, Any], states: tuple[str, str]) -> None:
    asked["seen"] = recorded(f"{states[1]}-secondary")
    result = look(peer=of_another_domain(recorded(f"{states[0]}-primary")), disks=(WantedDisk("vda", "qcow2"),))
    assert (result["verdict"]["protected"], result["pending"]) == (False, None)
    assert any("another domain of this name" in words for words in result["verdict"]["problems"])
    assert [row["state"] for row in result["preflight"] if row["requirement"] == "standby's domain"] == ["wrong"]


@pytest.mark.parametrize("trial", [False, True])
def test_a_start_is_tried_where_it_is_asked_for_and_said_in_a_row(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, trial: bool
) -> None:
    monkeypatch.setattr(status.preflight, "worth_a_trial", lambda *_known: True)
    monkeypatch.setattr(status, "try_to_start", lambda *_what: Trial("the filter is missing"))
    request = Request("web1", "kvm2", peer=recorded("unprotected-primary"))
    result = status.status(None, request, status.Ask(verdict=True, trial=trial))
    (row,) = [row for row in result["preflight"] if row["requirement"] == "start"]
    assert row["state"] == ("wrong" if trial else "unknown")
    assert ("the filter is missing" in row["found"]) is trial
    assert bool(result["observation"]["trial"]) is trial


def test_where_libvirt_waits_for_a_qemu_that_hangs_what_it_knows_without_it_is_told(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def observe(_hypervisor: Any, _name: str, _directory: str, depth: str, *_sights: Any, **_options: Any) -> Any:
        if depth == status.THOROUGH:
            raise Timeout("libvirt did not answer describe within 10 s")
        return recorded("degraded-unasked-primary")

    monkeypatch.setattr(status, "observe", observe)
    result = look()
    assert result["verdict"]["phase"] == "degraded"
    assert result["verdict"]["holder"]
    assert any("libvirt did not answer describe" in words for words in result["verdict"]["problems"])


def test_a_watch_that_libvirt_does_not_answer_is_no_end_of_the_look(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def watch(*_what: Any, **_patience: float) -> None:
        raise Timeout("libvirt did not answer events within 11 s")

    asked["seen"] = recorded("protected-primary")
    monkeypatch.setattr(status, "watch", watch)
    result = status.status(
        None, Request("web1", "kvm1", peer=recorded("protected-secondary")), status.Ask(watch=5, verdict=True)
    )
    assert result["verdict"]["holder"] == "kvm1"


@pytest.mark.parametrize(("name", "waits"), [("protected-primary", True), ("syncing-primary", False)])
def test_a_checkpoint_is_waited_for_where_there_can_be_one(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str, waits: bool
) -> None:
    watched: list[Any] = []

    def watch(*what: Any) -> Checkpoints:
        watched.append(what)
        return Checkpoints(1.5, 1)

    asked["seen"] = recorded(name)
    monkeypatch.setattr(status, "watch", watch)
    result = status.status(None, Request("web1", "kvm1"), status.Ask(checkpoint=True))
    assert [what[1:] for what in watched] == ([("web1", 7.0, 1)] if waits else [])
    assert (result["observation"]["checkpoints"] is not None) is waits


def test_what_a_deployment_has_still_to_do_is_told_on_the_standbys_host(asked: dict[str, Any]) -> None:
    asked["seen"] = recorded("protected-secondary")
    disks = (WantedDisk("vda", "qcow2"), WantedDisk("vdb", "qcow2"))
    primary = replace(recorded("protected-primary"), checkpoints=Checkpoints(1.5, 1))
    assert look(primary, disks=disks, address="10.77.0.2", peer_address="10.77.0.1")["pending"] == []
    assert look(primary, disks=disks[:1], address="10.77.0.2", peer_address="10.77.0.1")["pending"] is None
    assert look(primary)["pending"] is None


PASSWORD = "<graphics type='vnc' port='-1' autoport='yes' passwd='{}'/></devices>"


def with_password(seen: Observation, password: str) -> Observation:
    xml = seen.domain.inactive_xml.replace("</devices>", PASSWORD.format(password))
    return replace(seen, domain=replace(seen.domain, inactive_xml=xml))


@pytest.mark.parametrize(
    ("secrets", "standbys", "pending"),
    [
        (True, "one", []),
        (True, "another", ["kvm2: define web1 with the changed XML"]),
        (False, "one", None),
    ],
)
def test_of_passwords_it_is_known_what_is_still_to_do_where_the_peer_came_with_them(
    asked: dict[str, Any], secrets: bool, standbys: str, pending: list[str] | None
) -> None:
    asked["seen"] = with_password(recorded("protected-secondary"), standbys)
    disks = (WantedDisk("vda", "qcow2"), WantedDisk("vdb", "qcow2"))
    primary = replace(with_password(recorded("protected-primary"), "one"), checkpoints=Checkpoints(1.5, 1))
    handed_on = from_data(Observation, returned(primary, secrets=secrets)["observation"])
    assert look(handed_on, disks=disks, address="10.77.0.2", peer_address="10.77.0.1")["pending"] == pending


@pytest.mark.parametrize(
    ("name", "delay", "patience"),
    [
        ("protected-primary", 2000, 4.5),
        ("protected-primary", 10000, 20.5),
        ("syncing-primary", 10000, 0),
        ("protected-secondary", 10000, 0),
    ],
)
def test_a_pair_is_not_called_well_before_a_checkpoint_would_have_come(
    monkeypatch: pytest.MonkeyPatch, name: str, delay: int, patience: float
) -> None:
    seen, waited = recorded(name), []
    record = replace(seen.record, checkpoint_delay=delay)
    seen = replace(seen, domain=replace(seen.domain, record=record, live_record=record), checkpoints=None)

    def watch(_libvirt: Any, _name: str, seconds: float, *, patience: float) -> Checkpoints:
        waited.append(patience)
        return Checkpoints(max(seconds, patience), 0, None)

    monkeypatch.setattr(status, "observe", lambda *_what, **_more: seen)
    monkeypatch.setattr(status, "watch", watch)
    asked = Request("web1", seen.host.name, peer=recorded("unprotected-secondary"))
    found = status.status(None, asked, status.Ask(watch=5, verdict=True))
    assert waited == [patience]
    assert (found["phase"] == "stalled") is (patience > 0)
