# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest's password crosses to the standby's host, and is in no file there, whatever is said of pipelining."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
PASSWORD = "planted-hunter2"
PLAY = f"""
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
# Python on that host: it says whether its file, or its standard input, has the password.
PROGRAM = f"""#!/bin/sh
if [ $# = 0 ]; then grep -q {PASSWORD} && echo by input >>calls; fi
if [ $# != 0 ]; then grep -q {PASSWORD} "$1" && echo by file >>calls; fi
echo '{{"changed": false}}'
"""


def play(directory: Path, **settings: str) -> tuple[str, str]:
    """What Ansible says, and how the password came to the host."""
    program, calls = directory / "kvm2", directory / "calls"
    program.write_text(PROGRAM.replace(">>calls", f">>{calls}"), encoding="utf-8")
    program.chmod(0o755)
    (directory / "hosts").write_text(f"kvm2 ansible_connection=local ansible_python_interpreter={program}\n")
    (directory / "play.yml").write_text(PLAY, encoding="utf-8")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections"),
        "ANSIBLE_REMOTE_TMP": str(directory / "remote"),
        "ANSIBLE_NOCOLOR": "1",
        **settings,
    }
    call = [str(PLAYBOOK), "-i", str(directory / "hosts"), str(directory / "play.yml")]
    done = subprocess.run(call, capture_output=True, text=True, check=False, env=environment, timeout=120)
    said = " ".join((done.stdout + done.stderr).split())
    assert PASSWORD not in said
    return said, calls.read_text(encoding="ascii") if calls.exists() else said


@pytest.mark.parametrize("pipelining", ["false", "true"])
def test_it_is_in_no_file(tmp_path: Path, pipelining: str) -> None:
    said, how = play(tmp_path, ANSIBLE_PIPELINING=pipelining)
    assert how.split("\n")[:-1] == ["by input"], said
    assert "a password of this guest's display went" not in said
    assert not list(tmp_path.glob("remote/**/*colo_pair*"))


def test_where_it_has_to_be_that_is_said(tmp_path: Path) -> None:
    said, how = play(tmp_path, ANSIBLE_KEEP_REMOTE_FILES="true")
    assert "by file" in how
    assert "a password of this guest's display went to kvm2 in a file" in said
