# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.host import automation as files
from ansible_collections.lockstep.colo.plugins.module_utils.run import automation
from ansible_collections.lockstep.colo.plugins.modules import colo_watcher

UUID = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
OTHERS = "deadbeef-0000-4000-8000-000000000007"
WRITTEN = '{\n    "also": [\n        "10.1.0.2"\n    ]\n}\n'  # as the role wrote it by Ansible's own module


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(files, "DIRECTORY", str(tmp_path))
    (tmp_path / "automation").mkdir()
    return tmp_path / "automation"


def guard(name: str, wanted: dict[str, Any] | None, *, check: bool) -> dict[str, Any]:
    """On a host that has two domains."""
    here = {"web1": {"uuid": UUID}, "web7": {"uuid": OTHERS}}
    return automation.guard(SimpleNamespace(glimpse=here.get), name, wanted, check=check)


def test_a_second_run_changes_nothing(place: Path) -> None:
    wanted = {"also": ["10.1.0.2"]}
    assert guard("web1", wanted, check=False) == {"changed": True, "diff": {"before": "", "after": WRITTEN}}
    assert (place / f"{UUID}.json").read_text(encoding="utf-8") == WRITTEN
    assert guard("web1", wanted, check=False)["changed"] is False
    assert guard("web1", None, check=False) == {"changed": True, "diff": {"before": WRITTEN, "after": ""}}
    assert guard("web1", None, check=False)["changed"] is False
    assert list(place.iterdir()) == []


def test_check_mode_says_so_and_writes_nothing(place: Path) -> None:
    assert guard("web1", {"also": []}, check=True)["changed"] is True
    assert list(place.iterdir()) == []
    (place / f"{UUID}.json").write_text(WRITTEN, encoding="utf-8")
    assert guard("web1", None, check=True)["changed"] is True
    assert (place / f"{UUID}.json").exists()


def test_a_domain_that_this_host_does_not_have_is_not_guarded_and_needs_no_forgetting(place: Path) -> None:
    (place / f"{OTHERS}.json").write_text(WRITTEN, encoding="utf-8")
    with pytest.raises(ColoError, match="there is no domain web2 to guard"):
        guard("web2", {"also": []}, check=False)
    assert guard("web2", {"also": []}, check=True)["changed"] is True, "a deploy would define it first"
    assert guard("web2", None, check=False)["changed"] is False
    assert [path.name for path in place.iterdir()] == [f"{OTHERS}.json"]


def test_no_host_says_which_file_is_written_on_another() -> None:
    """By a UUID that is told of the other host, a host that was taken over chose the file."""
    assert "uuid" not in yaml.safe_load(colo_watcher.DOCUMENTATION)["options"]
