# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import graph
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import Channel, DiskRecord

DISK = DiskRecord("vda", "raw", "/i/vda.raw", 1 << 30, "/i/vda.active.qcow2", "/i/vda.hidden.qcow2")


def test_every_name_is_ours_and_no_two_are_the_same() -> None:
    makers = (
        graph.quorum, graph.remote, graph.spare, graph.park, graph.replication, graph.nbd,
        graph.active, graph.hidden, graph.sync_job, graph.export,
    )  # fmt: skip
    found = [maker(target) for maker in makers for target in ("vda", "vdb")]
    assert len(set(found)) == len(found)
    assert all(map(graph.is_ours, found))
    assert not graph.is_ours("libvirt-1-format")
    assert not graph.is_ours("rewriter-net0")
    assert all(len(name) < 32 for name in found), "QEMU's limit on a node's name, with a target of three letters"


def test_the_park_node_answers_every_request_with_an_error() -> None:
    layer = graph.park_layer("vda", 4096)
    assert layer["driver"] == "blkdebug"
    assert {(item["iotype"], item["errno"], item["event"]) for item in layer["inject-error"]} == {
        (kind, 5, "none") for kind in ("read", "write", "write-zeroes", "discard", "flush")
    }
    assert layer["image"]["size"] == 4096


def test_the_standbys_layers_lie_one_over_the_other() -> None:
    hidden, active, replication = graph.hidden_layers(DISK, "libvirt-1-format")
    assert hidden["backing"] == "libvirt-1-format"
    assert active["backing"] == hidden["node-name"]
    assert replication["file"] == active["node-name"]
    assert (replication["mode"], replication["top-id"]) == ("secondary", graph.quorum("vda"))
    assert (hidden["file"]["filename"], active["file"]["filename"]) == (DISK.hidden, DISK.active)


def test_formats_are_stated_and_never_probed() -> None:
    """The guest's raw disk lies below; its bytes must not be taken for a header."""
    assert [layer["driver"] for layer in graph.hidden_layers(DISK, "n")] == ["qcow2", "qcow2", "replication"]
    assert all("format" not in layer and layer["file"] for layer in graph.hidden_layers(DISK, "n"))


def test_a_write_of_the_primary_needs_its_own_copy_and_no_standby() -> None:
    """The remote side takes every write while its spare is there; so it is the own copy that decides."""
    spare, remote, quorum = graph.primary_layers("vda", "libvirt-1-format", 4096)
    assert quorum["children"] == ["libvirt-1-format", remote["node-name"]]
    assert (quorum["vote-threshold"], quorum["read-pattern"]) == (2, "fifo")
    assert (remote["children"], remote["vote-threshold"]) == ([spare["node-name"]], 1)


def test_nothing_is_read_from_the_spare() -> None:
    layer = graph.spare_layer("vda", 4096)
    assert [(item["iotype"], item["errno"]) for item in layer["inject-error"]] == [("read", 5)]
    assert layer["image"]["size"] == 4096


def test_layers_are_removed_from_the_top() -> None:
    names = [kind("vda") for kind in graph.TOP_FIRST]
    layers = [
        *graph.primary_layers("vda", "D", 1),
        graph.primary_replication_layer("vda"),
        *graph.hidden_layers(DISK, "D"),
    ]
    for layer in layers:
        below = [layer.get("file"), layer.get("backing"), *layer.get("children", ())]
        for child in (name for name in below if name in names):
            assert names.index(layer["node-name"]) < names.index(child), (layer["node-name"], child)


def test_a_standby_reads_and_writes_its_replication_layer_alone() -> None:
    layer = graph.quorum_layer(graph.quorum("vda"), graph.replication("vda"))
    assert (layer["children"], layer["vote-threshold"]) == ([graph.replication("vda")], 1)


def test_holes_and_zeros_reach_the_standby_as_holes() -> None:
    """A sparse raw image was fully allocated there: what zeroes a stretch may unmap it at each layer, or at none."""
    *_below, quorum = graph.primary_layers("vda", "libvirt-1-format", 4096)
    nbd = graph.nbd_layer(graph.nbd("vda"), "vda", Channel("nbd", "secondary", "10.0.0.2", 21601))
    assert [layer.get("discard") for layer in (quorum, nbd)] == ["unmap", "unmap"]
    assert nbd["detect-zeroes"] == "unmap"  # replication knows no zeroing, and hands zeros on as data


@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
def test_the_primary_connects_to_what_the_standby_exports(address: str) -> None:
    layer = graph.nbd_layer(graph.nbd("vda"), "vda", Channel("nbd", "secondary", address, 21601))
    assert layer["server"] == {"type": "inet", "host": address, "port": "21601"}
    assert layer["export"] == graph.export("vda")
    # Without it what is under way at a reset is missing over there; with a long one a lost standby holds QEMU up.
    assert layer["reconnect-delay"] == 1
    assert graph.primary_replication_layer("vda")["file"] == layer["node-name"]
