# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report of the largest observations that a host may send: it takes work in proportion to their size, and no more."""

from __future__ import annotations

import functools
import json
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import LONGEST, MOST
from ansible_collections.lockstep.colo.plugins.plugin_utils import answer
from ansible_collections.lockstep.colo.plugins.plugin_utils.report import document, page, words

from . import cases

TEXT = "x" * LONGEST
MANY, MORE = 64, 256  # of the MOST; work is counted, and grows no faster than they do


def observation(name: str = "protected-primary") -> dict[str, Any]:
    return cases.result(name)["observation"]


def texts_at_their_longest() -> dict[str, Any]:
    seen = observation()
    for node in seen["monitor"]["nodes"].values():
        node.update(driver=TEXT, file=f"/{TEXT[1:]}")
    for disk in seen["domain"]["disks"]:
        disk.update(bus=TEXT, source=f"/{TEXT[1:]}", format=TEXT)
    for nic in seen["domain"]["nics"]:
        nic.update(bridge=TEXT, model=TEXT, tap=TEXT)
    seen["domain"].update(state="running", machine=TEXT)
    seen["monitor"].update(status=TEXT, version=TEXT)
    seen["host"].update(libvirt=TEXT)
    return seen


def texts_without_a_width() -> dict[str, Any]:
    seen = observation()
    for nic in seen["domain"]["nics"]:
        nic["bridge"] = "\u0301" * LONGEST
    return seen


def many_digits() -> dict[str, Any]:
    seen = observation()
    seen["monitor"]["status"] = "1" * LONGEST
    return seen


def many_disks_and_nodes(many: int = MOST) -> dict[str, Any]:
    seen = observation()
    seen["domain"]["record"] = None
    seen["domain"]["disks"] = [{**seen["domain"]["disks"][0], "target": f"vd{number}"} for number in range(many)]
    seen["monitor"]["nodes"] = {
        f"colo-vd{number}": {"driver": "raw", "file": None, "virtual_size": 1, "children": {}} for number in range(many)
    }
    return seen


def many_nics(many: int = MOST) -> dict[str, Any]:
    seen = observation()
    nic = seen["domain"]["nics"][0]
    seen["domain"]["nics"] = [{**nic, "mac": f"52:54:00:00:{n >> 8:02x}:{n & 255:02x}"} for n in range(many)]
    seen["monitor"]["objects"] = {f"colo-{nic['alias']}-{number}": "filter-mirror" for number in range(many)}
    return seen


def one_long_chain(many: int = MOST) -> dict[str, Any]:
    seen = observation()
    below = {number: {"file": f"n{number + 1:05}", "backing": f"n{number + 2:05}"} for number in range(many - 2)}
    seen["monitor"]["nodes"] = {
        f"n{number:05}": {"driver": "raw", "file": None, "virtual_size": 1, "children": below.get(number, {})}
        for number in reversed(range(many))
    }
    seen["domain"]["disks"][0]["node"] = "n00000"
    return seen


def every_node_above_every_other(many: int = MOST) -> dict[str, Any]:
    seen, number = observation(), int((many * 16) ** 0.5)
    seen["monitor"]["nodes"] = {
        f"n{one:04}": {
            "driver": "raw", "file": None, "virtual_size": 1,
            "children": {f"c{other:04}": f"n{other:04}" for other in range(one + 1, number)},
        }
        for one in range(number)
    }  # fmt: skip
    seen["domain"]["record"] = None
    seen["domain"]["disks"] = [
        {**seen["domain"]["disks"][0], "target": f"vd{other}", "node": "n0000"} for other in range(32)
    ]
    return seen


def one_with_many_children(many: int = MOST) -> dict[str, Any]:
    seen = observation()
    root = seen["domain"]["disks"][0]["node"]
    seen["monitor"]["nodes"][root]["children"] = {f"children.{number}": f"c{number}" for number in range(many)}
    return seen


def many_connections(many: int = MOST) -> dict[str, Any]:
    seen = observation()
    seen["peer_sockets"] = [f"10.0.0.1:{number} " + "a " * 2000 for number in range(many)]
    return seen


LONGEST_TEXTS = [texts_at_their_longest, texts_without_a_width, many_digits]
LONGEST_LISTS = [
    many_disks_and_nodes,
    many_nics,
    one_long_chain,
    every_node_above_every_other,
    one_with_many_children,
    many_connections,
]


def report(*seen: dict[str, Any]) -> str:
    hosts = {name: {"observation": one} for name, one in zip(("kvm1", "kvm2"), seen, strict=False)}
    built = document.build({"runbook": "status", "pair": "web1", "before": hosts, "after": hosts}, cases.MADE)
    assert {host["state"] for host in built["after"]["hosts"].values()} == {"observed"}
    json.dumps(built)
    return page.render(built)


def work(of: Callable[[], Any]) -> int:
    """How many functions are called for it."""
    calls = 0

    def called(_frame: types.FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        of()
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize("largest", LONGEST_TEXTS)
def test_a_long_text_is_no_more_work_than_a_short_one(largest: Callable[[], dict[str, Any]]) -> None:
    seen, other, usual = largest(), observation("protected-secondary"), observation()
    answer.accepted({"observation": seen})
    assert work(lambda: report(seen, other)) < 1.5 * work(lambda: report(usual, other))


@pytest.mark.parametrize("largest", LONGEST_LISTS)
def test_work_grows_no_faster_than_what_is_observed(largest: Callable[[int], dict[str, Any]]) -> None:
    answer.accepted({"observation": largest(MOST)})
    few, many = (work(functools.partial(report, largest(number))) for number in (MANY, MORE))
    assert many < few * MORE / MANY


@pytest.mark.parametrize("text", ["x", "\u0301", "\N{CJK UNIFIED IDEOGRAPH-4E00}"])
def test_a_text_is_fitted_by_what_is_shown_of_it(text: str) -> None:
    assert work(lambda: words.fit(text * LONGEST, 20)) < 500


def test_what_is_shown_of_a_long_text_has_an_end() -> None:
    assert len(report(texts_at_their_longest())) < 1 << 20


def test_of_many_disks_the_first_are_drawn_and_the_report_says_so() -> None:
    told = "Of its disks and NICs the first 32 are drawn"
    assert told in report(many_nics())
    assert told not in report(observation())
