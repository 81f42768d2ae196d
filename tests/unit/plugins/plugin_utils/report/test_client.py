# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.plugin_utils.report import client
from ansible_collections.lockstep.colo.tests.unit.plugins.plugin_utils.report import cases


def test_what_a_probe_says() -> None:
    found = client.read(cases.PROBE)
    assert (found["acknowledged"], found["checked"], found["lost"], found["boots"]) == (5556, 5556, 0, 1)
    assert (found["outage_ms"], found["outage_of"]) == (16200.0, "acks")
    assert list(found["kinds"]) == ["acks", "pings"]
    assert found["event"] == "2026-11-23T02:14:00.000Z"
    assert found["kinds"]["acks"]["first_after"] == "2026-11-23T02:14:16.100Z"


def test_an_outage_of_the_whole_counts_before_that_of_a_kind() -> None:
    found = client.read({**cases.PROBE, "outage_ms": 14900.0})
    assert (found["outage_ms"], found["outage_of"]) == (14900.0, None)


def test_times_of_another_clock_mean_nothing_here() -> None:
    found = client.read({**cases.PROBE, "clock": "monotonic"})
    assert found["event"] is None
    assert found["kinds"]["acks"]["first_after"] is None
    assert found["outage_ms"] == 16200.0


@pytest.mark.parametrize(("lost", "number"), [(3, 3), ([7, 8], 2), ([], 0), (None, None), ("many", None), (True, None)])
def test_lost_writes_are_a_number_or_a_list(lost: Any, number: int | None) -> None:
    assert client.read({"acknowledged": 9, "lost": lost})["lost"] == number


def test_the_number_counts_before_a_list_that_was_cut_off() -> None:
    assert client.read({"lost": [1, 2], "lost_count": 1500})["lost"] == 1500


@pytest.mark.parametrize(
    ("probe", "number"),
    [
        ({"acknowledged": 7, "acks": {"count": 9}}, 7),
        ({"disks": {"0": {"distinct": 4}, "1": {"distinct": 5}}, "acks": {"count": 12}}, 9),
        ({"acks": {"count": 12}}, 12),
        ({"boots": 1}, None),
    ],
)
def test_how_many_writes_were_acknowledged(probe: dict[str, Any], number: int | None) -> None:
    assert client.read(probe)["acknowledged"] == number


@pytest.mark.parametrize("probe", [None, {}, [], "nothing"])
def test_no_probe_is_nothing(probe: Any) -> None:
    assert client.read(probe) is None
