# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

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


def test_the_binary_itself_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[tuple[str, ...], str]] = []
    replies = [
        {"QMP": {}},
        {"return": {}},
        {"return": VERSION},
        {"return": SCHEMA},
        {"return": {}},
        {"event": "SHUTDOWN"},
    ]

    def run(*command: str, stdin: str) -> str:
        asked.append((command, stdin))
        return "".join(json.dumps(reply) + "\n" for reply in replies)

    monkeypatch.setattr(emulator, "run", run)
    found = emulator.probe("/usr/bin/qemu")
    assert (found.path, found.version, found.missing) == ("/usr/bin/qemu", "10.0.13", ())
    assert asked[0][0][:3] == ("/usr/bin/qemu", "-machine", "none")


def test_a_binary_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator, "run", lambda *_command, stdin: '{"QMP": {}}\n')
    with pytest.raises(ColoError, match="did not answer on its monitor"):
        emulator.probe("/usr/bin/qemu")
