# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What another host's watcher says is data of a known shape, or it is refused."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.word import Half, Speech, speech
from hypothesis import given
from hypothesis import strategies as st

HALF = Half("u-1", "m1", 3, "primary", "8 123", running=True)
SAID = Speech("m1", "b1", 7, "n0", (HALF,))


def data(**changes: Any) -> dict[str, Any]:
    return {**json.loads(json.dumps(asdict(SAID))), **changes}


def half(**changes: Any) -> dict[str, Any]:
    return data(halves=[{**asdict(HALF), **changes}])


def test_what_is_said_arrives() -> None:
    assert speech(data()) == SAID


@pytest.mark.parametrize(
    "wrong",
    [
        [], None, 3, {}, data(more=1), data(nonce=1), data(nonce="x" * 100), data(number=-1), data(number=True),
        data(number=2**64), data(halves={}), data(halves=[3]), data(halves=[{}]), data(machine_id="a/b"),
        data(halves=[asdict(HALF)] * 300), half(generation="3"), half(role="king"), half(running=1),
        half(process="../x"), data(format=True), data(format="1"),
        half(generation=1.5), half(extra=None), half(uuid=None),
    ],
    ids=repr,
)  # fmt: skip
def test_everything_else_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"is no|has|are no|neither"):
        speech(wrong)


@pytest.mark.parametrize("more", [{}, {"halves": 3}, {"mood": "new"}], ids=repr)
def test_another_version_is_named_before_any_key_is_read(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"another version of this collection.*\(00000001, here it is \w{8}\)"):
        speech(data(format=1, **more))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(data())), inner, max_size=5),
    max_leaves=12,
)


@given(JSON)
def test_nothing_but_a_refusal_comes_of_what_is_no_speech(value: Any) -> None:
    try:
        assert isinstance(speech(value), Speech)
    except ValueError:
        pass
