# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guest writes to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import (
    Domain,
)
from ansible_collections.lockstep.colo.plugins.module_utils.record.wanted import Wanted, WantedDisk
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import preflight
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements import disks
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import WANTED
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.verdict.requirements.asked import (
    DOMAIN,
    OTHER,
    RUNNING,
    only,
    said,
)


def disk(**changes: Any) -> Domain:
    return replace(DOMAIN, disks=(replace(DOMAIN.disks[0], **changes), DOMAIN.disks[1]))


def test_the_recorded_disks_are_fit() -> None:
    assert said(disks.disks(WANTED, DOMAIN, RUNNING)) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": "cdrom"}, "it is a cdrom"),
        ({"readonly": True}, "read-only"),
        ({"type": "network"}, "of type network"),
        ({"format": "vmdk"}, "format vmdk, of which no copy is kept"),
        ({"format": None}, "does not say which format"),
        ({"source": None}, "it has no image"),
        ({"format": "raw"}, "stated as qcow2, and the domain says raw"),
    ],
)
def test_disks_that_cannot_be_replicated_are_refused(changes: dict[str, Any], words: str) -> None:
    problem = only(disks.disks(WANTED, disk(**changes), RUNNING))
    assert words in problem.what
    assert problem.disk == "vda"


def test_a_disk_that_does_not_exist_is_refused_with_those_that_do() -> None:
    wanted = Wanted(disks=(*WANTED.disks, WantedDisk("vdx", "raw")))
    problem = only(disks.disks(wanted, DOMAIN, RUNNING))
    assert "it has: vda, vdb" in problem.what
    assert problem.disk == "vdx"


@pytest.mark.parametrize("kind", ["vmdk", None])
def test_a_format_of_which_no_copy_is_kept_is_a_row_where_no_disks_are_stated_as_well(kind: str | None) -> None:
    domain = replace(DOMAIN, disks=tuple(replace(disk, format=kind) for disk in DOMAIN.disks))
    rows = preflight.seen_here(replace(WANTED, disks=()), replace(RUNNING, domain=domain), OTHER)
    assert [row.disk for row in rows if row.requirement == "disks"] == ["vda", "vdb"]


@pytest.mark.parametrize("readonly", [True, False])
def test_an_image_that_two_disks_have_is_refused_as_that(readonly: bool) -> None:
    twice = replace(DOMAIN.disks[0], target="vdc", readonly=readonly, device="cdrom" if readonly else "disk")
    domain = replace(DOMAIN, disks=(*DOMAIN.disks, twice))
    wanted = WANTED if readonly else replace(WANTED, disks=(*WANTED.disks, WantedDisk("vdc", "qcow2")))
    found = [(problem.disk, problem.what) for problem in said(disks.disks(wanted, domain, RUNNING))]
    by = [("vda", "its image is that of disk vdc as well"), ("vdc", "its image is that of disk vda as well")]
    assert found == (by[:1] if readonly else by)
    assert said(disks.way_back(wanted, replace(RUNNING, domain=domain))) == []


def test_no_writable_disk_may_be_left_out() -> None:
    assert only(disks.disks(Wanted(disks=WANTED.disks[:1]), DOMAIN, RUNNING)).disk == "vdb"
    assert "no disk is named" in next(problem.what for problem in said(disks.disks(Wanted(), DOMAIN, RUNNING)))


def test_every_problem_is_said_at_once() -> None:
    domain = replace(DOMAIN, disks=(replace(DOMAIN.disks[0], readonly=True, type="network"), DOMAIN.disks[1]))
    assert len(said(disks.disks(Wanted(disks=(WantedDisk("vda", "raw"),)), domain, RUNNING))) == 4
