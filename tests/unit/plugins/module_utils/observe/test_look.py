# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of a host, and what a failover has no time to ask."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.host import files, links, marker, sockets
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import (
    Cpu,
    Emulator,
    ForwardDelay,
    HugePages,
    Image,
    KnownDomain,
    Link,
    Migration,
    Monitor,
    Network,
    Node,
    Passage,
    Space,
)
from ansible_collections.lockstep.colo.plugins.module_utils.observe import emulator, equipment, look, surroundings
from ansible_collections.lockstep.colo.plugins.module_utils.observe.look import (
    _failed_writes,
    _lost_writes,
    _writers,
    migration,
    observe,
)
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.domain_strategies import fixture

DIRECTORY = "/var/lib/libvirt/images/colo"


class Libvirt:
    """One domain that is shut off, so that no QEMU is asked; or one that ``runs``."""

    def __init__(self, *, runs: bool = False) -> None:
        self.runs = runs

    def describe(self, name: str) -> dict[str, Any]:
        xml = fixture("q35")
        found = {
            "name": name,
            "uuid": "u",
            "state": "running" if self.runs else "shutoff",
            "persistent": True,
            "autostart": False,
            "tainted": [],
            "ended_by": None,
            "saved_xml": None,
            "snapshots": ["before-upgrade"],
        }
        return {**found, "inactive_xml": xml, "live_xml": xml if self.runs else None}

    def version(self) -> str:
        return "11.3.0"

    def qmp(self, _domain: str, command: str, *_arguments: Any, **_deadline: Any) -> Any:
        return {"query-blockstats": []}[command]

    def records(self) -> dict[str, str]:
        return {}

    def stock(self) -> dict[str, Any]:
        lan = "<network><name>lan</name><forward mode='bridge'/><bridge name='br0'/></network>"
        return {"networks": [(lan, True)], "filters": ["clean-traffic"], "domains": {"u": "web1"}}


@pytest.fixture(name="asked")
def a_host_that_says_what_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []
    answers = {
        emulator: {"probe": Emulator("/q", "10.0.13")},
        files: {"machine_id": "m1", "memory_available": 7, "image": Image("/i", True)},
        links: {"devices": {"10.77.0.2": "eth0"}, "bridges": ("br0",)},
        sockets: {"ports_in_use": ()},
        marker: {"read": None},
        surroundings: {"lans": (), "listening": {("0.0.0.0", 22)}},
        look: {"passage": Passage(1500, True)},
        equipment: {
            "cpu": Cpu("AMD EPYC"), "has_kvm": True, "online": (0, 1),
            "links": (Link("10.77.0.2", 1000),), "apparmor": True,
            "forward_delays": (ForwardDelay("br0", 15.0),), "apparmor_rules": ("/srv",), "space": Space(5, "66"),
            "files": {"/iso": True}, "latency": 0.3, "huge_pages": (HugePages(2 << 20, 64, True),),
        },
    }  # fmt: skip

    def answer(name: str, value: Any) -> Any:
        def say(*arguments: Any) -> Any:
            asked.append(f"{name} {' '.join(map(str, arguments))}".strip())
            return value

        return say

    for module, values in answers.items():
        for name, value in values.items():
            monkeypatch.setattr(module, name, answer(name, value))
    return asked


def test_everything_that_the_preflight_needs_is_seen(asked: list[str]) -> None:
    images = [("/elsewhere/vda.qcow2", "qcow2"), (f"{DIRECTORY}/u/vda.active.qcow2", "qcow2")]
    seen = observe(Libvirt(), "web1", DIRECTORY, images=images, files=["/iso"], peer_address="10.77.0.1")
    assert (seen.domain.type, seen.domain.cpu_mode, seen.domain.nvram) == ("qemu", "custom", "file")
    assert seen.domain.files == ("/usr/bin/qemu-system-x86_64", "/usr/share/OVMF/OVMF_CODE_4M.fd")
    assert (seen.host.cpu, seen.host.kvm, seen.host.speed("10.77.0.2")) == (Cpu("AMD EPYC"), True, 1000)
    assert (seen.host.apparmor, seen.host.apparmor_rules) == (True, ("/srv",))
    assert (seen.host.processors, seen.host.numa_nodes) == ((0, 1), (0, 1))
    assert {"online cpu", "online node"} <= set(asked)
    assert seen.host.forward_delays == (ForwardDelay("br0", 15.0),)
    assert (seen.host.huge_pages, seen.domain.huge_page) == ((HugePages(2 << 20, 64, True),), None)
    assert seen.host.addresses == ("10.77.0.2",)
    assert seen.host.clock > 1.7e9
    assert set(seen.space) == {DIRECTORY, f"{DIRECTORY}/u", "/elsewhere"}
    assert (seen.files, seen.latency) == ({"/iso": True}, 0.3)
    assert {"latency 10.77.0.1", "passage 10.77.0.1"} <= set(asked)
    assert seen.passage == Passage(1500, True)
    assert seen.host.networks == (Network("lan", True, "br0", "bridge"),)
    assert (seen.host.network_filters, seen.host.domains) == (("clean-traffic",), (KnownDomain("web1", "u"),))
    assert seen.host.listeners == ("0.0.0.0:22",)
    assert seen.domain.snapshots == ("before-upgrade",)


def test_how_far_the_peer_is_is_measured_only_when_it_is_asked_for(asked: list[str]) -> None:
    assert observe(Libvirt(), "web1", DIRECTORY).latency is None
    assert not [line for line in asked if line.startswith("latency")]


def test_what_qemu_says_of_the_disks_is_kept_of_a_guest_with_a_variable_store(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = Monitor("running", True, "11.1.3", "none", nodes={"libvirt-1-format": Node("qcow2", "/i", 268435456)})
    monkeypatch.setattr(look, "read_monitor", lambda *unused: (monitor, {"vda": "libvirt-1-format"}))
    monkeypatch.setattr(files, "digest", lambda path: f"digest of {path}")
    domain = observe(Libvirt(runs=True), "web1", DIRECTORY).domain
    assert domain.nvram_digest == "digest of /var/lib/libvirt/qemu/nvram/fix-q35_VARS.fd"
    assert [(disk.node, disk.virtual_size) for disk in domain.disks] == [("libvirt-1-format", 268435456)]


def test_a_failover_asks_for_nothing_that_it_can_do_without(asked: list[str]) -> None:
    observe(Libvirt(), "web1", DIRECTORY, thorough=False, brief=True)
    assert {line.split()[0] for line in asked} == {"machine_id", "read"}


LISTENS = {"socket-address": [{"port": "21600", "ipv4": True, "host": "10.77.0.2", "type": "inet"}]}


@pytest.mark.parametrize(
    ("said", "status"),
    [
        pytest.param(LISTENS, "setup", id="a standby of 7.2.22 that waits for the guest"),
        pytest.param({"status": "setup", **LISTENS}, "setup", id="one of 10.0.13"),
        pytest.param({}, "none", id="one that has not been told to wait, of either"),
    ],
)
def test_whether_a_standby_waits_is_seen_in_each_generation(said: dict, status: str) -> None:
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
