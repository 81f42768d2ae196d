# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils import emulator
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import FIXTURES

SCHEMA = json.loads((FIXTURES / "qmp-schema.json").read_text(encoding="utf-8"))
VERSION = {"qemu": {"major": 10, "minor": 0, "micro": 13}, "package": "Debian"}


def without(name: str) -> list[dict]:
    return [
        {**item, "values": [value for value in item["values"] if value != name]}
        if item["meta-type"] == "enum"
        else item
        for item in SCHEMA
        if item.get("name") != name or item["meta-type"] == "enum"
    ]


def test_debians_qemu_lacks_nothing() -> None:
    assert emulator.missing(SCHEMA) == ()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("driver", name) for name in emulator.DRIVERS),
        *(("object", name) for name in emulator.OBJECTS),
        *(("migration capability", name) for name in emulator.CAPABILITIES),
        *(("command", name) for name in emulator.COMMANDS),
    ],
)
def test_what_a_build_lacks_is_named(kind: str, name: str) -> None:
    assert emulator.missing(without(name)) == (f"{kind} {name}",)


def test_all_that_is_missing_is_named_at_once() -> None:
    assert len(emulator.missing([])) == sum(
        map(len, (emulator.DRIVERS, emulator.OBJECTS, emulator.CAPABILITIES, emulator.COMMANDS))
    )


def test_a_member_of_another_enumeration_does_not_count() -> None:
    """What x-blockdev-change or a job may be called says nothing of the drivers."""
    others = [{"meta-type": "enum", "name": "0", "values": ["quorum", "other"]}]
    assert "driver quorum" in emulator.missing([*without("quorum"), *others])


def binary(tmp_path: Path, replies: list[dict]) -> str:
    """A program that greets, answers each line that it reads with the next of ``replies``, and then stays."""
    answers = tmp_path / "answers"
    answers.write_text("".join(json.dumps(reply) + "\n" for reply in replies), encoding="utf-8")
    program = tmp_path / "qemu"
    program.write_text(
        f"#!{sys.executable}\nimport sys, time\nprint('{{\"QMP\": {{}}}}', flush=True)\n"
        f"for answer, request in zip(open('{answers}'), sys.stdin):\n    print(answer, end='', flush=True)\n"
        "time.sleep(60 if '-machine' in sys.argv else 0)\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    return str(program)


def test_the_binary_itself_is_asked(tmp_path: Path) -> None:
    path = binary(tmp_path, [{"return": {}}, {"return": VERSION}, {"return": SCHEMA}])
    found = emulator.probe(path)
    assert (found.path, found.version, found.missing) == (path, "10.0.13", ())


def test_a_binary_that_does_not_answer_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator, "COMMAND_DEADLINE", 1.0)
    with pytest.raises(ColoError, match="did not answer on its monitor"):
        emulator.probe(binary(tmp_path, [{"return": {}}]))


def test_a_binary_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ColoError, match="cannot start"):
        emulator.probe("/nonexistent/qemu")
