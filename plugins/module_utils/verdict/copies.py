# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a host's copy of a domain may not be the primary's, or may not give way to a standby. Pure checks.

Data is lost by going on with the wrong copy, and by writing over the right one: what is not provably the collection's
own and older is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..observation.seen import Image, Observation
from ..record.images import files_of
from ..record.pair import DiskRecord
from .problem import Problem

FIRST_GENERATION = 1


def generation(primary: Observation) -> int:
    """That of the primary's copy, which a record will have once it is described."""
    return primary.record.generation if primary.record else FIRST_GENERATION


def newest(primary: Observation, standby: Observation) -> Iterator[Problem]:
    """Whether the first host's copy may be the primary's: the newest wins."""
    if primary.record and primary.record.role == "secondary":
        yield Problem(
            f"{primary.host.name} has the standby of this domain, not the guest",
            "Protect it from the host that the guest runs on; after the loss of that host, run colo_failover here",
        )
    if standby.record and standby.record.generation > (primary.record.generation if primary.record else 0):
        yield Problem(
            f"{standby.host.name} has a newer copy of this domain (generation {standby.record.generation})",
            "This copy is stale: protect the domain from that host",
        )


def domain(primary: Observation, standby: Observation) -> Iterator[Problem]:
    """What the second host already has under the domain's name."""
    there = standby.domain
    if there is None:
        return
    if there.uuid != primary.domain.uuid:
        yield Problem(
            f"{standby.host.name} has another domain of this name (UUID {there.uuid})", "Rename or undefine that one"
        )
    elif there.record is None:
        yield Problem(
            f"{standby.host.name} has this domain already, and not from a pair", "Undefine it there if it is not needed"
        )
    elif there.record.role != "secondary" and there.active:
        yield Problem(
            f"the domain runs on {standby.host.name} as {there.record.role}",
            "Two guests must not run: find the right one",
        )


def images(
    primary: Observation, standby: Observation, disks: Iterable[DiskRecord], sources: Iterable[DiskRecord]
) -> Iterator[Problem]:
    """Whether ``disks``, the standby's, may be written: each is the copy of one of ``sources``, the primary's."""
    yield from _marker(standby, generation(primary))
    for disk, source in zip(disks, sources, strict=True):
        for path, kind, size in files_of(disk):
            image = standby.images.get(path)
            if image is not None and image.exists and size is not None:
                yield from _image(standby, image, kind, size, disk.target, primary.images.get(source.path))


def _marker(standby: Observation, newest_generation: int) -> Iterator[Problem]:
    marker = standby.marker
    if marker is None:
        return
    if marker.machine_id != standby.host.machine_id:
        yield Problem(
            f"{standby.directory} was written by another machine: it is on shared storage",
            "Give each host a directory of its own with directory",
        )
    elif marker.role != "secondary" and marker.generation >= newest_generation:
        yield Problem(
            f"the images in {standby.directory} are of generation {marker.generation}, not older than the primary's",
            "Find out which copy is the newest before anything is overwritten",
        )


def _image(
    standby: Observation, image: Image, kind: str, size: int, target: str, source: Image | None
) -> Iterator[Problem]:
    path = image.path
    if _same_file(image, source):
        yield Problem(
            f"{path} is the primary's very file, on shared storage",
            "A standby needs a copy of its own: state another path",
            target,
        )
    elif standby.marker is None or path not in standby.marker.paths:
        yield Problem(f"{path} exists and is not ours", "Move it away, or state another path", target)
    elif image.in_use:
        yield Problem(f"{path} is in use by another process", "End what uses it", target)
    elif (image.format, image.virtual_size) != (kind, size):
        yield Problem(
            f"{path} is {image.format} of {image.virtual_size} bytes, and {kind} of {size} bytes is needed",
            "Remove it, so that it is made anew",
            target,
        )


def _same_file(image: Image, other: Image | None) -> bool:
    """The same path and inode: two hosts see one file. Copies have inodes of their own, save by rare chance."""
    return other is not None and other.exists and (image.path, image.inode) == (other.path, other.inode)


# What a copy is, by itself


def completed(seen: Observation) -> bool:
    """Whether this standby has completed a checkpoint since its last sync, so that it may be promoted.

    Only what was written down counts: a standby that merely runs may have been left behind by a primary that went on
    alone.
    """
    return seen.record.complete == seen.record.generation


def outlived(primary: Observation, standby: Observation) -> bool:
    """Whether a standby has the guest as it ran last, and the primary ended otherwise than by its guest's will."""
    ended = not primary.domain.active and not primary.domain.powered_itself_off
    return ended and standby.monitor is not None and standby.monitor.colo == "secondary" and completed(standby)


def runs_a_guest(seen: Observation) -> bool:
    """Whether this host runs the domain, and not as a standby."""
    return bool(seen.domain and seen.domain.active) and not (seen.record and seen.record.role == "secondary")


def given_away(seen: Observation) -> bool:
    """Whether a primary ended here for its standby to take over: the newest copy is no longer this one."""
    return seen.record.handed_over and not seen.domain.active
