# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a host's copy of a domain may not be the primary's, or may not give way to a standby. Pure.

Data is lost by going on with the wrong copy, and by writing over the right one: what is not provably the collection's
own and older is left alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from ...observation.seen import Image, Observation
from ...record import images as image_files
from ...record.pair import DiskRecord
from ...record.wanted import Wanted
from .. import copies, originals
from .row import Requirement, Row

_STATE_ANOTHER = (
    "State the path of a file in a directory that is there; or leave it out: the copy is then below colo_directory"
)


def newest(holder: Observation, standby: Observation) -> list[Requirement]:
    """Whether the copy of the host that is said to have the guest may be the primary's: the newest wins."""
    row, here = Row("newest copy", holder.host, "no newer one elsewhere"), holder.host.name
    if holder.record and holder.record.role == "secondary":
        row.wrong(
            f"{here} has the standby of this domain, not the guest",
            "Protect it from the host that the guest runs on; after the loss of that host, run lockstep.colo.failover",
        )
    if standby.record and standby.generation > holder.generation:
        row.wrong(
            f"{standby.host.name} has a newer copy of this domain (generation {standby.generation})",
            "This copy is stale: protect the domain from that host",
        )
    return row.found(f"generation {copies.generation_when_described(holder)}")


def standbys_domain(holder: Observation, standby: Observation) -> list[Requirement]:
    """What the second host already has under the domain's name."""
    row, there, host = Row("standby's domain", standby.host, "none, or the pair's"), standby.domain, standby.host.name
    if there is None:
        return row.found("none")
    if copies.of_two_domains(holder, standby):
        row.wrong(f"{host} has another domain of this name (UUID {there.uuid})", "Rename or undefine that one")
    elif there.record is None:
        row.wrong(f"{host} has this domain already, and not from a pair", "Undefine it there if it is not needed")
    elif there.record.role != "secondary" and there.active:
        remedy = (
            "Two guests must not run: see with lockstep.colo.status whose copy is the newest, and end the other (virsh "
            "destroy)"
        )
        if holder.record and holder.record.role == "alone" and standby.generation < holder.generation:
            remedy = (
                f"Two guests must not run: lockstep.colo.failover with -e colo_lost={host} ends this one, and what it "
                "wrote since is given up"
            )
        row.wrong(f"the domain runs on {host} as {there.record.role}", remedy)
    return row.found(there.record.role if there.record else "none")


def images(wanted: Wanted, holder: Observation, standby: Observation) -> list[Requirement]:
    """Whether the standby's may be written, or made: each is the copy of one of the holder's."""
    row = Row("images", standby.host, "none yet, the pair's own and older, or one that may be overwritten")
    writable = {disk.path for disk in wanted.disks if disk.overwrite}
    writable |= set(standby.marker.paths if standby.marker else ())
    sources, made = originals.sources(wanted, holder), _standbys_disks(wanted, holder, standby)
    _marker(row, standby, copies.generation_when_described(holder))
    _apart(row, made)
    for disk, source in zip(made, sources, strict=True):
        for path, kind, size in image_files.files_of(disk):
            image = standby.images.get(path)
            if image is None or size is None:
                continue
            if image.exists:
                what = Image(path, True, kind, size)
                _image(row, image, what, disk.target, holder.images.get(source.path), path in writable)
            else:
                _to_be_made(row, standby, path, disk.target)
    return row.found("nothing that would be lost")


def _apart(row: Row, made: Iterable[DiskRecord]) -> None:
    """No file is to be two images."""
    known: dict[str, str] = {}
    for disk in made:
        for path, _kind, _size in image_files.files_of(disk):
            other = known.setdefault(path, disk.target)
            if other != disk.target:
                row.wrong(f"{path} would be an image of disk {other} as well", _STATE_ANOTHER, disk.target)


