# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a failover may end another run on the domain."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.modules import colo_failover

FENCED = {"host": "kvm1", "verified": True, "method": ""}
PARAMS = {"fence": None, "handover": None, "i_accept_that_two_guests_may_run": False}


@pytest.mark.parametrize(
    ("given", "urgent"),
    [
        ({"fence": FENCED}, True),
        ({"i_accept_that_two_guests_may_run": True}, True),
        ({}, False),
        ({"fence": {**FENCED, "verified": False}}, False),
        ({"fence": FENCED, "handover": {"token": "secret", "timeout": 30.0}}, False),
    ],
    ids=["fenced", "accepted", "to finish one", "a fence that failed", "a change of sides"],
)
def test_only_what_will_not_be_refused_for_its_fence_ends_another_run(given: dict[str, Any], urgent: bool) -> None:
    assert colo_failover.urgent({**PARAMS, **given}) is urgent
