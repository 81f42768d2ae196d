# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this host notes of the certificate that a QEMU is given: it reads that once, and does not say which it was.

The note goes when the host reboots, as the QEMU does. It counts as long as that QEMU has credentials of the pair.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from ..observation.seen import Shown
from ..record.pair import RUN_DIRECTORY
from . import until_reboot


def note(uuid: str, certificate: Shown) -> None:
    """Note that the QEMU of this domain shows this certificate from now on."""
    until_reboot.run_directory()
    _path(uuid).unlink(missing_ok=True)  # there may be no room for this one, and that one would mislead
    until_reboot.write_whole(_path(uuid), json.dumps(asdict(certificate)))


def noted(uuid: str) -> Shown | None:
    """The one that was noted last; None, too, where the note says nothing that could be understood."""
    try:
        found = json.loads(_path(uuid).read_text(encoding="utf-8"))
        return Shown(float(found["ends"]), float(found["installed"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _path(uuid: str) -> Path:
    return Path(RUN_DIRECTORY, f"{uuid}.shown")
