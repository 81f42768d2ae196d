# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule of nftables as it is read back, and what the kernel leaves out of what is watched."""

from __future__ import annotations

import copy
import json
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.host import frames
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Barrier

UUID = "a80187dd-75ff-5385-a841-fa77f1c131d8"
NAME = frames.table(UUID)


def rule(tap: object) -> dict[str, Any]:
    """As nft 1.1.3 lists one of a pair in lockstep."""
    type_ = {"payload": {"protocol": "ether", "field": "type"}}
    expression = [
        {"match": {"op": "==", "left": {"meta": {"key": "iif"}}, "right": tap}},
        {"match": {"op": "!=", "left": type_, "right": {"set": ["ip", "arp"]}}},
        {"counter": {"packets": 344, "bytes": 18576}},
        {"drop": None},
    ]
    return {"rule": {"family": "bridge", "table": NAME, "chain": "from-guest", "handle": 3, "expr": expression}}


CHAIN = {
    "family": "bridge", "table": NAME, "name": "from-guest", "handle": 1, "type": "filter", "hook": "prerouting",
    "prio": -300, "policy": "accept",
}  # fmt: skip
LISTED = [
    {"metainfo": {"version": "1.1.3", "release_name": "Commodore Bullmoose #4", "json_schema_version": 1}},
    {"table": {"family": "bridge", "name": "libvirt", "handle": 1}},
    {"chain": {**CHAIN, "table": "libvirt", "prio": 0}},
    {"table": {"family": "bridge", "name": NAME, "handle": 2}},
    {"chain": CHAIN},
    rule("vnet1"),
    rule("vnet0"),
]


def test_the_rule_is_read_back_as_it_was_made() -> None:
    assert frames.parse(LISTED, NAME) == Barrier(("vnet0", "vnet1"), ("arp", "ip"))
    assert frames.parse(LISTED, frames.table("another")) is None
    assert frames.parse(LISTED[:1], NAME) is None


def test_the_tap_of_a_guest_that_has_ended_is_an_index() -> None:
    assert frames.parse([*LISTED[:-2], rule(7)], NAME) == Barrier(("7",), ("arp", "ip"))


def _expression(listed: list[Any]) -> list[Any]:
    return listed[-1]["rule"]["expr"]


@pytest.mark.parametrize(
    "change",
    [
        lambda listed: listed[4]["chain"].update(hook="forward"),
        lambda listed: listed[4]["chain"].pop("hook"),
        lambda listed: listed.pop(4),
        lambda listed: listed.insert(5, {"rule": {"table": NAME, "expr": [{"accept": None}]}}),
        lambda listed: _expression(listed).pop(),
        lambda listed: _expression(listed)[0]["match"].update(op="!="),
        lambda listed: _expression(listed)[1]["match"].update(op="=="),
        lambda listed: _expression(listed)[1]["match"].update(right="ip"),
        lambda listed: _expression(listed)[1]["match"]["right"]["set"].append("ip6"),
    ],
)
def test_of_a_table_that_somebody_changed_nothing_is_known_to_be_barred(change: Callable[[list[Any]], Any]) -> None:
    listed = copy.deepcopy(LISTED)
    change(listed)
    assert frames.parse(listed, NAME) == Barrier()


def test_where_nftables_cannot_be_asked_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_command: str, **_options: Any) -> str:
        raise ColoError("the command nft is missing")

    monkeypatch.setattr(frames, "run", missing)
    assert frames.barrier(UUID) is None
    monkeypatch.setattr(frames, "run", lambda *_command, **_options: json.dumps({"nftables": LISTED}))
    assert frames.barrier(UUID) == Barrier(("vnet0", "vnet1"), ("arp", "ip"))


def test_the_kernel_leaves_out_what_may_pass() -> None:
    """On sockets that need no network: what they carry goes out to nobody, and has no tag beside it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.settimeout(5)
        frames.leave_out(ours, [0x0800, 0x0806])
        for kind in (0x0800, 0x86DD, 0x0806, 0x8100):
            theirs.send(bytes(12) + struct.pack("!H", kind) + bytes(200))
        theirs.send(b"end" + bytes(20))
        heard = [ours.recv(2048) for _frame in range(3)]
    assert [one[12:14] for one in heard] == [b"\x86\xdd", b"\x81\x00", b"\0\0"]
    assert len(heard[0]) == frames.SNAPLEN
