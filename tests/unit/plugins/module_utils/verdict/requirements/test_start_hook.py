# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hook that keeps libvirt from starting an old copy: there, ours, of this version, and known."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import yaml
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Host, StartHook
from ansible_collections.lockstep.colo.plugins.module_utils.observe import start_hook as look
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements import start_hook
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.verdict.requirements.asked import said

ROLE = Path(__file__).resolve().parents[6] / "roles/host"


INSTALLED_AS = look.HOOK


def installed() -> str:
    """The file as the role's task makes it."""
    tasks = yaml.safe_load((ROLE / "tasks/put_right.yml").read_text(encoding="utf-8"))
    wanted = [task.get("lockstep.colo.colo_builtin", {}) for task in tasks]
    (copy,) = [one for one in wanted if one.get("options", {}).get("dest") == INSTALLED_AS]
    assert (copy["module"], copy["options"]["content"]) == ("ansible.builtin.copy", "{{ colo_host_hook }}")
    written = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))["colo_host_hook"]
    text = (ROLE / "files/libvirt_hook.py").read_text(encoding="utf-8").rstrip()  # as the lookup does
    return written.replace("{{ lookup('ansible.builtin.file', 'libvirt_hook.py') }}", text)


def test_the_digest_is_that_of_the_hook_that_the_role_installs() -> None:
    assert hashlib.sha256(installed().encode()).hexdigest() == start_hook.DIGEST


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        (None, None),
        (StartHook(start_hook.DIGEST, True, True), None),
        (StartHook(), "kvm1 has no hook"),
        (StartHook("0" * 64, True, True), "is not that of this version"),
        (StartHook(start_hook.DIGEST, False, True), "is not that of this version"),
        (StartHook(start_hook.DIGEST, True, False), "does not know the hook"),
    ],
    ids=["not looked for", "well", "none", "other", "not executable", "not known"],
)
def test_what_is_wrong_with_it_is_said_with_the_way_out(hook: StartHook | None, words: str | None) -> None:
    problems = said(start_hook.start_hook(Host("kvm1", "m", start_hook=hook)))
    assert len(problems) == (words is not None)
    for problem in problems:
        assert words in problem.what
        assert "deploy" in problem.remedy or "systemctl restart" in problem.remedy


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(look, "HOOK", str(tmp_path / "hook"))
    monkeypatch.setattr(look, "PID_FILES", (str(tmp_path / "libvirtd.pid"), str(tmp_path / "virtqemud.pid")))
    return tmp_path


def test_no_hook_is_none(host: Path) -> None:
    assert look.start_hook() == StartHook()


@pytest.mark.parametrize(
    ("daemon", "age", "known"),
    [
        (None, 0, True),
        ("libvirtd.pid", -60, True),
        ("virtqemud.pid", -60, True),
        ("libvirtd.pid", 60, False),
        ("virtqemud.pid", 60, False),
    ],
    ids=["none runs", "libvirtd", "virtqemud", "an older libvirtd", "an older virtqemud"],
)
def test_a_daemon_that_is_older_than_the_hook_does_not_know_it(
    host: Path, daemon: str | None, age: int, known: bool
) -> None:
    hook = host / "hook"
    hook.write_text(installed(), encoding="utf-8")
    hook.chmod(0o755)
    if daemon:
        (host / daemon).write_text(str(os.getpid()), encoding="ascii")
        started = hook.stat().st_ctime - age
        os.utime(host / daemon, (started, started))
    assert look.start_hook() == StartHook(start_hook.DIGEST, True, known)


def test_the_file_of_a_daemon_that_has_ended_counts_for_nothing(host: Path) -> None:
    (host / "hook").write_text("x", encoding="ascii")
    (host / "libvirtd.pid").write_text("999999999", encoding="ascii")
    os.utime(host / "libvirtd.pid", (1, 1))
    found = look.start_hook()
    assert (found.known, found.executable) == (True, False)
