# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.host import automation as files
from ansible_collections.lockstep.colo.plugins.module_utils.run.automation import guard

UUID = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
WRITTEN = '{\n    "also": [\n        "10.1.0.2"\n    ]\n}\n'  # as the role wrote it by Ansible's own module


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(files, "DIRECTORY", str(tmp_path))
    (tmp_path / "automation").mkdir()
    return tmp_path / "automation"


def test_a_second_run_changes_nothing(place: Path) -> None:
    wanted = {"also": ["10.1.0.2"]}
    assert guard(UUID, wanted, check=False) == {"changed": True, "diff": {"before": "", "after": WRITTEN}}
    assert (place / f"{UUID}.json").read_text(encoding="utf-8") == WRITTEN
    assert guard(UUID, wanted, check=False)["changed"] is False
    assert guard(UUID, None, check=False) == {"changed": True, "diff": {"before": WRITTEN, "after": ""}}
    assert guard(UUID, None, check=False)["changed"] is False
    assert list(place.iterdir()) == []


def test_check_mode_says_so_and_writes_nothing(place: Path) -> None:
    assert guard(UUID, {"also": []}, check=True)["changed"] is True
    assert list(place.iterdir()) == []
    (place / f"{UUID}.json").write_text(WRITTEN, encoding="utf-8")
    assert guard(UUID, None, check=True)["changed"] is True
    assert (place / f"{UUID}.json").exists()


@pytest.mark.parametrize("uuid", ["../../cron.d/x", "", UUID.upper(), f"{UUID}\n"])
def test_no_other_file_is_named(uuid: str) -> None:
    with pytest.raises(ColoError, match="is no UUID of a domain"):
        guard(uuid, {"also": []}, check=False)