def _to_be_made(row: Row, standby: Observation, path: str, target: str) -> None:
    """An image that is not there: a file can be made where there is a directory, and a device cannot."""
    host, directory = standby.host.name, os.path.dirname(path)
    if path.startswith("/dev/"):
        row.wrong(f"{host} has no device {path}, and none is made", _STATE_ANOTHER, target)
    elif standby.files.get(directory) is False:
        row.wrong(f"{host} has no directory {directory}, where {path} would be made", _STATE_ANOTHER, target)


def _standbys_disks(wanted: Wanted, holder: Observation, standby: Observation) -> Iterable[DiskRecord]:
    home = image_files.home(wanted.directory, holder.domain.uuid)
    return image_files.of_standby(wanted, standby.record, home, originals.sources(wanted, holder))


def _marker(row: Row, standby: Observation, newest_generation: int) -> None:
    marker = standby.marker
    if marker is None:
        return
    if marker.machine_id != standby.host.machine_id:
        row.wrong(
            f"{standby.directory} was written by another machine: it is on shared storage",
            "Give each host a directory of its own with directory",
        )
    elif marker.role != "secondary" and marker.generation >= newest_generation:
        row.wrong(
            f"the images in {standby.directory} are of generation {marker.generation}, not older than the primary's",
            "See with lockstep.colo.status which copy is the newest, before anything is overwritten",
        )


def _image(row: Row, image: Image, needed: Image, target: str, source: Image | None, writable: bool) -> None:
    """``source``: the holder's image, of which this is to be a copy. ``writable``: ours, or offered."""
    path = image.path
    if _same_file(image, source):
        row.wrong(
            f"{path} is the primary's very file, on shared storage",
            "A standby needs a copy of its own: state another path",
            target,
        )
    elif not writable:
        row.wrong(
            f"{path} exists and is not ours",
            "Move it away, or state another path; where you brought it there for the standby, state overwrite for it",
            target,
        )
    elif image.in_use:
        row.wrong(f"{path} is in use by another process", "End what uses it", target)
    elif (image.format, image.virtual_size) != (needed.format, needed.virtual_size):
        row.wrong(
            f"{path} is {image.format} of {image.virtual_size} bytes, and {needed.format} of {needed.virtual_size} "
            "bytes is needed",
            "Remove it, so that it is made anew",
            target,
        )


def _same_file(image: Image, other: Image | None) -> bool:
    """The same path and inode: two hosts see one file. Copies have inodes of their own, save by rare chance."""
    return other is not None and other.exists and (image.path, image.inode) == (other.path, other.inode)


def space(wanted: Wanted, holder: Observation, standby: Observation) -> list[Requirement]:
    """Each image of a standby may grow to the size of its disk: overlays as well, if the guest writes everywhere."""
    made = image_files.files(_standbys_disks(wanted, holder, standby))
    needed = sum(size or 0 for _path, _kind, size in made)
    row = Row("disk space", standby.host, f"{needed >> 20} MiB, if the guest writes everywhere")
    for filesystem, growth in _growth(standby, made).items():
        places = {where: room.available for where, room in standby.space.items() if room.filesystem == filesystem}
        available = min(places.values())
        if available < growth:
            row.wrong(
                f"{standby.host.name} has {available >> 20} MiB free for images in {', '.join(sorted(places))}, "
                f"which may grow by {growth >> 20} MiB",
                "Free space there, or choose another place with colo_directory or the path of a disk",
            )
    sized = all(size is not None for _path, _kind, size in made)
    free = sorted({f"{room.available >> 20} MiB" for room in standby.space.values()}) if sized else []
    return row.found(", ".join(free) or None)


def _growth(standby: Observation, images: Iterable[tuple[str, str, int | None]]) -> dict[str, int]:
    """Bytes by which the images of a filesystem may still grow."""
    growth: dict[str, int] = {}
    for path, _kind, size in images:
        room, image = standby.space.get(os.path.dirname(path)), standby.images.get(path)
        if room and size is not None:
            taken = image.allocated or 0 if image else 0
            growth[room.filesystem] = growth.get(room.filesystem, 0) + max(0, size - taken)
    return growth
