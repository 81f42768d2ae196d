# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The standby's plan, carried out on the model from every recorded state and from wherever a run may be killed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import own_node, proxy, received, states
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import (
    Checkpoints,
    Heard,
    Observation,
    Received,
)
from ansible_collections.lockstep.colo.plugins.module_utils.plan import listen as plan_standby
from ansible_collections.lockstep.colo.plugins.module_utils.plan import protect
from ansible_collections.lockstep.colo.plugins.module_utils.plan.plan import Plan
from ansible_collections.lockstep.colo.plugins.module_utils.plan.step import Step
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import remarks
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Refusal
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils import rules
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.pair_plans import commands
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import WANTED, heard_just_now, recorded

STANDBYS = [
    "described-secondary", "started-secondary", "one-parked-secondary", "parked-secondary", "half-in-secondary",
    "layered-secondary", "exporting-secondary", "listening-secondary",
]  # fmt: skip


def started(seen: Observation, step: Step) -> Observation:
    """What a start brings is not for a model to know: the recorded one."""
    if step.action != "start_paused":
        return rules.after(seen, step)
    fresh = recorded("started-secondary")
    return replace(fresh, domain=replace(fresh.domain, record=seen.record))


def secondary(seen: Observation) -> Plan:
    return plan_standby.secondary(WANTED, seen, recorded("described-primary"))


def listen(seen: Observation) -> tuple[Observation, list[str]]:
    done = []
    for _round in range(rules.MAX_ROUNDS):
        pivoted = False
        for step in secondary(seen).steps:
            seen = started(seen, step)
            done.append(step.action)
            pivoted = step.pivot
            if pivoted:
                break
        if not pivoted:
            return seen, done
    raise AssertionError("no end")


@pytest.mark.parametrize("name", STANDBYS)
def test_from_every_half_way_state_the_standby_comes_to_listen(name: str) -> None:
    seen, done = listen(recorded(name))
    assert protect.primary(WANTED, recorded("described-primary"), seen).steps
    assert secondary(seen).steps == ()
    assert all(nic.tap_up is False for nic in seen.domain.nics), "or its packets would reach the network"
    assert ("destroy" in done) is (name not in ("described-secondary", "started-secondary", "listening-secondary"))


def test_a_standby_that_is_killed_anywhere_is_made_to_listen_by_the_next_run() -> None:
    for left in rules.walk(recorded("started-secondary"), secondary(recorded("started-secondary")).steps):
        seen, _done = listen(left)
        assert secondary(seen).steps == ()


def test_links_go_down_before_anything_else() -> None:
    up = recorded("started-secondary")
    up = replace(up, domain=replace(up.domain, nics=tuple(replace(nic, tap_up=True) for nic in up.domain.nics)))
    actions = [step.action for step in secondary(up).steps]
    assert actions[: len(up.domain.nics)] == ["link"] * len(up.domain.nics)


def test_the_port_for_the_guest_opens_last() -> None:
    assert commands(secondary(recorded("started-secondary")))[-1] == "migrate-incoming"


def test_a_standby_that_starts_again_is_incomplete_first() -> None:
    whole = recorded("protected-secondary")
    stopped = rules.after(whole, Step("", "destroy"))
    plan = secondary(stopped)
    assert [step.action for step in plan.steps[:2]] == ["record", "start_paused"]
    assert rules.after(stopped, plan.steps[0]).record.complete is None


def test_what_check_mode_projects_for_a_standby_lets_the_primary_be_planned() -> None:
    plan = secondary(recorded("described-secondary"))
    assert plan.steps[0].action == "start_paused"
    assert protect.primary(WANTED, recorded("described-primary"), plan.after).steps


@pytest.mark.parametrize(
    ("here", "there", "kinds"),
    [
        ({"mirror": 2, "compare": 2}, {"mirror": 0, "compare": 0}, {"mirror", "compare"}),
        ({"mirror": 2, "compare": 1}, {"mirror": 2, "compare": 0}, {"compare"}),
        ({"mirror": 2, "compare": 2, "nbd": 2}, {"mirror": 2, "compare": 2, "nbd": 0}, set()),
        ({"mirror": 0, "compare": 0}, {"mirror": 0, "compare": 0}, set()),
        ({"mirror": 2, "compare": 2}, None, set()),
        (None, {"mirror": 0, "compare": 0}, set()),
    ],
    ids=[
        "its power was gone",
        "one of them",
        "a copying that begins anew",
        "none yet",
        "unknown there",
        "unknown here",
    ],
)
def test_a_standby_does_not_stay_with_connections_that_its_primary_has_lost(
    here: dict[str, int] | None, there: dict[str, int] | None, kinds: set[str]
) -> None:
    """It would wait for ever for a primary that listens anew; seen after the loss of its host in the first sync.

    Nor are they reset: it would connect anew, and not read what comes.
    """
    seen = replace(recorded("listening-secondary"), connections=here)
    plan = plan_standby.secondary(WANTED, seen, replace(recorded("described-primary"), connections=there))
    assert [step.action for step in plan.steps[:2]] == (["destroy", "start_paused"] if kinds else [])


