# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What QEMU answers, and what is made of it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Migration
from ansible_collections.lockstep.colo.plugins.module_utils.observe.monitor import (
    _failed_writes,
    _lost_writes,
    _writers,
    migration,
)

LISTENS = {"socket-address": [{"port": "21600", "ipv4": True, "host": "10.77.0.2", "type": "inet"}]}


@pytest.mark.parametrize(
    ("said", "status"),
    [
        pytest.param(LISTENS, "setup", id="a standby of 7.2.22 that waits for the guest"),
        pytest.param({"status": "setup", **LISTENS}, "setup", id="one of 10.0.13"),
        pytest.param({}, "none", id="one that has not been told to wait, of either"),
    ],
)
def test_whether_a_standby_waits_is_seen_in_each_version(said: dict, status: str) -> None:
    capabilities = [{"state": False, "capability": "xbzrle"}, {"state": True, "capability": "x-colo"}]
    answers = {
        "query-migrate": said,
        "query-migrate-capabilities": capabilities,
        "query-migrate-parameters": {"x-checkpoint-delay": 20000},
    }
    assert migration(answers.__getitem__) == Migration(status, None, ("x-colo",), 20000)


def test_why_qemu_will_not_migrate_is_kept_in_its_words() -> None:
    reason = "Migration is disabled when using feature 'peer mode' in device 'ivshmem'"
    answers = {
        "query-migrate": {"blocked-reasons": [reason]},
        "query-migrate-capabilities": [],
        "query-migrate-parameters": {},
    }
    assert migration(answers.__getitem__).blocked == (reason,)


def test_the_devices_that_may_write_are_told_from_media_jobs_and_exports() -> None:
    """As QEMU 10.0.13 and 11.1.3 answer x-debug-query-block-graph."""
    kinds = {
        1: ("block-backend", "/machine/peripheral/virtio-disk0/virtio-backend"),
        2: ("block-backend", "cd0"),
        3: ("block-backend", ""),
        4: ("block-job", "colo-vda-sync"),
        5: ("block-driver", "colo-vda"),
        6: ("block-driver", "libvirt-1-format"),
    }
    graph = {
        "nodes": [{"id": number, "type": kind, "name": name} for number, (kind, name) in kinds.items()],
        "edges": [
            {"parent": 1, "child": 5, "name": "root", "perm": ["write", "consistent-read"]},
            {"parent": 2, "child": 6, "name": "root", "perm": ["consistent-read"]},
            {"parent": 3, "child": 6, "name": "root", "perm": ["write"]},
            {"parent": 4, "child": 6, "name": "main node", "perm": ["write"]},
            {"parent": 5, "child": 6, "name": "children.0", "perm": ["write"]},
        ],
    }
    assert _writers(graph) == {"/machine/peripheral/virtio-disk0/virtio-backend": "colo-vda"}


def test_writes_that_failed_are_counted_by_the_alias_of_their_device() -> None:
    """As QEMU 10.0 names devices: by the path of their backend; what is no device has no name."""
    stats = {"failed_wr_operations": 2, "failed_flush_operations": 1, "failed_rd_operations": 9}
    told = [
        {"device": "", "qdev": "/machine/peripheral/virtio-disk0/virtio-backend", "stats": stats},
        {"device": "", "qdev": "/machine/peripheral/scsi0-0-0-1", "stats": {**stats, "failed_wr_operations": 0}},
        {"device": "", "stats": {}},
    ]
    found = _failed_writes(told)
    assert (found["virtio-disk0"], found["scsi0-0-0-1"]) == (3, 1)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"error": False}, None),
        ({"error": True, "desc": "I/O error occurred"}, "I/O error occurred"),
        ({"error": True}, "QEMU gives no reason"),
    ],
)
def test_why_a_write_did_not_reach_the_standby(answer: dict[str, Any], why: str | None) -> None:
    assert _lost_writes({"query-xen-replication-status": answer}.__getitem__) == why
