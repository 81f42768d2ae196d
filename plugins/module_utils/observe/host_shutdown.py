# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of the guests of this host when it shuts down."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

WANTED_BY = "/etc/systemd/system/multi-user.target.wants/libvirt-guests.service"  # where Debian's unit is enabled
# The script sets its own default, and then sources the file: the last assignment counts.
SETTINGS = (
    "/usr/lib/libvirt/libvirt-guests.sh",
    "/usr/libexec/libvirt-guests.sh",
    "/etc/default/libvirt-guests",
)
NOTHING = "nothing"
_ACTION = re.compile(r"^[ \t]*ON_SHUTDOWN=[\"']?(\w+)", re.MULTILINE)


def libvirt_guests(wanted_by: str = WANTED_BY, settings: Iterable[str] = SETTINGS) -> str:
    """What libvirt-guests does with running guests, in its own word; "nothing" where it is not enabled."""
    if not Path(wanted_by).is_symlink():
        return NOTHING
    found = [action for path in settings for action in _ACTION.findall(_text(path))]
    return found[-1] if found else NOTHING


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
