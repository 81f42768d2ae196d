# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a guest writes to, and whether each of its disks can be replicated and found again. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from ...errors import ColoError
from ...lockstep import graph, own_node, states
from ...observation.seen import Disk, Domain, Observation
from ...record.images import IMAGE_TYPES
from ...record.pair import FORMATS
from ...record.wanted import Wanted, WantedDisk
from .row import Requirement, Row

FLASH = "libvirt-pflash"  # how libvirt calls the nodes of the UEFI variable store and of the firmware
# What a disk whose image is no file or block device of the host can be made into.
_IMAGE_REMEDIES = {
    "volume": "Name the image itself (virsh vol-path tells it) in a disk of type file or block; that takes effect at a "
    "cold start",
    "network": "Both hosts would write to the same storage. Copy it to a file or a block device of the host (virsh "
    "blockcopy), which is then replicated; or rely on that storage, and start the domain on the other host",
}


def disks(wanted: Wanted, domain: Domain, seen: Observation) -> list[Requirement]:
    """Each disk that the guest can write to, named once in ``wanted``, with the format that the domain has."""
    row = Row("disks", seen.host, "each that the guest can write to, and as the domain has it")
    if not wanted.disks:
        row.wrong("no disk is named", "Name each writable disk of the domain in disks")
    targets = [want.target for want in wanted.disks]
    for target in sorted({target for target in targets if targets.count(target) > 1}):
        row.wrong("it is named twice in disks", "Name each disk once", target)
    by_target = {disk.target: disk for disk in domain.disks}
    for want in wanted.disks:
        _wanted_disk(row, want, by_target)
    for target, others in _sharing(domain, targets):
        row.wrong(
            f"its image is that of disk {', '.join(others)} as well",
            "Have each image in the domain once; that takes effect at a cold start",
            target,
        )
    for disk in domain.disks:
        if disk.target not in targets and disk.written:
            row.wrong(
                "the guest can write to it, and it is not to be replicated: the copies would differ",
                "Add it to disks, or make it read-only",
                disk.target,
            )
    return row.found(_chosen(wanted))


def _sharing(domain: Domain, targets: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Of these disks those that have an image with others of the domain, and which those are."""
    for disk in domain.disks:
        others = [other.target for other in domain.disks if other is not disk and other.source == disk.source]
        if disk.target in targets and disk.source and others:
            yield disk.target, others


def _chosen(wanted: Wanted) -> str:
    return ", ".join(f"{disk.target} ({disk.format})" for disk in wanted.disks)


def _wanted_disk(row: Row, want: WantedDisk, by_target: dict[str, Disk]) -> None:
    if want.path is not None and not os.path.isabs(want.path):
        row.wrong(
            f"the path that is stated for its copy, {want.path}, is not an absolute one",
            "State it from / on, or leave it out: the copy is then below colo_directory",
            want.target,
        )
    disk = by_target.get(want.target)
    if disk is None:
        known = ", ".join(sorted(by_target)) or "none"
        row.wrong(f"the domain has no such disk (it has: {known})", "Correct the target", want.target)
    elif disk.device != "disk":
        row.wrong(f"it is a {disk.device}, not a disk", "Leave it out of disks", disk.target)
    else:
        _replicable(row, disk, want.format)


def _replicable(row: Row, disk: Disk, stated_format: str) -> None:
    if disk.readonly:
        row.wrong("it is read-only: there is nothing to replicate", "Leave it out of disks", disk.target)
    if disk.type not in IMAGE_TYPES:
        remedy = _IMAGE_REMEDIES.get(disk.type, "Only files and block devices are replicated")
        row.wrong(f"its source is of type {disk.type}", remedy, disk.target)
    if not disk.source and disk.type in IMAGE_TYPES:
        row.wrong("it has no image", "Give it one, or take it out of the domain (virsh edit)", disk.target)
    elif disk.format is None:
        row.wrong(
            "the domain does not say which format its image has",
            "Say it there (virsh edit: the type of its <driver>); it takes effect at a cold start",
            disk.target,
        )
    elif disk.format not in FORMATS:
        row.wrong(
            f"its image has format {disk.format}, of which no copy is kept",
            f"Convert it to {' or '.join(FORMATS)}: in the running domain with virsh blockcopy (--transient-job "
            "--wait --pivot --format qcow2), in one that is off with qemu-img convert and virsh edit",
            disk.target,
        )
    elif disk.format != stated_format:
        row.wrong(
            f"its format was stated as {stated_format}, and the domain says {disk.format}",
            "State the format that the domain's XML has",
            disk.target,
        )


def disks_in_qemu(seen: Observation) -> list[Requirement]:
    """What the guest can write to in the QEMU that runs, and that is no disk of its domain, wherever it came from."""
    row = Row("disks in QEMU", seen.host, "none that the guest can write to and the domain does not have")
    if seen.domain is None or seen.monitor is None:
        return row.found(None)
    nodes = {disk.node for disk in seen.domain.disks}
    aliases = {disk.alias for disk in seen.domain.disks}
    for device, node in seen.monitor.writers.items():
        if node in nodes or aliases & set(device.split("/")) or node.startswith(FLASH):
            continue
        there = seen.monitor.nodes.get(node)
        image = f" ({there.file})" if there and there.file else ""
        row.wrong(
            f"the guest can write to {node}{image} through the device {device}, which is no disk of its domain",
            "Take it out of qemu:commandline or of the running QEMU; a disk of the domain can be replicated",
        )
    return row.found(", ".join(sorted(set(seen.monitor.writers.values()))) or None)


def way_back(wanted: Wanted, seen: Observation) -> list[Requirement]:
    """Whether what deploy puts under a disk could be taken out again: asked before it is put in.

    Of disks that are as libvirt made them: for each the node under the device, if no exit would find it again.
    """
    row = Row("way back", seen.host, "each disk's block node is found again")
    chosen = {want.target for want in wanted.disks}
    chosen -= {target for target, _others in _sharing(seen.domain, chosen)}
    for disk in seen.domain.disks if seen.monitor else ():
        disk = states.below_filters(seen.monitor, disk)
        ours = disk.node is not None and graph.is_ours(disk.node)
        if disk.target in chosen and disk.type in IMAGE_TYPES and disk.node and not ours:  # others have a row already
            found = _found_again(seen, disk)
            if found != disk.node:
                row.wrong(
                    f"the guest uses block node {disk.node}, and once other layers are under it nobody could tell that "
                    f"it has to get it back ({found})",
                    "Please report this with the domain's XML; nothing was changed",
                    disk.target,
                )
    return row.found(_chosen(wanted))


def _found_again(seen: Observation, disk: Disk) -> str:
    """The node that an exit would put under the disk's device; or why it finds none, in words."""
    try:
        return own_node.by_storage(seen.monitor, disk)
    except ColoError as error:
        return error.what
