# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.record.half_notes import HalfNote, with_note
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

PRIMARY, STANDBY = recorded("protected-primary").record, recorded("protected-secondary").record
ALONE = replace(PRIMARY, role="alone")


def test_a_note_changes_the_half_that_it_is_about() -> None:
    note = HalfNote("u", PRIMARY.generation, "primary")
    assert with_note(PRIMARY, "u", note).handed_over
    assert with_note(STANDBY, "u", replace(note, role="secondary")).complete is None


@pytest.mark.parametrize("change", [{"uuid": "other"}, {"generation": 99}, {"role": "secondary"}])
def test_a_note_about_another_half_changes_nothing(change: dict[str, object]) -> None:
    note = replace(HalfNote("u", PRIMARY.generation, "primary"), **change)
    assert with_note(PRIMARY, "u", note) is PRIMARY
    assert with_note(ALONE, "u", replace(note, role="alone")) is ALONE
    assert with_note(None, "u", note) is None
    assert with_note(PRIMARY, "u", None) is PRIMARY
