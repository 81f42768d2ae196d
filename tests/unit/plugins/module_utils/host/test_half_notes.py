# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.host import half_notes
from ansible_collections.lockstep.colo.plugins.module_utils.record.half_notes import HalfNote

NOTE = HalfNote("u", 3, "primary")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(half_notes, "DIRECTORY", str(tmp_path / "made"))
    return tmp_path / "made"


@pytest.mark.parametrize("prepared", [True, False])
def test_what_was_noted_is_there_until_it_is_forgotten(prepared: bool) -> None:
    assert half_notes.noted("gave-way", "web1") is None
    if prepared:
        half_notes.prepare("gave-way", "web1")
        assert half_notes.noted("gave-way", "web1") is None
    half_notes.note("gave-way", "web1", NOTE)
    half_notes.prepare("gave-way", "web1")
    assert half_notes.noted("gave-way", "web1") == NOTE
    assert half_notes.noted("lacks", "web1") is None
    half_notes.forget("gave-way", "web1")
    half_notes.forget("gave-way", "web1")
    assert half_notes.noted("gave-way", "web1") is None


def test_a_note_is_written_over_blocks_that_are_there(place: Path) -> None:
    half_notes.prepare("gave-way", "web1")
    (file,) = place.iterdir()
    before = file.stat()
    half_notes.note("gave-way", "web1", NOTE)
    assert (file.stat().st_ino, file.stat().st_size) == (before.st_ino, before.st_size)


@pytest.mark.parametrize("text", ["{", "[]", '{"uuid": "u", "generation": "3", "role": "primary"}', '{"uuid": "u"}'])
def test_a_damaged_note_is_no_note_that_nothing_was_noted(place: Path, text: str) -> None:
    half_notes.prepare("gave-way", "web1")
    (file,) = place.iterdir()
    file.write_text(text, encoding="ascii")
    with pytest.raises(ColoError, match=r"web1\.gave-way\.json is damaged.*status"):
        half_notes.noted("gave-way", "web1")
