# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError, CommandFailed
from ansible_collections.lockstep.colo.plugins.module_utils.host import frames, leaving, uplinks
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Announced

MAC = "52:54:00:00:00:01"
# As iproute2 6.15 prints it.
FDB = """[{"mac":"52:54:00:00:00:01","ifname":"vnet0","flags":[],"master":"br0","state":""},
{"mac":"fe:54:00:00:00:01","ifname":"vnet0","vlan":1,"flags":[],"master":"br0","state":"permanent"},
{"mac":"33:33:00:00:00:01","ifname":"br0","flags":["self"],"state":"permanent"},
{"mac":"52:54:00:00:00:02","ifname":"eth0","flags":[],"master":"br0","state":""}]"""


@pytest.fixture(autouse=True)
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """br0 with the port eth0 and the tap vnet0; vnet9 is a tap that is a port of nothing, vnet8 of Open vSwitch."""
    for device in ("br0/brif", "br0/bridge", "eth0", "vnet0", "vnet8", "vnet9", "ovs-system"):
        (tmp_path / device).mkdir(parents=True)
    for port in ("eth0", "vnet0"):
        (tmp_path / port / "master").symlink_to(tmp_path / "br0")
        (tmp_path / "br0/brif" / port).mkdir()
    (tmp_path / "vnet8" / "master").symlink_to(tmp_path / "ovs-system")
    for tap in ("vnet0", "vnet8", "vnet9"):
        (tmp_path / tap / "tun_flags").touch()
    for module in (leaving, uplinks):
        monkeypatch.setattr(module, "NETWORK", tmp_path)
    monkeypatch.setattr(uplinks, "run", lambda *_command: "[]")
    monkeypatch.setattr(leaving, "run", lambda *_command, **_how: FDB)
    return tmp_path


def test_a_guest_is_where_its_bridge_has_heard_it() -> None:
    assert leaving.places({MAC: "vnet0"}) == (Announced(MAC, "vnet0", "br0", "vnet0", ("eth0",)),)
    assert leaving.places({"52:54:00:00:00:02": "vnet0"})[0].learned == "eth0"


def test_a_tap_that_is_a_port_of_nothing_is_told_as_that() -> None:
    assert leaving.places({MAC: "vnet9"}) == (Announced(MAC, "vnet9"),)


def test_of_a_switch_that_is_no_bridge_of_the_kernel_nothing_is_told() -> None:
    assert leaving.places({MAC: "vnet8"}) == ()


def test_what_the_bridge_cannot_be_asked_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_command: str, **_how: float) -> str:
        raise CommandFailed("bridge failed")

    monkeypatch.setattr(leaving, "run", fail)
    assert leaving.places({MAC: "vnet0"}) == (Announced(MAC, "vnet0", "br0", None, ("eth0",)),)


def test_where_there_is_no_uplink_nothing_is_waited_for() -> None:
    assert leaving.watch({MAC: "vnet9"}, 60)[0].left is False


def heard(monkeypatch: pytest.MonkeyPatch, **spoken: bool) -> Announced:
    """What comes of watching, where a frame is heard at once or never of those that leave, and that come."""
    writers = []

    def ear(which: str) -> Callable[[str, str], socket.socket]:
        def listen(_mac: str, _port: str) -> socket.socket:
            ours, theirs = socket.socketpair(type=socket.SOCK_DGRAM)
            writers.append(theirs)
            if spoken[which]:
                theirs.send(b"a frame")
            return ours

        return listen

    monkeypatch.setattr(frames, "sent_by", ear("left"))
    monkeypatch.setattr(frames, "sent_to", ear("answered"))
    (found,) = leaving.watch({MAC: "vnet0"}, 0.2)
    for writer in writers:
        writer.close()
    return found


@pytest.mark.parametrize(("left", "answered"), [(True, True), (True, False), (False, True), (False, False)])
def test_what_left_and_what_came_are_told_apart(monkeypatch: pytest.MonkeyPatch, left: bool, answered: bool) -> None:
    found = heard(monkeypatch, left=left, answered=answered)
    assert (found.left, found.answered) == (left, answered)


def test_an_uplink_that_cannot_be_listened_to_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_mac: str, _port: str) -> socket.socket:
        raise PermissionError("no raw sockets")

    monkeypatch.setattr(frames, "sent_by", refuse)
    with pytest.raises(ColoError, match="cannot be watched: no raw sockets"):
        leaving.watch({MAC: "vnet0"}, 0.2)
