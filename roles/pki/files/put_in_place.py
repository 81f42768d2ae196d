# SPDX-License-Identifier: GPL-3.0-or-later
"""Put a directory in the place of another at once: whoever reads a key finds the certificate that it belongs to.

Arguments: the new one, and the place. Files that the new one does not have are taken over from the old. QEMU is told
the path of the place, and AppArmor's rules name it, so that it is no link to one of two.
"""

import ctypes
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of linux/fcntl.h and linux/fs.h
LABEL = "security.selinux"
# Of an overlay with the old one in a lower layer, a filesystem or a kernel without such an exchange, and a mount.
CANNOT = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EBUSY)


def sync(path: Path) -> None:
    """Have it outlast a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def exchange(new: Path, place: Path) -> None:
    """Have each be where the other was, in one step."""
    rename = ctypes.CDLL(None, use_errno=True).renameat2
    if rename(AT_FDCWD, os.fsencode(new), AT_FDCWD, os.fsencode(place), RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(place))


def take_over(new: Path, old: Path) -> None:
    """Have ``new`` be like ``old`` in all that it does not say itself."""
    for path in old.iterdir():
        if path.is_file() and not (new / path.name).exists():
            os.link(path, new / path.name)
    try:
        label = os.getxattr(old, LABEL)
    except OSError:  # a host without SELinux
        return
    for path in (new, *new.iterdir()):
        os.setxattr(path, LABEL, label)


def put_in_place(new: Path, place: Path) -> None:
    """Exchange the two, and remove the one that was there before."""
    if not place.is_dir():
        sync_all(new)
        new.rename(place)
        if shutil.which("restorecon"):
            subprocess.run(["restorecon", "-R", place], check=True)
    else:
        try:
            if place.is_symlink():  # somebody's, which stays; what it leads to may be of another filesystem
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(place))
            take_over(new, place)
            sync_all(new)
            exchange(new, place)
        except OSError as error:
            if error.errno not in CANNOT:
                raise
            one_by_one(new, place)
        shutil.rmtree(new)
    sync(place.parent)


def sync_all(new: Path) -> None:
    for path in (*new.iterdir(), new):
        sync(path)


def one_by_one(new: Path, place: Path) -> None:
    """Each key right before its certificate. What a run that is killed here leaves undone, the next one does."""
    ready = [copied(path, place) for path in new.iterdir()]
    for path, name in sorted(ready, key=lambda one: (one[1].split("-")[0], "cert" in one[1])):
        path.replace(place / name)
    sync(place)


def copied(path: Path, place: Path) -> tuple[Path, str]:
    """A copy there by another name, with its owner and mode; and its own name."""
    copy, like = place / f".{path.name}", path.stat()
    copy.unlink(missing_ok=True)
    with os.fdopen(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(path.read_bytes())
        file.flush()
        os.fchown(file.fileno(), like.st_uid, like.st_gid)
        os.fchmod(file.fileno(), like.st_mode & 0o777)
        os.fsync(file.fileno())
    return copy, path.name


if __name__ == "__main__":
    put_in_place(*map(Path, sys.argv[1:]))
