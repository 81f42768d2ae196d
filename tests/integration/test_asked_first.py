# SPDX-License-Identifier: GPL-3.0-or-later
"""What only a later step would meet is asked before anything is changed: both hosts stay as they were.

One guest that runs unprotected on kvm1 serves all cases.
"""

from __future__ import annotations

import json

import pytest
from colo_bed import DIRECTORY, Bed

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("unchanged")]

OTHER = "lab-qemu"  # which kvm1 alone has
IN_A_FILE = "/etc/hostname/web1"
# On kvm2, unless said otherwise: what is done first and undone afterwards, the variables, and the words of the refusal.
CASES = {
    "user": (f"kvm1 useradd --no-create-home {OTHER}", f"kvm1 userdel {OTHER}", {"colo_image_owner": OTHER}, "no user"),
    "group": (f"kvm1 groupadd {OTHER}", f"kvm1 groupdel {OTHER}", {"colo_image_group": OTHER}, "no group"),
    "delay": ("kvm2 true", "kvm2 true", {"colo_checkpoint_delay": 1 << 32}, "colo_checkpoint_delay is 4294967296"),
    "speed": ("kvm2 true", "kvm2 true", {"colo_sync_speed": -1}, "colo_sync_speed is -1"),
    "read only": (
        f"kvm2 mount -t tmpfs -o ro,mode=0751,size=2G none {DIRECTORY}",
        f"kvm2 umount {DIRECTORY}",
        {},
        "can only be read",
    ),
    "inodes": (
        f"kvm2 mount -t tmpfs -o nr_inodes=5,mode=0751,size=2G none {DIRECTORY}",
        f"kvm2 umount {DIRECTORY}",
        {},
        "inodes for",
    ),
    "file in the way": (
        "kvm2 true",
        "kvm2 true",
        {"colo_disks": [{"target": "vda", "format": "qcow2", "path": f"{IN_A_FILE}/vda.qcow2"}]},
        "/etc/hostname of kvm2 is no directory",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_before_anything_is_changed(bed: Bed, case: str) -> None:
    before, after, variables, words = CASES[case]
    bed.ssh(*before.split(maxsplit=1))
    try:
        run = bed.deploy("-e", json.dumps(variables))
    finally:
        bed.ssh(*after.split(maxsplit=1))
    assert run.code
    assert run.changed == 0
    assert words in run.text, run.text[-3000:]
    assert "kvm2" in run.text or case in ("delay", "speed")
