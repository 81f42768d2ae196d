# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words about the way from a guest to its clients, for what a bridge was seen to have."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Announced, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import pair, reach, remarks
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

HEARD = Announced("52:54:00:00:00:01", "vnet0", "br0", "vnet0", ("eth0",), True)


def after(place: Announced) -> Observation:
    return replace(recorded("failed-over-secondary"), announced=(place,))


@pytest.mark.parametrize(
    "place",
    [
        HEARD,
        replace(HEARD, learned=None),  # a bridge need not learn
        replace(HEARD, left=None),  # not watched
        replace(HEARD, uplinks=(), left=False),
    ],
)
def test_of_a_guest_that_is_heard_nothing_is_wrong(place: Announced) -> None:
    assert list(reach.unheard(after(place))) == []


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (replace(HEARD, left=False), "nothing that NIC 52:54:00:00:00:01 of the guest sends leaves this host by eth0"),
        (replace(HEARD, bridge=None, learned=None, uplinks=(), left=False), "its tap vnet0 is a port of no bridge"),
        (replace(HEARD, learned="eth0"), "another guest with this address answers, on another host"),
    ],
)
def test_a_guest_that_nobody_hears_is_named_wherever_it_is_spoken_of(place: Announced, words: str) -> None:
    seen = after(place)
    assert words in " ".join(reach.unheard(seen))
    assert words in " ".join(remarks.problems(seen))
    assert words in " ".join(pair.pair(seen, None).problems)


def test_a_bridge_that_leads_nowhere_is_a_note() -> None:
    seen = after(replace(HEARD, uplinks=(), left=False))
    assert "has no port but those of guests" in " ".join(remarks.notes(seen))
    assert not list(reach.confined(after(HEARD)))
