# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The note of the certificate that a QEMU was given: the last one counts, and what cannot be read is unknown."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.host import shown, until_reboot
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Shown

UUID = "5d0a2c52-3a5e-4f8e-9a57-0c8f0f4b1f11"


@pytest.fixture(name="home", autouse=True)
def run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (shown, until_reboot):
        monkeypatch.setattr(module, "RUN_DIRECTORY", str(tmp_path / "run"))
    return tmp_path / "run"


def test_the_last_note_is_read_again() -> None:
    assert shown.noted(UUID) is None
    shown.note(UUID, Shown(1.0, 2.0))
    shown.note(UUID, Shown(3.5, 4.5))
    assert shown.noted(UUID) == Shown(3.5, 4.5)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"ends": 1}', '{"ends": null, "installed": 1}'])
def test_what_says_nothing_is_unknown(home: Path, text: str) -> None:
    shown.note(UUID, Shown(1.0, 2.0))
    (home / f"{UUID}.shown").write_text(text, encoding="utf-8")
    assert shown.noted(UUID) is None


def test_where_there_is_no_room_the_one_before_is_gone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown.note(UUID, Shown(1.0, 2.0))

    def full(*_what: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(until_reboot, "write_whole", full)
    with pytest.raises(OSError, match="no space"):
        shown.note(UUID, Shown(3.0, 4.0))
    assert shown.noted(UUID) is None
