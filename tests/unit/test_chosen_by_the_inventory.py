# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""No role acts by a variable that a host may have told as a fact: it looks first, and right before it counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
ENTRIES = sorted(
    ROLES / role.parts[-3] / "tasks" / f"{entry}.yml"
    for role in ROLES.glob("*/meta/argument_specs.yml")
    for entry in yaml.safe_load(role.read_text(encoding="utf-8"))["argument_specs"]
)
FILES = sorted(ROLES.glob("*/tasks/**/*.yml"))
HANDLERS = sorted(ROLES.glob("*/handlers/*.yml"))
LOOKS = "lockstep.colo.colo_variables"
BUILTIN = "lockstep.colo.colo_builtin"
HERE = ("localhost", None)
PAIRS = ("pair", "failover", "report")  # roles for no KVM host
# Of its answer Ansible makes no facts: it is the text of a command.
WITHOUT_FACTS = ("ansible.builtin.raw",)
# They ask no host.
OF_THE_CONTROL_NODE = {
    f"ansible.builtin.{one}" for one in ("assert", "debug", "fail", "include_role", "include_tasks", "meta", "set_fact")
}
PARTS = ("block", "rescue", "always")
# Included by what has looked, with nothing of a managed host between.
AFTER_A_LOOK = ("failover/tasks/fence/command.yml",)


def tasks(data: list[dict[str, Any]], above: tuple[dict[str, Any], ...] = ()) -> Iterator[tuple[dict[str, Any], Any]]:
    """Each task in its order, and the blocks that it is in."""
    for task in data:
        if "block" in task:
            for part in PARTS:
                yield from tasks(task.get(part, []), (*above, task))
        else:
            yield task, above


def of(file: Path) -> list[tuple[dict[str, Any], Any]]:
    return list(tasks(yaml.safe_load(file.read_text(encoding="utf-8"))))


def action(task: dict[str, Any]) -> str:
    return next(key for key in task if "." in key)


def name(file: Path) -> str:
    return file.relative_to(ROLES).as_posix()


@pytest.mark.parametrize("file", ENTRIES, ids=name)
def test_each_role_looks_first(file: Path) -> None:
    assert action(of(file)[0][0]) == LOOKS


@pytest.mark.parametrize("file", FILES, ids=name)
def test_nothing_goes_on_past_a_refusal(file: Path) -> None:
    for task, above in of(file):
        if action(task) == LOOKS:
            assert set(task) == {"name", LOOKS}
            # A condition of a whole block is one of what comes after the look, too.
            assert not [block for block in above if {"rescue", "ignore_errors"} & set(block)]


@pytest.mark.parametrize("file", [*FILES, *HANDLERS], ids=name)
def test_no_fact_is_made_of_what_a_host_answers(file: Path) -> None:
    """It would count from the next task on: by what program that copies its file, and to which host it connects."""
    for task, _above in of(file):
        elsewhere = task.get("delegate_to") not in HERE or name(file).split("/")[0] not in PAIRS
        known = action(task) in (*WITHOUT_FACTS, *OF_THE_CONTROL_NODE)
        assert not elsewhere or known or action(task).startswith("lockstep.colo."), task["name"]


def chosen(task: dict[str, Any]) -> bool:
    """Whether a variable chooses what this does to the control node, or to another host than that of the play."""
    file = task.get("ansible.builtin.include_tasks")
    return (
        (isinstance(file, str) and "{{" in file)
        or "corosync.conf.j2" in str(task)
        or "cib.xml.j2" in str(task)
        or ("delegate_to" in task and (action(task) == BUILTIN or not action(task).startswith("lockstep.colo.")))
    )


def unlooked(found: list[dict[str, Any]]) -> list[str]:
    """Tasks by a variable that come neither right after a look, nor after others of the control node alone."""
    names, looked = [], False
    for task in found:
        if chosen(task) and not looked:
            names.append(task["name"])
        here = action(task) in (LOOKS, "ansible.builtin.set_fact") or task.get("delegate_to") == "localhost"
        looked = action(task) == LOOKS or (looked and here)
    return names


@pytest.mark.parametrize("file", [file for file in FILES if name(file) not in AFTER_A_LOOK], ids=name)
def test_it_is_looked_right_before_it_counts(file: Path) -> None:
    found = [task for task, _above in of(file)]
    # Who answers there is asked by raw, whose answer makes no fact.
    assert unlooked([task for task in found if action(task) not in WITHOUT_FACTS]) == []


def test_what_comes_without_a_look_is_found() -> None:
    look: dict[str, Any] = {"name": "look", LOOKS: None}
    copy = {"name": "copy", "ansible.builtin.copy": {}}
    fence = {"name": "fence", "ansible.builtin.include_tasks": "{{ colo_fence_tasks }}"}
    assert unlooked([look, copy, fence]) == ["fence"]
    assert unlooked([copy, look, fence]) == []
