# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""No playbook ends with 0 where it had no pair to look at, and each says in one sentence what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
HOSTS = "{kvm1: {ansible_connection: local}, kvm2: {ansible_connection: local}}"
PAIRS = "{web1: {ansible_connection: local, colo_primary: kvm1, colo_secondary: kvm2}}"
GOOD = f"kvm: {{hosts: {HOSTS}}}\ncolo_pairs: {{hosts: {PAIRS}}}\n"
PAIRS_MISNAMED = f"kvm: {{hosts: {HOSTS}}}\npairs: {{hosts: {PAIRS}}}\n"
LIMIT, GROUP = "--limit leaves none", "has no hosts in a group colo_pairs"


@pytest.fixture(scope="module")
def collections(tmp_path_factory) -> Path:
    """A collections path with this collection in it, wherever it stands."""
    path = tmp_path_factory.mktemp("collections")
    (path / "ansible_collections" / "lockstep").mkdir(parents=True)
    (path / "ansible_collections" / "lockstep" / "colo").symlink_to(ROOT)
    return path


def play(collections: Path, name: str, inventory: str | None, *words: str) -> subprocess.CompletedProcess:
    """Run a playbook of the collection; an inventory of None is a path that does not exist."""
    path = collections / "hosts.yml"
    path.unlink(missing_ok=True)
    if inventory is not None:
        path.write_text(inventory, encoding="utf-8")
    call = [sys.executable, "-m", "ansible", "playbook", "-i", str(path), f"lockstep.colo.{name}", *words]
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_NOCOLOR": "1", "COLUMNS": "500"}
    return subprocess.run(call, env=env, cwd=collections, text=True, capture_output=True, timeout=60, check=False)


def refused(run: subprocess.CompletedProcess, says: str) -> None:
    text = " ".join((run.stdout + run.stderr).split())
    assert run.returncode != 0, text
    assert says in text
    assert "TASK [" not in text


@pytest.mark.parametrize(
    ("inventory", "limit", "says"),
    [(GOOD, "kvm1", LIMIT), (None, "web1", GROUP)],
    ids=["a host as the limit", "no inventory"],
)
@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_without_a_pair_no_playbook_is_green(collections, playbook, inventory, limit, says):
    refused(play(collections, playbook, inventory, "--limit", limit), says)


@pytest.mark.parametrize(
    ("inventory", "words", "says"),
    [
        (GOOD, ("--limit", "nobody"), "--limit"),
        (PAIRS_MISNAMED, (), GROUP),
        (PAIRS_MISNAMED, ("--limit", "web1"), GROUP),
        ("", (), GROUP),
    ],
    ids=["nobody", "misnamed", "misnamed, a pair", "empty"],
)
def test_no_monitor_sees_green_for_nothing(collections, inventory, words, says):
    refused(play(collections, "status", inventory, *words), says)


@pytest.mark.parametrize("words", [(), ("--limit", "web1"), ("--limit", "kvm,web1")], ids=["all", "pair", "both"])
def test_with_a_pair_a_playbook_has_it(collections, words):
    run = play(collections, "deploy", GOOD, "--list-hosts", *words)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "web1" in run.stdout


@pytest.mark.parametrize(
    ("playbook", "words"),
    [*((playbook, ("--tags", "nothing")) for playbook in PLAYBOOKS), ("status", ("--skip-tags", "all"))],
)
def test_no_tag_leaves_a_pair_out(collections, playbook, words):
    run = play(collections, playbook, GOOD, "--list-tasks", *words)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "lockstep.colo." in run.stdout
    assert run.stdout.count("TAGS: [always]") > 2, run.stdout


def test_a_playbook_that_begins_in_its_middle_is_not_green(collections):
    refused(play(collections, "status", GOOD, "--start-at-task", "nothing"), "cannot begin in its middle")


@pytest.mark.parametrize(
    ("playbook", "skipped"),
    [*((playbook, "always") for playbook in PLAYBOOKS), ("status", "tagged"), ("status", "some,always")],
)
def test_a_playbook_of_which_all_is_skipped_is_not_green(collections, playbook, skipped):
    refused(play(collections, playbook, GOOD, "--skip-tags", skipped), "leaves nothing of a playbook")


@pytest.mark.parametrize(
    ("inventory", "limit", "says"),
    [
        (GOOD, "all:!web1", LIMIT),
        (GOOD, "!colo_pairs", LIMIT),
        (GOOD, "kvm", LIMIT),
        (GOOD.replace(PAIRS, "{}"), "all", GROUP),
    ],
    ids=["all but the pair", "no pairs", "the hosts", "a group of none"],
)
def test_no_limit_leaves_a_green_nothing(collections, inventory, limit, says):
    refused(play(collections, "status", inventory, "--limit", limit), says)


def test_the_syntax_of_a_playbook_can_be_checked_without_an_inventory(collections):
    run = play(collections, "deploy", "", "--syntax-check")
    assert run.returncode == 0, run.stdout + run.stderr


def test_deploy_prepares_no_host_where_their_group_is_misnamed(collections):
    refused(play(collections, "deploy", GOOD.replace("kvm:", "hypervisors:")), "has no hosts in a group kvm")


def test_a_failover_that_fails_has_its_report(collections, tmp_path):
    """No host of this inventory has libvirt, or it has no such domain; the control node writes what it knows."""
    words = ["colo_domain=no-domain-of-anybody", "colo_lost=kvm1", "colo_fence_confirmed=kvm1"]
    words.append(f"colo_report_directory={tmp_path}")
    run = play(collections, "failover", GOOD, *[part for word in words for part in ("-e", word)])
    assert run.returncode, run.stdout
    assert [path.suffix for path in sorted(tmp_path.iterdir())] == [".html", ".json"], run.stdout[-3000:]
