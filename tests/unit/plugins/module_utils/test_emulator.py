# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The probe of an emulator that is no QEMU: it ends, with words, whatever the binary does."""

from __future__ import annotations

import time

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils import emulator
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError


def script(tmp_path, body):
    path = tmp_path / "emulator"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


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
        emulator.probe(path)
    assert path in str(error.value)
    assert time.monotonic() - begun < 20


def test_a_binary_that_is_not_there(tmp_path):
    with pytest.raises(ColoError, match="No such file"):
        emulator.probe(str(tmp_path / "none"))
