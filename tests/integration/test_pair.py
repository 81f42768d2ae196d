# SPDX-License-Identifier: GPL-3.0-or-later
"""One pair, from a dry run before the first deploy to a second one that does nothing; the tests build on each other."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observe.monitor import PURE_QUERIES
from colo_bed import DIRECTORY, Bed

NBD_PORT = 21601
LOST = ("-e", "colo_lost=kvm1", "-e", "colo_fence_confirmed=kvm1", "-e", "colo_doubt_timeout=15")
LOG = "/var/log/libvirt/qmp-sent.log"
# What libvirtd sends by itself, without being asked by the collection. Nothing was ever seen, so nothing is left out.
LIBVIRT_ITSELF: frozenset[str] = frozenset()


@pytest.fixture(scope="module", autouse=True)
def same_guest(bed: Bed):
    """Nothing in this file may restart the guest."""
    boot = bed.get()
    yield
    assert bed.get() == boot


def failover(bed: Bed, host: str, fenced: str | None, rc: int = 0) -> str:
    """The reason why colo_failover refuses; nothing may have changed."""
    fence = {"fence": {"host": fenced, "proof": {"rc": rc}}} if fenced else {}
    before = bed.xml("kvm1", "--inactive"), bed.xml("kvm2", "--inactive"), bed.graph("kvm1"), bed.graph("kvm2")
    result = bed.module(host, "colo_failover", name="web1", **fence)
    after = bed.xml("kvm1", "--inactive"), bed.xml("kvm2", "--inactive"), bed.graph("kvm1"), bed.graph("kvm2")
    assert result.get("failed"), result
    assert not result.get("changed"), result
    assert before == after
    assert bed.get(), "the guest does not answer"
    assert f"host {host}, domain web1" in result["msg"]
    assert all(problem["remedy"] for problem in result["problems"])
    return str(result["msg"])


def test_check_and_diff_before_the_first_deploy(bed: Bed) -> None:
    before = bed.fingerprint()
    run = bed.deploy("--check", "--diff").good()
    assert bed.fingerprint() == before
    text = run.said()
    assert re.search(r"^\+.*<colo:pair .*role=\"primary\"", text, re.MULTILINE), "no XML for the primary's host"
    assert re.search(r"^\+.*<colo:pair .*role=\"secondary\"", text, re.MULTILINE), "no XML for the standby's host"
    assert "step: define web1 with the changed XML" in text
    assert re.search(r"step: create \S+/vda.qcow2, qcow2, 268435456 bytes", text)
    assert "step: start the standby" in text
    assert "step: disk vda: copy everything to the standby" in text
    assert "step: let the guest go on in lockstep" in text
    assert "web1 would be protected" in text


def test_a_port_that_does_not_answer(bed: Bed) -> None:
    """The peer's NBD port is silent: the guest goes on as it was, with nothing under its disk."""
    graph = bed.graph("kvm1")
    rules = (
        "add table ip lab; add chain ip lab in { type filter hook input priority 0; };"
        f" add rule ip lab in tcp dport {NBD_PORT} drop"
    )
    bed.ssh("kvm2", f"nft '{rules}'")
    try:
        run = bed.deploy()
    finally:
        bed.ssh("kvm2", "nft delete table ip lab")
    assert run.code != 0
    assert f"10.77.0.2 port {NBD_PORT} does not answer within" in run.text
    assert "Check the network between the hosts, that it lets large packets pass" in run.text
    assert bed.get(), "the guest does not answer"
    assert bed.graph("kvm1") == graph


def test_failover_of_a_listening_standby(bed: Bed) -> None:
    message = failover(bed, "kvm2", "kvm1")
    assert "a secondary that is listening cannot fail over" in message
    assert "Failover applies to primary: protected, stalled, degraded, syncing; secondary: protected" in message


def test_failover_of_an_unprotected_primary(bed: Bed) -> None:
    assert "a primary that is unprotected cannot fail over" in failover(bed, "kvm1", "kvm2")


def test_deploy_goes_on_where_it_was_cut_off(bed: Bed) -> None:
    run = bed.deploy().good()
    assert run.changed
    assert "web1 is protected" in run.text
    bed.playbook("status", "--limit", "web1").good()


