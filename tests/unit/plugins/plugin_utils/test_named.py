# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory may call the two hosts of a pair."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.plugin_utils import named

HOSTS, PAIRS = ("kvm1", "kvm2", "web1"), ["web1"]


def test_two_hosts_are_a_pair() -> None:
    assert named.refusal("web1", ("kvm1", "kvm2"), HOSTS, PAIRS) is None


@pytest.mark.parametrize(
    ("ends", "wrong"),
    [
        (("kvm1", "kvm9"), "colo_secondary is kvm9, which the inventory does not have"),
        (("kvm1", "kvm1"), "colo_primary and colo_secondary are both kvm1"),
        (("", "kvm2"), "colo_primary is empty"),
        ((" ", "kvm2"), "colo_primary is empty"),
        (("kvm1", None), "colo_secondary is not set"),
        ((1, "kvm2"), "colo_primary is no text, but 1"),
        ((["kvm1"], "kvm2"), "colo_primary is no text, but ['kvm1']"),
        (("kvm1", "web1"), "colo_secondary is web1, which is a pair"),
        (("kvm8", "kvm9"), "colo_primary is kvm8, which the inventory does not have; colo_secondary is kvm9, which"),
        (("kvm9", "kvm9"), "colo_primary is kvm9, which the inventory does not have; colo_secondary is kvm9, which"),
    ],
)
def test_what_is_none_is_refused_by_the_variable(ends: tuple[Any, Any], wrong: str) -> None:
    said = named.refusal("web1", ends, HOSTS, PAIRS) or ""
    assert said.startswith(f"The hosts of web1 are not two of the inventory: {wrong}")
    assert "Mend that where it is said" in said
