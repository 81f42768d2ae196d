# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab's shim mends of QEMU's emulation: without it a pair of the lab says nothing of a real one."""

from __future__ import annotations

import json
from pathlib import Path

from colo_bed import Bed
from lockstep_lab import guestimage

REPLACED_CODE = Path(__file__).with_name("replaced_code.py")


def test_a_standby_executes_what_a_checkpoint_brought(lab: Bed) -> None:
    said = lab.ssh("kvm1", f"python3 - {guestimage.SHIM}", stdin=REPLACED_CODE.read_text(encoding="utf-8"))
    stale = [letters for letters in json.loads(said) if len(set(letters)) > 1]
    assert not stale, "sent, in the standby's memory, and what it writes"
