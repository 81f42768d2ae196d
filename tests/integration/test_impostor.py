# SPDX-License-Identifier: GPL-3.0-or-later
"""A stranger who poses as each host of a pair towards the other: what those who connect let it have.

What a host sends to its peer's ports is led to a false server on a third machine, as one would who took the address
over. With a certificate of the host itself it gets something of each port, which shows that the tests can fail.

The tests build on each other.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import certificates
import pytest
import standby
from colo_bed import OTHER, Bed, Run, wait_for
from lockstep_lab import probe
from lockstep_lab.common import HOSTS
from posing import NBD, posing

MIGRATION, MIRROR, COMPARE, WORD = 21600, 21602, 21603, 21615
NO_TLS = "that does not encrypt"
BY_CHANCE = 100  # ms, five of the probe's questions: so long a guest is silent of which nobody wants anything
A_FEW = 10_000  # ms: for QEMU and for libvirt behind it to be asked, each for 3 s, and for what frees the guest
A_WHILE = 6  # seconds, in which who lost a connection makes it anew

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def acks(lab: Bed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it is recorded what a fresh guest acknowledges."""
    lab.fresh_guest(rate=50)
    home = tmp_path_factory.mktemp("acks")
    probe.start(lab.lab, home)
    return home


@pytest.fixture(scope="module")
def shown(lab: Bed, acks: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path | None]:
    """What no host takes for its peer's, by what is wrong with it."""
    return {**certificates.untaken(lab, tmp_path_factory.mktemp("impostor")), NO_TLS: None}


def faults(shown: dict[str, Path | None], host: str) -> dict[str, Path | None]:
    """Of those, what one who poses as this host would show."""
    return {name: path for name, path in shown.items() if OTHER[host] not in name}


def got_nothing(port: int, name: str, heard: list[dict[str, Any]]) -> None:
    """It was asked for TLS, or for an NBD server's; nothing came within it, and no connection was held."""
    asked = [one for one in heard if one["port"] == port and one["asked"]]
    print(f"{port} {name:<34} {len(asked)} asked, {sum(one['shook'] for one in asked)} shook hands, "
          f"{sum(one['bytes'] for one in asked)} bytes")  # fmt: skip
    assert asked, (port, name, heard)
    assert not [one for one in asked if one["bytes"] or (one["held"] and one["shook"])], (port, name, asked)


def got_something(port: int, heard: list[dict[str, Any]]) -> None:
    """With a certificate of the host itself; else the test could not fail."""
    assert [one for one in heard if one["port"] == port and one["shook"] and (one["bytes"] or one["held"])], heard


def phase(bed: Bed) -> str:
    file = bed.lab.state / "impostor.json"
    bed.playbook("status", "--limit", "web1", "-e", f"colo_status_file={file}", "-e", "colo_status_watch=2")
    (pair,) = json.loads(file.read_text(encoding="utf-8"))
    return pair["phase"]


def refused(run: Run) -> None:
    assert run.code != 0, run.said()[-3000:]


@pytest.mark.parametrize("port", [NBD, MIGRATION])
def test_no_disk_and_no_memory_is_sent_to_it(lab: Bed, acks: Path, shown: dict[str, Path | None], port: int) -> None:
    boot = lab.get()
    for name, path in faults(shown, "kvm2").items():
        with posing(lab, "kvm2", (port,), path) as heard:
            refused(lab.deploy())
        got_nothing(port, name, heard)
        assert lab.get(patience=30) == boot
    with posing(lab, "kvm2", (port,), lab.lab.state / "colo-ca" / "kvm2") as heard:
        refused(lab.deploy())
    got_something(port, heard)
    assert lab.get(patience=30) == boot


