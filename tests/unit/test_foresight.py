# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was not foreseen is not lost on the way to the end of a run of the integration tests."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "integration" / "foresight.py"
if not FILE.exists():
    pytest.skip("ansible-test's copy has unit tests alone", allow_module_level=True)
SPEC = importlib.util.spec_from_file_location("foresight", FILE)
foresight = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(foresight)

SOUND = {"title": "Fail over", "host": "kvm2", "unforeseen": []}
PORT_LEFT = {"title": "Fail over", "host": "kvm2", "unforeseen": ["ports: [21600], foreseen was []"]}
WORDS = "Fail over: ports: [21600], foreseen was []"


def test_each_difference_is_told_once() -> None:
    assert foresight.differences(map(json.dumps, [SOUND, PORT_LEFT, SOUND, PORT_LEFT])) == [WORDS]
    assert foresight.differences([]) == []


def test_only_what_has_a_reason_is_no_fault() -> None:
    assert foresight.unexplained([WORDS]) == [WORDS]
    assert foresight.unexplained([WORDS], {r"Fail over: ports: .*": "a reason"}) == []
    assert foresight.unexplained([WORDS], {r"ports": "a part of it"}) == [WORDS]
