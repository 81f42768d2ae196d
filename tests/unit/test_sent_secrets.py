# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What roles send to a host that is nobody else's business is in no file there that Ansible makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
FILES = sorted(ROLES.glob("*/tasks/**/*.yml"))
PIPELINED = {"ansible_pipelining": True, "ansible_ssh_pipelining": True}
OURS = "lockstep.colo."  # pipelined whatever is said
BUILTIN = f"{OURS}colo_builtin"  # as what it runs
SEND_NOTHING = {"ansible.builtin.slurp", "ansible.builtin.set_fact"}


def each(found: Any) -> Iterator[dict[str, Any]]:
    for task in found:
        yield task
        for part in ("block", "rescue", "always"):
            yield from each(task.get(part, ()))


def action(task: dict[str, Any]) -> str:
    """What the task runs."""
    return task[BUILTIN]["module"] if BUILTIN in task else next(key for key in task if "." in key)


def of(file: Path) -> list[dict[str, Any]]:
    return list(each(yaml.safe_load(file.read_text(encoding="utf-8"))))


def filed(tasks: list[dict[str, Any]]) -> list[str]:
    """Tasks that are not to be shown, and would put what they carry into a file."""
    secret = [task for task in tasks if task.get("no_log") and action(task) not in SEND_NOTHING]
    others = [task for task in secret if not action(task).startswith(OURS)]
    return [task["name"] for task in others if not PIPELINED.items() <= task.get("vars", {}).items()]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROLES).as_posix())
def test_no_secret_waits_in_a_file(file: Path) -> None:
    assert filed(of(file)) == []


def test_one_that_does_is_found() -> None:
    copy = {"name": "copy", "ansible.builtin.copy": {}, "no_log": True}
    by_ours = {"name": "by ours", BUILTIN: {"module": "ansible.builtin.copy"}, "no_log": True}
    ours = {"name": "ours", f"{OURS}colo_pair": {}, "no_log": True}
    assert filed([copy, {**copy, "vars": PIPELINED}, by_ours, {**by_ours, "vars": PIPELINED}, ours]) == [
        "copy",
        "by ours",
    ]


def test_a_certificate_and_its_key_go_by_the_module_that_exchanges_them_alone() -> None:
    actions = [key for task in of(ROLES / "pki" / "tasks" / "install.yml") for key in task if "." in key]
    assert actions == [f"{OURS}colo_credentials"]
