# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates are made on the control node by a real Ansible, once, and no key is in anything that it says."""

from __future__ import annotations

import base64
import os
import pwd
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OWNER = pwd.getpwuid(os.getuid()).pw_name
PUBLIC = ("ca-cert.pem", "server-cert.pem", "client-cert.pem")
MODES = {**dict.fromkeys(PUBLIC, 0o644), "server-key.pem": 0o600, "client-key.pem": 0o600}
PLAY = """
- name: Certify
  hosts: kvm1, kvm2
  gather_facts: false
  tasks:
    - lockstep.colo.colo_certificate:
        directory: "{{ inventory_dir }}/ca"
        host: "{{ inventory_hostname }}"
        address: "{{ colo_address }}"
        owner: OWNER
      register: made
    - lockstep.colo.colo_credentials:
        files: "{{ made.missing }}"
        place: "{{ inventory_dir }}/{{ inventory_hostname }}"
"""
HOSTS = f"""
kvm1 ansible_connection=local ansible_python_interpreter={sys.executable} colo_address=10.0.0.1
kvm2 ansible_connection=local ansible_python_interpreter={sys.executable} colo_address=fd00::2
"""


def play(directory: Path, *words: str) -> str:
    for name, text in (("play.yml", PLAY.replace("OWNER", OWNER)), ("hosts", HOSTS)):
        (directory / name).write_text(text, encoding="utf-8")
    collections = directory / "collections" / "ansible_collections" / "lockstep"
    collections.mkdir(parents=True, exist_ok=True)
    if not (collections / "colo").exists():
        (collections / "colo").symlink_to(ROOT)
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(directory / "collections"), "ANSIBLE_NOCOLOR": "1"}
    call = [sys.executable, "-m", "ansible", "playbook", "-i", str(directory / "hosts"), str(directory / "play.yml")]
    done = subprocess.run(
        [*call, *words], env=env, cwd=directory, text=True, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def body(key: Path) -> str:
    return key.read_text(encoding="ascii").splitlines()[1]


def test_each_host_gets_one_and_no_key_is_said(tmp_path: Path) -> None:
    assert "changed=2" in play(tmp_path, "--check")
    assert not (tmp_path / "ca").exists()
    assert not (tmp_path / "kvm1").exists()
    said = play(tmp_path, "-vvv", "--diff")
    keys = [tmp_path / "ca" / name for name in ("ca-key.pem", "kvm1/key.pem", "kvm2/key.pem")]
    assert [key.stat().st_mode & 0o777 for key in keys] == [0o600] * 3
    for key in keys:
        assert body(key) not in said
        assert base64.b64encode(key.read_bytes()).decode("ascii") not in said
        assert "PRIVATE KEY" not in said
    for host in ("kvm1", "kvm2"):
        installed = {path.name: path for path in (tmp_path / host).iterdir()}
        assert {name: path.stat().st_mode & 0o7777 for name, path in installed.items()} == MODES
        assert installed["server-key.pem"].read_bytes() == (tmp_path / "ca" / host / "key.pem").read_bytes()
    assert "changed=0" in play(tmp_path).split("kvm1 ")[-1]
