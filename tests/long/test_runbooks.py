# SPDX-License-Identifier: GPL-3.0-or-later
"""Each playbook that changes a pair has its steps go wrong, from states that can be made, and as it is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import pytest
import runbooks
from runbooks import HERE, RUNBOOKS, STATES, THERE, Runbook

ROOT = Path(__file__).resolve().parents[2]
PLACES = {HERE: "kvm1", THERE: "kvm2"}
# As far as the interposer knows the core: its packages, with steps that print, and a look.
STEPS = """
class ColoError(Exception): ...
class Timeout(ColoError): ...
class Apply:
    def _carry_out(self, step):
        print("did", step)
"""
LOOK = """
from dataclasses import dataclass
@dataclass
class Domain:
    live_xml: str
    vhost: bool = False
def _domain(found):
    return Domain(found)
def observe(xml="<domain/>"):
    print("looked", _domain(xml).vhost)
"""
RUN = """
from core.module_utils.apply.steps import Apply
from core.module_utils.observe.look import observe
observe()
for name in "abcd":
    Apply()._carry_out(name)
    if name != "a":
        try:
            observe("no-vhost" if name == "d" else "<domain/>")
        except OSError as error:
            print(error)
"""


class Asked:
    """A bed that only says which playbook it was asked for."""

    def playbook(self, name: str, *words: str, **_options: object) -> tuple[str, ...]:
        return (name, *words)

    def failover(self, lost: str, *words: str, **_options: object) -> tuple[str, ...]:
        return ("failover", lost, *words)


def asked(book: Runbook) -> tuple[str, ...]:
    return book.run(Asked(), PLACES)  # type: ignore[arg-type]


def test_every_playbook_that_changes_a_pair_is_under_test() -> None:
    verbs = {path.stem for path in (ROOT / "playbooks").glob("*.yml")} - {"status"}
    assert {asked(book)[0] for book in RUNBOOKS} == verbs


@pytest.mark.parametrize("book", RUNBOOKS, ids=lambda book: book.name)
def test_a_runbook_can_be_begun(book: Runbook) -> None:
    assert {book.needs, book.leaves} <= set(STATES)
    assert {*book.hosts, book.guest} <= {HERE, THERE}
    assert not (book.boots and not book.silent), "a guest that has to boot answers nobody before"
    assert [one.name for one in RUNBOOKS].count(book.name) == 1


def said(tmp_path: Path, how: str, steps: int, **more: str) -> list[str]:
    core = tmp_path / "core" / "module_utils"
    for name, text in (("apply/steps.py", STEPS), ("observe/look.py", LOOK)):
        (core / name).parent.mkdir(parents=True, exist_ok=True)
        (core / name).write_text(text, encoding="utf-8")
    count = tmp_path / "steps"
    count.write_text(str(steps), encoding="ascii")
    interposer = Path(runbooks.__file__).with_name("interposer")
    env = {**os.environ, "PYTHONPATH": f"{interposer}:{tmp_path}", "LOCKSTEP_STEPS": str(count), "LOCKSTEP_HOW": how}
    done = subprocess.run([sys.executable, "-c", RUN], env={**env, **more}, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines() + done.stderr.splitlines()[-1:]
    return [*lines, f"left {count.read_text(encoding='ascii')}"]


def test_a_run_is_blind_once_behind_its_steps_and_looks_alone_do_not_count(tmp_path: Path) -> None:
    whole = ["looked False", "did a", "did b", "looked False", "did c", "looked False", "did d", "looked False"]
    failed = "[Errno 5] Input/output error, for a test"
    assert said(tmp_path, "blind", 3) == [*whole, "left 0"]
    assert said(tmp_path, "blind", 0) == [*whole[:4], failed, *whole[4:], "left -3"]
    assert said(tmp_path, "blind", 1) == [*whole[:6], failed, *whole[6:], "left -2"]


def test_a_step_that_is_unanswered_was_carried_out(tmp_path: Path) -> None:
    found = said(tmp_path, "unanswered", 1)
    assert found[:3] == ["looked False", "did a", "did b"]
    assert "no answer within 10 s, for a test" in found[3]


def test_a_run_that_is_killed_did_the_steps_before(tmp_path: Path) -> None:
    assert said(tmp_path, "killed", 1) == ["looked False", "did a", "left -1"]


def test_a_guest_is_said_to_be_on_vhost_until_it_is_taken_off(tmp_path: Path) -> None:
    found = [words for words in said(tmp_path, "blind", 9, LOCKSTEP_VHOST="1") if words.startswith("looked")]
    assert found == ["looked True", "looked True", "looked True", "looked False"]
