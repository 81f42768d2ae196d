# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

from ansible_collections.lockstep.colo.plugins.plugin_utils.report import channels
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded


def states(*names: str) -> dict[str, str]:
    """The state of each channel by its port."""
    return {f"{one['kind']} {one['port']}": one["state"] for one in channels.between(map(recorded, names))}


def test_a_protected_pair_has_every_channel() -> None:
    found = channels.between([recorded("protected-primary"), recorded("protected-secondary")])
    assert [one["kind"] for one in found] == ["migration", "nbd", "mirror", "compare", "mirror", "compare"]
    assert {one["state"] for one in found} == {"connected"}
    assert {tuple(one["seen_by"]) for one in found} == {("kvm1", "kvm2")}
    assert [one["connections"] for one in found] == [1, 2, 1, 1, 1, 1]


def test_each_leads_from_one_role_to_the_other() -> None:
    found = {one["kind"]: one for one in channels.between([recorded("protected-secondary")])}
    assert {kind: one["from"] for kind, one in found.items()} == {
        "migration": "primary", "nbd": "primary", "mirror": "primary", "compare": "secondary",
    }  # fmt: skip
    assert (found["nbd"]["listener"], found["nbd"]["address"]) == ("secondary", "10.77.0.2")
    assert (found["mirror"]["listener"], found["mirror"]["address"]) == ("primary", "10.77.0.1")


def test_a_sync_has_no_migration_yet() -> None:
    assert states("syncing-primary", "syncing-secondary")["migration 21600"] == "closed"


def test_where_the_hosts_differ_it_is_said_who_sees_it() -> None:
    found = {
        one["kind"]: one for one in channels.between([recorded("protected-primary"), recorded("released-secondary")])
    }
    assert found["nbd"]["state"] == "one_sided"
    assert (found["nbd"]["seen_by"], found["nbd"]["not_seen_by"]) == (["kvm1"], ["kvm2"])


def test_a_survivor_and_a_plain_domain_have_none() -> None:
    assert channels.between([recorded("failed-over-secondary"), recorded("stale-primary")]) == []
    assert channels.between([recorded("unprotected-primary"), recorded("unprotected-secondary")]) == []
    assert channels.between([]) == []


def test_the_newest_record_counts() -> None:
    assert set(states("stale-primary", "protected-again-primary").values()) == {"one_sided"}


def test_a_connection_by_ipv6_is_told_from_its_port() -> None:
    seen = recorded("protected-secondary")
    record = replace(seen.record, local=replace(seen.record.local, address="fd00::2"))
    sockets = ("[fd00::2]:21600 [fd00::1]:49153", "[fd00::2]:21605 [fd00::1]:21601")
    seen = replace(seen, domain=replace(seen.domain, record=record), peer_sockets=sockets)
    found = {one["kind"]: one["connections"] for one in channels.between([seen])}
    assert (found["migration"], found["nbd"]) == (1, 0)
