# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host writes down durably of a half of a pair, beside the domain's record: a small file for each domain."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from ..errors import ColoError
from ..observation.decoded import decoded
from ..record.half_notes import DIRECTORY, HalfNote
from .files import sync

GAVE_WAY = "gave-way"  # its QEMU has ended, and is not started again
LACKS = "lacks"  # the standby of this primary lacks writes
LACKING = "lacking"  # this standby does
POWERED_OFF = "powered-off"  # the guest of this primary did so itself
SECTOR = 512  # bytes


def prepare(kind: str, domain: str) -> None:
    """Leave a file of written blocks that says nothing, so that ``note`` has one thing to wait for: its own bytes."""
    path = _path(kind, domain)
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(path.with_suffix(".new"), os.O_CREAT | os.O_TRUNC, b"")
        os.replace(path.with_suffix(".new"), path)
        sync(path.parent)


def note(kind: str, domain: str, about: HalfNote) -> None:
    """Write a note of this ``kind`` so that it is there, whole, whatever happens to the host after the return."""
    prepare(kind, domain)
    _write(_path(kind, domain), 0, json.dumps(asdict(about)).encode())


def noted(kind: str, domain: str) -> HalfNote | None:
    """The note of this ``kind`` about the domain; None where there is none.

    ColoError where it cannot be read: it may be what counts.
    """
    path = _path(kind, domain)
    try:
        text = path.read_text(encoding="utf-8").strip()
        return HalfNote.read(decoded(text)) if text else None
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ColoError(
            f"{path} is damaged: {error}",
            remedy="It says that this host's copy of the domain is not to be started. See with lockstep.colo.status "
            "which host has the newest, and remove the file",
        ) from None


def forget(kind: str, domain: str) -> None:
    """Remove the note of this ``kind``; durably, since what is written next counts on it."""
    path = _path(kind, domain)
    try:
        path.unlink()
    except FileNotFoundError:
        return
    sync(path.parent)


def _write(path: Path, how: int, text: bytes) -> None:
    """One sector, which a disk writes whole or not at all, padded with blanks."""
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC | how, 0o600)
    try:
        os.pwrite(handle, text.ljust(SECTOR), 0)
        os.fdatasync(handle)
    finally:
        os.close(handle)


def _path(kind: str, domain: str) -> Path:
    return Path(DIRECTORY, f"{domain}.{kind}.json")
