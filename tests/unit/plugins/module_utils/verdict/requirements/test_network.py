# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guest sends, and the bridges that it is on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import (
    Domain,
)
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements import network
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.verdict.requirements.asked import (
    DOMAIN,
    OTHER,
    RUNNING,
    only,
    said,
)


def nic(**changes: Any) -> Domain:
    return replace(DOMAIN, nics=(replace(DOMAIN.nics[0], **changes), *DOMAIN.nics[1:]))


def test_the_recorded_networks_are_fit() -> None:
    assert said(network.nics(DOMAIN, RUNNING)) == []
    assert said(network.bridges(DOMAIN, OTHER.host)) == []


@pytest.mark.parametrize(
    ("changes", "open_vhost", "refused"),
    [
        ({"driver": "vhost"}, False, True),
        ({"driver": None}, True, True),
        ({"driver": "qemu"}, True, False),
        ({"driver": None}, False, False),
        ({"model": "e1000", "driver": None}, True, False),
    ],
)
def test_vhost_is_refused_by_what_it_says_and_by_what_qemu_has_open(
    changes: dict[str, Any], open_vhost: bool, refused: bool
) -> None:
    domain = replace(replace(DOMAIN, nics=(replace(DOMAIN.nics[0], **changes),)), vhost=open_vhost)
    problems = said(network.vhost(domain, RUNNING))
    assert bool(problems) is refused
    if refused:
        assert "vhost" in problems[0].what
        assert "<driver name='qemu'/>" in problems[0].remedy


def test_a_nic_that_is_not_on_a_bridge_is_refused() -> None:
    assert "not on a bridge" in only(network.nics(nic(bridge=None, type="user"), RUNNING)).what


def test_the_standbys_host_needs_the_bridges() -> None:
    other = replace(OTHER.host, bridges=())
    assert all("no bridge br0" in problem.what for problem in said(network.bridges(DOMAIN, other)))
    assert len(said(network.bridges(DOMAIN, other))) == len([one for one in DOMAIN.nics if one.bridge])
