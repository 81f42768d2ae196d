# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two versions of the core say that they are two, instead of failing on a key that one of them does not know."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.front import modules
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import to_data
from ansible_collections.lockstep.colo.plugins.module_utils.observation.format import number
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded


@dataclass(frozen=True)
class Inner:
    size: int


@dataclass(frozen=True)
class One:
    inner: tuple[Inner, ...] = ()


@dataclass(frozen=True)
class Renamed:
    inner: tuple[Inner, ...] = ()


def test_the_number_follows_from_the_fields_however_deep() -> None:
    before = number(One)
    assert number(Renamed) != before
    Inner.__annotations__["size"] = "str"
    number.cache_clear()
    assert number(One) != before
    Inner.__annotations__["size"] = "int"
    number.cache_clear()
    assert number(One) == before


def test_an_observation_carries_it() -> None:
    seen = recorded("protected-primary")
    assert seen.format == number(Observation) == to_data(seen)["format"]
    assert modules.observation(to_data(seen), "peer") == seen


def test_that_of_another_version_is_refused_in_words_before_any_key_is_read() -> None:
    data = {**to_data(recorded("protected-primary")), "format": 1, "more": "than this version knows"}
    with pytest.raises(ColoError, match=r"another format .*different versions.*Run the same version on both"):
        modules.observation({"observation": data}, "peer")


def test_a_recording_without_a_number_is_read() -> None:
    data = {key: value for key, value in to_data(recorded("protected-primary")).items() if key != "format"}
    assert modules.observation(data, "peer") == recorded("protected-primary")
