# SPDX-License-Identifier: GPL-3.0-or-later
"""A third machine in the replication network: what it gets of each channel, in each phase.

The tests build on each other. The firewall is off but in the last one, so that it is TLS that refuses.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import certificates
import pytest
import standby
from colo_bed import ROOT, Bed, wait_for
from lockstep_lab import probe
from lockstep_lab.common import HOSTS

STRANGER = Path(__file__).with_name("stranger.py")
OPEN = {host: {"colo_firewall": "none"} for host in HOSTS}
DOCUMENTED = {"kvm2": {21600: "migration", 21601: "nbd"}, "kvm1": {21602: "mirror", 21603: "compare"}}
SLOWLY = ("-e", "colo_sync_speed=262144")
NBD = f"{HOSTS['kvm2']}:21601"
STORM = 15  # seconds

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def shown(lab: Bed, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What no channel may take, on hosts without a firewall and with a fresh guest."""
    lab.ssh("kvm1", "systemctl disable --now lockstep-colo-firewall.service", check=False)
    lab.ssh("kvm2", "systemctl disable --now lockstep-colo-firewall.service", check=False)
    lab.prepare(OPEN).good()
    lab.fresh_guest(rate=50)
    return certificates.untaken(lab, tmp_path_factory.mktemp("strangers"))


def listening(bed: Bed, host: str) -> list[tuple[str, int]]:
    """Address and port of each socket of the host that listens within the collection's range."""
    lines = bed.ssh(host, "ss -Htln | awk '{print $4}'").splitlines()
    found = [(address, int(port)) for address, _, port in (line.rpartition(":") for line in lines)]
    return sorted(one for one in found if 21600 <= one[1] <= 23199)


def ask(bed: Bed, *words: str, timeout: float = 300) -> dict[str, dict[str, str]]:
    command = ["ip", "netns", "exec", bed.lab.client_ns, "python3", str(STRANGER), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=True)
    return json.loads(done.stdout)


def tried(bed: Bed, phase: str, shown: dict[str, Path]) -> None:
    """Every port that listens, with everything that a stranger can show; a table; nothing is got."""
    ports = []
    for host, address in HOSTS.items():
        open_ = listening(bed, host)
        assert {one[0] for one in open_} <= {address}, open_
        assert {port for _address, port in open_} <= set(DOCUMENTED[host]), open_
        ports += [f"{address}:{port}" for _address, port in open_]
    if not ports:
        print(f"{phase}: nothing listens")
        return
    found = ask(bed, *ports, "--certificates", *(f"{name}={path}" for name, path in shown.items()))
    names = {port: kind for ports_ in DOCUMENTED.values() for port, kind in ports_.items()}
    for port, told in found.items():
        for name, what in told.items():
            print(f"{phase:<12} {names[int(port.rpartition(':')[2])]:<10} {name:<34} {what}")
    got = {(port, name, what) for port, told in found.items() for name, what in told.items()}
    assert not [one for one in got if not one[2].startswith("nothing")]


def with_the_primarys_key(bed: Bed) -> str:
    """What a second client gets of the standby's exports that shows the certificate of the primary's host."""
    return ask(bed, NBD, "--certificates", f"its own={bed.lab.state / 'colo-ca' / 'kvm1'}")[NBD]["its own"]


def phase(bed: Bed) -> str:
    file = bed.lab.state / "strangers.json"
    bed.playbook("status", "--limit", "web1", "-e", f"colo_status_file={file}", "-e", "colo_status_watch=2")
    (pair,) = json.loads(file.read_text(encoding="utf-8"))
    return pair["phase"]


def test_a_standby_that_listens(lab: Bed, shown: dict[str, Path], tmp_path: Path) -> None:
    standby.begin(lab)
    ports = [(HOSTS["kvm2"], port) for port in DOCUMENTED["kvm2"]]
    assert listening(lab, "kvm2") == ports
    tried(lab, "listening", shown)
    assert with_the_primarys_key(lab) == "the list of disks", "this test could not fail"
    taken = weathered(lab, tmp_path)
    assert {port for port, told in taken.items() if told["connections"]} == {f"{one[0]}:{one[1]}" for one in ports}
    assert listening(lab, "kvm2") == ports
    assert lab.module("kvm2", "colo_info", name="web1")["phase"] == "listening"


