# SPDX-License-Identifier: GPL-3.0-or-later
"""What was not foreseen is not lost on the way to the end of the run."""

from __future__ import annotations

import json

import foresight

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