def test_a_standby_that_does_not_read_its_socket_any_more_is_renewed() -> None:
    """Seen after a sync that a full disk had stopped: the primary let go of it, and hung in the lockstep after that."""
    seen, peer = recorded("listening-secondary"), recorded("described-primary")
    assert plan_standby.secondary(WANTED, seen, peer).steps == ()
    deaf = replace(seen, monitor=replace(seen.monitor, unread=("colo-net0-red-in", "colo-net0-red-out")))
    plan = plan_standby.secondary(WANTED, deaf, peer)
    assert [step.action for step in plan.steps[:2]] == ["destroy", "start_paused"]


def test_a_socket_that_is_only_written_to_is_none_that_has_to_be_read() -> None:
    seen = recorded("listening-secondary")
    unread = replace(seen, monitor=replace(seen.monitor, unread=("colo-net0-red-out",)))
    assert plan_standby.secondary(WANTED, unread, recorded("described-primary")).steps == ()


def sent(plan: Plan) -> list[tuple[str, str | None, str | None]]:
    """The commands of a plan, each with the id and the place that it names."""
    said = [(step.arguments["command"], step.arguments["arguments"]) for step in plan.steps if step.action == "qmp"]
    return [(command, given.get("id"), given.get("position")) for command, given in said]


def completed(seen: Observation) -> Observation:
    """What the next run makes of a standby in lockstep."""
    return rules.settle(seen, lambda now: plan_standby.secondary(WANTED, now, recorded("protected-primary")))


def mirror_is_closed(seen: Observation) -> Observation:
    chardevs = {**seen.monitor.chardevs, "colo-net0-red-in": "disconnected:tcp:10.77.0.1:21602"}
    return replace(seen, monitor=replace(seen.monitor, chardevs=chardevs))


def mirror_is_unread(seen: Observation) -> Observation:
    return replace(seen, monitor=replace(seen.monitor, unread=("colo-net0-red-in",)))


ANEW_FOR_THE_MIRROR = [
    ("object-del", "colo-net0-f-red-in", None),
    ("chardev-remove", "colo-net0-red-in", None),
    ("chardev-add", "colo-net0-red-in", None),
    ("object-add", "colo-net0-f-red-in", "id=colo-net0-f-red-out"),
]


@pytest.mark.parametrize("struck", [mirror_is_closed, mirror_is_unread])
def test_a_filter_whose_socket_was_closed_gets_another_one_in_its_place(
    struck: Callable[[Observation], Observation],
) -> None:
    deaf = struck(recorded("protected-secondary"))
    plan = plan_standby.secondary(WANTED, deaf, recorded("protected-primary"))
    assert sent(plan) == ANEW_FOR_THE_MIRROR
    assert (plan.steps[-1].arguments["until"], plan.steps[-1].arguments["names"]) == ("connected", ["colo-net0-red-in"])
    assert not list(states.drifted(plan.after))
    assert any("which gets no packets" in words for words in remarks.problems(deaf))
    for left in rules.walk(deaf, plan.steps):
        assert not list(states.drifted(completed(left)))


def test_a_standby_whose_answers_do_not_get_to_the_comparison_is_renewed() -> None:
    seen = recorded("protected-secondary")
    chardevs = {**seen.monitor.chardevs, "colo-net1-red-out": "disconnected:tcp:10.77.0.1:21605"}
    struck = replace(seen, monitor=replace(seen.monitor, chardevs=chardevs))
    plan = plan_standby.secondary(WANTED, struck, recorded("protected-primary"))
    assert plan.steps[0].title == "end the standby that is no use"


def test_the_connections_of_lockstep_are_not_made_anew_by_qemu() -> None:
    """Before a standby may be promoted; those with which it waited for its primary are."""
    seen, peer = recorded("incomplete-secondary"), recorded("protected-primary")
    plan = plan_standby.secondary(WANTED, seen, peer)
    added = [step.arguments["arguments"] for step in plan.steps if step.arguments.get("command") == "chardev-add"]
    assert [part["id"] for part in added] == [f"colo-net{nic}-red-{way}" for nic in (0, 1) for way in ("in", "out")]
    assert {part["backend"]["data"]["reconnect-ms"] for part in added} == {1000 * proxy.NEVER_SECONDS}
    assert sent(plan)[:4] == ANEW_FOR_THE_MIRROR
    assert sent(plan)[7] == ("object-add", "colo-net0-f-red-out", "id=rewriter-net0")
    # Mirrored packets alone are sent by a QEMU that notices no end, and answers must come whole.
    assert [step.arguments["ports"] for step in plan.steps if step.action == "release"] == [[21602], [21604]]
    assert [step.action for step in plan.steps[-2:]] == ["wait", "record"]
    assert plan_standby.secondary(WANTED, plan.after, peer).steps == ()


