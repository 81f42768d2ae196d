# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a playbook says of hosts that the inventory misnames, and of hosts without libvirt; Ansible is real.

The Python of the KVM hosts is a program that tells what the role host, or a module of the collection, would there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
FENCE = """
- name: Fence
  ansible.builtin.copy: {content: "", dest: "{{ inventory_dir }}/fenced", mode: "0600"}
  delegate_to: localhost
"""
LIBRARIES = ("python3-libvirt", "python3-lxml")
LACKS = {"failed": True, "missing_libraries": ["lxml", "libvirt"], "msg": "Python on this host has no libvirt"}
COMES_FIRST = "cannot be observed before the packages are there"
# It keeps which module was run, and answers as that would; one of the collection's comes by its input, in no file.
PYTHON = """#!/bin/sh
echo "$1" >>{directory}/asked
case "$1" in *AnsiballZ_*) cat {directory}/told;; *) cat {directory}/lacks;; esac
"""


class Bed:
    """An inventory of two hosts without libvirt, and what the role host is told of their packages."""

    def __init__(self, directory: Path, packages: tuple[str, ...] = (), **pair: Any) -> None:
        self.directory = directory
        known = "".join(f"- {{name: {name}, status: installed, source: x, version: '1'}}\n" for name in packages)
        told = {"changed": False, "rc": 0, "stdout": f"like: debian\nrelease: trixie\npackages:\n{known}"}
        for name, text in (("fence.yml", FENCE), ("told", json.dumps(told)), ("lacks", json.dumps(LACKS))):
            (directory / name).write_text(text, encoding="utf-8")
        python = directory / "python"
        python.write_text(PYTHON.format(directory=directory), encoding="utf-8")
        python.chmod(0o755)
        host = {"ansible_connection": "local", "ansible_become": False}
        own = {"ansible_python_interpreter": str(python), "colo_automation": "none"}
        stated = {
            "colo_primary": "kvm1",
            "colo_secondary": "kvm2",
            "colo_disks": [{"target": "vda", "format": "raw"}],
            "colo_fence_tasks": str(directory / "fence.yml"),
            "ansible_python_interpreter": sys.executable,
        }
        kvm = {name: {**host, **own, "colo_address": f"10.0.0.{name[-1]}"} for name in ("kvm1", "kvm2")}
        pairs = {"web1": {**host, **stated, **pair}}
        inventory = {"all": {"children": {"kvm": {"hosts": kvm}, "colo_pairs": {"hosts": pairs}}}}
        (directory / "hosts.yml").write_text(json.dumps(inventory), encoding="utf-8")
        (directory / "collections" / "ansible_collections" / "lockstep").mkdir(parents=True)
        (directory / "collections" / "ansible_collections" / "lockstep" / "colo").symlink_to(ROOT)

    def play(self, playbook: str, *words: str) -> tuple[int, str]:
        """The code that it ends with, and all that it says."""
        env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(self.directory / "collections"), "ANSIBLE_NOCOLOR": "1"}
        env["ANSIBLE_PIPELINING"] = "0"  # what is run is told by its file
        call = [sys.executable, "-m", "ansible", "playbook", "-i", "hosts.yml", f"lockstep.colo.{playbook}", *words]
        done = subprocess.run(
            [*call, "-e", "colo_report_directory="],
            env=env, cwd=self.directory, text=True, capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    @property
    def asked(self) -> bool:
        return (self.directory / "asked").exists()


MISNAMED = {
    "unknown": ({"colo_secondary": "kvm9"}, "colo_secondary is kvm9, which the inventory does not have"),
    "the same": ({"colo_secondary": "kvm1"}, "colo_primary and colo_secondary are both kvm1"),
    "empty": ({"colo_primary": ""}, "colo_primary is empty"),
    "a pair": ({"colo_secondary": "web1"}, "colo_secondary is web1, which is a pair"),
    "no text": ({"colo_primary": ["kvm1"]}, "colo_primary is no text, but ['kvm1']"),
}


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_a_pair_that_is_not_of_two_hosts_is_refused_before_anything(tmp_path, playbook):
    pair, says = MISNAMED["unknown"]
    bed = Bed(tmp_path, **pair)
    code, said = bed.play(playbook, "-e", "colo_lost=kvm1")
    assert code, said
    assert f"The hosts of web1 are not two of the inventory: {says}" in said
    assert not (tmp_path / "fenced").exists(), said
    assert playbook == "deploy" or not bed.asked, said


@pytest.mark.parametrize("mistake", sorted(MISNAMED.keys() - {"unknown"}))
def test_each_such_mistake_is_named(tmp_path, mistake):
    pair, says = MISNAMED[mistake]
    bed = Bed(tmp_path, **pair)
    code, said = bed.play("reprotect", "--check")
    assert code, said
    assert says in said
    assert not bed.asked, said


def test_no_host_is_prepared_for_a_pair_that_it_cannot_be_part_of(tmp_path):
    bed = Bed(tmp_path, colo_secondary="kvm9")
    _code, said = bed.play("deploy", "--limit", "kvm1,web1")
    assert said.count("The hosts of web1 are not two of the inventory") > 1, said
    assert not bed.asked, said


def test_a_lost_host_of_no_part_in_the_pair_is_refused_before_the_fence(tmp_path):
    bed = Bed(tmp_path)
    code, said = bed.play("failover", "-e", "colo_lost=kvm9")
    assert code, said
    assert "kvm9 is not a host of web1, whose hosts are kvm1 and kvm2" in said
    assert not (tmp_path / "fenced").exists(), said


def test_a_host_that_answers_without_libvirt_is_not_taken_for_lost(tmp_path):
    bed = Bed(tmp_path)
    code, said = bed.play("failover")
    assert code, said
    assert f"kvm1 answers, and could not be looked at ({LACKS['msg']}" in said
    assert "Name it with -e colo_lost=HOST" in said
    assert not (tmp_path / "fenced").exists(), said


def test_names_may_be_templates(tmp_path):
    bed = Bed(tmp_path, colo_primary="{{ groups.kvm[0] }}", colo_secondary="{{ groups.kvm[1] }}")
    code, said = bed.play("status")
    assert code, said
    assert LACKS["msg"] in said


@pytest.mark.parametrize("words", [(), ("--limit", "kvm,web1")], ids=["all", "a limit with the hosts"])
def test_a_dry_deploy_on_bare_hosts_says_once_what_comes_first(tmp_path, words):
    code, said = Bed(tmp_path).play("deploy", "--check", *words)
    assert code == 0, said
    assert said.count(f"kvm1 and kvm2 {COMES_FIRST}") == 1, said
    assert LACKS["msg"] not in said


@pytest.mark.parametrize(
    ("playbook", "words"),
    [
        ("deploy", ("--limit", "web1")),
        ("deploy", ("--limit", "kvm1,web1")),
        *((playbook, ()) for playbook in ("reprotect", "drill", "switchover", "unprotect", "start", "status")),
    ],
)
def test_no_dry_run_is_green_where_no_pair_was_looked_at(tmp_path, playbook, words):
    code, said = Bed(tmp_path).play(playbook, "--check", *words)
    assert code, said
    assert COMES_FIRST not in said
    assert LACKS["msg"] in said
    assert "only the standby of a protected pair" not in said


def test_a_wrong_interpreter_is_no_bare_host(tmp_path):
    """Of the packages others are missing, not those that have the libraries."""
    code, said = Bed(tmp_path, LIBRARIES).play("deploy", "--check")
    assert code, said
    assert "To be installed: qemu-system-x86" in said
    assert "Observe the domain on both hosts" in said
    assert COMES_FIRST not in said
    assert LACKS["msg"] in said
