# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The QEMU processes of a domain as the kernel has them: libvirt may have lost sight of one."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import signal
import stat
from dataclasses import dataclass
from pathlib import Path

from ..errors import Timeout

PROC = "/proc"


def emulators(uuid: str) -> tuple[int, ...]:
    """The processes that were started as the QEMU of the domain with this UUID."""
    return tuple(sorted(int(entry.name) for entry in Path(PROC).iterdir() if entry.name.isdigit() and _is(entry, uuid)))


def _is(process: Path, uuid: str) -> bool:
    """One that has ended, and is not waited for yet, has no command line any more."""
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(pair == (b"-uuid", uuid.encode("ascii")) for pair in itertools.pairwise(words))


@dataclass(frozen=True)
class Held:
    """A process that is held by a pidfd: the number is not another's while it is. ``handle`` is readable once it ended.

    ``name`` is its number and the time at which it started, in the kernel's ticks since this boot: no other has both.
    """

    handle: int
    name: str

    @property
    def number(self) -> int:
        """Of the process."""
        return int(self.name.split()[0])


def hold(uuid: str) -> Held | None:
    """The QEMU of the domain, where there is one; close the handle in the end."""
    for process in emulators(uuid):
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(process)
            place = Path(PROC, str(process))
            try:
                if _is(place, uuid):
                    return Held(handle, f"{process} {_started(place)}")
            except OSError:
                pass
            os.close(handle)
    return None


def has_open(held: Held, path: str) -> bool:
    """Whether this very file, or block device, is open in the process; another may have its name by now."""
    try:
        return _itself(os.stat(path)) in open_files(held.number)
    except OSError:
        return False


def open_files(process: int) -> set[tuple[int, int]]:
    """The files and block devices that a process has open, whatever names they have by now; none once it has ended."""
    found = set()
    with contextlib.suppress(OSError):
        for handle in Path(PROC, str(process), "fd").iterdir():
            with contextlib.suppress(OSError):
                status = handle.stat()
                if stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode):
                    found.add(_itself(status))
    return found


def _itself(status: os.stat_result) -> tuple[int, int]:
    """By which a file is told from another; a device has another node in the /dev that libvirt gives a guest."""
    return (status.st_rdev, 0) if stat.S_ISBLK(status.st_mode) else (status.st_dev, status.st_ino)


def _started(process: Path) -> str:
    """Field 22 of proc(5)'s stat, counted behind the name of the program, which may have spaces in it."""
    return (process / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]


def boot_id() -> str:
    """The kernel's random ID of this boot: another one after each start of the host."""
    return Path(PROC, "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def end_emulators(uuid: str, timeout: float) -> None:
    """Kill every QEMU of the domain, as a loss of power would, and return when all have ended.

    Raises Timeout when one does not end within ``timeout`` seconds, as one that waits for its storage.
    """
    for process in emulators(uuid):
        with contextlib.suppress(ProcessLookupError):
            _end(process, uuid, timeout)


def _end(process: int, uuid: str, timeout: float) -> None:
    handle = os.pidfd_open(process)
    try:
        if not _is(Path(PROC, str(process)), uuid):  # it ended meanwhile, and the number is another's now
            return
        kill(handle, process, timeout, "Take the power from this host: its guest may still write")
    finally:
        os.close(handle)


def kill(handle: int, process: int, timeout: float, remedy: str) -> None:
    """Kill the QEMU behind a pidfd, and return when it has ended; Timeout, with ``remedy``, when it does not."""
    signal.pidfd_send_signal(handle, signal.SIGKILL)
    if not select.select([handle], [], [], timeout)[0]:
        raise Timeout(f"QEMU (process {process}) did not end within {timeout:g} s", remedy=remedy)