def test_a_run_that_was_killed_while_it_connects_anew_is_brought_to_its_end_by_the_next() -> None:
    seen, peer = recorded("incomplete-secondary"), recorded("protected-primary")
    for left in rules.walk(seen, plan_standby.secondary(WANTED, seen, peer).steps):
        after = completed(left)
        assert after.record.complete == after.record.generation
        assert not list(states.drifted(after))


@pytest.mark.parametrize("lacking", [{"received": Received(failed="EIO")}, {"known_to_lack": True}])
def test_a_standby_that_lacks_writes_is_renewed(lacking: dict[str, object]) -> None:
    seen, peer = recorded("protected-secondary"), recorded("protected-primary")
    assert "destroy" not in [step.action for step in plan_standby.secondary(WANTED, seen, peer).steps]
    steps = plan_standby.secondary(WANTED, replace(seen, **lacking), peer).steps
    assert [step.action for step in steps[:2]] == ["destroy", "record"], "and it may not be promoted before that"


def test_a_standby_that_listens_is_renewed_once_its_disk_has_failed() -> None:
    """It would answer each flush with the same error for as long as it runs, whatever became of the disk."""
    seen = replace(recorded("listening-secondary"), received=Received(failed="EIO"))
    assert secondary(seen).steps[0].action == "destroy"
    assert not secondary(replace(seen, received=Received())).steps


def test_what_is_to_be_logged_is_told_before_the_primary_can_connect() -> None:
    order = commands(secondary(recorded("started-secondary")))
    assert order.count("trace-event-set-state") == len(received.TRACED)
    assert max(at for at, name in enumerate(order) if name == "trace-event-set-state") < order.index("nbd-server-start")


@pytest.mark.parametrize("proof", [None, Checkpoints(30.0, 0)])
def test_a_standby_is_complete_only_when_a_whole_checkpoint_was_seen(proof: Checkpoints | None) -> None:
    seen, peer = recorded("incomplete-secondary"), recorded("protected-primary")
    assert peer.checkpoints.count > 0
    plan = plan_standby.secondary(WANTED, seen, peer)
    assert {step.action for step in plan.steps} == {"qmp", "release", "wait", "record"}
    assert plan.after.record.complete == plan.after.record.generation
    assert plan_standby.secondary(WANTED, seen, replace(peer, checkpoints=proof)).steps == ()


def test_a_standby_that_its_primary_left_behind_is_ended() -> None:
    standby = replace(recorded("protected-secondary"), heard=Heard("2026-11-23 02:13:05 UTC", 600.0))
    assert plan_standby.secondary(WANTED, standby, recorded("described-primary")).steps[0].action == "destroy"
    for peer in ("protected-primary", "pre-switchover-primary"):
        assert "destroy" not in [step.action for step in plan_standby.secondary(WANTED, standby, recorded(peer)).steps]


@pytest.mark.parametrize("name", ["protected-secondary", "listening-secondary", "started-secondary"])
def test_a_standby_whose_image_was_removed_is_made_anew(name: str) -> None:
    seen = recorded(name)
    path = seen.record.disks[0].hidden
    lacking = replace(seen, domain=replace(seen.domain, deleted=("/tmp/x", path)))
    plan = plan_standby.secondary(WANTED, lacking, recorded("protected-primary"))
    assert plan.steps[0].action == "destroy"
    assert plan.steps[0].pivot
    other = replace(seen, domain=replace(seen.domain, deleted=("/tmp/x",)))
    assert "destroy" not in [
        step.action for step in plan_standby.secondary(WANTED, other, recorded("protected-primary")).steps
    ]


def test_a_dry_run_shows_the_new_standby_as_well() -> None:
    """What follows the end of the old one: the primary's plan needs a peer that listens."""
    seen = recorded("protected-secondary")
    lacking = replace(seen, domain=replace(seen.domain, deleted=(seen.record.disks[0].hidden,)))
    plan = plan_standby.secondary(WANTED, lacking, recorded("protected-primary"))
    assert "start_paused" in [step.action for step in plan.steps]
    assert plan.after.monitor.status == states.INCOMING
    protect.primary(WANTED, recorded("protected-primary"), plan.after)


