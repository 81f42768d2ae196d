# SPDX-License-Identifier: GPL-3.0-or-later
"""A third machine in the replication network: what it gets of each channel, in each phase.

The tests build on each other. The firewall is off but in the last one, so that it is TLS that refuses. Where a port has
its one client it takes no other; so each is tried as well while it waits for its own, and shown to take that.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import certificates
import pytest
import standby
from colo_bed import OTHER, ROOT, Bed, kill_run, wait_for
from lockstep_lab import probe
from lockstep_lab.common import CLIENT_ADDRESS, HOSTS
from posing import posing

STRANGER = Path(__file__).with_name("stranger.py")
OPEN = {host: {"colo_firewall": "none"} for host in HOSTS}
MIGRATION, NBD, MIRROR, COMPARE, SUMS, WORD = 21600, 21601, 21602, 21603, 21614, 21615
NAMES = {MIGRATION: "migration", NBD: "nbd", MIRROR: "mirror", COMPARE: "compare", SUMS: "sums", WORD: "word"}
DOCUMENTED = {"primary": {MIRROR, COMPARE}, "standby": {MIGRATION, NBD, SUMS, WORD}}
SLOWLY = ("-e", "colo_sync_speed=262144")
STORM = 15  # seconds

pytestmark = pytest.mark.long
Listening = set[tuple[str, str, int]]  # udp or tcp, address, port


class Strangers:
    """What no channel may take, on hosts without a firewall; ``before``: what listens on each where no pair is."""

    def __init__(self, bed: Bed, shown: dict[str, Path]) -> None:
        self.bed, self.shown = bed, shown
        self.before = {host: listening(bed, host) for host in HOSTS}

    def tried(self, phase: str, primary: str, expected: set[int]) -> None:
        """Every port that listens, with everything that a stranger can show; a table; nothing is got.

        ``expected``: ports, of either host, that listen in this phase at least.
        """
        ports = self.documented(primary)
        assert {port for _address, port in ports} >= expected, (phase, ports)
        words = [f"{name}={path}" for name, path in self.shown.items()]
        found = ask(self.bed, *map(where, ports), "--certificates", *words)
        for port in ports:
            for name, what in found[where(port)].items():
                print(f"{phase:<12} {NAMES[port[1]]:<10} {name:<34} {what}")
        got = [(port, name, what) for port, told in found.items() for name, what in told.items()]
        assert not [one for one in got if not one[2].startswith("nothing")]
        taken = held_in_clear(self.bed, [port for port in ports if port[1] != NBD])  # which greets in clear
        assert not taken, (phase, taken)

    def documented(self, primary: str) -> list[tuple[str, int]]:
        """What listens for the pair: on the replication address, the documented ports, and nothing else of it."""
        ports = []
        for host, address in HOSTS.items():
            role = "primary" if host == primary else "standby"
            more = {one for one in listening(self.bed, host) - self.before[host] if one not in display(self.bed, host)}
            assert {(proto, at) for proto, at, _port in more} <= {("tcp", address)}, (host, more)
            assert {port for _proto, _at, port in more} <= DOCUMENTED[role], (host, more)
            ports += sorted((at, port) for _proto, at, port in more)
        return ports

    def of(self, host: str, *ports: int) -> dict[int, str]:
        """What such ports give away to who shows the certificate of the host itself, its peer's."""
        own = self.bed.lab.state / "colo-ca" / OTHER[host]
        at = [(HOSTS[host], port) for port in ports]
        found = ask(self.bed, *map(where, at), "--certificates", f"its own={own}")
        return {port[1]: found[where(port)]["its own"] for port in at}


def where(port: tuple[str, int]) -> str:
    return f"{port[0]}:{port[1]}"


@pytest.fixture(scope="module")
def strangers(lab: Bed, tmp_path_factory: pytest.TempPathFactory) -> Strangers:
    for host in HOSTS:
        lab.ssh(host, "systemctl disable --now lockstep-colo-firewall.service", check=False)
    lab.prepare(OPEN).good()
    lab.fresh_guest(rate=50)
    return Strangers(lab, certificates.untaken(lab, tmp_path_factory.mktemp("strangers")))


