# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk is given back the node that libvirt made for it, whatever QEMU says of that node's file."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import graph, own_node, states
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Node, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan.parts import layers
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import preflight
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements.disks import way_back
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements.row import problems
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils import rules
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import WANTED, recorded

OTHER_THAN_THE_HEADER = 'json:{"driver": "qcow2", "file": {"driver": "file"}}'
BASE = "/var/lib/libvirt/images/base.qcow2"


def chain(above: dict[str, Node] | None = None, top: str = "libvirt-2-format") -> Observation:
    """A running guest whose vda is over a backing image, in QEMU's words as for one that is named relatively."""
    seen = recorded("described-primary")
    nodes = {
        **seen.monitor.nodes,
        "libvirt-2-format": Node(
            "qcow2", OTHER_THAN_THE_HEADER, 1, {"file": "libvirt-2-storage", "backing": "libvirt-3-format"}
        ),
        "libvirt-3-format": Node("qcow2", BASE, 1, {"file": "libvirt-3-storage"}),
        "libvirt-3-storage": Node("file", BASE, 1),
        **(above or {}),
    }
    disks = tuple(replace(disk, node=top) if disk.target == "vda" else disk for disk in seen.domain.disks)
    return replace(seen, domain=replace(seen.domain, disks=disks), monitor=replace(seen.monitor, nodes=nodes))


def raw_slice() -> Observation:
    seen = chain(top="libvirt-2-slice")
    nodes = {
        name: node for name, node in seen.monitor.nodes.items() if "-3-" not in name and name != "libvirt-2-format"
    }
    nodes["libvirt-2-slice"] = Node("raw", OTHER_THAN_THE_HEADER, 1, {"file": "libvirt-2-storage"})
    return replace(seen, monitor=replace(seen.monitor, nodes=nodes))


def filtered(name: str, driver: str) -> Observation:
    return chain({name: Node(driver, OTHER_THAN_THE_HEADER, 1, {"file": "libvirt-2-format"})}, name)


def onto(seen: Observation, top: str, **nodes: Node) -> Observation:
    """The same guest with these nodes as well, and vda at ``top``."""
    named = {name.replace("_", "-"): node for name, node in nodes.items()}
    disks = tuple(replace(disk, node=top) if disk.target == "vda" else disk for disk in seen.domain.disks)
    monitor = replace(seen.monitor, nodes={**seen.monitor.nodes, **named})
    return replace(seen, domain=replace(seen.domain, disks=disks), monitor=monitor)


def at_path(source: str, driver: str = "file") -> Observation:
    """vda at another path, and raw, for which libvirt 11.3 makes no format node."""
    seen = recorded("described-primary")
    monitor = replace(
        seen.monitor, nodes={name: node for name, node in seen.monitor.nodes.items() if name != "libvirt-2-format"}
    )
    disks = (replace(seen.domain.disks[0], source=source, format="raw"), *seen.domain.disks[1:])
    seen = replace(seen, monitor=monitor, domain=replace(seen.domain, disks=disks))
    return onto(seen, "libvirt-2-storage", libvirt_2_storage=Node(driver, source, 1))


def same_base() -> Observation:
    """Both disks are overlays of one image, of which libvirt makes a node for each."""
    seen = chain()
    below = {"file": "libvirt-1-storage", "backing": "libvirt-4-format"}
    return onto(
        seen,
        "libvirt-2-format",
        libvirt_1_format=Node("qcow2", OTHER_THAN_THE_HEADER, 1, below),
        libvirt_4_format=Node("qcow2", BASE, 1, {"file": "libvirt-4-storage"}),
        libvirt_4_storage=Node("file", BASE, 1),
    )


def filters_over_filters() -> Observation:
    """copy_on_read over a throttle over the slice of a raw image."""
    return onto(
        raw_slice(),
        "libvirt-CoR-vda",
        libvirt_5_filter=Node("throttle", OTHER_THAN_THE_HEADER, 1, {"file": "libvirt-2-slice"}),
        **{"libvirt-CoR-vda": Node("copy-on-read", OTHER_THAN_THE_HEADER, 1, {"file": "libvirt-5-filter"})},
    )


