# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The observations that tests/unit/record.py took of a real pair, by name."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

from ansible_collections.lockstep.colo.plugins.module_utils.domain import editing
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import from_data, to_data
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Heard, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import DROP, OFF, Record
from ansible_collections.lockstep.colo.plugins.module_utils.record.wanted import Wanted, WantedDisk
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.fence import COMMAND, Fence

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
NAMES = sorted(path.stem for path in (FIXTURES / "observations").glob("*.json"))
# The recorded pair has no TLS.
WANTED = Wanted(
    disks=(WantedDisk("vda", "qcow2"), WantedDisk("vdb", "qcow2")),
    address="10.77.0.1",
    peer_address="10.77.0.2",
    tls=OFF,
    image_owner="libvirt-qemu",
    image_group="kvm",
)

# What the half-way states were recorded after: the title of a step of colo_pair's plans, to the recording's name.
STANDBY_STEPS = {
    "disk vda: attach the guest's device to colo-vda-park": "one-parked-secondary",
    "disk vdb: attach the guest's device to colo-vdb-park": "parked-secondary",
    "disk vda: attach the guest's device to colo-vda": "half-in-secondary",
    "remove layer colo-vdb-park": "layered-secondary",
    "disk vda: export it to the primary": "exporting-secondary",
}
SYNC_STEPS = {
    "stop the guest": "stopped-primary",
    "disk vda: attach the guest's device to colo-vda-park": "one-parked-primary",
    "disk vdb: attach the guest's device to colo-vdb-park": "parked-primary",
    "disk vda: add layer colo-vda (quorum)": "parked-with-quorum-primary",
    "disk vda: attach the guest's device to colo-vda": "half-in-primary",
    "disk vdb: attach the guest's device to colo-vdb": "attached-stopped-primary",
    "let the guest go on": "going-on-with-parks-primary",
    "remove layer colo-vdb-park": "quorum-in-primary",
    "disk vda: connect to the standby": "connected-primary",
    "disk vdb: copy everything to the standby": "syncing-primary",
}
ENTRY_STEPS = {
    "wait for the full sync": "mirror-ready-primary",
    "send the guest's memory to the standby": "migrating-primary",
    "wait until only the entry into lockstep is left": "pre-switchover-primary",
    "disk vda: wait for the end of it": "one-concluded-primary",
    "disk vda: replicate every write": "one-attached-primary",
    "disk vdb: forget the copying": "all-attached-primary",
    "add colo-compare colo-net1-compare": "filters-in-primary",
}


def dropping(seen: Observation) -> Observation:
    """A recording of before there was a choice about frames that are not compared, and of before uplinks were written
    down, as it is where they are dropped."""

    def now(record: Record) -> Record:
        return replace(record, uncompared=DROP, nics=tuple(replace(nic, uplink=True) for nic in record.nics))

    record, live = now(seen.record), seen.domain.live_record and now(seen.domain.live_record)
    inactive = editing.protect(seen.domain.inactive_xml, record)
    return replace(seen, domain=replace(seen.domain, record=record, live_record=live, inactive_xml=inactive))


@cache
def recorded(name: str) -> Observation:
    text = (FIXTURES / "observations" / f"{name}.json").read_text(encoding="utf-8")
    return from_data(Observation, json.loads(text))


def of_another_domain(seen: Observation) -> Observation:
    """The same of a domain with another UUID: another guest of the name, or the word of a host that was taken over."""
    uuid = "deadbeef-0000-4000-8000-000000000007"
    return from_data(Observation, json.loads(json.dumps(to_data(seen)).replace(seen.domain.uuid, uuid)))


def fenced(host: str, ground: str = COMMAND) -> Fence:
    """What is said of a host whose power was taken, or so a person says."""
    return Fence(host, ground, proof={"rc": 0, "changed": False}, confirmed=host)


def heard_just_now(seen: Observation) -> Observation:
    """As at the moment of a loss. The recordings are older than this part of an observation."""
    return replace(seen, heard=Heard("2026-11-23 02:13:05 UTC", 3.0))