def listening(bed: Bed, host: str) -> Listening:
    """Each socket of the host that waits for others."""
    lines = [line.split() for line in bed.ssh(host, "ss -Htuln").splitlines()]
    split = [(one[0], *one[4].rpartition(":")[::2]) for one in lines]
    return {(proto, address.partition("%")[0].strip("[]"), int(port)) for proto, address, port in split}


def display(bed: Bed, host: str) -> Listening:
    """That of the guest, which is where its XML has it."""
    said = bed.ssh(host, "virsh domdisplay web1 2>/dev/null", check=False).strip()
    if not said.startswith("vnc://"):
        return set()
    address, _colon, number = said.removeprefix("vnc://").rpartition(":")
    return {("tcp", {"localhost": "127.0.0.1"}.get(address, address), 5900 + int(number))}


def ask(bed: Bed, *words: str, timeout: float = 300) -> dict[str, dict[str, str]]:
    done = subprocess.run(stranger(bed, *words), capture_output=True, text=True, timeout=timeout, check=True)
    return json.loads(done.stdout)


def stranger(bed: Bed, *words: str) -> list[str]:
    return ["ip", "netns", "exec", bed.lab.client_ns, "python3", "-B", str(STRANGER), *words]


def held_in_clear(bed: Bed, ports: list[tuple[str, int]]) -> set[int]:
    """Of these, the ones where somebody has taken a stranger's connection in clear, and goes on with it."""
    found = set()
    words = stranger(bed, *map(where, ports), "--hold")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        for host in HOSTS:
            # Of a connection that nobody has taken yet no process is known.
            lines = bed.ssh(host, f"ss -Htnp state established dst {CLIENT_ADDRESS} | grep users:", check=False)
            found |= {int(line.split()[2].rpartition(":")[2]) for line in lines.splitlines()}
        process.communicate("")
    return found & {port for _address, port in ports}


@contextlib.contextmanager
def meanwhile(bed: Bed, playbook: str, *words: str) -> Iterator[Callable[[], tuple[int, str]]]:
    """A playbook that runs beside; what is yielded waits for its end, and has its code and output."""
    text = bed.lab.state / "strangers.txt"
    with subprocess.Popen(
        bed.command(playbook, *words), cwd=ROOT, env=bed.environment(), stdin=subprocess.DEVNULL,
        stdout=text.open("w"), stderr=subprocess.STDOUT,
    ) as run:  # fmt: skip
        try:
            yield lambda: (run.wait(400), text.read_text(encoding="utf-8"))
        finally:
            kill_run(run)  # where a test has failed before its end


def phase(bed: Bed) -> str:
    file = bed.lab.state / "strangers.json"
    bed.playbook("status", "--limit", "web1", "-e", f"colo_status_file={file}", "-e", "colo_status_watch=2")
    (pair,) = json.loads(file.read_text(encoding="utf-8"))
    return pair["phase"]


def jobs(bed: Bed, host: str = "kvm1") -> list[dict[str, Any]]:
    return bed.qmp(host, "query-block-jobs")[0]


def wait_for_port(bed: Bed, host: str, *ports: int) -> None:
    wanted = {("tcp", HOSTS[host], port) for port in ports}
    wait_for(f"{host} to listen on {ports}", lambda: wanted <= listening(bed, host), timeout=200)


def as_fast_as_it_goes(bed: Bed, host: str) -> None:
    for job in jobs(bed, host):
        faster = {"execute": "block-job-set-speed", "arguments": {"device": job["device"], "speed": 0}}
        bed.qmp(host, json.dumps(faster))


def test_a_standby_that_listens(lab: Bed, strangers: Strangers, tmp_path: Path) -> None:
    standby.begin(lab)
    strangers.tried("listening", "kvm1", {MIGRATION, NBD})
    taken = weathered(lab, tmp_path)
    assert {port for port, told in taken.items() if told["connections"]} == {
        where((HOSTS["kvm2"], port)) for port in (MIGRATION, NBD)
    }
    strangers.tried("listening", "kvm1", {MIGRATION, NBD})
    assert lab.module("kvm2", "colo_info", name="web1")["phase"] == "listening"
    assert strangers.of("kvm2", NBD, MIGRATION) == {NBD: "the list of disks", MIGRATION: "an open channel"}


