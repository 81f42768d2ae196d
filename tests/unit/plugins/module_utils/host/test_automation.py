# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.host import automation as files
from ansible_collections.lockstep.colo.plugins.module_utils.host import until_reboot
from ansible_collections.lockstep.colo.plugins.module_utils.observation.automation import Automation, Settings


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(files, "DIRECTORY", str(tmp_path))
    monkeypatch.setattr(files, "RUN_DIRECTORY", str(tmp_path / "run"))
    monkeypatch.setattr(until_reboot, "RUN_DIRECTORY", str(tmp_path / "run"))
    return tmp_path


def test_without_a_word_of_anybody_nothing_is_wanted_and_nobody_is_awake() -> None:
    assert files.automation("u") == Automation()
    assert files.settings() == Settings()


def test_what_the_roles_have_written_is_read(place: Path) -> None:
    (place / "watch.json").write_text(json.dumps({"port": 7, "directory": "/d"}), encoding="ascii")
    (place / "automation").mkdir()
    (place / "automation" / "u.json").write_text('{"also": ["10.1.0.2"]}', encoding="ascii")
    assert files.settings() == Settings(port=7, directory="/d")
    assert files.wanted("u") == {"also": ["10.1.0.2"]}
    assert files.automation("u") == Automation(wanted=True)


def test_what_a_watcher_tells_counts_for_as_long_as_it_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    files.tell("u", {"says": "would promote this standby", "hears": True})
    assert files.automation("u") == Automation(awake=True, hears=True, says="would promote this standby")
    monkeypatch.setattr(files, "BEAT", -1.0)
    assert files.automation("u") == Automation()


def test_a_damaged_file_is_named(place: Path) -> None:
    (place / "watch.json").write_text("{", encoding="ascii")
    with pytest.raises(ColoError, match=r"watch\.json is damaged.*deploy"):
        files.settings()


def test_what_is_wanted_is_written_for_the_watcher_and_taken_back(place: Path) -> None:
    (place / "automation").mkdir()
    assert files.told("u") == ""
    files.want("u", '{"also": []}')
    assert files.wanted("u") == {"also": []}
    assert (place / "automation" / "u.json").stat().st_mode & 0o777 == 0o644
    files.want("u", "")
    assert files.wanted("u") is None
    assert list((place / "automation").iterdir()) == []


def test_a_host_without_a_watcher_is_told_so() -> None:
    with pytest.raises(ColoError, match=r"no watcher on this host.*deploy"):
        files.want("u", '{"also": []}')
