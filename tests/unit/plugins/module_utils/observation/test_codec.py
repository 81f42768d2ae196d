# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import Unreadable, from_data, to_data
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Host, Job, Observation
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import NAMES, recorded


@dataclass(frozen=True)
class Part:
    size: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Whole:
    part: Part
    other: Part | None = None
    parts: tuple[Part, ...] = ()
    by_name: dict[str, Part] = field(default_factory=dict)


WHOLE = Whole(Part(1, ("a", "b")), None, (Part(2), Part(3)), {"x": Part(4)})


def test_dataclasses_of_every_shape_come_back_through_json() -> None:
    assert from_data(Whole, json.loads(json.dumps(to_data(WHOLE)))) == WHOLE
    other = dataclasses.replace(WHOLE, other=Part(9))
    assert from_data(Whole, json.loads(json.dumps(to_data(other)))) == other


@pytest.mark.parametrize("name", NAMES)
def test_recorded_observations_come_back_as_they_were(name: str) -> None:
    seen = recorded(name)
    again = from_data(Observation, json.loads(json.dumps(to_data(seen))))
    assert again == seen
    assert isinstance(again.host, Host)
    if seen.monitor:
        assert all(isinstance(job, Job) for job in again.monitor.jobs.values())
    hash(again.host), hash(again.record)  # tuples and not lists, however deep


def test_what_is_not_given_has_its_default() -> None:
    assert from_data(Whole, {"part": {"size": 1}}) == Whole(Part(1))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "part"),
        ({"part": {"size": 1}, "unknown": 1}, "unknown"),
        ({"part": {"size": 1, "unknown": 1}}, "part is 'unknown', not a field of Part"),
        (None, "not a mapping"),
        ([], "not a mapping"),
        ({"part": 7}, "part is 7, not a mapping"),
        ({"part": {"size": "1"}}, "part.size is '1', not a whole number"),
        ({"part": {"size": True}}, "part.size is True, not a whole number"),
        ({"part": {"size": 2**70}}, "part.size is 1180591620717411303424, not a whole number"),
        ({"part": {"size": -(10**5000)}}, "part.size is int, not a whole number"),
        ({"part": {"size": float("nan")}}, "not a whole number"),
        ({"part": {"size": 1, "names": "abc"}}, "part.names is 'abc', not a list"),
        ({"part": {"size": 1, "names": [1]}}, "part.names[0] is 1, not a text"),
        ({"part": {"size": 1, "names": ["a\0b"]}}, "not a text that can be written"),
        ({"part": {"size": 1, "names": ["\ud800"]}}, "not a text that can be written"),
        ({"part": {"size": 1, "names": ["x" * (1 << 17)]}}, "part.names[0] is str, not a text of at most 65536"),
        ({"part": {"size": 1, "names": ["x"] * 5000}}, "part.names is list, not a list of at most 4096"),
        ({"part": {"size": 1}, "by_name": [["x", {}]]}, "by_name is list, not a mapping"),
        ({"part": {"size": 1}, "by_name": {7: {"size": 1}}}, "a key of by_name is 7, not a text"),
    ],
)
def test_what_is_no_such_thing_is_refused_with_the_place_of_it(data: object, words: str) -> None:
    with pytest.raises(Unreadable) as refused:
        from_data(Whole, data)
    assert words in str(refused.value)
    assert len(str(refused.value)) < 300


@dataclass(frozen=True)
class Loose:
    share: float = 0.0
    flag: bool = False
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)


@pytest.mark.parametrize(
    "data",
    [
        {"share": "1"},
        {"share": float("inf")},
        {"flag": 1},
        {"flag": "yes"},
        {"settings": {"a": {"b": [1]}}},
        {"settings": {"a": {"b": {"c": {}}}}},
        {"settings": {"a": {"b": "x" * (1 << 17)}}},
    ],
)
def test_a_setting_is_one_value_and_a_flag_is_a_flag(data: object) -> None:
    with pytest.raises(Unreadable):
        from_data(Loose, data)


def test_every_field_of_an_observation_is_of_a_kind_that_is_known() -> None:
    """A field of a kind that the codec does not know would be a traceback on the other host."""
    for name in NAMES:
        from_data(Observation, to_data(recorded(name)))