# By what a path ends with, whose it is and what others may do with it, of all that is on both hosts of a pair.
OWNED = {
    ".qcow2": "libvirt-qemu 600 f",
    "-key.pem": "libvirt-qemu 600 f",
    "colo.json": "root 644 f",
    "/run/lockstep-colo": "root 700 d",
    "/etc/lockstep-colo/pki": "root 755 d",
}
# Of the directories in which a primary's QEMU has sockets of COLO: who may not enter one reaches none of them.
SOCKETS = "find /var/lib/libvirt/qemu -type s -name 'colo-*' -printf '%h\\n' | xargs stat -c '%U %a'"


def test_what_is_written_is_for_its_owner_alone(bed: Bed, tmp_path: Path) -> None:
    """Images that the collection made, keys, what is open until a reboot, and what the control node keeps."""
    for host, number in {"kvm1": 5, "kvm2": 8}.items():
        places = f"{DIRECTORY} /etc/lockstep-colo/pki /run/lockstep-colo"
        lines = bed.ssh(host, f"find {places} -printf '%u %m %y %p\\n'").splitlines()
        found = {path: owned for owned, _space, path in (line.rpartition(" ") for line in lines)}
        known = {path: OWNED[end] for path in found for end in OWNED if path.endswith(end)}
        assert len(known) >= number, found
        assert {path: found[path] for path in known} == known
        assert not [line for line in lines if int(line.split()[1], 8) & 0o022], "others may write"
        assert not [path for path, owned in found.items() if owned.endswith(" s")], found
    assert set(bed.ssh("kvm1", SOCKETS).splitlines()) == {"libvirt-qemu 750"}
    reports, file = tmp_path / "reports", tmp_path / "status.json"
    bed.deploy("-e", f"colo_report_directory={reports}").good()
    bed.playbook("status", "--limit", "web1", "-e", f"colo_status_file={file}").good()
    home = bed.lab.state / "colo-ca"
    kept = [file, *reports.rglob("*.*"), *home.rglob("*key.pem")]
    assert len(kept) >= 1 + 2 + 3, kept
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}, kept
    assert home.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("host", ["kvm1", "kvm2"])
def test_failover_without_a_fence(bed: Bed, host: str) -> None:
    """While both are in lockstep the graph is compared by name alone: nothing of it may go."""
    other = "kvm2" if host == "kvm1" else "kvm1"
    for fenced, rc in ((None, 0), (other, 1)):
        assert f"it is not proven that {other} is down" in failover(bed, host, fenced, rc)
    assert f"{host} was fenced, and the peer is {other}" in failover(bed, host, host)


def test_failover_playbook_while_both_answer(bed: Bed) -> None:
    run = bed.playbook("failover", "--limit", "web1")
    assert run.code != 0
    assert "Both hosts answer" in run.text
    bed.playbook("status", "--limit", "web1").good()


def test_a_host_of_no_part_in_the_pair_is_neither_fenced_nor_given_the_guest(bed: Bed, tmp_path: Path) -> None:
    cut = tmp_path / "the power was cut"
    fence = {"colo_fence_tasks": "fence/command.yml", "colo_fence_command": ["touch", str(cut)]}
    cases = {
        "failover": {**fence, "colo_fence_verify_command": ["true"], "colo_lost": "kvm3"},
        "switchover": {"colo_guest_host": "kvm3"},
        "unprotect": {"colo_guest_host": "kvm3"},
    }
    for playbook, words in cases.items():
        run = bed.playbook(playbook, "--limit", "web1", "-e", json.dumps(words))
        assert run.code == 2, run.text[-3000:]
        assert "kvm3 is not a host of web1, whose hosts are kvm1 and kvm2" in run.said()
        assert run.changed == 0
    assert not cut.exists()


