# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of a host, and what a failover has no time to ask."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.host import files, frames, links, marker, sockets
from ansible_collections.lockstep.colo.plugins.module_utils.observation.depth import (
    BRIEF,
    FREEING,
    QUICK,
    THOROUGH,
    Sights,
)
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import (
    Barrier,
    Cpu,
    Emulator,
    ForwardDelay,
    HugePages,
    Image,
    KnownDomain,
    Link,
    Monitor,
    Network,
    Node,
    Passage,
    Shown,
    Space,
)
from ansible_collections.lockstep.colo.plugins.module_utils.observe import emulator, equipment, look, surroundings
from ansible_collections.lockstep.colo.plugins.module_utils.observe import monitor as monitor_reading
from ansible_collections.lockstep.colo.plugins.module_utils.observe.look import observe
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import PKI_DIRECTORY
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.domain_strategies import fixture
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

DIRECTORY = "/var/lib/libvirt/images/colo"


class Libvirt:
    """One domain that is shut off, so that no QEMU is asked; or one that ``runs``."""

    def __init__(self, *, runs: bool = False) -> None:
        self.runs = runs

    def describe(self, name: str, **_deadline: float) -> dict[str, Any]:
        xml = fixture("q35")
        found = {
            "name": name,
            "uuid": "11111111-2222-3333-4444-555555555555",
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

    @contextlib.contextmanager
    def emulators(path: str) -> Iterator[Callable[[], Emulator]]:
        asked.append(f"asked {path}")
        yield answer("answered", Emulator("/q", "10.0.13"))

    monkeypatch.setattr(emulator, "asked", emulators)
    return asked


def test_the_emulator_starts_while_all_the_rest_is_looked_at(asked: list[str]) -> None:
    seen = observe(Libvirt(), "web1", DIRECTORY)
    assert seen.host.emulator == Emulator("/q", "10.0.13")
    looked = [words for words in asked if words not in ("machine_id",)]
    assert (looked[0], looked[-1]) == ("asked /usr/bin/qemu-system-x86_64", "answered")


def test_everything_that_the_preflight_needs_is_seen(asked: list[str]) -> None:
    images = (("/elsewhere/vda.qcow2", "qcow2"), (f"{DIRECTORY}/u/vda.active.qcow2", "qcow2"))
    sights = Sights(images=images, files=("/iso",), peer_address="10.77.0.1")
    seen = observe(Libvirt(), "web1", DIRECTORY, THOROUGH, sights)
    assert seen.depth == THOROUGH
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
    monkeypatch.setattr(monitor_reading, "read_monitor", lambda *unused: (monitor, {"vda": "libvirt-1-format"}))
    monkeypatch.setattr(files, "digest", lambda path: f"digest of {path}")
    domain = observe(Libvirt(runs=True), "web1", DIRECTORY).domain
    assert domain.nvram_digest == "digest of /var/lib/libvirt/qemu/nvram/fix-q35_VARS.fd"
    assert [(disk.node, disk.virtual_size) for disk in domain.disks] == [("libvirt-1-format", 268435456)]


def test_a_failover_asks_for_nothing_that_it_can_do_without(asked: list[str]) -> None:
    assert observe(Libvirt(), "web1", DIRECTORY, BRIEF).depth == BRIEF
    assert {line.split()[0] for line in asked} == {"machine_id", "read"}


@pytest.mark.parametrize(
    ("credentials", "depth", "seen"),
    [
        (PKI_DIRECTORY, THOROUGH, True),
        (PKI_DIRECTORY, QUICK, True),
        (PKI_DIRECTORY, BRIEF, False),
        (None, QUICK, False),
    ],
)
def test_of_a_pair_with_credentials_it_is_read_which_certificate_it_shows(
    monkeypatch: pytest.MonkeyPatch, credentials: str | None, depth: str, seen: bool
) -> None:
    monkeypatch.setattr(look.frames, "barrier", lambda _uuid: None)
    monkeypatch.setattr(look.automation, "automation", lambda _uuid: None)
    monkeypatch.setattr(look.shown, "noted", lambda _uuid: Shown(2.0, 1.0))
    half = replace(recorded("protected-primary"), depth=depth)
    record = replace(half.record, credentials=credentials)
    half = replace(half, domain=replace(half.domain, record=record))
    assert look._with_frames(half, Sights()).shown == (Shown(2.0, 1.0) if seen else None)


@pytest.mark.parametrize(("depth", "seen"), [(QUICK, False), (FREEING, True), (THOROUGH, True)])
def test_what_keeps_frames_back_is_seen_where_a_guest_is_to_be_freed(
    monkeypatch: pytest.MonkeyPatch, depth: str, seen: bool
) -> None:
    rule = Barrier(("vnet0",), ("arp", "ip"))
    monkeypatch.setattr(frames, "barrier", lambda _uuid: rule)
    primary = replace(recorded("protected-primary"), depth=depth, barrier=None)
    assert look._with_frames(primary, look.NOTHING_MORE).barrier == (rule if seen else None)
