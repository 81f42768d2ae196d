# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file beside the images of a domain that says which copy they are.

A failover writes it before the guest serves, and a full file system must not stop that. So whoever makes a pair leaves
a spare: a file of MARKER_SIZE bytes whose blocks are written already. The failover's marker goes into those blocks and
takes the old one's name; neither needs room. (Where a file system copies on write, as btrfs does, it still may.)
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import BinaryIO

from ..errors import ColoError
from ..observation.codec import from_data, to_data
from ..observation.decoded import decoded
from ..observation.seen import Marker
from . import qemus_directory
from .files import NO_ROOM

NAME = "colo.json"
SPARE = "colo.json.spare"
MARKER_SIZE = 16384  # bytes; one of many disks with long paths may be larger, and is written without a spare
LONGEST = 1 << 20  # characters of one that is read


def read(directory: str) -> Marker | None:
    """Which copy the images in this directory are; None where nothing says so, ColoError where it cannot be read."""
    path = Path(directory, NAME)
    try:
        return from_data(Marker, decoded(_text(directory)))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, AttributeError) as error:
        raise ColoError(
            f"{path} is damaged: {error}",
            remedy="It says which copy of the domain's images is the newest. If the guest runs on a host of the "
            "pair, that one is: move the file away, and run lockstep.colo.deploy, which writes it anew. If it "
            "is off on both, find out first where it ran last (/var/log/libvirt/qemu on each host): a start "
            "of the other copy would lose what was written since",
        ) from None


def _text(directory: str) -> str:
    with qemus_directory.opened(directory) as home:
        handle = qemus_directory.found(home, NAME)
        if handle is None:
            raise ValueError("it is a link, or no file")
        with open(handle, encoding="utf-8") as file:
            text = file.read(LONGEST + 1)
    if len(text) > LONGEST:
        raise ValueError(f"it has more than {LONGEST} characters")
    return text


def write(directory: str, marker: Marker) -> None:
    """Write the marker so that it is there, whole, whatever happens to the host after the return.

    Raises OSError where there is no spare, and no room for a new file either.
    """
    spare = Path(directory, SPARE)
    text = json.dumps(to_data(marker), indent=1).encode().ljust(MARKER_SIZE)
    with qemus_directory.opened(directory) as home:
        used = len(text) == MARKER_SIZE and _written_over(home, spare, text)
        if not used:
            _written_anew(home, spare, text)
        os.replace(SPARE, NAME, src_dir_fd=home, dst_dir_fd=home)
        if not used:  # a failover has no time for it; the next marker is made where there is
            _leave_spare(home, spare)
        os.fsync(home)


def remove(directory: str) -> None:
    """Remove the marker and its spare, where they are."""
    with contextlib.suppress(FileNotFoundError), qemus_directory.opened(directory) as home:
        for name in (NAME, SPARE):
            qemus_directory.remove(home, name)


def _written_over(home: int, spare: Path, text: bytes) -> bool:
    """Whether ``text`` went, durably, into the blocks of a whole spare."""
    try:
        handle = qemus_directory.found(home, spare.name, os.O_RDWR)
    except FileNotFoundError:
        return False
    if handle is None:
        return False
    with open(handle, "r+b") as file:
        if os.fstat(handle).st_size != MARKER_SIZE or not qemus_directory.is_own(handle):
            return False
        _put(file, spare, text)
    return True


def _written_anew(home: int, path: Path, text: bytes) -> None:
    try:
        handle = qemus_directory.made(home, path.name, 0o644)
    except OSError as error:
        error.filename = str(path)
        raise
    with open(handle, "wb") as file:
        _put(file, path, text)


def _leave_spare(home: int, spare: Path) -> None:
    """Best effort: without room the marker that counts is there all the same."""
    try:
        _written_anew(home, spare, bytes(MARKER_SIZE))
    except OSError as error:
        qemus_directory.remove(home, spare.name)
        if error.errno not in NO_ROOM:
            raise


def _put(file: BinaryIO, path: Path, text: bytes) -> None:
    """Written to the device: delayed allocation would find a full file system only after the return.

    The kernel does not say in its error which file it is.
    """
    try:
        while text:
            text = text[os.write(file.fileno(), text) :]
        os.fsync(file.fileno())
    except OSError as error:
        error.filename = str(path)
        raise
