# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A short run of the hostile observations; tests/long/hostile tries 100,000 of them."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain import described, foreign, tree
from ansible_collections.lockstep.colo.plugins.module_utils.host import hotline
from ansible_collections.lockstep.colo.plugins.module_utils.observation import codec, word
from ansible_collections.lockstep.colo.plugins.module_utils.plan.parts import fit
from ansible_collections.lockstep.colo.plugins.module_utils.record import images
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import DiskRecord
from ansible_collections.lockstep.colo.plugins.plugin_utils.report import given
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils import hostile
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.reach import reached
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

CASES, PARTS = 600, 4
DESCRIBED = ("unprotected-secondary", "described-primary", "described secondary")


@pytest.mark.parametrize("part", range(PARTS))
def test_no_made_up_observation_does_more_than_be_refused(part: int) -> None:
    assert list(filter(None, map(hostile.run, range(part, CASES, PARTS)))) == []


def nothing(*_arguments: object) -> Iterator[object]:
    yield from ()


def as_it_came(_kind: object, data: object, _where: str) -> object:
    return data


def where_the_primary_has_it(_wanted: object, _old: object, _directory: str, disk: DiskRecord) -> DiskRecord:
    return replace(disk, active=f"{disk.path}.active", hidden=f"{disk.path}.hidden")


@pytest.mark.parametrize(
    ("where", "what", "planted"),
    [
        (fit, "of_standby", nothing),
        (codec, "_scalar", as_it_came),
        (images, "_standby_disk", where_the_primary_has_it),
        (described, "foreign_in", lambda _xml: {}),
        (tree, "parse", functools.partial(tree.parse, own=True)),
        (foreign, "_is_path", lambda _where, text: text.startswith("/")),
        (foreign, "_handed_on", nothing),
        (word, "_fields", lambda _kind, data: dict(data)),
        (hotline, "decoded", json.loads),
        (given, "mapping", lambda value: value),
        (given, "_harmless_text", lambda text: text),
    ],
    ids=[
        "a standby is defined as it came",
        "no type is checked",
        "the peer says where the images are",
        "no file is looked at",
        "comments hide what they may",
        "a relative path is none",
        "arguments pass",
        "a watcher may say anything",
        "a watcher's line is as deep as it likes",
        "a report takes what came for what it shall be",
        "a report has what nobody can write",
    ],
)
def test_a_fault_that_is_planted_is_found(
    monkeypatch: pytest.MonkeyPatch, where: object, what: str, planted: object
) -> None:
    monkeypatch.setattr(where, what, planted)
    tree.view.cache_clear()
    assert any(hostile.run(number, DESCRIBED) for number in range(1500))


@pytest.mark.parametrize("kind", ["ethernet", "bridge"])
def test_the_judge_names_what_is_done_to_the_hosts_network(kind: str) -> None:
    told = judged(lambda xml: hostile.with_nic_changed(xml, kind))
    assert [word.split()[0] for word in told if not word.startswith("a NIC")] == ["ip", "route"]
    assert ("a NIC of type ethernet" in told) is (kind == "ethernet")


@pytest.mark.parametrize("store", hostile.ELSEWHERE)
def test_the_judge_names_a_variable_store_that_is_no_file(store: str) -> None:
    told = judged(lambda xml: xml.replace("</os>", f"{store}</os>"))
    assert any("variable store of type" in words for words in told)
    assert any("a connection to" in words for words in told) is ("network" in store)


def judged(change: Callable[[str], str]) -> list[str]:
    """What the judge tells of a standby's persistent XML with this change, and of none without it."""
    domain = recorded("protected-secondary").domain
    files = set(re.findall(r"<source file=[\"']([^\"']+)", domain.inactive_xml))
    assert reached(domain.inactive_xml, domain.name, domain.uuid, files) == []
    return reached(change(domain.inactive_xml), domain.name, domain.uuid, files)
