# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host notes of the images that a guest has left here for the other host: that they are as its QEMU left them.

The note is of the files, as the kernel has them: whoever has written to one since, or has put another in its place, has
changed what is noted. It goes when the host reboots, since what was not on the disk yet may have been lost with it. A
block device has no such signs, and is never noted.

When QEMU is started on such images, as a standby's that waits for its primary, libvirt gives them to another user, and
from then on the primary writes to them. So the note then is of that one process, which has the files open.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..observation.decoded import decoded
from ..observation.seen import Left
from ..record.pair import RUN_DIRECTORY
from . import processes, until_reboot

CLOCK_OF_FILES = 5  # CLOCK_REALTIME_COARSE of clock_gettime(2), by which the kernel stamps files
TICKS = 5  # of the kernel's clock for files, at most, until it has gone on
NAP = 0.005  # seconds


@dataclass(frozen=True)
class Stamp:
    """What the kernel says of a file; times in nanoseconds."""

    device: int
    inode: int
    size: int
    written: int
    changed: int  # to its owner and names as well

    def same_content(self, other: Stamp | None) -> bool:
        """Whether ``other`` is of the same file, to which nobody has written between."""
        return other is not None and replace(other, changed=self.changed) == self


@dataclass(frozen=True)
class _Note:
    generation: int
    stamps: dict[str, Stamp]
    emulator: str | None = None  # processes.Held.name of the QEMU that was started on them


def stamps(paths: Iterable[str]) -> dict[str, Stamp]:
    """Those of the files among ``paths``, from a moment on in which another write has another time.

    The kernel's times of files go on in steps of some milliseconds, within which a write could not be told.
    """
    found = {path: stamp for path in paths if (stamp := _stamp(path))}
    newest = max((stamp.written for stamp in found.values()), default=0)
    for _tick in range(TICKS):
        if _clock_of_files() > newest:
            return {path: stamp for path, stamp in found.items() if stamp == _stamp(path)}
        time.sleep(NAP)
    return {}


def _clock_of_files() -> int:
    return time.clock_gettime_ns(CLOCK_OF_FILES)


def note(uuid: str, generation: int, before: dict[str, Stamp]) -> None:
    """Note that the images of which these are the stamps, of ``before`` QEMU was ended, are as it left them.

    Those to which somebody has written since are left out.
    """
    now = {path: stamp for path, old in before.items() if old.same_content(stamp := _stamp(path)) and stamp}
    _write(uuid, _Note(generation, now))


def left(uuid: str) -> Left | None:
    """Which images of this domain are as its guest left them here; None for none."""
    found = _read(uuid)
    if found is None:
        return None
    if found.emulator is None:
        paths = _untouched(found)
    else:
        with _held(uuid) as process:
            at_work = process is not None and process.name == found.emulator
        paths = list(found.stamps) if at_work else []
    return Left(found.generation, tuple(sorted(paths))) if paths else None


@contextlib.contextmanager
def opening(uuid: str, *, keeps: bool) -> Iterator[None]:
    """Around a start of QEMU on them, as a standby: the note is of this QEMU afterwards, where it is to be kept."""
    found = _read(uuid)
    untouched = _untouched(found) if keeps and found and found.emulator is None else []
    _path(uuid).unlink(missing_ok=True)  # a start that fails may have left anything
    yield
    if not untouched:
        return
    with _held(uuid) as process:
        if process is not None:
            kept = {
                path: found.stamps[path]
                for path in untouched
                if found.stamps[path].same_content(_stamp(path)) and processes.has_open(process, path)
            }
            _write(uuid, _Note(found.generation, kept, process.name))


def _untouched(found: _Note) -> list[str]:
    return [path for path, stamp in found.stamps.items() if stamp == _stamp(path)]


@contextlib.contextmanager
def _held(uuid: str) -> Iterator[processes.Held | None]:
    process = processes.hold(uuid)
    try:
        yield process
    finally:
        if process is not None:
            os.close(process.handle)


def _stamp(path: str) -> Stamp | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _path(uuid: str) -> Path:
    return Path(RUN_DIRECTORY, f"{uuid}.left")


def _write(uuid: str, about: _Note) -> None:
    until_reboot.run_directory()
    until_reboot.write_whole(_path(uuid), json.dumps(asdict(about)))


def _read(uuid: str) -> _Note | None:
    """None, too, where it says nothing that could be understood: the images are then compared."""
    try:
        data = decoded(_path(uuid).read_text(encoding="utf-8"))
        stamps_of = {path: Stamp(**one) for path, one in data["stamps"].items()}
        return _Note(int(data["generation"]), stamps_of, data["emulator"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
