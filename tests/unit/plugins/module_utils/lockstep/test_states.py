# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import own_node, states
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Node
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import NAMES, recorded

WITH_LAYERS = [
    name
    for name in NAMES
    if recorded(name).monitor and recorded(name).record and recorded(name).domain.disks[0].node is not None
]


@pytest.mark.parametrize("name", WITH_LAYERS)
def test_the_node_that_libvirt_made_is_known_in_every_state(name: str) -> None:
    seen = recorded(name)
    found = [own_node.libvirt_node(seen.monitor, disk) for disk in states.replicated(seen)]
    assert found == ["libvirt-2-format", "libvirt-1-format"]


def test_a_raw_disk_has_no_format_node() -> None:
    """libvirt 11.3 leaves it out; the storage node is then the disk's own."""
    seen = recorded("parked-primary")
    disk = states.replicated(seen)[0]
    nodes = {name: node for name, node in seen.monitor.nodes.items() if name != "libvirt-2-format"}
    assert own_node.libvirt_node(replace(seen.monitor, nodes=nodes), disk) == "libvirt-2-storage"


def test_a_disk_that_cannot_be_told_is_an_error() -> None:
    seen = recorded("parked-primary")
    disk = states.replicated(seen)[0]
    none = {name: node for name, node in seen.monitor.nodes.items() if not name.startswith("libvirt-")}
    with pytest.raises(ColoError, match="cannot tell which block node"):
        own_node.libvirt_node(replace(seen.monitor, nodes=none), disk)
    two = {**seen.monitor.nodes, "libvirt-9-format": Node("qcow2", disk.source)}
    with pytest.raises(ColoError, match="libvirt-2-format, libvirt-9-format"):
        own_node.libvirt_node(replace(seen.monitor, nodes=two), disk)


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
    assert states.stopped_by_us(recorded(name)) is ours


def test_a_record_that_names_what_the_domain_has_not_is_an_error() -> None:
    seen = recorded("described-primary")
    with pytest.raises(ColoError, match="the record names disk vdb"):
        states.replicated(replace(seen, domain=replace(seen.domain, disks=seen.domain.disks[:1])))
    with pytest.raises(ColoError, match="the record names NIC"):
        states.proxies(replace(seen, domain=replace(seen.domain, nics=())))


def test_each_nic_has_its_ports_and_its_alias() -> None:
    proxies = states.proxies(recorded("described-primary"))
    assert [proxy.alias for proxy in proxies] == ["net0", "net1"]
    ports = [channel.port for proxy in proxies for channel in (proxy.mirror, proxy.compare)]
    assert len(set(ports)) == 4


def test_the_local_sockets_are_beside_the_monitor_of_this_very_run() -> None:
    seen = recorded("described-primary")
    assert {proxy.directory for proxy in states.proxies(seen)} == {"/var/lib/libvirt/qemu/domain-1-web1"}
    assert {proxy.directory for proxy in states.proxies(replace(seen, monitor=None))} == {states.UNKNOWN_DIRECTORY}
