# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's hook, run as libvirt runs it: which starts it lets pass."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HOOK = Path(__file__).resolve().parents[2] / "roles/host/files/libvirt_hook.py"
UUID = "a80187dd-75ff-5385-a841-fa77f1c131d8"


def domain(role: str | None) -> str:
    record = f'<metadata><colo:pair xmlns:colo="urn:lockstep:colo:1" role="{role}"/></metadata>' if role else ""
    return f"<domain><name>web1</name><uuid>{UUID}</uuid>{record}</domain>"


def ask(tmp_path: Path, xml: str, *words: str) -> subprocess.CompletedProcess[str]:
    text = HOOK.read_text(encoding="utf-8").replace("/run/lockstep-colo", str(tmp_path))
    return subprocess.run(
        [sys.executable, "-c", text, "web1", *(words or ("prepare", "begin", "-"))],
        input=xml, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("role", ["primary", "secondary"])
def test_a_domain_of_a_pair_is_refused(tmp_path: Path, role: str) -> None:
    answer = ask(tmp_path, domain(role))
    assert answer.returncode == 1
    assert f"web1 is the {role} of a COLO pair" in answer.stderr
    assert "lockstep.colo.start" in answer.stderr


@pytest.mark.parametrize("xml", [domain(None), domain("alone"), "<domain>\n<name>other</name></domain>"])
def test_other_domains_are_none_of_its_business(tmp_path: Path, xml: str) -> None:
    assert ask(tmp_path, xml).returncode == 0


def test_it_is_asked_about_starts_alone(tmp_path: Path) -> None:
    assert ask(tmp_path, domain("primary"), "release", "end", "-").returncode == 0


def test_a_permit_is_good_for_one_start(tmp_path: Path) -> None:
    (tmp_path / UUID).write_text(str(os.getpid()), encoding="ascii")
    assert ask(tmp_path, domain("secondary")).returncode == 0
    assert ask(tmp_path, domain("secondary")).returncode == 1


def test_a_permit_of_a_run_that_was_killed_is_worth_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    (tmp_path / UUID).write_text(str(ended.pid), encoding="ascii")
    assert ask(tmp_path, domain("primary")).returncode == 1
