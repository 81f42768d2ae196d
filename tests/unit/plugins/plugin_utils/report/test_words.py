# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.plugin_utils.report import words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "not known"), (0, "0 ms"), (0.0042, "4.2 ms"), (0.055, "55 ms"), (0.9996, "1.00 s"), (2.558, "2.56 s"),
        (9.996, "10.0 s"), (31.24, "31.2 s"), (119.6, "2 min 0 s"), (192, "3 min 12 s"), (7260, "2 h 1 min"),
    ],
)  # fmt: skip
def test_a_duration_has_the_digits_that_matter(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "not known"), (0, "0 bytes"), (1536, "1.5 KiB"), (67108864, "64 MiB"), (1 << 50, "1024 TiB")],
)
def test_a_size(number: int | None, text: str) -> None:
    assert words.size(number) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2026-11-23T02:14:15.645+00:00", "2026-11-23 02:14:15 UTC"),
        ("2026-11-23T02:14:15Z", "2026-11-23 02:14:15 UTC"),
        ("2026-11-23 04:14:15+02:00", "2026-11-23 02:14:15 UTC"),
        ("2026-11-23T02:14:15", "2026-11-23 02:14:15 UTC"),
        ("yesterday", "not known"),
        ("0001-01-01T00:00:00+23:59", "not known"),
        ("9999-12-31T23:59:59-23:59", "not known"),
        (1795400055, "not known"),
        (None, "not known"),
    ],
)
def test_a_time_is_utc_or_not_known(value: Any, text: str) -> None:
    assert words.clock(words.moment(value)) == text


@pytest.mark.parametrize("value", [None, True, "1795400055", float("nan"), 1e30])
def test_what_is_no_number_of_seconds_is_no_time(value: Any) -> None:
    assert words.epoch(value) is None


@pytest.mark.parametrize(("value", "seconds"), [("9999-12-31T23:59:59Z", 5), ("0001-01-01T00:00:00Z", -5)])
def test_what_no_calendar_has_is_no_time(value: str, seconds: float) -> None:
    when = words.moment(value)
    assert when is not None
    assert words.later(when, seconds) is None
    assert words.later(when, float("nan")) is None
    assert words.later(when, 0) == when


def test_seconds_since_1970_are_a_time() -> None:
    assert words.iso(words.epoch(1795400055.25)) == "2026-11-23T02:14:15.250Z"


def test_a_text_that_is_too_long_ends_in_an_ellipsis() -> None:
    assert words.fit("colo-vda", 8) == "colo-vda"
    assert words.fit("colo-vda-active", 8) == "colo-vd\N{HORIZONTAL ELLIPSIS}"
    wide = words.fit("\N{CJK UNIFIED IDEOGRAPH-4E00}" * 9, 8)
    assert words.width(wide) <= 8
    assert words.width("e\N{COMBINING ACUTE ACCENT}") == 1


def test_a_list_of_words() -> None:
    assert [words.listed("abc"[:length]) for length in range(4)] == ["", "a", "a and b", "a, b and c"]
