# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""This host's name, memory and files, its images above all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import struct
from pathlib import Path

from ..errors import ColoError, CommandFailed
from ..observation.seen import Image
from . import qemus_directory
from .command import run
from .qemus_directory import itself

QCOW2_MAGIC = b"QFI\xfb"
QCOW2_HEADER = struct.Struct(">4sIQ56xQ")  # its magic, version, where the backing file's name is, incompatible features
BACKING_FILE, DATA_FILE = "a backing file", "data in another file"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
STAT_BLOCK = 512  # the unit of st_blocks, stat(2)
SMALL = 64 << 20  # bytes; the largest store of UEFI variables, that of ARM's firmware


def name() -> str:
    """The host's own name, as the kernel has it."""
    return os.uname().nodename


def machine_id() -> str:
    """By which a host is told from another, whatever it is called: /etc/machine-id."""
    return Path("/etc/machine-id").read_text(encoding="ascii").strip()


def memory_available() -> int:
    """Bytes that new processes can have without swapping (MemAvailable)."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def digest(path: str) -> str | None:
    """SHA-256 of a small file; None where it cannot be read, or is another thing."""
    try:
        with open(path, "rb", opener=_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > SMALL:
                return None
            return hashlib.sha256(file.read(SMALL)).hexdigest()
    except OSError:
        return None


def _at_once(path: str, flags: int) -> int:
    """Open a file; a pipe that has come in its place is not waited for."""
    return os.open(path, flags | os.O_NONBLOCK)


def image(path: str, image_format: str) -> Image:
    """Look at an image file that is said to be ``image_format``; the format is checked, never guessed."""
    if not os.path.lexists(path):
        return Image(path, exists=False)
    if not _is_image(path):
        return Image(path, exists=True)
    try:
        return _look_into(path, image_format)
    except FileNotFoundError:  # a run that may be at work beside this look removes overlays
        return Image(path, exists=False)


def _look_into(path: str, image_format: str) -> Image:
    with open(path, "rb", opener=_at_once) as file:
        looks_qcow2 = file.read(4) == QCOW2_MAGIC
    if (image_format == "qcow2") != looks_qcow2:
        return Image(path, exists=True, format="qcow2" if looks_qcow2 else "raw")
    info = json.loads(run("qemu-img", "info", "-U", "-f", image_format, "--output=json", path))
    in_use = _locked(path, image_format)
    inode = os.stat(path).st_ino
    return Image(path, True, info["format"], info["virtual-size"], in_use, inode, _allocated(path))


def _is_image(path: str) -> bool:
    """Whether it may be one: a directory has no content, a pipe gives none until somebody writes to it, and a link may
    lead nowhere."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISBLK(mode)


def _allocated(path: str) -> int:
    """What a file takes of its filesystem; a block device has all that it will ever have."""
    status = os.stat(path)
    if not stat.S_ISBLK(status.st_mode):
        return status.st_blocks * STAT_BLOCK
    with open(path, "rb") as device:
        return device.seek(0, os.SEEK_END)


def _locked(path: str, image_format: str) -> bool:
    try:
        run("qemu-img", "info", "-f", image_format, "--output=json", path)
    except CommandFailed as error:
        return "lock" in error.what
    return False


def check_image(path: str, deadline: float) -> str | None:
    """What ``qemu-img check`` finds wrong with a qcow2 image that nobody has open; None when nothing is.

    Of the image alone: whatever backing file its header names, the standby was without it (domain/standby.py).
    """
    if DATA_FILE in named_in_header(path):
        return f"{path} has {DATA_FILE}"
    try:
        run("qemu-img", "check", "-q", by_itself(path, "qcow2"), deadline=deadline)
    except CommandFailed as error:
        return error.what
    return None


def by_itself(path: str, image_format: str, **how: bool) -> str:
    """An image as QEMU's tools take it, without the backing file that its header may name.

    QEMU's user owns an image and may write any name there, and the tools are root's. Of a name for the data there is no
    such option: see ``named_in_header``.
    """
    kind = "host_device" if stat.S_ISBLK(os.stat(path).st_mode) else "file"
    alone = {"backing": None} if image_format == "qcow2" else {}
    file = {"driver": kind, "filename": path}
    return "json:" + json.dumps({"driver": image_format, "file": file, **alone, **how})


def named_in_header(path: str) -> list[str]:
    """What other files the header of a qcow2 image names, in words (docs/interop/qcow2.txt of QEMU)."""
    with open(path, "rb", opener=_at_once) as file:
        header = file.read(QCOW2_HEADER.size)
    if not header.startswith(QCOW2_MAGIC) or len(header) < QCOW2_HEADER.size:
        return []
    _magic, version, backing, features = QCOW2_HEADER.unpack(header)
    data = version >= 3 and features & 4  # before there were no features
    return [words for words, named in ((BACKING_FILE, backing), (DATA_FILE, data)) if named]


def create_image(path: str, image_format: str, size: int, owner: str, group: str) -> None:
    """Make an empty image of exactly ``size`` bytes that QEMU's user can open; never over an existing file."""
    directory, name = os.path.split(path)
    partial = f"{name}.partial"
    with qemus_directory.opened(directory) as home:
        file = qemus_directory.made(home, partial)
        try:
            run("qemu-img", "create", "-q", "-f", image_format, itself(file), str(size), inherits=(file,))
            _own(file, path, owner, group, 0o600)
            # Unlike a rename, it fails where a file has appeared meanwhile.
            os.link(itself(file), name, src_dir_fd=home, dst_dir_fd=home, follow_symlinks=True)
        except FileExistsError:
            raise ColoError(f"{path} exists already", remedy="Move it away if it is not needed") from None
        finally:
            os.close(file)
            qemus_directory.remove(home, partial)
        os.fsync(home)


def make_directory(path: str, owner: str, group: str) -> None:
    """Make a directory, and those above it, that QEMU's user owns and everybody may pass through."""
    Path(path).mkdir(parents=True, exist_ok=True)
    with qemus_directory.opened(path) as home:
        _own(home, path, owner, group, 0o751)


def _own(handle: int, path: str, owner: str, group: str, mode: int) -> None:
    try:
        shutil.chown(handle, owner, group)
    except LookupError as error:
        raise ColoError(
            f"cannot give {path} to {owner}:{group}: {error}",
            remedy="State the user and group that QEMU runs as in image_owner and image_group",
        ) from None
    os.fchmod(handle, mode)


def remove(path: str) -> None:
    """Remove a file, where it is there."""
    directory, name = os.path.split(path)
    with contextlib.suppress(FileNotFoundError), qemus_directory.opened(directory) as home:
        qemus_directory.remove(home, name)


def remove_directory(path: str) -> None:
    """Remove a directory if it is empty: what is in it and not ours stays."""
    with contextlib.suppress(FileNotFoundError, OSError):
        Path(path).rmdir()


def sync(path: Path) -> None:
    """Have a file outlast a loss of power; of a directory, what was made, renamed or removed in it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
