# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.host import qemu_process


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["starting up libvirt version: 11.3.0", "shutting down, reason=shutdown"], "shutdown"),
        (["shutting down, reason=shutdown", "starting up libvirt version: 11.3.0"], None),
        (["starting up libvirt version: 11.3.0", "shutting down, reason=crashed"], "crashed"),
        (["starting up libvirt", "shutting down, reason=shutdown", "shutting down, reason=failed"], "shutdown"),
        (["shutting down, reason=shutdown", "starting up libvirt", "shutting down, reason=failed"], None),
        ([], None),
    ],
)
def test_how_a_qemu_ended_is_read_from_its_log(tmp_path: Path, lines: list[str], reason: str | None) -> None:
    text = "".join(f"2026-11-25 13:59:44.310+0000: {line}\n" for line in lines)
    (tmp_path / "web1.log").write_text(text, encoding="utf-8")
    assert qemu_process.logged_end("web1", str(tmp_path)) == reason
    assert qemu_process.logged_end("web2", str(tmp_path)) is None


LOG = """2026-11-25 13:59:44.310+0000: starting up libvirt version: 11.3.0
2026-11-25T13:59:45.000000Z qemu-system-x86_64: of an earlier life
2026-11-25 14:00:00.000+0000: shutting down, reason=destroyed
2026-11-25 14:01:00.000+0000: starting up libvirt version: 11.3.0
LC_ALL=C /usr/bin/qemu-system-x86_64 -name guest=web1
2026-11-25T14:02:00.000000Z qemu-system-x86_64: Can't receive COLO message: Input/output error
2026-11-25T14:02:01.000000Z qemu-system-x86_64: invalid runstate transition: 'io-error' -> 'colo'
"""
START = "2026-11-25 14:01:00.000+0000: starting up libvirt version: 11.3.0\n"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"": "a\nTHERE\nb\n"}, "\nb\n"),
        ({"": "c\n", ".0": "THERE\nb\n"}, "\nb\nc\n"),
        ({"": "d\n", ".0": "c\n", ".1": "b\n", ".2": "THERE a\n"}, " a\nb\nc\nd\n"),
        ({"": "THERE new\n", ".0": "THERE old\n"}, " new\n"),
        ({"": "d\n", ".0": "c\n", ".2": "THERE\n"}, None),  # what was between is gone
        ({"": "d\n", ".0": "c\n"}, None),
        ({"": f"{START}THERE a\n{START}b\n"}, None),  # of an earlier one
        ({"": "c\n", ".0": f"THERE a\n{START}b\n"}, None),
        ({"": f"{START}c\n", ".0": "THERE\n"}, None),
        ({"": f"THERE a\n{START}b\nTHERE c\n"}, " c\n"),
        ({}, None),
    ],
)
def test_what_was_logged_since_is_looked_for_in_the_older_logs(
    tmp_path: Path, files: dict[str, str], found: str | None
) -> None:
    for ending, text in files.items():
        (tmp_path / f"web1.log{ending}").write_text(text, encoding="utf-8")
    assert qemu_process.logged_since("web1", "THERE", str(tmp_path)) == found


END = "2026-11-25 14:02:02.000+0000: shutting down, reason="


@pytest.mark.parametrize(
    ("reason", "count"), [("crashed", 2), ("failed", 2), ("shutdown", 0), ("destroyed", 0), (None, 2)]
)
def test_the_last_words_of_a_qemu_that_ended_by_itself(tmp_path: Path, reason: str | None, count: int) -> None:
    (tmp_path / "web1.log").write_text(LOG + (f"{END}{reason}\n" if reason else ""), encoding="utf-8")
    words = qemu_process.last_words("web1", str(tmp_path))
    expected = ("Can't receive COLO message: Input/output error", "invalid runstate transition: 'io-error' -> 'colo'")
    assert words == expected[:count]
    assert qemu_process.last_words("web2", str(tmp_path)) == ()
