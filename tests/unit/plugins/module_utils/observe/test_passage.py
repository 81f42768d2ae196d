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
