# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's credentials are written where they differ, and otherwise left alone."""

from __future__ import annotations

import base64
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.host import credentials as of_host
from ansible_collections.lockstep.colo.plugins.module_utils.run import credentials

OWNER = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture(autouse=True)
def whoever_runs_this(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_host, "GROUP", os.getgid())


def key(content: bytes | None) -> list[dict[str, Any]]:
    told = None if content is None else base64.b64encode(content).decode("ascii")
    return [{"name": "server-key.pem", "src": "/ca/key.pem", "owner": OWNER, "mode": "0600", "content": told}]


def test_what_is_there_already_is_not_written_again(tmp_path: Path) -> None:
    place = tmp_path / "pki"
    assert credentials.install(key(b"\x00a\n"), str(place), check=False) == {"changed": True}
    assert (place / "server-key.pem").read_bytes() == b"\x00a\n"
    before = (place.stat().st_ino, place.stat().st_mtime_ns)
    assert credentials.install(key(b"\x00a\n"), str(place), check=False) == {"changed": False}
    assert (place.stat().st_ino, place.stat().st_mtime_ns) == before


@pytest.mark.parametrize("content", [b"a", None])
def test_a_check_says_it_and_writes_nothing(tmp_path: Path, content: bytes | None) -> None:
    assert credentials.install(key(content), str(tmp_path / "pki"), check=True) == {"changed": True}
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_known_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ColoError, match=r"nothing was told of what is in server-key\.pem"):
        credentials.install(key(None), str(tmp_path / "pki"), check=False)
    assert list(tmp_path.iterdir()) == []
