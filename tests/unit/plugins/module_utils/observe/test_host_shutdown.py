# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt-guests would do, as its script reads its settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observe.host_shutdown import libvirt_guests


@pytest.mark.parametrize(
    ("enabled", "script", "settings", "action"),
    [
        (True, "ON_SHUTDOWN=suspend\n", None, "suspend"),
        (True, "ON_SHUTDOWN=suspend\n", "#ON_SHUTDOWN=shutdown\n", "suspend"),
        (True, "ON_SHUTDOWN=suspend\n", "ON_SHUTDOWN=suspend\n# BEGIN\nON_SHUTDOWN=shutdown\n", "shutdown"),
        (True, 'ON_SHUTDOWN="suspend"\n', "", "suspend"),
        (True, None, None, "nothing"),
        (False, "ON_SHUTDOWN=suspend\n", None, "nothing"),
    ],
    ids=["default", "a comment", "the role's block", "quoted", "not there", "not enabled"],
)
def test_the_last_assignment_counts(
    tmp_path: Path, enabled: bool, script: str | None, settings: str | None, action: str
) -> None:
    unit = tmp_path / "libvirt-guests.service"
    if enabled:
        unit.symlink_to("/lib/systemd/system/libvirt-guests.service")
    for name, text in (("script", script), ("settings", settings)):
        if text is not None:
            (tmp_path / name).write_text(text, encoding="utf-8")
    assert libvirt_guests(str(unit), [str(tmp_path / "script"), str(tmp_path / "settings")]) == action


def test_what_cannot_be_read_of_its_settings_says_nothing(tmp_path: Path) -> None:
    unit, settings = tmp_path / "libvirt-guests.service", tmp_path / "settings"
    unit.symlink_to("/lib/systemd/system/libvirt-guests.service")
    settings.write_bytes(b"# f\xfcr M\xfcller\nON_SHUTDOWN=suspend\n")
    assert libvirt_guests(str(unit), [str(tmp_path), str(settings)]) == "suspend"
