# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host may say is what the modules are documented to say."""

from __future__ import annotations

import importlib

import pytest
import yaml
from ansible_collections.lockstep.colo.plugins.plugin_utils import answer

ON_HOSTS = (
    "colo_credentials",
    "colo_disk",
    "colo_drill",
    "colo_failover",
    "colo_fence",
    "colo_info",
    "colo_pair",
    "colo_watcher",
)


@pytest.mark.parametrize("name", ON_HOSTS)
def test_everything_that_a_module_returns_reaches_the_play(name: str) -> None:
    module = importlib.import_module(f"ansible_collections.lockstep.colo.plugins.modules.{name}")
    assert set(yaml.safe_load(module.RETURN)) <= set(answer.KNOWN)


class Summary:
    """As ansible-core 2.19 hands on what a module warned of: no plain data."""

    def __str__(self) -> str:
        return "nothing that the guest sends leaves this host"


def test_a_warning_that_ansible_made_an_object_of_is_believed() -> None:
    summary = Summary()
    assert answer.accepted({"changed": True, "warnings": [summary]})["warnings"] == [summary]


def test_warnings_reach_the_operator() -> None:
    assert answer.accepted({"warnings": ["ended another run"], "ansible_facts": {"colo_fence_command": "x"}}) == {
        "warnings": ["ended another run"]
    }


@pytest.mark.parametrize("number", [10**400, -(1 << 64), float("nan"), float("inf"), -float("inf"), 1e30])
def test_a_number_that_no_host_counts_is_refused(number: float) -> None:
    with pytest.raises(answer.Unbelievable, match="a number that is none, or beyond 64 bits"):
        answer.accepted({"sync": {"vda": {"done": number, "total": 1}}})
    assert answer.accepted({"sync": {"vda": {"done": (1 << 64) - 1, "total": -1, "seconds": 0.5}}})
