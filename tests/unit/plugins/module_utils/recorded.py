# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The observations that tests/unit/record.py took of a real pair, by name."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from ansible_collections.lockstep.colo.plugins.module_utils.codec import from_data
from ansible_collections.lockstep.colo.plugins.module_utils.observation import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.step import Wanted, WantedDisk

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
NAMES = sorted(path.stem for path in (FIXTURES / "observations").glob("*.json"))
WANTED = Wanted(
    disks=(WantedDisk("vda", "qcow2"), WantedDisk("vdb", "qcow2")), address="10.77.0.1", peer_address="10.77.0.2"
)


@cache
def recorded(name: str) -> Observation:
    text = (FIXTURES / "observations" / f"{name}.json").read_text(encoding="utf-8")
    return from_data(Observation, json.loads(text))
