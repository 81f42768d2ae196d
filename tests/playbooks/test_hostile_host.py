# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A KVM host that is compromised answers what it likes: the control node, its variables and the other hosts stay whole.

Its Python is a program that says what an attacker would; Ansible and the playbooks are real.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
COLLECTIONS = ROOT / ".cache" / "collections"
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
FENCE = """
- name: Fence as the inventory says
  ansible.builtin.copy: {content: "", dest: "{{ inventory_dir }}/fenced-as-stated", mode: "0600"}
  delegate_to: localhost
"""
EARLIER = """
- name: A play of somebody's, which makes facts of what a host says
  hosts: colo_pairs
  gather_facts: false
  tasks:
    - ansible.builtin.command: {argv: ["true"]}
      delegate_to: kvm2
"""
WATCHERS = """
- name: The end of a deploy or an unprotect
  hosts: web1
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: lockstep.colo.pair, tasks_from: automation}
      vars: {colo_verdict: {guarded: [kvm2]}}
    - ansible.builtin.assert: {that: colo_fence_command is not defined}
    - ansible.builtin.import_role: {name: lockstep.colo.report}
      vars: {colo_runbook: deploy, colo_lost: kvm1}
"""
CALLED = """
- name: A host that is prepared
  hosts: kvm2
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {{name: lockstep.colo.{}}}
"""
REFUSED = "has facts that are variables of this collection, or of Ansible itself: "
PLANTED = {
    "colo_fence_tasks": "fence/command.yml",
    "colo_fence_verify_command": ["true"],
    "colo_i_accept_that_two_guests_may_run": True,
    "colo_report_directory": "/etc",
    "colo_address": "192.0.2.66",
    "discovered_interpreter_python": "/nowhere",
}


class Bed:
    """An inventory of which kvm1 is lost and kvm2 says ``answer``, with facts: ``planted``, or variables of ours."""

    def __init__(self, directory: Path, answer: dict[str, Any] | str, planted: dict[str, Any] | None = None) -> None:
        self.directory = directory
        self.owned = directory / "owned"
        planted = planted or {**PLANTED, "colo_fence_command": ["touch", str(self.owned)]}
        said = json.dumps({**answer, "ansible_facts": planted}) if isinstance(answer, dict) else answer
        (directory / "answer").write_text(said, encoding="utf-8")
        self.program("kvm2", f"cat {directory / 'answer'}")
        self.program("kvm1", "exit 1")
        (directory / "fence.yml").write_text(FENCE, encoding="utf-8")
        pair = {
            "colo_primary": "kvm1",
            "colo_secondary": "kvm2",
            "colo_disks": [{"target": "vda", "format": "raw"}],
            "colo_fence_tasks": str(directory / "fence.yml"),
            "colo_report_directory": "",
            "ansible_python_interpreter": sys.executable,
        }
        inventory = {
            "all": {
                "vars": {"ansible_connection": "local", "ansible_become": False},
                "children": {
                    "kvm": {"hosts": self._hosts()},
                    "colo_pairs": {"hosts": {"web1": pair, "web2": pair}},
                },
            }
        }
        (directory / "hosts.yml").write_text(json.dumps(inventory), encoding="utf-8")

    def _hosts(self) -> dict[str, dict[str, str]]:
        return {
            name: {"colo_address": address, "ansible_python_interpreter": str(self.directory / name)}
            for name, address in (("kvm1", "10.0.0.1"), ("kvm2", "10.0.0.2"))
        }

    def program(self, name: str, does: str) -> None:
        program = self.directory / name
        program.write_text(f"#!/bin/sh\n{does}\n", encoding="utf-8")
        program.chmod(0o755)

    def pair(self, **variables: Any) -> None:
        """What the inventory says of web1 besides."""
        inventory = json.loads((self.directory / "hosts.yml").read_text(encoding="utf-8"))
        inventory["all"]["children"]["colo_pairs"]["hosts"]["web1"].update(variables)
        (self.directory / "hosts.yml").write_text(json.dumps(inventory), encoding="utf-8")

    def other_says(self, answer: dict[str, Any]) -> None:
        (self.directory / "other").write_text(json.dumps(answer), encoding="utf-8")
        self.program("kvm1", f"cat {self.directory / 'other'}")

    def keep(self, pair: str) -> None:
        """An earlier run of somebody's play, by a core module of which this host's facts came into the cache."""
        play = self.directory / "earlier.yml"
        play.write_text(EARLIER, encoding="utf-8")
        self.play(str(play), "--limit", pair)
        assert list((self.directory / "facts").glob(f"*{pair}")), "no fact was kept"

    def play(self, playbook: str, *arguments: str) -> str:
        """All that Ansible says."""
        environment = {
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_LOCAL_TEMP": str(self.directory / "tmp"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_HOME": str(self.directory / "home"),
            "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(self.directory / "facts"),
            "PATH": f"{self.directory / 'bin'}:/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
        }
        command = [str(PLAYBOOK), "-i", str(self.directory / "hosts.yml"), playbook, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
        return done.stdout + done.stderr


RECORDED = ROOT / "tests" / "unit" / "fixtures" / "observations"


def recorded(name: str, host: str = "", generation: int = 0) -> dict[str, Any]:
    """What was seen, by a host of this name, of a copy of this generation."""
    seen = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    if host:
        seen["host"]["name"] = host
        seen["domain"]["record"]["generation"] = generation
    return seen


SEEN = {
    "changed": False, "phase": "degraded", "problems": [], "notes": [], "sync": {},
    "observation": recorded("degraded-unasked-secondary"),
}  # fmt: skip
LOOKED = "pki:\n"
# A list of ten, of which the next has ten, and so on.
BOMB = "pki: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{one}: &{one} [{','.join(['*' + chr(ord(one) - 1)] * 10)}]\n" for one in "bcdefgh"
)