def data_in_another_file() -> Observation:
    """By the image's own header, of which libvirt 9.0 knows nothing: QEMU opens it by itself."""
    return onto(
        chain(),
        "libvirt-2-format",
        libvirt_2_format=Node(
            "qcow2", OTHER_THAN_THE_HEADER, 1, {"data-file": "#block77", "file": "libvirt-2-storage"}
        ),
        **{"#block77": Node("file", "/var/lib/libvirt/images/web1.data", 1)},
    )


def base_is_a_disk_too() -> Observation:
    """The image below vda is in the guest as well, as a disk that it only reads."""
    seen = onto(
        chain(),
        "libvirt-2-format",
        libvirt_9_format=Node("qcow2", BASE, 1, {"file": "libvirt-9-storage"}),
        libvirt_9_storage=Node("file", BASE, 1),
    )
    first = seen.domain.disks[0]
    cdrom = replace(
        first, target="sdc", alias="sata0-0-2", device="cdrom", readonly=True, source=BASE, node="libvirt-9-format"
    )
    return replace(seen, domain=replace(seen.domain, disks=(*seen.domain.disks, cdrom)))


SHAPES = {
    "both disks over one base": same_base(),
    "filters over filters over a slice": filters_over_filters(),
    "data in another file": data_in_another_file(),
    "its base is a disk of the guest's": base_is_a_disk_too(),
    "a path with a colon, a comma and a blank": at_path("/srv/vm: web1,x/a b.img"),
    "a logical volume": at_path("/dev/vms/web1", "host_device"),
    "relative backing file": chain(),
    "copy_on_read": filtered("libvirt-CoR-vda", "copy-on-read"),
    "throttlefilters": filtered("libvirt-5-filter", "throttle"),
    "raw slice": raw_slice(),
}


def quorum(disk) -> list[dict]:
    return graph.primary_layers(disk.target, disk.node, disk.virtual_size)


@pytest.mark.parametrize("seen", SHAPES.values(), ids=SHAPES)
def test_each_disk_gets_its_own_node_back_wherever_the_run_was_cut_off(seen: Observation) -> None:
    before = rules.attached_to(seen)
    for cut_off in [seen, *rules.walk(seen, layers.slide_in(seen, quorum))]:
        assert not list(problems(way_back(WANTED, seen)))
        *_all, out = [cut_off, *rules.walk(cut_off, layers.slide_out(cut_off))]
        assert rules.attached_to(out) == before
        for again in rules.walk(cut_off, layers.slide_out(cut_off)):
            *_all, out = [again, *rules.walk(again, layers.slide_out(again))]
            assert rules.attached_to(out) == before


@pytest.mark.parametrize("name", ["listening-secondary", "half-in-secondary", "parked-with-quorum-primary"])
def test_our_own_layers_lead_to_it_even_where_the_storage_tells_nothing(name: str) -> None:
    seen = recorded(name)
    silent = {key: replace(node, file="json:{}") for key, node in seen.monitor.nodes.items()}
    disk = states.replicated(seen)[0]
    assert own_node.libvirt_node(replace(seen.monitor, nodes=silent), disk) == "libvirt-2-format"


def test_what_could_not_be_found_again_is_refused_before_anything_goes_in() -> None:
    seen, standby = recorded("described-primary"), recorded("described-secondary")
    odd = {**seen.monitor.nodes, "libvirt-2-storage": Node("file", "json:{}", 1)}
    blind = replace(seen, monitor=replace(seen.monitor, nodes=odd))
    with pytest.raises(ColoError, match="cannot tell which block node"):
        own_node.by_storage(blind.monitor, blind.domain.disks[0])
    rows = preflight.of_pair(WANTED, blind, standby)
    wrong = [row for row in rows if row.requirement == "way back"]
    assert [(row.state, row.disk) for row in wrong] == [("wrong", "vda")]
    assert "libvirt-2-format" in wrong[0].found
