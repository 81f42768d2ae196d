# SPDX-License-Identifier: GPL-3.0-or-later
"""What Pacemaker calls on a host: the core of the archive, which it unpacks once, and again when there is another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ansible_collections.lockstep.colo.plugins.lookup import colo_core

SOURCE = Path(__file__).resolve().parents[2] / "roles" / "cluster" / "files" / "colo.py"


def call(tmp_path: Path, action: str, **told: str) -> subprocess.CompletedProcess[str]:
    agent, archive, directory = tmp_path / "colo", tmp_path / "core.pyz", tmp_path / "run"
    text = SOURCE.read_text(encoding="utf-8").replace("@colo_watch_archive@", str(archive))
    agent.write_text(text.replace("/run/lockstep-colo", str(directory)), encoding="utf-8")
    words = [sys.executable, str(agent), action]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(words, capture_output=True, text=True, env={**environment, **told}, check=False)


def test_it_calls_the_core_that_it_has_unpacked(tmp_path: Path) -> None:
    (tmp_path / "core.pyz").write_bytes(colo_core.archive())
    for _time in range(2):
        done = call(tmp_path, "meta-data")
        assert (done.returncode, done.stderr) == (0, "")
        assert '<resource-agent name="colo"' in done.stdout
    (core,) = (tmp_path / "run").iterdir()
    os.utime(tmp_path / "core.pyz", (1, 1))
    assert call(tmp_path, "meta-data").returncode == 0
    assert len(list((tmp_path / "run").iterdir())) == 2
    assert list(core.rglob("ocf.*.pyc"))


def test_what_is_to_come_needs_no_core(tmp_path: Path) -> None:
    assert call(tmp_path, "notify", OCF_RESKEY_CRM_meta_notify_type="pre").returncode == 0


def test_without_a_core_it_says_what_to_do(tmp_path: Path) -> None:
    for content in (None, b"none"):
        if content:
            (tmp_path / "core.pyz").write_bytes(content)
        done = call(tmp_path, "monitor")
        assert done.returncode == 5
        assert done.stderr.startswith("ocf-exit-reason:")
        assert "lockstep.colo.deploy" in done.stderr
        assert len(done.stderr.splitlines()) == 1
