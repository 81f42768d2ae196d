# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words about the way from a guest to its clients, for what a bridge was seen to have."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Announced, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import pair, reach, remarks
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

MAC = recorded("failed-over-secondary").domain.nics[0].mac
HEARD = Announced(MAC, "vnet0", "br0", "vnet0", ("eth0",), True, True)
CONFINED = replace(HEARD, uplinks=(), left=False, answered=False)


def after(*places: Announced, uplink: bool | None = None) -> Observation:
    """A survivor whose NIC is there, and had an uplink or had none when the pair was formed."""
    seen = recorded("failed-over-secondary")
    record = replace(seen.record, nics=tuple(replace(nic, uplink=uplink) for nic in seen.record.nics))
    domain = replace(seen.domain, record=record, nics=seen.domain.nics[:1])
    return replace(seen, domain=domain, announced=places)


@pytest.mark.parametrize(
    "place",
    [
        HEARD,
        replace(HEARD, learned=None),  # a bridge need not learn
        replace(HEARD, left=None),  # not watched
        CONFINED,
    ],
)
def test_of_a_guest_that_is_heard_nothing_is_wrong(place: Announced) -> None:
    assert list(reach.unheard(after(place))) == []


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (replace(HEARD, left=False), f"nothing that NIC {MAC} of the guest sends leaves this host by eth0"),
        (replace(HEARD, bridge=None, learned=None, uplinks=(), left=False), "its tap vnet0 is a port of no bridge"),
        (replace(HEARD, learned="eth0"), "another guest with this address answers, on another host"),
    ],
)
def test_a_guest_that_nobody_hears_is_named_wherever_it_is_spoken_of(place: Announced, words: str) -> None:
    seen = after(place)
    assert words in " ".join(reach.unheard(seen))
    assert words in " ".join(remarks.problems(seen))
    assert words in " ".join(pair.pair(seen, None).problems)


@pytest.mark.parametrize("left", [False, None])
def test_a_bridge_that_has_lost_its_uplink_is_a_problem(left: bool | None) -> None:
    seen = after(replace(CONFINED, left=left), uplink=True)
    (words,) = reach.unheard(seen)
    assert "as the guest's had when the pair was formed: clients do not reach it" in words
    assert words in " ".join(remarks.problems(seen))
    assert not list(reach.confined(seen))


@pytest.mark.parametrize("uplink", [False, None])
def test_a_bridge_that_leads_nowhere_as_before_is_a_note(uplink: bool | None) -> None:
    seen = after(CONFINED, uplink=uplink)
    assert list(reach.unheard(seen)) == []
    assert "only its guests and this host reach it" in " ".join(remarks.notes(seen))
    assert not list(reach.confined(after(HEARD)))


@pytest.mark.parametrize(
    ("places", "uplink", "why", "words"),
    [
        ((HEARD,), True, None, None),
        ((CONFINED,), False, None, None),
        ((replace(HEARD, left=False, answered=False),), True, None, None),  # which is told as what is wrong
        ((CONFINED,), None, None, "whether the other host's had one, this pair's record does not say"),
        ((replace(HEARD, left=None, answered=None),), True, "no raw sockets", "it was not watched .*: no raw sockets"),
        ((), True, None, "it was not watched .*: its tap vnet0 is a port of a switch that is no bridge of the kernel"),
        ((replace(HEARD, answered=False),), True, None, "leaves this host by eth0, and nobody was heard to send it"),
    ],
)
def test_what_was_not_seen_of_a_guests_way_is_not_taken_for_well(
    places: tuple[Announced, ...], uplink: bool | None, why: str | None, words: str | None
) -> None:
    found = list(reach.unsure(after(*places, uplink=uplink), why))
    assert len(found) == (words is not None)
    assert not found or re.search(words, found[0])


def test_uplinks_are_known_of_the_bridges_that_were_looked_at() -> None:
    seen = recorded("protected-primary")
    macs = [nic.mac for nic in seen.domain.nics]
    assert reach.with_uplink(seen) == dict.fromkeys(macs, True)
    lans = tuple(replace(lan, uplinks=()) for lan in seen.host.lans)
    assert reach.with_uplink(replace(seen, host=replace(seen.host, lans=lans))) == dict.fromkeys(macs, False)
    assert reach.with_uplink(replace(seen, host=replace(seen.host, lans=()))) == {}
