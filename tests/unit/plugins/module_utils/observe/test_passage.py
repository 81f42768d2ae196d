# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Passage
from ansible_collections.lockstep.colo.plugins.module_utils.observe import passage as module


@pytest.fixture(name="said")
def said_to_the_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, ...]]:
    said: list[tuple[str, ...]] = []

    def run(*command: str) -> str:
        said.append(command)
        if command[-1] == "10.0.0.3":
            raise ColoError("100% packet loss")
        return '[{"dst": "10.0.0.2", "dev": "br0"}]' if command[0] == "ip" else ""

    (tmp_path / "br0").mkdir()
    (tmp_path / "br0" / "mtu").write_text("9000\n")
    monkeypatch.setattr(module, "NETWORK", str(tmp_path))
    monkeypatch.setattr(module, "run", run)
    return said


@pytest.mark.parametrize(("address", "load"), [("10.0.0.2", "8972"), ("fd00::2", "8952")])
def test_an_echo_fills_the_link_and_may_not_be_cut_up(said, address: str, load: str) -> None:
    assert module.passage(address) == Passage(9000, passes=True)
    ping = said[-1]
    assert ping[ping.index("-s") + 1] == load
    assert ping[ping.index("-M") + 1] == "do"


def test_without_an_echo_it_does_not_pass(said, monkeypatch: pytest.MonkeyPatch) -> None:
    def route(*command: str) -> str:
        if command[0] == "ping" and command[-1] != "-V":
            raise ColoError("ping failed: 3 packets transmitted, 0 received")
        return '[{"dev": "br0"}]'

    monkeypatch.setattr(module, "run", route)
    assert module.passage("10.0.0.2") == Passage(9000, passes=False)


def test_without_ping_nothing_is_known(said, monkeypatch: pytest.MonkeyPatch) -> None:
    def route(*command: str) -> str:
        if command[0] == "ping":
            raise ColoError("the command ping is missing")
        return '[{"dev": "br0"}]'

    monkeypatch.setattr(module, "run", route)
    assert module.passage("10.0.0.2") is None


@pytest.mark.parametrize(
    ("at_first", "later", "takes", "found"),
    [
        (None, 1400, 1400, Passage(1400, passes=True)),  # a router says so when the first echo comes
        (1400, 1400, 1400, Passage(1400, passes=True)),  # the route has it
        (None, None, 1400, Passage(9000, passes=False)),  # it is lost without a word
        (None, 1400, 1300, Passage(9000, passes=False)),
    ],
)
def test_less_than_the_link_takes_will_do_where_tcp_is_told_of_it(
    said, monkeypatch: pytest.MonkeyPatch, at_first: int | None, later: int | None, takes: int, found: Passage
) -> None:
    known = iter([at_first, later])

    def run(*command: str) -> str:
        if command[0] == "ip":
            mtu = next(known)
            return f'[{{"dev": "br0", "metrics": [{{"mtu": {mtu}}}]}}]' if mtu else '[{"dev": "br0"}]'
        if "-s" in command and int(command[command.index("-s") + 1]) + 28 > takes:
            raise ColoError("Message too long")
        return ""

    monkeypatch.setattr(module, "run", run)
    assert module.passage("10.0.0.2") == found
