# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alerts, the dashboard and their page know what the watchers tell, all of it and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import PHASES
from ansible_collections.lockstep.colo.plugins.module_utils.run.metrics import HELP, PREFIX

MONITORING = Path(__file__).resolve().parents[2] / "docs" / "monitoring"
if not MONITORING.exists():
    pytest.skip("ansible-test's copy has no docs", allow_module_level=True)
FILES = {
    name: (MONITORING / name).read_text(encoding="utf-8") for name in ("alerts.yml", "dashboard.json", "README.md")
}


def expressions() -> list[str]:
    alerts = [rule["expr"] for group in yaml.safe_load(FILES["alerts.yml"])["groups"] for rule in group["rules"]]
    panels = json.loads(FILES["dashboard.json"])["panels"]
    return [*alerts, *(target["expr"] for panel in panels for target in panel["targets"])]


def test_whatever_is_asked_for_is_told() -> None:
    asked = {name for one in expressions() for name in re.findall(rf"\b{PREFIX}(\w+)", one)}
    assert asked <= set(HELP)
    phases = {phase for one in expressions() for phase in re.findall(r'phase="(\w+)"', one)}
    assert phases == set(PHASES), "the dashboard shows each of them"


def test_whatever_is_told_is_documented_and_shown() -> None:
    shown = " ".join(expressions())
    assert {name for name in HELP if f"`{name}`" not in FILES["README.md"]} == set()
    assert {name for name in HELP if PREFIX + name not in shown} == {"qemu_answers", "lockstep"}  # in the phase


def test_no_panel_covers_another_and_each_has_a_data_source_to_choose() -> None:
    board = json.loads(FILES["dashboard.json"])
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in board["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _y in cells) == 23
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in board["panels"])
