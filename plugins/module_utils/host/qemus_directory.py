# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of root's in a directory of QEMU's user, who may put a link, a pipe or a file of its own in place of any name
at any moment: the directory is opened once, and so is each name in it, and no link."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from ..errors import ColoError

NO_FILE = (errno.ELOOP, errno.ENXIO, errno.EISDIR)  # a link, a socket or a pipe, a directory


@contextlib.contextmanager
def opened(directory: str) -> Iterator[int]:
    """The directory itself, to which no link of another user has led; an operator may have put one there."""
    flags = os.O_RDONLY | os.O_DIRECTORY
    own = os.path.islink(directory) and os.lstat(directory).st_uid == os.geteuid()
    try:
        handle = os.open(directory, flags if own else flags | os.O_NOFOLLOW)
    except NotADirectoryError:
        raise ColoError(
            f"{directory} is a link of another user, or no directory", remedy="Look who put it there, and remove it"
        ) from None
    try:
        yield handle
    finally:
        os.close(handle)


def made(home: int, name: str, mode: int = 0o600) -> int:
    """A new file of this name in ``home``, opened to be read and written; whatever had the name has it no more."""
    remove(home, name)
    return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode, dir_fd=home)


def found(home: int, name: str, flags: int = os.O_RDONLY) -> int | None:
    """The file of this name, opened; None for a link and for what is no file, FileNotFoundError where nothing is."""
    try:
        handle = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=home)
    except OSError as error:
        if error.errno in NO_FILE:
            return None
        raise
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    return None


def is_own(handle: int) -> bool:
    """Whether the open file is of this user, and has no other name: one elsewhere may have been linked here."""
    status = os.fstat(handle)
    return status.st_uid == os.geteuid() and status.st_nlink == 1


def remove(home: int, name: str) -> None:
    """Take the name out of ``home``, where it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=home)


def itself(handle: int) -> str:
    """A name of the open file, whatever its own name leads to by now."""
    return f"/proc/self/fd/{handle}"