@pytest.mark.parametrize("kind", ["migration", "nbd"])
def test_a_standby_that_waits_and_does_not_listen_is_renewed(kind: str) -> None:
    """QEMU waits on when it was refused the port, or its listener was ended: in the state of one that listens."""
    seen = recorded("listening-secondary")
    port = next(channel.port for channel in seen.record.channels() if channel.kind == kind)
    deaf = replace(seen, host=replace(seen.host, ports=tuple(one for one in seen.host.ports if one != port)))
    assert not plan_standby.secondary(WANTED, seen, recorded("described-primary")).steps
    plan = plan_standby.secondary(WANTED, deaf, recorded("described-primary"))
    assert plan.steps[0].title == "end the standby that is no use"


def _without(seen: Observation, what: str) -> Observation:
    """A standby that listens, out of which somebody took one thing."""
    monitor, first = seen.monitor, seen.domain.disks[0]
    parts = {part.name for part in states.proxy_parts(seen)}
    chardev = next(name for name in monitor.chardevs if name in parts)
    filters = next(name for name in monitor.objects if name in parts)
    libvirts = replace(first, node=own_node.libvirt_node(monitor, first))
    changes = {
        "an export": {"exports": monitor.exports[1:]},
        "x-colo": {"migration": replace(monitor.migration, capabilities=())},
        "a socket of the proxy": {"chardevs": {k: v for k, v in monitor.chardevs.items() if k != chardev}},
        "a filter": {"objects": {k: v for k, v in monitor.objects.items() if k != filters}},
        "the wait for its guest": {"migration": replace(monitor.migration, status="none")},
        "the layers under a disk": {},
    }
    domain = replace(seen.domain, disks=(libvirts, *seen.domain.disks[1:])) if what.startswith("the layers") else None
    return replace(seen, monitor=replace(monitor, **changes[what]), domain=domain or seen.domain)


@pytest.mark.parametrize(
    "what",
    ["an export", "x-colo", "a socket of the proxy", "a filter", "the wait for its guest", "the layers under a disk"],
)
def test_a_standby_that_lacks_one_thing_is_renewed(what: str) -> None:
    """QEMU says inmigrate all the same, and its port may be open."""
    lacking = _without(recorded("listening-secondary"), what)
    assert lacking.monitor.status == states.INCOMING
    plan = plan_standby.secondary(WANTED, lacking, recorded("described-primary"))
    assert plan.steps[0].title == "end the standby that is no use"


def test_a_standby_that_takes_the_guest_listens_for_it_no_more() -> None:
    seen = recorded("listening-secondary")
    port = next(channel.port for channel in seen.record.channels() if channel.kind == "migration")
    monitor = replace(seen.monitor, migration=replace(seen.monitor.migration, status="active"))
    host = replace(seen.host, ports=tuple(one for one in seen.host.ports if one != port))
    assert states.listens(replace(seen, monitor=monitor, host=host))


def test_a_standby_that_another_run_has_brought_into_lockstep_meanwhile_is_not_ended() -> None:
    """The primary was looked at before; a connection over which nothing comes any more protects no standby."""
    standby, before = heard_just_now(recorded("protected-secondary")), recorded("described-primary")
    with pytest.raises(Refusal, match="another run has brought the pair there since kvm1 was looked at"):
        plan_standby.secondary(WANTED, standby, before)
    silent = replace(standby, heard=replace(standby.heard, seconds=11.0))
    for left in (silent, replace(standby, peer_sockets=()), replace(standby, heard=None)):
        assert next(step.action for step in plan_standby.secondary(WANTED, left, before).steps) == "destroy"
    assert plan_standby.secondary(WANTED, standby, recorded("protected-primary")).steps == ()
    lacking = recorded("protected-primary")
    lacking = replace(lacking, monitor=replace(lacking.monitor, lost_writes="io-error"))
    assert plan_standby.secondary(WANTED, standby, lacking).steps[0].action == "destroy", "it lacks what was written"


def test_a_peer_without_the_domain_is_refused_in_words() -> None:
    with pytest.raises(Refusal, match="kvm2 has no record of this pair"):
        plan_standby.secondary(WANTED, recorded("protected-secondary"), recorded("unprotected-secondary"))


def test_no_standby_is_started_of_a_domain_whose_passwords_stayed_behind() -> None:
    there = recorded("described-primary")
    redacted = replace(there, domain=replace(there.domain, redacted=True))
    with pytest.raises(Refusal, match="the domain has passwords, and peer came without them"):
        plan_standby.secondary(WANTED, recorded("described-secondary"), redacted)