def test_no_fact_of_a_host_becomes_the_command_that_fences_another(tmp_path: Path) -> None:
    bed = Bed(tmp_path, SEEN)
    said = bed.play("lockstep.colo.failover")
    assert not bed.owned.exists(), said
    assert (tmp_path / "fenced-as-stated").exists(), said


def test_what_a_core_module_brought_back_is_refused_by_name(tmp_path: Path) -> None:
    bed = Bed(tmp_path, SEEN)
    play = tmp_path / "play.yml"
    play.write_text(
        """
- name: A play of somebody's, which makes facts of what a host says
  hosts: web1
  gather_facts: false
  tasks:
    - ansible.builtin.command: {argv: ["true"]}
      delegate_to: kvm2
    - ansible.builtin.import_role: {name: lockstep.colo.failover}
""",
        encoding="utf-8",
    )
    said = bed.play(str(play))
    assert not bed.owned.exists(), said
    assert f"{REFUSED}colo_address, colo_fence_command" in " ".join(said.split())


@pytest.mark.parametrize("playbook", ["failover", "status", "deploy"])
def test_it_is_refused_however_the_inventory_names_the_hosts(tmp_path: Path, playbook: str) -> None:
    bed = Bed(tmp_path, {"changed": False}, {"colo_bmc": "192.0.2.66"})
    bed.pair(colo_primary="{{ groups.kvm[0] }}", colo_secondary="{{ groups.kvm[1] }}")
    play = tmp_path / "play.yml"
    gathers = EARLIER.replace("colo_pairs", "kvm2") + f"\n- ansible.builtin.import_playbook: lockstep.colo.{playbook}\n"
    play.write_text(gathers, encoding="utf-8")
    said = bed.play(str(play), "--limit", "kvm2,web1", "-e", "colo_lost=kvm2")
    assert f"kvm2 {REFUSED}colo_bmc." in " ".join(said.split()), said
    assert not (tmp_path / "fenced-as-stated").exists(), "it went on"


