# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the filter makes of results that are no observation, and of those of another version."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.lockstep.colo.plugins.filter.colo_verdict import colo_verdict
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import to_data
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded


def result(name: str, **changes: Any) -> dict[str, Any]:
    return {"observation": {**to_data(recorded(name)), **changes}}


def test_what_is_no_observation_is_of_a_host_that_did_not_answer() -> None:
    seen = {"kvm1": result("protected-primary"), "kvm2": {"msg": "no", "unreachable": True}}
    assert colo_verdict(seen, "kvm1", "kvm2")["silent"] == ["kvm2"]


def test_a_host_of_another_version_is_not_silent() -> None:
    seen = {"kvm1": result("protected-primary"), "kvm2": result("protected-secondary", format=1, more=2)}
    with pytest.raises(AnsibleFilterError, match=r"another format \(00000001, .*different versions of this collection"):
        colo_verdict(seen, "kvm1", "kvm2")
