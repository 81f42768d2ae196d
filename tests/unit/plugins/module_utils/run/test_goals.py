# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every front end gets with a goal: how it is looked at, when it may end another run, what it needs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError, Timeout
from ansible_collections.lockstep.colo.plugins.module_utils.observation.depth import SILENT
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.record.wanted import Wanted
from ansible_collections.lockstep.colo.plugins.module_utils.run import goals, titles
from ansible_collections.lockstep.colo.plugins.module_utils.run.goals import GOALS, Fence, Handover, Request
from ansible_collections.lockstep.colo.plugins.modules import (
    colo_disk,
    colo_drill,
    colo_failover,
    colo_fence,
    colo_pair,
)
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import (
    WANTED,
    fenced,
    of_another_domain,
    recorded,
)

FENCED = fenced("kvm1")
TOLD = Fence("kvm1", ground="told")
WARM = recorded("protected-secondary")
HANDOVER = Handover("secret", 30.0)


@pytest.mark.parametrize(
    ("given", "urgent"),
    [
        ({"fence": FENCED}, True),
        ({"i_accept_that_two_guests_may_run": True}, True),
        ({}, False),
        ({"fence": Fence("kvm1", proof={"rc": 1})}, False),
        ({"fence": replace(FENCED, ground="confirmed")}, True),
        ({"fence": Fence("kvm1", ground="ended")}, True),
        ({"fence": Fence("kvm1", ground="drill")}, False),
        ({"fence": FENCED, "handover": HANDOVER}, False),
    ],
    ids=[
        "fenced",
        "accepted",
        "to finish one",
        "a fence that failed",
        "a word",
        "seen ended",
        "a drill",
        "a change of sides",
    ],
)
def test_only_what_will_not_be_refused_for_its_fence_ends_another_run(given: dict[str, Any], urgent: bool) -> None:
    assert GOALS["surviving"].urgent(Request("web1", **given)) is urgent


def test_nothing_but_a_failover_and_a_fence_ends_another_run() -> None:
    request = Request("web1", fence=FENCED, i_accept_that_two_guests_may_run=True)
    assert [name for name, goal in GOALS.items() if goal.urgent(request)] == ["surviving", "given_up"]