def test_a_primary_that_waits_for_its_standby(lab: Bed, strangers: Strangers) -> None:
    """The standby's connections for packets are led to somebody else, so that those of the primary have no client."""
    boot = lab.get()
    with posing(lab, "kvm1", (MIRROR, COMPARE), None), meanwhile(lab, "deploy", "--limit", "web1") as ended:
        wait_for_port(lab, "kvm1", MIRROR, COMPARE)
        strangers.tried("forming", "kvm1", {MIGRATION, NBD, MIRROR, COMPARE})
        assert strangers.of("kvm1", MIRROR, COMPARE) == {MIRROR: "an open channel", COMPARE: "an open channel"}
        assert ended()[0] != 0
    assert lab.get() == boot


def test_a_pair_whose_disks_are_copied(lab: Bed, strangers: Strangers, tmp_path: Path) -> None:
    boot = lab.get()
    with meanwhile(lab, "deploy", "--limit", "web1", *SLOWLY) as ended:
        wait_for("the copying to begin", lambda: jobs(lab), timeout=200)
        strangers.tried("syncing", "kvm1", {MIGRATION, NBD})
        assert strangers.of("kvm2", NBD)[NBD].startswith("nothing"), "a second client with the primary's key"
        weathered(lab, tmp_path)
        assert [job["status"] for job in jobs(lab)] == ["running"], "it was not copied all the time"
        as_fast_as_it_goes(lab, "kvm1")
        code, said = ended()
        assert code == 0, said[-3000:]
    assert lab.get() == boot


def test_a_pair_in_lockstep_and_its_survivor(lab: Bed, strangers: Strangers, tmp_path: Path) -> None:
    lab.deploy().good()
    boot, acks = lab.get(), tmp_path / "acks"
    probe.start(lab.lab, acks)
    strangers.tried("protected", "kvm1", {NBD})
    assert strangers.of("kvm2", NBD)[NBD].startswith("nothing"), "a second client with the primary's key"
    wait_for("the pair to be protected as before", lambda: phase(lab) == "protected")
    lab.power_off("kvm1")
    lab.failover("kvm1").good()
    assert lab.get(patience=60) == boot
    alone = listening(lab, "kvm2") - strangers.before["kvm2"] - display(lab, "kvm2")
    assert not alone, alone
    probe.stop(lab.lab, quiet=True)
    word = lab.lost("kvm2", acks, live=True)["vda"]
    assert word["acknowledged"]
    assert word["lost"] == []
    weathered(lab, tmp_path)
    assert lab.get() == boot


def test_a_pair_with_sides_changed_that_copies_what_differs(lab: Bed, strangers: Strangers) -> None:
    """The standby's host says what is on its disks, to who shows its peer's certificate from its peer's address."""
    boot = lab.get()
    lab.power_on("kvm1")
    with meanwhile(lab, "deploy", "--limit", "web1", "-e", "colo_resync=changed", *SLOWLY) as ended:
        wait_for("the copying to begin", lambda: jobs(lab, "kvm2"), timeout=300)
        strangers.tried("comparing", "kvm2", {MIGRATION, NBD, SUMS})
        assert strangers.of("kvm1", SUMS)[SUMS].startswith("nothing")
        as_fast_as_it_goes(lab, "kvm2")
        code, said = ended()
        assert code == 0, said[-3000:]
    assert lab.get() == boot
    strangers.tried("protected", "kvm2", {NBD})
    assert phase(lab) == "protected"


def test_a_standby_that_waits_for_the_word_of_a_change_of_sides(lab: Bed, strangers: Strangers) -> None:
    """The primary's word is led to somebody else."""
    boot = lab.get()
    with posing(lab, "kvm1", (WORD,), None), meanwhile(lab, "switchover", "-e", "colo_guest_host=kvm1") as ended:
        wait_for_port(lab, "kvm1", WORD)
        strangers.tried("changing", "kvm2", {NBD, WORD})
        assert ended()[0] != 0
    assert lab.get(patience=60) == boot
    wait_for("the pair to be protected as before", lambda: phase(lab) == "protected", 120)


