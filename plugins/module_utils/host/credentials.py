# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host's certificate and keys, put in the place of those before at once: whoever reads a key finds its certificate.

QEMU is told the path of the place, and AppArmor's rules name it, so that it is no link to one of two.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import ColoError
from .command import run
from .files import sync

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of linux/fcntl.h and linux/fs.h
LABEL = "security.selinux"
# Of an overlay with the old one in a lower layer, a filesystem or a kernel without such an exchange, and a mount.
CANNOT = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EBUSY)
GROUP = 0  # root's


@dataclass(frozen=True)
class File:
    """``content``: None where it is not known yet, in a check mode."""

    name: str
    owner: str
    mode: int
    content: bytes | None


def differs(place: Path, file: File) -> bool:
    """Whether the file there is another, another's, or open to others."""
    try:
        status, content = (place / file.name).stat(), (place / file.name).read_bytes()
        owner = pwd.getpwnam(file.owner).pw_uid
    except (FileNotFoundError, NotADirectoryError, KeyError):
        return True
    return (content, status.st_uid, status.st_gid, status.st_mode & 0o7777) != (file.content, owner, GROUP, file.mode)


def put_in_place(files: Iterable[File], place: Path) -> None:
    """Have these there; what is there and none of them stays. What a run left that was killed goes."""
    new = place.with_name(f"{place.name}.new")
    if new.exists():
        shutil.rmtree(new)
    if not place.parent.is_dir():
        place.parent.mkdir(parents=True)
        place.parent.chmod(0o755)
    new.mkdir(mode=0o700)  # nobody else's before it is in use
    for file in files:
        _write(new / file.name, file)
    _take_its_place(new, place)


def _write(path: Path, file: File) -> None:
    try:
        owner = pwd.getpwnam(file.owner).pw_uid
    except KeyError:
        raise ColoError(
            f"there is no user {file.owner}, to whom {file.name} is to belong",
            remedy="colo_pki_owner names QEMU's user",
        ) from None
    _create(path, file.content or b"", owner, GROUP, file.mode)


def _create(path: Path, content: bytes, owner: int, group: int, mode: int) -> None:
    """Make a file that is nobody else's before it is as it shall be, and that outlasts a loss of power."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fchown(file.fileno(), owner, group)
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def _take_its_place(new: Path, place: Path) -> None:
    """Exchange the two, and remove the one that was there before."""
    if not place.is_dir():
        _open(new)
        new.rename(place)
        if shutil.which("restorecon"):
            run("restorecon", "-R", str(place))
    else:
        try:
            if place.is_symlink():  # somebody's, which stays; what it leads to may be of another filesystem
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(place))
            _take_over(new, place)
            _open(new)
            exchange(new, place)
        except OSError as error:
            if error.errno not in CANNOT:
                raise
            _one_by_one(new, place)
        shutil.rmtree(new)
    sync(place.parent)


def _open(new: Path) -> None:
    """Let everybody pass, as where it is in use."""
    new.chmod(0o755)
    sync(new)


def _take_over(new: Path, old: Path) -> None:
    """Have ``new`` be like ``old`` in all that it does not say itself, but for copies of a run that was killed."""
    for path in old.iterdir():
        if path.is_file() and not path.name.startswith(".") and not (new / path.name).exists():
            os.link(path, new / path.name)
    try:
        label = os.getxattr(old, LABEL)
    except OSError:  # a host without SELinux
        return
    for path in (new, *new.iterdir()):
        os.setxattr(path, LABEL, label)
        sync(path)


def exchange(new: Path, place: Path) -> None:
    """Have each be where the other was, in one step."""
    rename = ctypes.CDLL(None, use_errno=True).renameat2
    if rename(AT_FDCWD, os.fsencode(new), AT_FDCWD, os.fsencode(place), RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(place))


def _one_by_one(new: Path, place: Path) -> None:
    """Each key right before its certificate. What a run that is killed here leaves undone, the next one does."""
    ready = [_copied(path, place) for path in new.iterdir()]
    for path, name in sorted(ready, key=lambda one: (one[1].split("-")[0], "cert" in one[1])):
        path.replace(place / name)
    sync(place)


def _copied(path: Path, place: Path) -> tuple[Path, str]:
    """A copy there by another name, with its owner and mode; and its own name."""
    copy, like = place / f".{path.name}", path.stat()
    copy.unlink(missing_ok=True)
    _create(copy, path.read_bytes(), like.st_uid, like.st_gid, like.st_mode & 0o777)
    return copy, path.name
