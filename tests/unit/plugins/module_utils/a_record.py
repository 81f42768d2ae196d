# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A record of a pair, as the tests of what holds it and of its XML want it."""

from __future__ import annotations

from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import DiskRecord, Endpoint, NicRecord, Record

KVM1 = Endpoint("kvm1", "m1", "10.0.0.1")
KVM2 = Endpoint("kvm2", "m2", "10.0.0.2")
NICS = (NicRecord("52:54:00:00:00:01", "vhost", True), NicRecord("52:54:00:00:00:02", None, False))
STANDBY_DISK = DiskRecord("vda", "raw", "/i/vda.raw", 1 << 30, "/i/vda.active", "/i/vda.hidden")


def record(role: str = "primary", **changes: object) -> Record:
    local, peer = (KVM2, KVM1) if role == "secondary" else (KVM1, KVM2)
    values: dict[str, object] = {
        "role": role,
        "generation": 3,
        "complete": 3,
        "local": local,
        "peer": peer,
        "first_port": 21600,
        "disks": (STANDBY_DISK if role == "secondary" else DiskRecord("vda", "qcow2", "/i/vda.qcow2", 1 << 30),),
        "nics": NICS,
        "autostart_before": True,
        "checkpoint_delay": 2000,
    }
    return Record(**{**values, **changes})  # type: ignore[arg-type]