@pytest.mark.parametrize(
    ("playbook", "words", "step"),
    [
        ("failover", LOST, "let the guest of this host take over"),
        pytest.param("switchover", (), "end the guest here, and tell the standby", marks=pytest.mark.long),
        pytest.param("drill", (), "write that the standby may not be promoted", marks=pytest.mark.long),
        pytest.param("unprotect", (), "end the lockstep", marks=pytest.mark.long),
    ],
    ids=["failover", "switchover", "drill", "unprotect"],
)
def test_check_mode_says_what_a_runbook_would_do_and_does_nothing(
    bed: Bed, playbook: str, words: tuple[str, ...], step: str
) -> None:
    before = bed.fingerprint(graph=False)
    run = bed.playbook(playbook, "--limit", "web1", "--check", "--diff", *words).good()
    assert f"step: {step}" in run.said(), run.said()[-5000:]
    assert run.changed > 0
    assert bed.fingerprint(graph=False) == before
    bed.playbook("status", "--limit", "web1").good()


def sent(bed: Bed, host: str) -> list[str]:
    """The names of the QMP commands that libvirtd on a host has sent since its log was begun."""
    found = []
    for line in bed.ssh(host, f"cat {LOG}").splitlines():
        if "QEMU_MONITOR_SEND_MSG" in line and (at := line.find("msg=")) >= 0:
            message = json.loads(line[at + 4 :])
            found.append(message.get("execute") or message["exec-oob"])
    return found


@pytest.mark.parametrize("words", [(), ("--check",)], ids=["run", "check mode"])
def test_deploy_again_does_nothing(bed: Bed, words: tuple[str, ...]) -> None:
    for host in ("kvm1", "kvm2"):
        bed.ssh(
            host,
            f"rm -f {LOG}; virt-admin daemon-log-outputs '1:file:{LOG}'"
            " && virt-admin daemon-log-filters '1:qemu.qemu_monitor'",
        )
    try:
        bed.ssh("kvm1", 'virsh -q -c qemu:///system qemu-monitor-command web1 \'{"execute": "query-kvm"}\'')
        run = bed.deploy("--limit", "kvm,web1", *words).good()
        time.sleep(1)
        commands = {host: sent(bed, host) for host in ("kvm1", "kvm2")}
    finally:
        for host in ("kvm1", "kvm2"):
            bed.ssh(host, "virt-admin daemon-log-filters ''; virt-admin daemon-log-outputs '3:journald'")
    assert run.changed == 0, run.text[-5000:]
    assert "web1 is protected" in run.text
    assert commands["kvm1"].pop(0) == "query-kvm", "the log does not show what is sent"
    for host, names in commands.items():
        assert names, f"nothing was asked on {host}: the log proves nothing"
        assert not set(names) - set(PURE_QUERIES) - LIBVIRT_ITSELF, (host, set(names) - set(PURE_QUERIES))


HOOK = "/etc/libvirt/hooks/qemu.d/lockstep-colo"
KEPT = f"stat -c '%U %G %a' {DIRECTORY} {HOOK}; sha256sum {HOOK}; systemctl is-enabled libvirtd.service || true"


def test_the_role_mends_what_somebody_changed_on_a_host_and_asks_for_nothing_else(bed: Bed) -> None:
    before = bed.ssh("kvm1", KEPT)
    spoil = (f"chown root:root {DIRECTORY}", f"echo exit 0 >{HOOK}", f"chmod 0644 {HOOK}", "systemctl disable libvirtd")
    bed.ssh("kvm1", " && ".join(spoil))
    assert bed.ssh("kvm1", KEPT) != before
    mended = bed.prepare().good()
    assert bed.ssh("kvm1", KEPT) == before
    assert mended.changed == 4, mended.text[-5000:]  # the service, the directory, the hook, and libvirt for it
    bed.ssh("kvm1", f"touch {HOOK}")  # as where a run is killed right after it has written it
    assert bed.prepare().good().changed == 2  # said, and libvirt started anew
    again = bed.prepare().good()
    assert again.changed == 0
    asked = re.findall(r"^TASK \[(?:lockstep\.colo\.host : )?(.*?)\] \*+\n(?:ok|changed): ", again.text, re.MULTILINE)
    kept = {"Enable libvirt", "Make the directory for standby images", "Make the directory for libvirt's hooks"}
    assert not kept & set(asked)