def test_without_tls_it_gets_something_and_status_says_so(lab: Bed, strangers: Strangers) -> None:
    """So that the tests above can fail. And such a pair is formed anew when that is asked for."""
    lab.fresh_guest(rate=50)
    standby.begin(lab, tls="off")
    nbd = where((HOSTS["kvm2"], NBD))
    assert ask(lab, nbd)[nbd]["in clear"] == "the list of disks"
    assert held_in_clear(lab, [(HOSTS["kvm2"], MIGRATION)]) == {MIGRATION}
    lab.deploy("-e", "colo_tls=off").good()
    assert "neither encrypted nor authenticated" in lab.playbook("status", "--limit", "web1").said()
    boot = lab.get()
    kept = lab.deploy().good()
    assert kept.changed == 0
    assert "was formed with colo_tls off" in kept.said()
    assert "web1 would be formed anew" in lab.deploy("--check", "-e", "colo_tls_renew=true").good().said()
    lab.deploy("-e", "colo_tls_renew=true").good()
    assert lab.get() == boot
    assert "neither encrypted nor authenticated" not in lab.playbook("status", "--limit", "web1").good().said()
    strangers.tried("renewed", "kvm1", {NBD})


def test_where_nothing_keeps_it_out_a_storm_is_not_felt(lab: Bed, strangers: Strangers, tmp_path: Path) -> None:
    """A scan, silent connections, half handshakes and garbage, a thousand to every port that listens."""
    lab.deploy().good()
    boot = lab.get()
    open_ = {where(port) for port in strangers.documented("kvm1")}
    taken = weathered(lab, tmp_path)
    reached = {port for port, told in taken.items() if told["connections"]}
    # Those of the primary let one wait, which may still be one of the strangers before.
    assert {where((HOSTS["kvm2"], NBD))} <= reached <= open_
    assert lab.get() == boot
    wait_for("the pair to be protected as before", lambda: phase(lab) == "protected", 90)
    lab.power_off("kvm1")
    lab.failover("kvm1", "-e", "colo_lost=kvm1").good()
    assert lab.get(patience=60) == boot


def test_behind_the_firewall_a_storm_is_not_felt(lab: Bed, strangers: Strangers, tmp_path: Path) -> None:
    """The same, on every port."""
    lab.fresh_guest(rate=50)
    lab.deploy("--limit", "kvm,web1").good()
    assert lab.prepare().good().changed == 0
    taken = weathered(lab, tmp_path)
    assert {told["connections"] for told in taken.values()} == {0}
    assert phase(lab) == "protected"


def weathered(bed: Bed, directory: Path) -> dict[str, dict[str, int]]:
    """How many connections of a storm each port took, of which the guest's clients have felt nothing."""
    sides = {"kvm1": DOCUMENTED["primary"], "kvm2": DOCUMENTED["standby"]}
    ports = [where((HOSTS[host], port)) for host, known in sides.items() for port in sorted(known)]
    taken: dict[str, dict[str, int]] = {}

    def wait_out(acks: Path) -> None:
        wait_for("as long a calm", lambda: longest(acks)[1] >= STORM)

    def attack(_acks: Path) -> None:
        taken.update(ask(bed, *ports, "--storm", str(STORM)))

    calm, storm, calm_again = (
        recording(bed, directory / name, meanwhile)
        for name, meanwhile in {"calm": wait_out, "storm": attack, "calm again": wait_out}.items()
    )
    print(f"longest silence: {calm:.3f} and {calm_again:.3f} s in calm, {storm:.3f} s in a storm; {taken}")
    assert storm <= 2 * max(calm, calm_again)
    return taken


def recording(bed: Bed, acks: Path, meanwhile: Callable[[Path], object]) -> float:
    """The guest's longest silence while something else happens, in seconds."""
    probe.start(bed.lab, acks)
    meanwhile(acks)
    probe.stop(bed.lab, quiet=True)
    return longest(acks)[0]


def longest(acks: Path) -> tuple[float, float]:
    """The longest time between two acknowledgements of the guest, and from the first to the last; seconds."""
    seen = probe.report(acks)["acks"]
    return (seen["longest_gap_ms"] / 1000, seen["last"] - seen["first"]) if seen["count"] > 1 else (0.0, 0.0)
