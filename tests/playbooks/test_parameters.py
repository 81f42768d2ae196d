# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role pki installs, by a real Ansible: the file of parameters is put back where a QEMU still wants it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
INSTALL = "Install it"


def lacking(directory: Path, version: str, pki: dict[str, str], missing: list[dict[str, str]]) -> list[str]:
    """The files that the role would install on a host with this QEMU and these files."""
    (task,) = [
        task
        for task in yaml.safe_load((ROOT / "roles/pki/tasks/main.yml").read_text(encoding="utf-8"))
        if task["name"] == INSTALL
    ]
    del task["ansible.builtin.include_tasks"]
    said = {"ansible.builtin.copy": {"content": "{{ colo_pki_lacking | to_json }}", "dest": str(directory / "lacking")}}
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {
            "role_path": "/role",
            "colo_pki_made": {"missing": missing},
            "colo_host_seen": {"packages": [{"name": "qemu-system-x86", "version": version}], "pki": pki},
        },
        "tasks": [{**task, **said}],
    }
    (directory / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    call = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", str(directory / "play.yml")]
    env = {**os.environ, "ANSIBLE_PYTHON_INTERPRETER": sys.executable, "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(call, env=env, cwd=directory, text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    written = directory / "lacking"
    return [file["name"] for file in json.loads(written.read_text(encoding="utf-8"))] if written.exists() else []


HAS = {"ca-cert.pem": "root 644 x", "dh-params.pem": "root 644 x"}
BARE = {"ca-cert.pem": "root 644 x"}


@pytest.mark.parametrize(
    ("version", "pki", "missing", "installed"),
    [
        ("1:7.2+dfsg-7+deb12u18", BARE, [], ["dh-params.pem"]),
        ("1:7.2+dfsg-7+deb12u18", HAS, [], []),
        ("1:10.2.0+ds-1", BARE, [], []),
        ("1:7.2+dfsg-7+deb12u18", HAS, [{"name": "ca-cert.pem"}], ["ca-cert.pem"]),
        ("1:7.2+dfsg-7+deb12u18", {}, [{"name": "ca-cert.pem"}], ["ca-cert.pem", "dh-params.pem"]),
    ],
    ids=["it is missing", "it is there", "it is not wanted", "another is missing", "a bare host"],
)
def test_the_parameters_are_put_back_where_they_are_wanted(
    version: str, pki: dict[str, str], missing: list[dict[str, str]], installed: list[str], tmp_path: Path
) -> None:
    assert lacking(tmp_path, version, pki, missing) == installed
