# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The probe of an emulator: what it reads of a QEMU, and that it ends, with words, whatever the binary does."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.apply import steps
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.observe import emulator
from ansible_collections.lockstep.colo.plugins.module_utils.observe.monitor import PURE_QUERIES
from ansible_collections.lockstep.colo.plugins.module_utils.plan import effects_in_qemu
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import FIXTURES

SCHEMAS = {
    version: json.loads((FIXTURES / f"qmp-schema-{version}.json").read_text(encoding="utf-8"))
    for version in ("7.2", "10.0")
}
SCHEMA = SCHEMAS["10.0"]


def script(tmp_path, body):
    path = tmp_path / "emulator"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def probe(path):
    with emulator.asked(path) as answer:
        return answer()


@pytest.mark.parametrize(
    "body",
    ["sleep 60", "sleep 60 | cat", "echo no QMP", "exit 1", "printf '{\"QMP\": {}}\\n'; cat"],
    ids=["silent", "a silent child", "words", "failure", "echo"],
)
def test_what_does_not_answer_is_named_and_left_behind_by_nothing(tmp_path, monkeypatch, body):
    monkeypatch.setattr(emulator, "COMMAND_DEADLINE", 0.5)
    path = script(tmp_path, body)
    begun = time.monotonic()
    with pytest.raises(ColoError) as error:
        probe(path)
    assert path in str(error.value)
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize("version", SCHEMAS)
def test_what_a_build_lacks_is_told_from_its_schema(version):
    assert emulator.missing(SCHEMAS[version]) == ()


@pytest.mark.parametrize(("version", "options"), [("7.2", ()), ("10.0", ("reconnect-ms",))])
def test_the_options_that_builds_differ_in_are_told_from_the_schema(version, options):
    assert emulator.options(SCHEMAS[version]) == options


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *[("command", name) for name in emulator.COMMANDS],
        *[("event", name) for name in emulator.EVENTS],
        *[("driver", name) for name in emulator.DRIVERS],
        *[("object", name) for name in emulator.OBJECTS],
        *[("migration capability", name) for name in emulator.CAPABILITIES],
    ],
)
def test_each_thing_that_a_build_may_lack_is_named(kind, name):
    named = [
        item for item in SCHEMA if item["meta-type"] == "enum" or (item["meta-type"], item["name"]) != (kind, name)
    ]
    witness = emulator._WITNESS.get(kind)
    less = [
        {**item, "values": [value for value in item["values"] if value != name]}
        if item["meta-type"] == "enum" and witness in item["values"]
        else item
        for item in named
    ]
    assert emulator.missing(less) == (f"{kind} {name}",)


def test_what_a_binary_says_of_itself_is_read(tmp_path):
    replies = [
        {},
        {"qemu": {"major": 10, "minor": 0, "micro": 13}, "package": ""},
        SCHEMA,
        [{"name": "pc-i440fx-10.0", "cpu-max": 255}, {"name": "none", "cpu-max": 1}],
        {},
    ]
    greeting = {"QMP": {"version": {}, "capabilities": []}}
    (tmp_path / "qmp").write_text(
        "".join(json.dumps(one) + "\n" for one in [greeting, *[{"return": r} for r in replies]])
    )
    path = script(tmp_path, f"cat {tmp_path}/qmp; cat > {tmp_path}/asked")
    seen = probe(path)
    assert seen == emulator.Emulator(path, "10.0.13", (), ("none", "pc-i440fx-10.0"), ("reconnect-ms",))


@pytest.mark.parametrize(
    ("reply", "needs"),
    [
        ({"return": {}}, ()),  # 7.2.22 and 10.0.13
        (
            {
                "error": {
                    "class": "GenericError",
                    "desc": "Capability 'x-colo' requires capability 'return-path'",
                }
            },
            ("return-path",),
        ),  # 11.1.3
    ],
)
def test_what_a_build_wants_beside_x_colo_is_told_from_its_refusal(reply, needs):
    assert emulator.required(reply) == needs


def test_a_binary_that_is_not_there(tmp_path):
    with pytest.raises(ColoError, match="No such file"):
        probe(str(tmp_path / "none"))


def test_what_plans_and_waits_send_is_asked_for_of_the_binary() -> None:
    text = Path(steps.__file__).read_text(encoding="utf-8")
    asked = set(re.findall(r'_ask\("([\w-]+)"', text))
    assert set(emulator.CHANGES) == set(effects_in_qemu.COMMANDS)
    assert asked - set(PURE_QUERIES) == set(emulator.WAITS)
    assert set(emulator.COMMANDS) == {*effects_in_qemu.COMMANDS, *asked, *PURE_QUERIES}
