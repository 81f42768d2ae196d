# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wanted of a pair, as the variables say it."""

from __future__ import annotations

from dataclasses import dataclass

from .pair import DIRECTORY, FULL, REFUSE, REQUIRED


@dataclass(frozen=True)
class WantedDisk:
    """A disk to replicate. ``path`` is the image on the standby; None: in the collection's directory.

    ``overwrite``: one that is at that path, and not the collection's, may become the standby's.
    """

    target: str
    format: str
    path: str | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Wanted:
    """What the variables say. Sizes and rates are bytes (per second), delays milliseconds."""

    disks: tuple[WantedDisk, ...] = ()
    address: str | None = None
    peer_address: str | None = None
    first_port: int | None = None
    devices_unproven: tuple[str, ...] = ()  # names of what nobody has tried, that the operator wants all the same
    checkpoint_delay: int = 2000
    uncompared: str = REFUSE  # one of pair.CHOICES
    tls: str = REQUIRED  # one of pair.TLS
    resync: str = FULL  # one of pair.RESYNCS
    sync_speed: int = 0  # 0: no limit
    sync_wait: float = 30.0  # seconds one run waits for a sync
    directory: str = DIRECTORY
    image_owner: str | None = None  # None: not said, where no image is made
    image_group: str | None = None
    dry: bool = False  # check mode: what the role host, which comes first, would write is not there yet
