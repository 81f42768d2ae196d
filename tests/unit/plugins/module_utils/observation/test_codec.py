# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import from_data, to_data
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
    "data", [{}, {"part": {"size": 1}, "unknown": 1}, {"part": {"size": 1, "unknown": 1}}, None, []]
)
def test_what_is_no_such_thing_is_refused(data: object) -> None:
    with pytest.raises((TypeError, AttributeError)):
        from_data(Whole, data)