def test_a_pair_whose_disks_are_copied(lab: Bed, shown: dict[str, Path], tmp_path: Path) -> None:
    boot = lab.get()
    with subprocess.Popen(
        lab.command("deploy", "--limit", "web1", *SLOWLY), cwd=ROOT, env=lab.environment(), stdin=subprocess.DEVNULL,
        stdout=(lab.lab.state / "strangers.txt").open("w"), stderr=subprocess.STDOUT,
    ) as deploy:  # fmt: skip
        wait_for("the copying to begin", lambda: jobs(lab), timeout=200)
        tried(lab, "syncing", shown)
        assert with_the_primarys_key(lab).startswith("nothing")
        weathered(lab, tmp_path)
        assert [job["status"] for job in jobs(lab)] == ["running"], "it was not copied all the time"
        faster = {"device": jobs(lab)[0]["device"], "speed": 0}
        lab.qmp("kvm1", json.dumps({"execute": "block-job-set-speed", "arguments": faster}))
        assert deploy.wait(300) == 0, (lab.lab.state / "strangers.txt").read_text(encoding="utf-8")[-3000:]
    assert lab.get() == boot


def jobs(bed: Bed) -> list[dict[str, Any]]:
    return bed.qmp("kvm1", "query-block-jobs")[0]


def test_a_pair_in_lockstep_and_its_survivor(lab: Bed, shown: dict[str, Path], tmp_path: Path) -> None:
    lab.deploy().good()
    boot, acks = lab.get(), tmp_path / "acks"
    probe.start(lab.lab, acks)
    tried(lab, "protected", shown)
    assert with_the_primarys_key(lab).startswith("nothing")
    wait_for("the pair to be protected as before", lambda: phase(lab) == "protected")
    lab.power_off("kvm1")
    lab.failover("kvm1").good()
    assert lab.get(patience=60) == boot
    tried_after = listening(lab, "kvm2")
    assert tried_after == [], tried_after
    probe.stop(lab.lab, quiet=True)
    word = lab.lost("kvm2", acks, live=True)["vda"]
    assert word["acknowledged"]
    assert word["lost"] == []
    weathered(lab, tmp_path)
    assert lab.get() == boot


def test_without_tls_it_lists_the_disks_and_status_says_so(lab: Bed, shown: dict[str, Path]) -> None:
    """So that the tests above can fail. And such a pair is formed anew when that is asked for."""
    lab.fresh_guest(rate=50)
    standby.begin(lab, tls="off")
    assert ask(lab, NBD)[NBD]["in clear"] == "the list of disks"
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
    assert ask(lab, NBD)[NBD]["in clear"].startswith("nothing")


def test_where_nothing_keeps_it_out_a_storm_is_not_felt(lab: Bed, shown: dict[str, Path], tmp_path: Path) -> None:
    """Silent connections, half handshakes, garbage and a thousand connections, on every port that listens."""
    lab.fresh_guest(rate=50)
    lab.deploy().good()
    boot = lab.get()
    open_ = {f"{address}:{port}" for host in HOSTS for address, port in listening(lab, host)}
    assert open_, "nothing listens: this test proves nothing"
    taken = weathered(lab, tmp_path)
    assert {port for port, told in taken.items() if told["connections"]} == open_
    assert lab.get() == boot
    wait_for("the pair to be protected as before", lambda: phase(lab) == "protected", 90)
    lab.power_off("kvm1")
    lab.failover("kvm1", "-e", "colo_lost=kvm1").good()
    assert lab.get(patience=60) == boot


def test_behind_the_firewall_a_storm_is_not_felt(lab: Bed, shown: dict[str, Path], tmp_path: Path) -> None:
    """The same, on every port."""
    lab.fresh_guest(rate=50)
    lab.deploy("--limit", "kvm,web1").good()
    assert lab.prepare().good().changed == 0
    taken = weathered(lab, tmp_path)
    assert {told["connections"] for told in taken.values()} == {0}
    assert phase(lab) == "protected"


def weathered(bed: Bed, directory: Path) -> dict[str, dict[str, int]]:
    """How many connections of a storm each port took, of which the guest's clients have felt nothing."""
    ports = [f"{HOSTS[host]}:{port}" for host, known in DOCUMENTED.items() for port in known]
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
