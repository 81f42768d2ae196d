# SPDX-License-Identifier: GPL-3.0-or-later
"""A standby of web1 on kvm2 that waits for its primary, made by the modules alone, which is where a deploy goes on."""

from __future__ import annotations

from colo_bed import Bed
from lockstep_lab.common import HOSTS


def begin(bed: Bed, tls: str = "required") -> None:
    """Start it for the guest that runs on kvm1, or do nothing where it waits already."""
    disks = [{"target": "vda", "format": "qcow2"}]
    ends = {"address": HOSTS["kvm1"], "peer_address": HOSTS["kvm2"]}
    there = bed.module("kvm2", "colo_info", name="web1")
    bed.module("kvm1", "colo_disk", name="web1", role="primary", disks=disks, peer=there, tls=tls, **ends)
    here = bed.module("kvm1", "colo_info", name="web1", secrets=True)
    for module, options in (("colo_disk", {"tls": tls}), ("colo_pair", {})):
        done = bed.module("kvm2", module, name="web1", role="secondary", peer=here, **options)
        assert not done["failed"], done["msg"]