@pytest.mark.parametrize("guarded", ["true", "false"])
def test_what_tells_the_watchers_brings_back_no_fact(tmp_path: Path, guarded: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    planted = {"colo_report_directory": str(elsewhere), "colo_files_mode": "0666", "colo_fence_command": ["true"]}
    bed = Bed(tmp_path, {"changed": False, "stat": {"exists": False}}, planted)
    bed.program("kvm1", f"cat {tmp_path / 'answer'}")
    play = tmp_path / "play.yml"
    play.write_text(WATCHERS, encoding="utf-8")
    said = bed.play(str(play), "-e", f'{{"colo_guarded": {guarded}}}')
    assert not elsewhere.exists()
    assert not list((tmp_path / "facts").glob("*")), "a fact was kept for the next run"
    assert "failed=0" in said, said


@pytest.mark.parametrize("lost", [{}, {"colo_lost": "kvm1"}])
def test_no_fact_of_an_earlier_run_chooses_what_a_failover_does(tmp_path: Path, lost: dict[str, str]) -> None:
    elsewhere, owned = tmp_path / "elsewhere", tmp_path / "owned"
    command = {**PLANTED, "colo_fence_command": ["touch", str(owned)], "colo_report_directory": str(elsewhere)}
    bed = Bed(tmp_path, SEEN, {**command, **lost})
    bed.keep("web1")
    said = bed.play("lockstep.colo.failover", "--limit", "web1")
    assert not owned.exists(), said
    assert not elsewhere.exists(), said
    assert not (tmp_path / "fenced-as-stated").exists(), "it went on"
    assert "Look at kvm" not in said, "it went on"
    assert f"web1 {REFUSED}colo_address, colo_fence_command" in " ".join(said.split()), said


def test_a_host_is_looked_at_whose_name_is_a_template(tmp_path: Path) -> None:
    bed = Bed(tmp_path, SEEN, {"colo_address": "192.0.2.66"})
    inventory, play = tmp_path / "hosts.yml", tmp_path / "earlier.yml"
    stated = inventory.read_text(encoding="utf-8")
    inventory.write_text(
        stated.replace('"kvm2", "colo_disks"', '"{{ groups.kvm[1] }}", "colo_disks"'), encoding="utf-8"
    )
    play.write_text(EARLIER.replace("hosts: colo_pairs", "hosts: kvm2"), encoding="utf-8")
    bed.play(str(play))
    said = bed.play("lockstep.colo.failover", "--limit", "web1", "-e", "colo_lost=kvm1")
    assert f"kvm2 {REFUSED}colo_address" in " ".join(said.split()), said
    assert not (tmp_path / "fenced-as-stated").exists(), said


@pytest.mark.parametrize("playbook", ["deploy", "status", "switchover", "start", "unprotect", "drill", "reprotect"])
def test_no_fact_of_an_earlier_run_chooses_where_a_file_is_written(tmp_path: Path, playbook: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    planted = {
        "colo_status_file": str(elsewhere / "status"),
        "colo_report_directory": str(elsewhere),
        "colo_probe": str(tmp_path / "hosts.yml"),
        "colo_files_mode": "0666",
    }
    bed = Bed(tmp_path, SEEN, planted)
    elsewhere.mkdir()
    bed.keep("web1")
    said = bed.play(f"lockstep.colo.{playbook}", "--limit", "web1")
    assert not list(elsewhere.iterdir()), said
    assert "Look at kvm" not in said, "it went on"
    assert REFUSED in " ".join(said.split()), said


def test_no_host_tells_of_another_pair_that_it_is_protected(tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    bed = Bed(tmp_path, SEEN, {"colo_status": {"pair": "web2", "protected": True}, "colo_connect_timeout": []})
    bed.keep("web2")
    said = bed.play("lockstep.colo.status", "-e", f"colo_status_file={file}")
    assert [one["pair"] for one in json.loads(file.read_text(encoding="utf-8"))] == ["web1"], said


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ("failed-over-secondary", "kvm2 says of both hosts protected (kvm2 has the guest), and what each says of"),
        ("protected-primary", "a standby on kvm1, and kvm1 that it is none, and unprotected: one of them is wrong"),
    ],
)
def test_no_host_makes_a_pair_protected_of_which_the_other_says_otherwise(tmp_path: Path, lie: str, words: str) -> None:
    verdict = {"phase": "protected", "holder": "kvm2", "problems": [], "notes": [], "next": "", "protected": True}
    bed = Bed(tmp_path, {**SEEN, "observation": recorded(lie, "kvm2", 9), "verdict": verdict})
    bed.other_says({**SEEN, "observation": recorded("described-primary", "kvm1", 1)})
    said = bed.play("lockstep.colo.status", "--limit", "web1")
    assert words in " ".join(said.split()), said
    assert "failed=1" in said, said


def test_a_pair_is_protected_of_which_both_hosts_say_so(tmp_path: Path) -> None:
    verdict = {"phase": "protected", "holder": "kvm1", "problems": [], "notes": [], "next": "", "protected": True}
    bed = Bed(tmp_path, {**SEEN, "observation": recorded("protected-secondary")}, {"x": 1})
    bed.other_says({**SEEN, "observation": recorded("protected-primary"), "verdict": verdict})
    said = bed.play("lockstep.colo.status", "--limit", "web1")
    assert "web1 is protected" in said, said
    assert "failed=0" in said, said


@pytest.mark.parametrize("role", ["host", "pki"])
def test_no_fact_of_an_earlier_run_chooses_what_a_host_gets(tmp_path: Path, role: str) -> None:
    bed = Bed(tmp_path, {"changed": False, "rc": 0, "stdout": LOOKED}, {"colo_ca_directory": str(tmp_path / "evil")})
    play = tmp_path / "play.yml"
    play.write_text(EARLIER.replace("colo_pairs", "kvm2") + CALLED.format(role), encoding="utf-8")
    said = bed.play(str(play))
    assert "Read what the role has to know of the host" not in said, "it went on"
    assert f"kvm2 {REFUSED}colo_ca_directory" in " ".join(said.split()), said


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({**SEEN, "phase": ["protected"]}, "phase is of type list"),
        ({**SEEN, "changed": "yes"}, "changed is of type str"),
        ({**SEEN, "observation": {"name": "x" * (2 << 20)}}, "a text of 2097152 characters"),
        ('{"observation": ' + "{" + '"a": {' * 60 + "}" * 61 + "}", "nested deeper than 24 levels"),
        ({**SEEN, "steps": [[0]] * 300_000}, "more than any module returns"),
        ({**SEEN, "sync": {"vda": {"done": 10**400, "total": 1}}}, "a number that is none, or beyond 64 bits"),
        ({**SEEN, "sync": {"vda": {"done": float("nan"), "total": 1}}}, "a number that is none, or beyond 64 bits"),
    ],
)
def test_an_answer_of_another_shape_or_size_is_refused(
    tmp_path: Path, answer: dict[str, Any] | str, words: str
) -> None:
    said = Bed(tmp_path, answer).play("lockstep.colo.status")
    assert words in said
    assert "Traceback" not in said


