# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Being the only run that works on a domain on this host."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import struct
import time
from collections.abc import Iterator
from typing import TextIO

from ..errors import ColoError
from ..record.pair import RUN_DIRECTORY
from .until_reboot import run_directory

LOCK_POLL = 0.1  # seconds
FLOCK = "hhqqi4x"  # struct flock of fcntl(2) on 64-bit Linux: type, whence, start, length, process


@contextlib.contextmanager
def lock(domain: str, owner: str, patience: float, *, end_other: bool = False) -> Iterator[str | None]:
    """Be the only run that works on ``domain`` on this host; the kernel frees the lock however the process ends.

    Waits ``patience`` seconds for another run and then raises ColoError with its name. With ``end_other`` that run is
    ended instead, which is safe at any of its steps; yields its name then.
    """
    with open(run_directory() / f"{domain}.lock", "a+", encoding="utf-8") as file:
        other = None
        deadline = time.monotonic() + patience
        while not _locked_now(file):
            file.seek(0)
            other = file.read()
            if time.monotonic() >= deadline:
                raise ColoError(
                    f"another run works on this domain: {other or 'it has not said its name'}",
                    remedy="Wait until it ends, then run again; or end it, and this one goes on from where it was",
                )
            if end_other and (pid := _lock_owner(file)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(LOCK_POLL)
        file.truncate(0)
        file.write(owner)
        file.flush()
        yield other if end_other else None


def last_run(domain: str) -> int | None:
    """When a run last began to work on ``domain``, by the file system's clock; 0 for none since the host booted.

    None while one is at work. Not for a process that has the lock itself: it would lose it.
    """
    try:
        with open(f"{RUN_DIRECTORY}/{domain}.lock", "r+", encoding="utf-8") as file:
            return None if _lock_owner(file) else os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return 0


def _locked_now(file: TextIO) -> bool:
    """Take the lock if it is free: a record lock, which no worker keeps that outlives its parent."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def _lock_owner(file: TextIO) -> int | None:
    """The process that has the lock, as the kernel knows it: what the file says may be of one that has ended."""
    wanted = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _whence, _start, _length, pid = struct.unpack(FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, wanted))
    return None if kind == fcntl.F_UNLCK else pid
