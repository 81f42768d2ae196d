# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the standby's host has to have."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import (
    HugePages,
)
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements import place
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.verdict.requirements.asked import (
    DOMAIN,
    OTHER,
    only,
    said,
)


def test_the_recorded_second_host_is_fit() -> None:
    assert said(place.memory(DOMAIN, OTHER)) == []


def test_the_standbys_host_needs_twice_the_memory_unless_the_standby_runs_already() -> None:
    need = 2 * DOMAIN.memory
    enough, short = (replace(OTHER, host=replace(OTHER.host, memory_available=have)) for have in (need, need - 1))
    assert said(place.memory(DOMAIN, enough)) == []
    assert "free memory" in only(place.memory(DOMAIN, short)).what
    assert said(place.memory(DOMAIN, replace(short, domain=recorded("listening-secondary").domain))) == []
    stopped = replace(short, domain=recorded("described-secondary").domain)
    assert "free memory" in only(place.memory(DOMAIN, stopped)).what


@pytest.mark.parametrize(("size", "enough"), [(0, True), (2 << 20, True), (1 << 30, False)])
def test_a_guest_in_huge_pages_needs_them_on_the_standbys_host_and_ordinary_memory_once(
    size: int, enough: bool
) -> None:
    domain = replace(DOMAIN, huge_page=size)
    pages = (HugePages(1 << 30, 0, False), HugePages(2 << 20, DOMAIN.memory >> 21, True))
    there = replace(OTHER, host=replace(OTHER.host, memory_available=DOMAIN.memory, huge_pages=pages))
    assert said(place.memory(domain, there)) == []
    assert (said(place.huge_pages(domain, there)) == []) is enough
    short = replace(there, host=replace(there.host, huge_pages=(replace(pages[1], free=(DOMAIN.memory >> 21) - 1),)))
    assert "free huge pages" in only(place.huge_pages(domain, short)).what
    assert said(place.huge_pages(domain, replace(short, domain=recorded("listening-secondary").domain))) == []
    assert said(place.huge_pages(DOMAIN, short)) == []