# What chooses the program that copies the next file, the host that the next task is for, and what the role writes.
CHOOSES = {
    "ansible_sftp_executable": "/usr/bin/vi",
    "ansible_control_path": "/elsewhere",
    "colo_ca_directory": "/elsewhere",
    "inventory_dir": "/elsewhere",
}
PREPARED = """
- name: A host that is prepared, as far as that goes
  hosts: kvm2
  gather_facts: false
  tasks:
    - block: [{{ansible.builtin.import_role: {{name: lockstep.colo.{role}}}}}]
      ignore_errors: true
    - name: What they come to
      ansible.builtin.debug: {{msg: "chosen: {chosen}"}}
"""


@pytest.mark.parametrize("role", ["host", "pki"])
def test_no_fact_of_what_a_role_asks_of_a_host_counts_for_the_next_task(tmp_path: Path, role: str) -> None:
    bed = Bed(tmp_path, {"changed": False, "rc": 0, "stdout": LOOKED}, CHOOSES)
    play = tmp_path / "play.yml"
    chosen = " ".join(f"{{{{ lookup('vars', '{one}', default='nothing') }}}}" for one in CHOOSES)
    play.write_text(PREPARED.format(role=role, chosen=chosen), encoding="utf-8")
    said = bed.play(str(play))
    assert "Read what the role has to know of the host" in said, said
    (line,) = (one for one in said.splitlines() if "chosen: " in one)
    assert not [value for value in CHOOSES.values() if value in line]
    assert not list((tmp_path / "facts").glob("*kvm2"))