class Host:
    """Says how deep it is looked at; what is seen is always the same."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seen: Observation) -> None:
        self.depths: list[str] = []
        self.options: dict[str, Any] = {}

        def observe(
            _libvirt: Any, domain: str, directory: str, depth: str, sights: Any, *, host_name: str | None
        ) -> Any:
            self.depths.append(depth.upper())
            self.options = {"domain": domain, "directory": directory, "host_name": host_name, "sights": sights}
            return seen

        monkeypatch.setattr(goals, "observe", observe)

    def looks(self, name: str, request: Request, times: int) -> list[str]:
        """How deep so many looks of one run go, where each decision is empty."""
        self.depths.clear()

        def converge(_hypervisor: Any, _domain: str, look: Any, _decide: Any, **_options: Any) -> None:
            for _look in range(times):
                look()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(goals, "converge", converge)
            goals.run(GOALS[name], request, None)
        return self.depths


@pytest.mark.parametrize(
    ("seen", "given", "depths"),
    [
        ("protected-secondary", {}, ["SILENT", "BRIEF", "QUICK"]),
        ("released-secondary", {}, ["SILENT", "BRIEF", "QUICK", "QUICK"]),
        ("protected-primary", {}, ["SILENT", "QUICK", "QUICK"]),
        ("protected-secondary", {"check": True}, ["QUICK", "QUICK", "QUICK"]),
        ("protected-secondary", {"handover": HANDOVER}, ["BRIEF", "QUICK", "QUICK"]),
        ("protected-secondary", {"fence": TOLD, "warm": WARM}, ["QUICK", "QUICK"]),
        ("protected-secondary", {"fence": TOLD}, ["SILENT", "BRIEF", "QUICK"]),
    ],
    ids=[
        "a standby",
        "one that nothing connects",
        "a primary",
        "in check mode",
        "a change of sides",
        "a standby is told",
        "a primary is told",
    ],
)
def test_a_failover_asks_qemu_only_once_it_cannot_wait_for_the_dead(
    monkeypatch: pytest.MonkeyPatch, seen: str, given: dict[str, Any], depths: list[str]
) -> None:
    assert Host(monkeypatch, recorded(seen)).looks("surviving", Request("web1", **given), 3) == depths


@pytest.mark.parametrize("name", ["given_way", "ended"])
def test_libvirt_is_not_waited_for_where_qemu_has_just_ended(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert Host(monkeypatch, recorded("protected-primary")).looks(name, Request("web1"), 2) == ["SILENT", "SILENT"]


def test_on_a_host_that_is_given_up_qemu_is_asked_of_its_standby_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Host(monkeypatch, recorded("protected-primary")).looks("given_up", Request("web1"), 2) == ["GIVEN_UP"] * 2
    ended = Host(monkeypatch, recorded("stale-primary"))
    assert ended.looks("given_up", Request("web1"), 1) == ["GIVEN_UP", "QUICK"]


@pytest.mark.parametrize("name", sorted(set(GOALS) - {"surviving", "given_up", "given_way", "ended"}))
def test_everything_else_is_looked_at_thoroughly(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    host = Host(monkeypatch, recorded("described-secondary"))
    request = Request("web1", "kvm2", wanted=Wanted(directory="/d"), peer=recorded("described-primary"))
    assert host.looks(name, request, 2) == ["THOROUGH", "THOROUGH"]
    assert (host.options["domain"], host.options["directory"], host.options["host_name"]) == ("web1", "/d", "kvm2")
    assert bool(host.options["sights"].images) is (name in ("described secondary", "plain secondary"))


RESCUED = sorted(name for name, goal in GOALS.items() if goal.rescue)


@pytest.mark.parametrize("name", RESCUED)
def test_what_frees_the_guest_looks_at_nothing_that_it_does_not_need(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    host = Host(monkeypatch, recorded("protected-primary"))
    looks: list[Any] = []
    monkeypatch.setattr(goals, "converge", lambda *_given, look_to_free, **_options: looks.append(look_to_free))
    goals.run(GOALS[name], Request("web1", peer=recorded("protected-secondary")), None)
    looks[0]()
    assert host.depths == ["FREEING"]


def test_where_libvirt_waits_for_a_qemu_that_hangs_its_connections_are_seen_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen, looks = recorded("released-secondary"), []

    def observe(_libvirt: Any, _domain: str, _directory: str, depth: str, *_more: Any, **_named: Any) -> Observation:
        if depth != SILENT:
            raise Timeout("libvirt did not answer describe within 10 s")
        return replace(seen, depth=depth)

    monkeypatch.setattr(goals, "observe", observe)
    monkeypatch.setattr(goals, "converge", lambda *_given, look_to_free, **_options: looks.append(look_to_free))
    goals.run(GOALS["absent"], Request("web1"), None)
    found = looks[0]()
    assert (found.depth, found.monitor_problem) == (SILENT, "libvirt did not answer describe within 10 s")


@pytest.mark.parametrize("name", ["absent", "expendable"])
def test_what_takes_a_pair_apart_sees_one_of_which_a_qemu_hangs(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    seen, looks = recorded("protected-secondary"), []

    def observe(_libvirt: Any, _domain: str, _directory: str, depth: str, *_more: Any, **_named: Any) -> Observation:
        if depth != SILENT:
            raise Timeout("libvirt did not answer describe within 10 s")
        return replace(seen, depth=depth, monitor=None)

    monkeypatch.setattr(goals, "observe", observe)
    monkeypatch.setattr(goals, "converge", lambda _libvirt, _domain, look, *_given, **_options: looks.append(look))
    goals.run(GOALS[name], Request("web1"), None)
    assert (looks[0]().depth, looks[0]().asked) == (SILENT, True)


@pytest.mark.parametrize("name", sorted(name for name, goal in GOALS.items() if goal.needs_peer))
def test_what_needs_the_other_host_is_refused_without_it(name: str) -> None:
    with pytest.raises(ColoError, match=r"the other host is unreachable. .*lockstep\.colo\.failover"):
        goals.reach(name, Request("web1", role=GOALS[name].role), uri="none://", owner="a test")


@pytest.mark.parametrize(("name", "role"), [("started", "secondary"), ("expendable", "primary")])
def test_a_goal_of_the_other_half_is_refused(name: str, role: str) -> None:
    with pytest.raises(ColoError, match=f"a {role} cannot be {name}. State role {GOALS[name].role}, on its host"):
        goals.reach(name, Request("web1", role=role), uri="none://", owner="a test")


WITH_A_PEER = {
    "absent": ("listening-secondary", "described-primary"),
    "expendable": ("protected-secondary", "protected-primary"),
    "plain secondary": ("described-secondary", "described-primary"),
    "started": ("powered-off-primary", "stale-secondary"),
}


@pytest.mark.parametrize("name", WITH_A_PEER)
def test_a_peer_is_the_other_half_of_this_hosts_own_domain(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What another domain's host says moves nothing here, though it has this one's name."""
    seen, peer = map(recorded, WITH_A_PEER[name])
    Host(monkeypatch, seen)
    request = Request("web1", wanted=WANTED, peer=of_another_domain(peer), check=True)
    with pytest.raises(ColoError, match=rf"{peer.host.name} has another domain of this name \(UUID dead.*Rename or"):
        goals.run(GOALS[name], request, None)
    goals.run(GOALS[name], replace(request, peer=peer), None)


