# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host has to have for images to be made there, and a marker beside them. Pure."""

from __future__ import annotations

from ...observation.seen import Observation
from ...record.wanted import Wanted
from .row import Requirement, Row

LEAST = 2  # files: a directory, and the marker in it
OF_A_DISK = 3  # images, on the standby's host


def accounts(wanted: Wanted, seen: Observation) -> list[Requirement]:
    """The user and the group that new images are given to, on either host, since the two change sides."""
    asked = (("user", "owner", wanted.image_owner), ("group", "group", wanted.image_group))
    names = [f"{what} {name}" for what, _option, name in asked if name is not None]
    row = Row("owner of images", seen.host, ", ".join(names) or "one that the host knows")
    for what, option, name in asked:
        if seen.accounts.get(f"{what} {name}") is False:
            (row.note if wanted.dry else row.wrong)(
                f"{seen.host.name} has no {what} {name}, to which images are to be given",
                f"State the {what} that QEMU runs as on both hosts in colo_image_{option}",
            )
    known = names and all(name in seen.accounts for name in names)
    return row.found(", ".join(names) if known else None)


def directories(seen: Observation, disks: int = 0) -> list[Requirement]:
    """Directories in which files can be made, those of so many ``disks`` among them."""
    made = LEAST + OF_A_DISK * disks
    row, host = Row("directories of images", seen.host, "files can be made in them"), seen.host.name
    for where, room in sorted(seen.space.items()):
        if room.in_the_way:
            row.wrong(
                f"{room.in_the_way} of {host} is no directory, and images are to be in {where}",
                "Move it away, or choose another place with colo_directory or the path of a disk",
            )
        elif room.read_only:
            row.wrong(
                f"{where} of {host} is on a filesystem that can only be read",
                "Mount it for writing, or choose another place with colo_directory or the path of a disk",
            )
        elif room.files is not None and room.files < made:
            row.wrong(
                f"{host} has inodes for {room.files} more files in {where}, and up to {made} are made",
                "Remove files there, or choose another place with colo_directory or the path of a disk",
            )
    return row.found("they can" if seen.space else None)
