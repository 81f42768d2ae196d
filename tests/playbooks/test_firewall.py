# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role host does about a host's firewall, by what it is told and sees; a real Ansible, in check mode."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLAY = """
- hosts: kvm1
  gather_facts: false
  tasks:
    - name: Decide
      ansible.builtin.include_role: {name: lockstep.colo.host, tasks_from: firewall}
"""
HOSTS = f"""
[kvm]
kvm1 ansible_connection=local ansible_python_interpreter={sys.executable} colo_address=10.77.0.1
kvm2 colo_address=10.77.0.2 colo_second_addresses='["10.78.0.2"]'
[colo_pairs]
web1 colo_primary=kvm1 colo_secondary=kvm2
"""
MADE, TAKEN_BACK = "Write the rules", "Remove the table"
SEEN = {
    "firewalls": [], "local": [], "nftables": True, "own_firewall": True, "peers": [], "second_addresses": [],
    "table": "x  ",
}  # fmt: skip


def play(directory: Path, **said: Any) -> str:
    """What it says that it would do, of a host that is seen so."""
    for name, text in (("play.yml", PLAY), ("hosts", HOSTS), ("said.json", json.dumps(said))):
        (directory / name).write_text(text, encoding="utf-8")
    collections = directory / "collections" / "ansible_collections" / "lockstep"
    collections.mkdir(parents=True)
    (collections / "colo").symlink_to(ROOT)
    systemctl = directory / "systemctl"
    systemctl.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    systemctl.chmod(0o755)
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(directory / "collections"), "ANSIBLE_NOCOLOR": "1"}
    env["PATH"] = f"{directory}{os.pathsep}{env['PATH']}"
    call = [sys.executable, "-m", "ansible", "playbook", "-i", "hosts", "play.yml", "--check", "--diff"]
    done = subprocess.run(
        [*call, "-e", "@said.json"], env=env, cwd=directory, text=True, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("firewall", "seen", "made", "taken_back"),
    [
        ("auto", {}, True, False),
        ("none", {}, False, True),
        ("none", {"own_firewall": False}, False, False),
        ("auto", {"firewalls": ["ufw"]}, False, True),
        ("auto", {"firewalls": ["ufw"], "own_firewall": False}, False, False),
        ("nftables", {"firewalls": ["ufw"]}, True, False),
    ],
    ids=["auto", "none after it", "none", "ufw since", "ufw", "beside ufw"],
)
def test_its_own_table_goes_where_the_firewall_is_somebody_elses(
    tmp_path: Path, firewall: str, seen: dict[str, Any], made: bool, taken_back: bool
) -> None:
    said = play(tmp_path, colo_firewall=firewall, colo_host_seen={**SEEN, **seen})
    assert (f": {MADE}]" in said, f": {TAKEN_BACK}]" in said) == (made, taken_back)


def test_the_watchers_of_peers_are_admitted_where_there_is_one(tmp_path: Path) -> None:
    seen = {**SEEN, "peers": ["10.77.0.3"], "second_addresses": ["10.78.0.3"]}
    said = play(tmp_path, colo_automation="word", colo_firewall="nftables", colo_host_seen=seen)
    assert "ip daddr { 10.77.0.1 } tcp dport 21600-23199 ip saddr { 10.77.0.2, 10.77.0.3 } accept" in said
    assert "tcp dport 21599 ip saddr { 10.77.0.2, 10.77.0.3, 10.78.0.2, 10.78.0.3 } accept" in said


@pytest.mark.parametrize("firewalls", [[], ["ufw"]])
def test_the_address_at_which_a_pair_runs_is_kept_where_colo_address_has_changed(
    tmp_path: Path, firewalls: list[str]
) -> None:
    seen = {**SEEN, "firewalls": firewalls, "local": ["10.76.0.1"], "peers": ["10.76.0.2"]}
    said = play(tmp_path, colo_firewall="auto", colo_host_seen=seen)
    made = "ip daddr { 10.76.0.1, 10.77.0.1 } tcp dport 21600-23199 ip saddr { 10.76.0.2, 10.77.0.2 } accept"
    assert ("from 10.76.0.2 to 10.76.0.1 port 21600:23199" if firewalls else made) in said
