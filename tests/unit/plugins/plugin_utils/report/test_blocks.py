# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import to_data
from ansible_collections.lockstep.colo.plugins.plugin_utils.report import blocks
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import NAMES, recorded

WITH_MONITOR = [name for name in NAMES if recorded(name).monitor]


def graph(name: str, target: str = "vda") -> blocks.Graph:
    seen = recorded(name)
    root = next(disk.node for disk in seen.domain.disks if disk.target == target)
    return blocks.graph(to_data(seen.monitor.nodes), root, target)


def places(found: blocks.Graph) -> dict[str, tuple[int, int]]:
    return {name: (box.rank, box.column) for name, box in found.boxes.items()}


def node(driver: str = "qcow2", **children: str) -> dict[str, Any]:
    return {"driver": driver, "file": None, "virtual_size": None, "children": children}


def test_a_primary_writes_to_its_image_and_to_the_standby() -> None:
    found = graph("protected-primary")
    assert places(found) == {
        "colo-vda": (0, 0), "libvirt-2-format": (1, 0), "colo-vda-remote": (1, 1), "colo-vda-spare": (2, 1),
        "colo-vda-replication": (2, 2), "colo-vda-nbd": (3, 2),
    }  # fmt: skip
    assert found.boxes["libvirt-2-format"].file == "web1-vda.qcow2"
    assert {box.owner for box in found.boxes.values()} == {"colo", "libvirt"}


def test_a_standbys_layers_lie_one_below_the_other() -> None:
    found = graph("protected-secondary")
    way = ["colo-vda", "colo-vda-replication", "colo-vda-active", "colo-vda-hidden", "libvirt-2-format"]
    assert [places(found)[name] for name in way] == [(rank, 0) for rank in range(5)]
    copying = next(name for name in found.boxes if name.startswith("#block"))  # QEMU numbers it anew each time
    assert places(found)[copying] == (2, 1)
    assert found.boxes["colo-vda-active"].file == "vda.active.qcow2"
    assert found.boxes[copying].owner == "qemu"
    assert {edge.label for edge in found.edges if edge.aside} == {"hidden disk", "secondary disk", "target"}


def test_what_the_device_is_not_on_stands_apart() -> None:
    found = graph("syncing-primary")
    assert [name for name, box in found.boxes.items() if not box.attached] == ["colo-vda-nbd"]
    parked = graph("parked-with-quorum-primary")
    assert not parked.boxes["colo-vda"].attached
    assert parked.boxes["colo-vda-park"].attached
    assert parked.boxes["colo-vda-park"].file == "nothing behind it"


def test_the_other_disks_layers_are_not_shown() -> None:
    assert not any("vdb" in name for name in graph("half-in-primary").boxes)


@pytest.mark.parametrize("name", WITH_MONITOR)
@pytest.mark.parametrize("target", ["vda", "vdb"])
def test_every_recorded_graph_is_whole_and_flows_downwards(name: str, target: str) -> None:
    if recorded(name).domain is None:
        pytest.skip("no domain, no disks")
    found = graph(name, target)
    assert len(set(places(found).values())) == len(found.boxes), "no two boxes in one place"
    assert all(found.boxes[edge.parent].rank < found.boxes[edge.child].rank for edge in found.edges)
    shown = {edge.child for edge in found.edges}
    for name_of, box in found.boxes.items():
        for child in recorded(name).monitor.nodes[name_of].children.values():
            assert child in shown or box.file, f"{child} below {name_of} is lost"


def test_a_node_of_which_nothing_is_known_is_shown() -> None:
    found = blocks.graph({"colo-vda": node("quorum", a="gone")}, "colo-vda", "vda")
    assert found.boxes["gone"].driver is None


def test_a_file_that_two_refer_to_is_a_box_of_its_own() -> None:
    nodes = {"top": node(backing="low", file="f"), "low": node(file="f"), "f": {**node("file"), "file": "/a/b.img"}}
    assert blocks.graph(nodes, "top", "vda").boxes["f"].file == "b.img"


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_circle_comes_to_an_end(length: int) -> None:
    nodes = {str(number): node(backing=str((number + 1) % length)) for number in range(length)}
    found = blocks.graph(nodes, "0", "vda")
    assert len(found.boxes) == length
    assert len(found.edges) == length - 1


def test_a_long_chain_of_snapshots() -> None:
    nodes = {str(number): node(backing=str(number + 1)) for number in range(300)}
    assert blocks.graph(nodes, "0", "vda").ranks == 301


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (None, "not known"),
        ("", "not known"),
        ("/", "/"),
        ("/a/b.img", "b.img"),
        ("/dev/vg/lv", "vg/lv"),
        ("nbd://x/y", "y"),
    ],
)
def test_a_file_goes_by_its_last_part(path: str | None, name: str) -> None:
    assert blocks.file_name(path) == name
