# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a survivor sees of the host that is said to be lost."""

from __future__ import annotations

import os
import shutil
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.host import connections, qemu_process
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep.received import LOCKSTEP
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Received
from ansible_collections.lockstep.colo.plugins.module_utils.observe import silence
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import HANDOVER_PORT, PORT_RANGE
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

RECORD = recorded("protected-secondary").record
# Of a standby whose primary was cut off 36 s before: libvirt 11.3, QEMU 10.0.13; the last is the compare channel.
TOLD = """\
0  0     10.77.0.2:57470 10.77.0.1:21602
    cubic wscale:7,7 rto:204 lastsnd:64012 lastrcv:35524 lastack:35524 pacing_rate 1Gbps
0  0     10.77.0.2:21600 10.77.0.1:49312
    cubic wscale:7,7 rto:204 lastsnd:36632 lastrcv:36692 lastack:36632
0  4340  10.77.0.2:55836 10.77.0.1:21603
    cubic wscale:7,7 rto:26112 backoff:7 lastsnd:8520 lastrcv:64044 lastack:35532
"""


def at(address: str) -> object:
    return replace(RECORD, peer=replace(RECORD.peer, address=address))


def test_what_refuses_a_connection_answers() -> None:
    assert silence.answers(at("127.0.0.1")) is True


def test_what_takes_a_connection_answers() -> None:
    with socket.create_server(("127.0.0.1", RECORD.first_port + HANDOVER_PORT)):
        assert silence.answers(at("127.0.0.1")) is True


def test_what_is_silent_does_not_and_costs_no_more_than_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def silent(where: tuple[str, int], deadline: float) -> None:
        asked.append((where, deadline))
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", silent)
    assert silence.answers(RECORD) is False
    ((where, deadline),) = asked
    assert where == ("10.77.0.1", RECORD.first_port + HANDOVER_PORT)
    assert where[1] in PORT_RANGE
    assert deadline <= 0.2


def test_the_youngest_connection_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "run", lambda *words: TOLD)
    assert connections.last_received("10.77.0.1", [21600]) == 35.524
    monkeypatch.setattr(connections, "run", lambda *words: "")
    assert connections.last_received("10.77.0.1", [21600]) is None


def test_a_connection_over_which_data_comes_this_very_moment_is_the_youngest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "run", lambda *words: TOLD.replace(" lastrcv:35524", ""))
    assert connections.last_received("10.77.0.1", [21600]) == 0


@pytest.mark.skipif(shutil.which("ss") is None, reason="needs iproute2")
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_kernel_tells_of_a_connection_that_is_there(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        server = socket.create_server((address, 0), family=family)
    except OSError:
        pytest.skip(f"no {address} here")
    with server:
        port = server.getsockname()[1]
        assert connections.last_received(address, [port]) is None
        with socket.create_connection((address, port)) as client:
            accepted, _sender = server.accept()
            with accepted:
                client.sendall(b"a checkpoint")
                assert accepted.recv(64)
                assert 0 <= connections.last_received(address, [port]) < 5


def test_after_the_connections_the_hidden_images_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The standby's own guest goes on writing, to the active images."""
    disks = tuple(
        replace(disk, active=str(tmp_path / f"{disk.target}.active"), hidden=str(tmp_path / disk.target))
        for disk in RECORD.disks
    )
    now = 1_790_000_000.0
    monkeypatch.setattr(silence.time, "time", lambda: now)
    monkeypatch.setattr(connections, "last_received", lambda *unused: None)
    assert silence.heard(replace(RECORD, disks=disks)) is None
    for disk, seconds in zip(disks, (120, 60), strict=True):
        for path, when in ((disk.hidden, now - seconds), (disk.active, now)):
            Path(path).touch()
            os.utime(path, (when, when))
    heard = silence.heard(replace(RECORD, disks=disks))
    assert (heard.seconds, heard.at) == (60.0, "2026-09-21 14:12:20 UTC")
    monkeypatch.setattr(connections, "last_received", lambda *unused: 2.5)
    assert silence.heard(replace(RECORD, disks=disks)).seconds == 2.5


@pytest.mark.parametrize(
    ("written", "heard", "seconds"),
    [([20.0], 3.0, 17.0), ([3.0], 4.0, -1.0), ([20.0, 5.0], 4.0, 16.0), ([None], 3.0, None), ([20.0], None, None)],
    ids=["a checkpoint came after it", "a write came last", "the disk that was written to least", "no image", "none"],
)
def test_a_checkpoint_after_the_last_write_is_seen(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    written: list[float | None],
    heard: float | None,
    seconds: float | None,
) -> None:
    now, asked, disks = time.time(), [], []
    for number, ago in enumerate(written):
        path = tmp_path / f"vd{number}.qcow2"
        if ago is not None:
            path.touch()
            os.utime(path, (now - ago, now - ago))
        disks.append(replace(RECORD.disks[0], target=f"vd{number}", path=str(path)))
    monkeypatch.setattr(connections, "last_received", lambda peer, ports: asked.append((peer, ports)) or heard)
    found = silence.without_writes(replace(RECORD, disks=tuple(disks)))
    assert found == (None if seconds is None else pytest.approx(seconds, abs=0.5))
    assert asked == [("10.77.0.1", [RECORD.first_port])], "the migration's alone"


@pytest.mark.parametrize(
    ("since", "found"),
    [
        ({}, None),
        ({qemu_process.STARTED: "1@2.0:nbd_co_send_chunk_error Send ... error = 5 (EIO)"}, Received(failed="EIO")),
        ({qemu_process.STARTED: "1@2.0:nbd_co_send_chunk_error error = 5 (EIO)", LOCKSTEP: ""}, Received()),
    ],
    ids=["no longer all of it", "it waits for lockstep", "it was in the copying, which was whole in the end"],
)
def test_of_a_standby_that_waits_only_its_disk_counts(
    monkeypatch: pytest.MonkeyPatch, since: dict[str, str], found: Received | None
) -> None:
    monkeypatch.setattr(qemu_process, "logged_since", lambda _domain, words: since.get(words))
    assert silence.received(RECORD, "web1") == found