@pytest.mark.parametrize("name", ["inventory_dir", "omit", "ansible_remote_tmp", "ansible_sftp_executable"])
def test_no_fact_becomes_a_variable_of_ansible_itself(tmp_path: Path, name: str) -> None:
    evil = tmp_path / "evil"
    evil.mkdir()
    bed = Bed(tmp_path, {"changed": False, "rc": 0, "stdout": LOOKED}, {name: str(evil)})
    play = tmp_path / "play.yml"
    play.write_text(EARLIER.replace("colo_pairs", "kvm2") + CALLED.format("pki"), encoding="utf-8")
    said = bed.play(str(play))
    assert f"of Ansible itself: {name.removeprefix('ansible_')}. No module" in " ".join(said.split()), said
    assert not list(evil.iterdir())
    assert not (tmp_path / "colo-ca").exists()


@pytest.mark.parametrize("looked", [BOMB, "[" * 100_000, "pki: [1]\n"])
def test_what_a_host_tells_of_itself_is_read_within_bounds(tmp_path: Path, looked: str) -> None:
    bed = Bed(tmp_path, json.dumps({"changed": False, "rc": 0, "stdout": looked}))
    began = time.monotonic()
    said = bed.play("lockstep.colo.deploy", "--limit", "kvm2,web1")
    assert "this host told of itself what the role's script does not say" in " ".join(said.split()), said
    assert time.monotonic() - began < 40
    assert "Traceback" not in said


@pytest.mark.parametrize("playbook", ["deploy", "status", "failover", "switchover", "start", "unprotect", "drill"])
def test_no_playbook_ends_in_a_traceback(tmp_path: Path, playbook: str) -> None:
    bed = Bed(tmp_path, {**SEEN, "observation": 7, "sync": {"a": 1}, "verdict": {}, "finished": False})
    said = bed.play(f"lockstep.colo.{playbook}", "--limit", "web1")
    assert "Traceback" not in said
    assert not bed.owned.exists()


# A terminal is cleared by it.
OBEYED = "\x1b[2J"
ODD = {
    "junk after it": json.dumps({"changed": False}) + f"\n{OBEYED}\n",
    "a key of Ansible's": json.dumps({"changed": False, f"_ansible_{OBEYED}": OBEYED}),
    "a failure": json.dumps({"failed": True, "msg": OBEYED, "exception": f"Traceback {OBEYED}"}),
    "a warning": json.dumps({"changed": False, "warnings": [OBEYED]}),
    "no JSON": OBEYED,
}
ASKED = """
- name: What asks a host
  hosts: web1
  gather_facts: false
  tasks:
    - lockstep.colo.colo_info: {name: web1, host: kvm2}
      delegate_to: kvm2
      ignore_errors: true
    - lockstep.colo.colo_builtin: {module: ansible.builtin.command, options: {argv: ["true"]}}
      delegate_to: kvm2
      ignore_errors: true
    - lockstep.colo.colo_builtin: {module: ansible.builtin.copy, options: {content: x, dest: /nowhere/to/be/found}}
      delegate_to: kvm2
      ignore_errors: true
"""


@pytest.mark.parametrize("odd", ODD)
def test_no_word_of_a_host_is_obeyed_by_a_terminal(tmp_path: Path, odd: str) -> None:
    bed = Bed(tmp_path, ODD[odd])
    (tmp_path / "play.yml").write_text(ASKED, encoding="utf-8")
    said = bed.play(str(tmp_path / "play.yml"))
    assert "\x1b" not in said, said
    assert "\\u001b" not in said, said
    assert "\ufffd[2J" in said, said
    assert "failed=0" in said, said
    assert "Traceback (most" not in said, said


def test_a_report_says_of_which_host_a_step_is(tmp_path: Path) -> None:
    step = {"title": "End the guest on kvm1", "host": "kvm1", "steps": [], "done": [], "served_after": 0.5}
    bed = Bed(tmp_path, {**SEEN, **step, "phase": "failed_over"})
    bed.pair(colo_report_directory=str(tmp_path / "reports"))
    said = bed.play("lockstep.colo.failover", "--limit", "web1", "-e", "colo_lost=kvm1")
    (report,) = (json.loads(file.read_text(encoding="utf-8")) for file in (tmp_path / "reports").glob("*.json"))
    assert {task["host"] for task in report["tasks"]} == {"kvm2"}, said
