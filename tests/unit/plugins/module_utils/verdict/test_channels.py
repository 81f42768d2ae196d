# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Existence is not connection: a pair whose packets have no way is not protected, and says which."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import channels, pair
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

PRIMARY, STANDBY = recorded("protected-primary"), recorded("protected-secondary")


def apart(seen: Observation, name: str) -> Observation:
    chardevs = {**seen.monitor.chardevs, name: "disconnected:tcp:10.77.0.1:21603,server=on"}
    return replace(seen, monitor=replace(seen.monitor, chardevs=chardevs))


def unheard(seen: Observation) -> Observation:
    return replace(seen, stuck_sockets=seen.peer_sockets[:1])


@pytest.mark.parametrize(
    ("primary", "standby", "says"),
    [
        (apart(PRIMARY, "colo-net0-mirror"), STANDBY, "kvm1: the packet proxy's socket colo-net0-mirror is not"),
        (apart(PRIMARY, "colo-net1-compare-in"), STANDBY, "socket colo-net1-compare-in is not connected (tcp:10.77"),
        (PRIMARY, apart(STANDBY, "colo-net0-red-out"), "kvm2: the packet proxy's socket colo-net0-red-out is not"),
        (unheard(PRIMARY), STANDBY, "kvm1: nothing sent over 10.77.0.1:21602 to 10.77.0.2:"),
        (PRIMARY, unheard(STANDBY), "kvm2: nothing sent over 10.77.0.2:21600 to 10.77.0.1:"),
    ],
)
def test_no_pair_is_protected_with_a_channel_that_nothing_comes_through(primary, standby, says: str) -> None:
    assert pair.pair(PRIMARY, STANDBY).phase == "protected"
    found = pair.pair(primary, standby)
    assert found.phase == "degraded"
    assert any(says in words and "firewalls" in words for words in found.problems), found.problems


def quiet(seconds: float) -> Observation:
    first, *_others = (channel for channel in PRIMARY.record.channels() if channel.nic)
    return replace(PRIMARY, quiet={str(first.port): seconds})


def test_of_a_nic_over_which_nothing_is_sent_it_is_said_that_nobody_knows() -> None:
    first = next(channel for channel in PRIMARY.record.channels() if channel.nic)
    found = pair.pair(quiet(840.2), STANDBY)
    assert found.phase == "protected"
    assert found.problems == pair.pair(PRIMARY, STANDBY).problems
    (words,) = set(found.notes) - set(pair.pair(PRIMARY, STANDBY).notes)
    assert words.startswith(
        f"kvm1: whether the {first.kind} channel of NIC {first.nic} (port {first.port}) comes through"
    )
    assert "nothing was sent over it for 14 min" in words
    assert pair.pair(quiet(20.0), STANDBY).notes == pair.pair(PRIMARY, STANDBY).notes
    stuck = replace(quiet(840.2), stuck_sockets=(f"{first.address}:{first.port} 10.77.0.2:40000",))
    assert channels.unproven(stuck) == [], "something was sent"
    ordinary = replace(quiet(840.2), monitor=replace(PRIMARY.monitor, colo="none"))
    assert channels.unproven(ordinary) == [], "nothing is compared"


def test_why_a_standby_does_not_answer_its_sockets_tell() -> None:
    """As seen on hosts whose firewall dropped what compares packets."""
    hangs = replace(unheard(STANDBY), monitor=None, monitor_problem="QEMU did not answer query-status within 3 s")
    found = pair.pair(PRIMARY, hangs)
    assert found.phase == "degraded"
    assert any(words.startswith("kvm2: nothing sent over") and "firewalls" in words for words in found.problems)
    ended = replace(hangs, domain=replace(STANDBY.domain, state="shutoff", live_xml=None))
    assert channels.cut(ended) == [], "what its QEMU left in the kernel"


def test_a_standby_that_listens_has_nobody_to_be_connected_with_yet() -> None:
    assert channels.cut(recorded("listening-secondary")) == []
