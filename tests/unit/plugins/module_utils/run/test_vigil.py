# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a watcher tells what it measures: in a file, and at a port. What it does about pairs: verdict/test_vigil."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.automation import Automation, Settings
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Certificate
from ansible_collections.lockstep.colo.plugins.module_utils.observation.word import Half, Speech
from ansible_collections.lockstep.colo.plugins.module_utils.run import vigil
from ansible_collections.lockstep.colo.plugins.module_utils.run.asker import Seen
from ansible_collections.lockstep.colo.plugins.module_utils.run.keeper import Counted, Keeper
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

RECORD = recorded("protected-primary").record
KEEPER = SimpleNamespace(
    domain="web1",
    half=Half("u", "m", 1, "primary", running=True, answers=True, lockstep=True),
    record=RECORD, seen=Seen(), counted=Counted(7), told=Automation(), guarded=True, theirs=None, shown=None,
    survivor="", degraded=False,
)  # fmt: skip


@pytest.fixture(name="looks")
def certificates_that_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    looks: list[str] = []

    def certificate(directory: str) -> Certificate:
        looks.append(directory)
        return Certificate(ends=1827136000.0)

    monkeypatch.setattr(vigil, "certificate", certificate)
    monkeypatch.setattr(vigil.files, "machine_id", lambda: "m")
    monkeypatch.setattr(vigil.processes, "boot_id", lambda: "b")
    return looks


def watcher(said: list[str], **settings: str) -> vigil.Vigil:
    one = vigil.Vigil(Settings(**settings), said.append)
    one._keepers["u"] = KEEPER
    return one


def test_the_file_is_written_whole_and_the_certificate_is_not_read_each_time(looks: list[str], tmp_path: Path) -> None:
    one = watcher([], metrics=str(tmp_path), pki="/pki")
    for _scan in range(3):
        one._tell_metrics()
    assert [path.name for path in tmp_path.iterdir()] == ["lockstep_colo.prom"]
    text = (tmp_path / "lockstep_colo.prom").read_text(encoding="utf-8")
    assert 'lockstep_colo_phase{domain="web1",phase="protected"} 1\n' in text
    assert "lockstep_colo_certificate_end_timestamp_seconds 1827136000\n" in text
    assert looks == ["/pki"]


def test_one_who_is_told_to_tell_nobody_looks_at_nothing(looks: list[str]) -> None:
    watcher([])._tell_metrics()
    assert looks == []


def test_at_the_port_whoever_asks_gets_what_is_so_now(looks: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vigil, "RECONNECT", 0.01)
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        one = watcher(said, listen=f"127.0.0.1:{port}")
        threading.Thread(target=one._serve_metrics, daemon=True).start()
        end = time.monotonic() + 10
        while not said and time.monotonic() < end:
            time.sleep(0.01)
    assert [words.startswith(f"cannot tell metrics at 127.0.0.1:{port}: ") for words in said] == [True], "and once"
    for _try in range(500):
        try:
            text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
            break
        except OSError:
            time.sleep(0.02)
    assert 'lockstep_colo_half{domain="web1",role="primary",peer="kvm2"} 1\n' in text
    assert "certificate" not in text, "nobody has looked at it yet"


def test_where_nobody_can_listen_it_says_what_to_set(looks: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def enough(_seconds: float) -> None:
        raise SystemExit

    monkeypatch.setattr(vigil.time, "sleep", enough)
    said: list[str] = []
    with pytest.raises(SystemExit):
        watcher(said, listen="kvm1:http")._serve_metrics()
    assert "colo_metrics_listen" in said[0]


class Foul:
    """The line to a watcher that says what no watcher says, each time something else."""

    names = frozenset({"kvm2"})

    def __init__(self, words: list[object]) -> None:
        self._words = words

    def hear(self) -> object:
        said = self._words.pop(0)
        if isinstance(said, BaseException):
            raise said
        return said

    def say(self, data: object) -> None:
        raise AssertionError(data)

    def close(self) -> None:
        pass


def test_nothing_that_a_peer_says_ends_a_speaker(looks: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    words = [[], 1, None, {}, ValueError("x"), RecursionError("deep"), AttributeError("y"), OSError(), SystemExit()]
    monkeypatch.setattr(vigil, "RECONNECT", 0.001)
    monkeypatch.setattr(vigil.hotline, "call", lambda *_where: Foul(words))
    monkeypatch.setattr(vigil.threading, "Thread", lambda **_how: SimpleNamespace(start=lambda: None))
    said: list[str] = []
    speaker = vigil.Speaker("10.0.0.2", watcher(said))
    speaker.names = Foul.names
    with pytest.raises(SystemExit):
        speaker._run()
    assert words == []
    assert "cannot speak to the watcher at 10.0.0.2: deep" in said
    assert said[-1] == "cannot speak to the watcher at 10.0.0.2: OSError"


def test_a_peer_is_heard_once_its_pair_is_known_and_machines_that_it_makes_up_are_forgotten(looks: list[str]) -> None:
    one, keeper, names = (
        watcher([]),
        Keeper("u", "web1", Settings(), lambda: None, lambda _words: None),
        frozenset({"kvm2"}),
    )
    one._keepers["u"] = keeper
    machine = RECORD.peer.machine_id
    half = Half("u", machine, 1, "secondary", running=True)

    def hear(machine_id: str, number: int, by: frozenset[str] = names, **changed: bool) -> None:
        said = Speech(machine_id, "boot", number, "nonce", (dataclasses.replace(half, **changed),))
        one._hear(by, said, 0.0)

    hear(machine, 1)
    assert (keeper._word, one._last) == (None, {}), "its pair is not known yet"
    keeper.record = RECORD
    for made_up in range(100):
        hear(f"{made_up:032x}", 2)
        hear(machine, made_up, frozenset({f"kvm{made_up}3"}))
    assert (keeper._word, one._last) == (None, {})
    hear(machine, 1)
    assert keeper._word is not None
    assert keeper._word.half == half
    hear(machine, 3, lockstep=True)
    hear(machine, 2, lockstep=False)
    assert keeper._word.half.lockstep, "of two lines to the same host, the later word counts"
    assert len(one._last) == 1
