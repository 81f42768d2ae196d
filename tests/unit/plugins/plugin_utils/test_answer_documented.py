# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module is documented to return gets through to the play."""

from __future__ import annotations

import importlib

import pytest
import yaml
from ansible_collections.lockstep.colo.plugins.plugin_utils import answer

MODULES = ("colo_disk", "colo_drill", "colo_failover", "colo_fence", "colo_info", "colo_pair")


@pytest.mark.parametrize("name", MODULES)
def test_every_key_that_is_documented_is_let_through(name: str) -> None:
    module = importlib.import_module(f"ansible_collections.lockstep.colo.plugins.modules.{name}")
    assert set(yaml.safe_load(module.RETURN)) <= set(answer.KNOWN)
