# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Node
from ansible_collections.lockstep.colo.plugins.module_utils.plan.parts import layers
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils import model
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import NAMES, recorded

WITH_LAYERS = [
    name
    for name in NAMES
    if recorded(name).monitor and recorded(name).record and recorded(name).domain.disks[0].node is not None
]


@pytest.mark.parametrize("name", WITH_LAYERS)
def test_the_node_that_libvirt_made_is_known_in_every_state(name: str) -> None:
    seen = recorded(name)
    found = [layers.libvirt_node(seen.monitor, disk) for disk in layers.replicated(seen)]
    assert found == ["libvirt-2-format", "libvirt-1-format"]


def test_a_raw_disk_has_no_format_node() -> None:
    """libvirt 11.3 leaves it out; the storage node is then the disk's own."""
    seen = recorded("parked-primary")
    disk = layers.replicated(seen)[0]
    nodes = {name: node for name, node in seen.monitor.nodes.items() if name != "libvirt-2-format"}
    assert layers.libvirt_node(replace(seen.monitor, nodes=nodes), disk) == "libvirt-2-storage"


def test_a_disk_that_cannot_be_told_is_an_error() -> None:
    seen = recorded("parked-primary")
    disk = layers.replicated(seen)[0]
    none = {name: node for name, node in seen.monitor.nodes.items() if not name.startswith("libvirt-")}
    with pytest.raises(ColoError, match="cannot tell which block node"):
        layers.libvirt_node(replace(seen.monitor, nodes=none), disk)
    two = {**seen.monitor.nodes, "libvirt-9-format": Node("qcow2", disk.source)}
    with pytest.raises(ColoError, match="libvirt-2-format, libvirt-9-format"):
        layers.libvirt_node(replace(seen.monitor, nodes=two), disk)


def test_a_mirror_at_work_is_no_reason_to_touch_the_disk() -> None:
    """QEMU puts a filter of the job between; attached past it the guest would write what the mirror does not see."""
    seen = recorded("syncing-primary")
    assert all(disk.node.startswith("#block") for disk in seen.domain.disks)
    assert [disk.node for disk in layers.replicated(seen)] == ["colo-vda", "colo-vdb"]
    assert layers.slide_in(seen, lambda _disk: pytest.fail("a layer is asked for")) == []


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("described-primary", False),
        ("stopped-primary", True),
        ("parked-primary", True),
        ("attached-stopped-primary", True),
        ("quorum-in-primary", False),
        ("parked-secondary", False),
        ("listening-secondary", False),
    ],
)
def test_who_stopped_the_guest(name: str, ours: bool) -> None:
    assert layers.stopped_by_us(recorded(name)) is ours


def test_a_guest_that_its_operator_stopped_is_not_let_go() -> None:
    seen = recorded("described-primary")
    paused = model.after(seen, layers.qmp("", "stop"))
    assert not layers.stopped_by_us(paused)
    assert layers.unpark(paused) == []
    assert "cont" not in [step.arguments.get("command") for step in layers.slide_out(paused)]


@pytest.mark.parametrize(
    "name", ["one-parked-primary", "parked-primary", "parked-with-quorum-primary", "half-in-primary"]
)
def test_a_parked_guest_gets_its_disks_back_and_goes_on(name: str) -> None:
    seen = recorded(name)
    *_before, freed = model.walk(seen, layers.unpark(seen))
    assert freed.monitor.running
    assert not any(node.endswith("-park") for node in model.attached_to(freed).values())


def test_a_standby_is_slid_in_without_stop_and_cont() -> None:
    seen = recorded("started-secondary")
    steps = layers.slide_in(seen, lambda disk: [layers.graph.quorum_layer(disk.target, "libvirt-1-format")])
    assert not {"stop", "cont"} & {step.arguments["command"] for step in steps}


def test_a_record_that_names_what_the_domain_has_not_is_an_error() -> None:
    seen = recorded("described-primary")
    with pytest.raises(ColoError, match="the record names disk vdb"):
        layers.replicated(replace(seen, domain=replace(seen.domain, disks=seen.domain.disks[:1])))
    with pytest.raises(ColoError, match="the record names NIC"):
        layers.proxies(replace(seen, domain=replace(seen.domain, nics=())))


def test_what_feeds_a_comparison_goes_before_it_and_what_takes_from_it_after_it() -> None:
    found = [step.arguments["arguments"]["id"] for step in layers.remove_objects(recorded("protected-primary").monitor)]
    parts = [name.rpartition("-")[2] for name in found]
    assert parts == ["in"] * 2 + ["compare"] * 2 + ["mirror", "out"] * 2


def test_each_nic_has_its_ports_and_its_alias() -> None:
    proxies = layers.proxies(recorded("described-primary"))
    assert [proxy.alias for proxy in proxies] == ["net0", "net1"]
    ports = [channel.port for proxy in proxies for channel in (proxy.mirror, proxy.compare)]
    assert len(set(ports)) == 4


def test_the_local_sockets_are_beside_the_monitor_of_this_very_run() -> None:
    seen = recorded("described-primary")
    assert {proxy.directory for proxy in layers.proxies(seen)} == {"/var/lib/libvirt/qemu/domain-1-web1"}
    assert {proxy.directory for proxy in layers.proxies(replace(seen, monitor=None))} == {layers.UNKNOWN_DIRECTORY}


def test_what_a_standby_held_goes_with_it() -> None:
    standby = recorded("protected-secondary")
    ours = {channel.port for channel in standby.record.channels()}
    other = max(ours) + 1000
    held = replace(
        standby,
        host=replace(standby.host, ports=(*standby.host.ports, *ours, other)),
        domain=replace(standby.domain, deleted=(standby.record.disks[0].active,)),
    )
    after = layers.ended(held)
    assert held.removed_images
    assert held.peer_sockets
    assert any(image.in_use for image in held.images.values())
    assert not after.removed_images
    assert not after.peer_sockets
    assert not any(image.in_use for image in after.images.values())
    assert other in after.host.ports
    assert not ours & set(after.host.ports)
    assert not after.domain.active
    assert after.monitor is None
    assert after.domain.live_xml is None
    assert after.domain.live_record is None
