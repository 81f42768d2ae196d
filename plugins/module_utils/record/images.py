# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The image files of a copy of a domain, by its record: which they are, and where. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace

from .pair import DiskRecord, Record
from .wanted import Wanted

OVERLAY_FORMAT = "qcow2"  # of the active and hidden images

IMAGE_TYPES = ("file", "block")  # libvirt's, of the disks that are replicated


def home(directory: str, uuid: str) -> str:
    """The directory of a domain's images, named as libvirt names the AppArmor profile of that domain.

    So one rule, which the role host writes, gives each guest its own images and those of no other.
    """
    return f"{directory}/libvirt-{uuid}"


def of_standby(
    wanted: Wanted, old: Record | None, directory: str, disks: Iterable[DiskRecord]
) -> tuple[DiskRecord, ...]:
    """The ``disks`` of the host that has the guest, as its standby has them: each with the paths of three images.

    An image is at the path that ``wanted`` states, else where ``old``, the record that its host had of the domain
    before, has it, else in ``directory``, where both overlays are.
    """
    return tuple(_standby_disk(wanted, old, directory, disk) for disk in disks)


def _standby_disk(wanted: Wanted, old: Record | None, directory: str, disk: DiskRecord) -> DiskRecord:
    """At the stated path; else where this host had the disk before; else in the domain's directory."""
    stated = next((want.path for want in wanted.disks if want.target == disk.target), None)
    before = next((known.path for known in old.disks if known.target == disk.target), None) if old else None
    stated = stated if stated and os.path.isabs(stated) else None  # another one is refused
    path = stated or before or f"{directory}/{disk.target}.{disk.format}"
    active, hidden = (f"{directory}/{disk.target}.{layer}.qcow2" for layer in ("active", "hidden"))
    return replace(disk, path=path, active=active, hidden=hidden)


def files_of(disk: DiskRecord) -> Iterator[tuple[str, str, int]]:
    """(path, format, virtual size in bytes) of the image of a disk, and on a standby of its two overlays."""
    yield disk.path, disk.format, disk.virtual_size
    for overlay in (disk.active, disk.hidden):
        if overlay:
            yield overlay, OVERLAY_FORMAT, disk.virtual_size


def files(disks: Iterable[DiskRecord]) -> list[tuple[str, str, int]]:
    """What ``files_of`` says of each of these disks."""
    return [image for disk in disks for image in files_of(disk)]
