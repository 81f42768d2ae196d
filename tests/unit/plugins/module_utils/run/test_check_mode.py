# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A check mode of deploy goes from module to module by what each foresees, as text between two hosts."""

from __future__ import annotations

import json
from dataclasses import replace

from ansible_collections.lockstep.colo.plugins.module_utils.domain.described import read_anew
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import from_data, to_data
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.run import goals
from ansible_collections.lockstep.colo.plugins.module_utils.run.goals import Request
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import pair
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import WANTED, recorded

HERE, THERE = recorded("unprotected-primary"), recorded("unprotected-secondary")
BACK = replace(WANTED, address=WANTED.peer_address, peer_address=WANTED.address)


def told(seen: Observation) -> Observation:
    """As it comes out of one module and into another."""
    return from_data(Observation, json.loads(json.dumps(to_data(seen))))


def foreseen(goal: str, seen: Observation, peer: Observation, wanted: object = WANTED) -> Observation:
    request = Request("web1", wanted=wanted, peer=read_anew(told(peer), "web1"), check=True, projected=told(seen))
    return goals.run(goals.GOALS[goal], request, None).after


def test_a_first_deploy_comes_to_a_protected_pair_and_unprotect_takes_it_back() -> None:
    primary = foreseen("described primary", HERE, THERE)
    standby = foreseen("described secondary", THERE, primary, BACK)
    listening = foreseen("present secondary", standby, primary, BACK)
    assert pair.phase(listening) == "listening"
    lockstep = foreseen("present primary", primary, listening)
    assert pair.phase(lockstep) == "protected"
    alone = foreseen("absent", lockstep, listening)
    assert pair.phase(alone) == "unprotected"
    assert foreseen("plain primary", alone, listening).record is None
