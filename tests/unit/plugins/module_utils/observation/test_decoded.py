# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON of another host is a value or a ValueError, however it is made."""

from __future__ import annotations

import json

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.front import modules
from ansible_collections.lockstep.colo.plugins.module_utils.host import automation, half_notes, marker
from ansible_collections.lockstep.colo.plugins.module_utils.observation.decoded import DEEPEST, decoded
from ansible_collections.lockstep.colo.plugins.module_utils.record.half_notes import HalfNote


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"a":' * 200_000,
        nested(200_000),
        nested(DEEPEST + 1),
        '{"a":' * 100 + "1" + "}" * 100,
        "9" * 5000,
        "",
        "[",
        "nul",
        b"\xff",
    ],
)
def test_what_is_no_value_that_a_host_could_mean_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decoded(text)


@pytest.mark.parametrize("value", [None, 1, "[[[", [], {}, [{"a": [{"b": [1, "ä"]}]}], {"a": [], "b": {"c": [[]]}}])
def test_everything_else_is_what_was_written(value: object) -> None:
    assert decoded(json.dumps(value)) == value


def test_as_deep_as_may_be() -> None:
    assert json.dumps(decoded(nested(DEEPEST))) == nested(DEEPEST)


def test_a_peer_that_is_nested_without_end_is_refused_in_words() -> None:
    with pytest.raises(ColoError, match="peer is not what colo_info returns: nested too deep"):
        modules.reachable("[" * 200_000)


def test_a_file_that_is_nested_without_end_is_damaged(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half_notes, "DIRECTORY", str(tmp_path))
    monkeypatch.setattr(automation, "DIRECTORY", str(tmp_path))
    half_notes.note(half_notes.LACKS, "web1", HalfNote("u", 1, "primary"))
    for path in (*tmp_path.iterdir(), tmp_path / automation.SETTINGS, tmp_path / marker.NAME):
        path.write_text(nested(900), encoding="ascii")
    readers = (
        lambda: half_notes.noted(half_notes.LACKS, "web1"),
        automation.settings,
        lambda: marker.read(str(tmp_path)),
    )
    for read in readers:
        with pytest.raises(ColoError, match="is damaged: nested deeper than"):
            read()