@pytest.mark.parametrize("port", [NBD, MIGRATION])
def test_one_that_says_nothing_is_not_felt(lab: Bed, acks: Path, tmp_path: Path, port: int) -> None:
    """It lets the primary in, and is silent once TLS should begin; held against one that refuses at once."""
    probe.stop(lab.lab, quiet=True)
    boot = lab.get()
    silences = {}
    for name, one in (("refused", {}), ("silent", {"silent": True})):
        probe.start(lab.lab, tmp_path / name)
        with posing(lab, "kvm2", (port,), None, **one) as heard:
            run = lab.deploy()
        probe.stop(lab.lab, quiet=True)
        refused(run)
        assert [told for told in heard if told["port"] == port and told["asked"]], heard
        assert lab.get() == boot
        silences[name] = probe.report(tmp_path / name)["acks"]["longest_gap_ms"]
    print(f"{port}: the guest's longest silence, in ms: {silences}")
    assert silences["silent"] <= 2 * max(silences["refused"], BY_CHANCE)
    probe.start(lab.lab, acks)


@pytest.mark.parametrize("port", [NBD, MIGRATION])
def test_one_that_is_silent_to_qemu_alone_holds_the_guest_for_seconds(
    lab: Bed, acks: Path, tmp_path: Path, port: int
) -> None:
    """It lets the run look at the standby first. QEMU waits in its main loop, until the run resets its connections."""
    probe.stop(lab.lab, quiet=True)
    boot = lab.get()
    probe.start(lab.lab, tmp_path / "held")
    with posing(lab, "kvm2", (port,), None, silent=True, passes=1) as heard:
        refused(lab.deploy())
    probe.stop(lab.lab, quiet=True)
    assert [told for told in heard if told["port"] == port and told["asked"]], heard
    assert lab.get() == boot
    silence = probe.report(tmp_path / "held")["acks"]["longest_gap_ms"]
    print(f"{port}: the guest's longest silence: {silence} ms")
    assert silence < A_FEW
    probe.start(lab.lab, acks)


def test_a_standby_that_waits_sends_it_no_packet(lab: Bed, acks: Path, shown: dict[str, Path | None]) -> None:
    """It connects anew each second, until its primary listens."""
    boot, ports = lab.get(), (MIRROR, COMPARE)
    standby.begin(lab)
    for name, path in faults(shown, "kvm1").items():
        with posing(lab, "kvm1", ports, path) as heard:
            time.sleep(A_WHILE)
        for port in ports:
            got_nothing(port, name, heard)
    with posing(lab, "kvm1", ports, lab.lab.state / "colo-ca" / "kvm1") as heard:
        time.sleep(A_WHILE)
    for port in ports:
        got_something(port, heard)
    assert lab.get() == boot


def test_the_word_of_a_change_of_sides_is_not_said_to_it(lab: Bed, acks: Path, shown: dict[str, Path | None]) -> None:
    boot = lab.get()
    lab.deploy().good()
    for name, path in faults(shown, "kvm2").items():
        with posing(lab, "kvm2", (WORD,), path) as heard:
            refused(lab.playbook("switchover", "-e", "colo_guest_host=kvm2"))
        got_nothing(WORD, name, heard)
        assert lab.get(patience=60) == boot
    wait_for("the pair to be protected as before", lambda: phase(lab) == "protected", 120)


def test_in_lockstep_nobody_connects_anew_to_it_and_a_failover_loses_nothing(lab: Bed, acks: Path) -> None:
    """One that was reset in lockstep stays closed: even with the host's own certificate nothing is asked of it."""
    boot, packets = lab.get(), (MIRROR, COMPARE)
    lab.deploy().good()
    with posing(lab, "kvm1", packets, lab.lab.state / "colo-ca" / "kvm1") as heard:
        for port in packets:
            lab.ssh("kvm2", f"ss -K dst {HOSTS['kvm1']} dport = {port}")
            lab.ssh("kvm1", f"ss -K dst {HOSTS['kvm2']} sport = {port}")
        time.sleep(A_WHILE)
        assert lab.get(patience=60) == boot
    assert heard == []
    lab.power_off("kvm1")
    lab.failover("kvm1").good()
    assert lab.get(patience=60) == boot
    probe.stop(lab.lab, quiet=True)
    word = lab.lost("kvm2", acks, live=True)["vda"]
    assert word["acknowledged"]
    assert word["lost"] == []
