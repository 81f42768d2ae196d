# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host is fenced by the README's own lines, no shell reads a variable of them, and the survivor hears no password."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.lockstep.colo.tests.playbooks.test_hostile_host import ROOT, SEEN, Bed

SECRET = "pl4nted-for-the-switch"
SWITCH = """
printf '%s\\n' "$*" >> {log}
case "$*" in *status) echo "Chassis Power is {status}";; esac
"""
OWN = """
- name: Take the power
  ansible.builtin.command: {argv: [ipmitool, -P, pl4nted-for-the-switch, status]}
  delegate_to: localhost
  register: power

- name: Register that it is fenced
  ansible.builtin.set_fact:
    colo_fence: {host: "{{ colo_fence_host }}", proof: "{{ power }}", method: "ipmitool -P pl4nted-for-the-switch"}
"""
WORDS = "-I lanplus -H 10.1.0.1 -U fence -f /etc/colo-bmc-password chassis power"


def documented() -> dict[str, Any]:
    """The variables of the README that fence by commands."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (block,) = (one for one in blocks if "colo_fence_verify_command:" in one)
    return yaml.safe_load(textwrap.dedent(block))


class Fenced:
    """A failover from kvm1, which is fenced by these variables, to kvm2, which keeps all that it hears."""

    def __init__(
        self, directory: Path, variables: dict[str, Any], *, status: str = "off", bmc: str = "10.1.0.1"
    ) -> None:
        self.log, self.heard = directory / "log", directory / "heard"
        self.log.touch()
        bed = Bed(directory, SEEN, {"x": 1})
        (directory / "bin").mkdir()
        bed.program("bin/ipmitool", SWITCH.format(log=self.log, status=status))
        bed.program("kvm2", f"cat >> {self.heard}\ncat {directory / 'answer'}")
        inventory = json.loads((directory / "hosts.yml").read_text(encoding="utf-8"))
        inventory["all"]["children"]["kvm"]["hosts"]["kvm1"]["colo_bmc"] = bmc
        (directory / "hosts.yml").write_text(json.dumps(inventory), encoding="utf-8")
        bed.pair(**variables)
        self.bed = bed

    def run(self, *arguments: str) -> str:
        return self.bed.play("lockstep.colo.failover", "--limit", "web1", "-e", "colo_lost=kvm1", *arguments)

    def commands(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines()

    def told(self) -> str:
        """What the survivor heard as the options of modules."""
        return self.heard.read_text(encoding="utf-8") if self.heard.exists() else ""


def test_the_readmes_own_lines_fence_a_host(tmp_path: Path) -> None:
    fenced = Fenced(tmp_path, documented())
    said = fenced.run()
    assert fenced.commands() == [f"{WORDS} off", f"{WORDS} status"], said
    assert "promote_within" in fenced.told(), said


def test_they_believe_no_switch_that_still_has_power(tmp_path: Path) -> None:
    fenced = Fenced(tmp_path, documented(), status="on")
    said = fenced.run()
    assert "promote_within" not in fenced.told(), said
    assert f"{WORDS} status" in fenced.commands()


def test_no_shell_reads_a_variable_of_them(tmp_path: Path) -> None:
    fenced = Fenced(tmp_path, documented(), bmc=f"10.1.0.1 $(touch {tmp_path / 'owned'}); touch {tmp_path / 'owned'}")
    said = fenced.run()
    assert len(fenced.commands()) == 2, said
    assert not (tmp_path / "owned").exists()


def test_every_variable_of_them_is_refused_as_a_fact() -> None:
    names = re.findall(r"\]\.(\w+)", str(documented()))
    assert names
    assert [name for name in (*names, *documented()) if not name.startswith("colo_")] == []


@pytest.mark.parametrize("whose", ["command.yml", "of the operator's own"])
def test_the_survivor_hears_no_password_of_the_switch(tmp_path: Path, whose: str) -> None:
    command = ["ipmitool", "-P", SECRET, "status"]
    variables: dict[str, Any] = {
        "colo_fence_tasks": "fence/command.yml",
        "colo_fence_command": command,
        "colo_fence_verify_command": command,
    }
    if whose != "command.yml":
        (tmp_path / "own.yml").write_text(OWN, encoding="utf-8")
        variables = {"colo_fence_tasks": str(tmp_path / "own.yml")}
    fenced = Fenced(tmp_path, {**variables, "colo_report_directory": str(tmp_path / "reports")})
    said = fenced.run()
    assert f"-P {SECRET} status" in fenced.commands(), said
    assert "ipmitool" in fenced.told(), said
    assert SECRET not in fenced.told()
    reports = list((tmp_path / "reports").iterdir())
    assert len(reports) == 2, said
    assert not [report for report in reports if SECRET in report.read_text(encoding="utf-8")]
