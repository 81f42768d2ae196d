# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests' passwords and hosts' keys cross to a host, and are in no file there, whatever is said of pipelining."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
PASSWORD = "planted-hunter2"
KEY = base64.b64encode(b"planted key")
PASSWORD_CROSSES = f"""
- name: Tell a host of the guest of the other
  hosts: kvm2
  gather_facts: false
  tasks:
    - lockstep.colo.colo_pair:
        name: web1
        host: kvm2
        peer: {{observation: {{xml: "<graphics type='vnc' passwd='{PASSWORD}'/>"}}}}
      no_log: true
"""
KEY_CROSSES = """
- name: Give a host its key
  hosts: kvm2
  gather_facts: false
  tasks:
    - lockstep.colo.colo_credentials:
        files: [{name: server-key.pem, src: "{{ inventory_dir }}/key.pem", owner: root, mode: "0600"}]
"""
# As the role cluster sends what the nodes share.
SHARED = "planted for the cluster"
SHARED_CROSSES = f"""
- name: Give a node what the other has
  hosts: kvm2
  gather_facts: false
  tasks:
    - ansible.builtin.command:
        argv: [sh, -c, cat]
        stdin: {SHARED}
      vars: {{ansible_pipelining: true, ansible_ssh_pipelining: true}}
      no_log: true
"""
CROSSING = {
    "password": (PASSWORD_CROSSES, PASSWORD, "a password of this guest's display"),
    "key": (KEY_CROSSES, KEY.decode("ascii"), "the key of this host's certificate"),
    "shared": (SHARED_CROSSES, SHARED, "nothing of it"),
}
# Python on that host: it says whether its file, or its standard input, has the secret.
PROGRAM = """#!/bin/sh
if [ $# = 0 ]; then grep -q "SECRET" && echo by input >>CALLS; fi
if [ $# != 0 ]; then grep -q "SECRET" "$1" && echo by file >>CALLS; fi
echo '{"changed": false}'
"""


def play(directory: Path, crossing: str, **settings: str) -> tuple[str, str]:
    """What Ansible says, and how the secret came to the host."""
    text, secret, _words = CROSSING[crossing]
    program, calls = directory / "kvm2", directory / "calls"
    program.write_text(PROGRAM.replace("CALLS", str(calls)).replace("SECRET", secret), encoding="utf-8")
    program.chmod(0o755)
    (directory / "key.pem").write_bytes(base64.b64decode(KEY))
    (directory / "hosts").write_text(f"kvm2 ansible_connection=local ansible_python_interpreter={program}\n")
    (directory / "play.yml").write_text(text, encoding="utf-8")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections"),
        "ANSIBLE_REMOTE_TMP": str(directory / "remote"),
        "ANSIBLE_NOCOLOR": "1",
        **settings,
    }
    call = [str(PLAYBOOK), "-vvv", "--diff", "-i", str(directory / "hosts"), str(directory / "play.yml")]
    done = subprocess.run(call, capture_output=True, text=True, check=False, env=environment, timeout=120)
    said = " ".join((done.stdout + done.stderr).split())
    assert secret not in said
    return said, calls.read_text(encoding="ascii") if calls.exists() else said


@pytest.mark.parametrize("crossing", CROSSING)
@pytest.mark.parametrize("pipelining", ["false", "true"])
def test_it_is_in_no_file(tmp_path: Path, crossing: str, pipelining: str) -> None:
    said, how = play(tmp_path, crossing, ANSIBLE_PIPELINING=pipelining)
    assert how.split("\n")[:-1] == ["by input"], said
    assert f"{CROSSING[crossing][2]} went" not in said
    assert not list(tmp_path.glob("remote/**/*colo_*"))


@pytest.mark.parametrize("crossing", ["password", "key"])
def test_where_it_has_to_be_that_is_said(tmp_path: Path, crossing: str) -> None:
    said, how = play(tmp_path, crossing, ANSIBLE_KEEP_REMOTE_FILES="true")
    assert "by file" in how
    assert f"{CROSSING[crossing][2]} went to kvm2 in a file" in said
