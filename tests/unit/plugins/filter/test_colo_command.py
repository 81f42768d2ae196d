# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import yaml
from ansible_collections.lockstep.colo.plugins.filter import colo_command as module
from ansible_collections.lockstep.colo.plugins.filter.colo_command import colo_command
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import to_data
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded


def test_what_is_no_observation_is_of_a_host_that_did_not_answer() -> None:
    seen = {
        "kvm1": {"msg": "no route", "unreachable": True},
        "kvm2": {"observation": to_data(recorded("protected-secondary"))},
    }
    found = colo_command("failover", "web1", seen, ["hosts.yml"])
    assert found["line"].startswith(
        "ansible-playbook -i hosts.yml lockstep.colo.failover --limit web1 -e colo_lost=kvm1"
    )
    assert found["first"] == "Take the power from kvm1, and see that it has none."


def test_nothing_is_next_of_a_pair_that_is_well() -> None:
    assert colo_command("", "web1", {}, []) == {"line": "", "first": ""}


def test_its_options_are_described() -> None:
    options = yaml.safe_load(module.DOCUMENTATION)["options"]
    assert options["fence_tasks"]["default"] == module.CONFIRMED
    assert yaml.safe_load(module.RETURN)
    assert yaml.safe_load(module.EXAMPLES)