def test_a_preflight_says_all_that_is_wrong_of_another_domain_too(monkeypatch: pytest.MonkeyPatch) -> None:
    Host(monkeypatch, of_another_domain(recorded("described-secondary")))
    request = Request("web1", peer=recorded("described-primary"), check=True)
    with pytest.raises(
        ColoError, match=r"kvm2 has another domain of this name \(UUID dead.*\)\. Rename or undefine that one"
    ):
        goals.run(GOALS["described secondary"], request, None)


def test_what_was_projected_is_seen_in_check_mode_and_nothing_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, recorded("protected-secondary"))
    projected = recorded("described-secondary")
    request = Request("web1", wanted=WANTED, peer=recorded("described-primary"), check=True, projected=projected)
    assert goals.run(GOALS["present secondary"], request, None).before == projected
    assert host.depths == []
    host.looks("present secondary", replace(request, check=False), 1)
    assert host.depths == ["THOROUGH"]


@pytest.mark.parametrize(
    ("module", "params", "name"),
    [
        *((colo_disk, {"state": "present", "role": role}, f"described {role}") for role in ("primary", "secondary")),
        *((colo_disk, {"state": "absent", "role": role}, f"plain {role}") for role in ("primary", "secondary")),
        *((colo_pair, {"state": "present", "role": role}, f"present {role}") for role in ("primary", "secondary")),
        *(
            (colo_pair, {"state": state, "role": "primary"}, state)
            for state in ("absent", "started", "handed_over", "expendable", "without_vhost")
        ),
        (colo_failover, {}, "surviving"),
        (colo_fence, {}, "given_up"),
        (colo_drill, {}, "drilled"),
    ],
)
def test_a_module_asks_for_one_goal(
    monkeypatch: pytest.MonkeyPatch, module: Any, params: dict[str, Any], name: str
) -> None:
    class Made:
        def __init__(self, **spec: Any) -> None:
            self.params, self.spec = params, spec

    reached: list[str] = []
    monkeypatch.setattr(module, "AnsibleModule", Made)
    monkeypatch.setattr(module.modules, "reach", lambda _module, goal, *_also: reached.append(goal))
    module.main()
    assert reached == [name]
    assert name in GOALS


def test_every_goal_has_a_title_for_whoever_tells_of_it() -> None:
    assert set(titles.TITLES) == set(GOALS)
