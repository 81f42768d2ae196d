# SPDX-License-Identifier: GPL-3.0-or-later
"""File systems of their own under the hosts' images, which can be filled, and whose device can fail.

There is no device-mapper in a container. Each is an ext4 on a loop device, mounted where the host's file system is made
of, so that it outlives the host's power. A device that fails is a loop device that lost its backing file's content: it
has no sectors any more, and every read and write of it is an I/O error.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from colo_bed import DIRECTORY, Bed
from lockstep_lab import hosts
from lockstep_lab.common import HOSTS, mounts, run
from lockstep_lab.guest import IMAGES

SIZES = {IMAGES: 2 << 30, DIRECTORY: 3 << 30}  # bytes, sparse; the outer one first
FILL = "lab-fill"


class Storage:
    """Both hosts' images and colo_directory; the hosts are switched off and on for its making."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        for host in HOSTS:
            bed.power_off(host)
            for place, size in SIZES.items():
                self._make(host, place, size)
        bed.mend()

    def _path(self, host: str, place: str) -> Path:
        return self.bed.lab.host_root(host) / place.lstrip("/")

    def _backing(self, host: str, place: str) -> Path:
        return self.bed.lab.host_dir(host) / f"{place.strip('/').replace('/', '-')}.ext4"

    def _make(self, host: str, place: str, size: int) -> None:
        point, backing = self._path(host, place), self._backing(host, place)
        if str(point) in mounts():
            return
        point.mkdir(parents=True, exist_ok=True)
        mode = point.stat().st_mode & 0o777
        backing.unlink(missing_ok=True)
        with backing.open("wb") as file:
            file.truncate(size)
        # Without a journal, whose failure would make all of it read-only for ever.
        run(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard", backing])
        run(["mount", "-o", "loop,errors=continue", backing, point])
        point.chmod(mode)

    def renew(self) -> None:
        """What has failed once is not trusted again."""
        for host in HOSTS:
            self.bed.power_off(host)
            for place in reversed(SIZES):
                if str(self._path(host, place)) in mounts():
                    run(["umount", self._path(host, place)])
        self.__init__(self.bed)

    # full

    def fill(self, host: str, place: str) -> None:
        point = self._path(host, place)
        with (point / FILL).open("wb") as file:
            at, step = 0, 1 << 30
            while step >= 4096:
                try:
                    os.posix_fallocate(file.fileno(), at, step)
                    at += step
                except OSError:
                    os.ftruncate(file.fileno(), at)
                    step //= 2
        left = os.statvfs(point)
        assert left.f_bavail * left.f_bsize < 65536, f"{point} has room left"

    def clear(self, host: str, place: str) -> None:
        (self._path(host, place) / FILL).unlink(missing_ok=True)

    # failing

    def fail(self, host: str, place: str) -> None:
        """From now on its device has no sectors; what is on it at this moment is kept beside it."""
        point, backing = self._path(host, place), self._backing(host, place)
        run(["fsfreeze", "--freeze", point])
        try:
            run(["cp", "--sparse=always", backing, f"{backing}.kept"])
            os.truncate(backing, 0)
            run(["losetup", "--set-capacity", self._loop(backing)])
        finally:
            run(["fsfreeze", "--unfreeze", point], check=False)

    def heal(self, host: str, place: str) -> None:
        """It has again what it had, and forgets what it could not write."""
        backing = self._backing(host, place)
        kept = Path(f"{backing}.kept")
        if not kept.exists():
            return
        run(["cp", "--sparse=always", kept, backing])
        run(["losetup", "--set-capacity", self._loop(backing)])
        kept.unlink()
        # A page that could not be written stays in the cache as if it had been.
        for image in self._path(host, place).rglob("*"):
            if image.is_file():
                with image.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def _loop(self, backing: Path) -> str:
        said = run(["losetup", "--associated", backing]).stdout
        found = re.match(r"(/dev/loop\d+):", said)
        assert found, f"no loop device has {backing}: {said!r}"
        return found[1]

    def place_of(self, host: str) -> str:
        """The file system in which the guest's disk of that host is."""
        image = next(iter(self.bed.images(host).values())).strip()
        return DIRECTORY if image.startswith(f"{DIRECTORY}/") else IMAGES


def unmake(bed: Bed) -> None:
    """Before a lab goes down. With the mounts the loop devices go."""
    for host in HOSTS:
        if hosts.running(bed.lab, host):
            bed.power_off(host)
        for place in reversed(SIZES):
            point = bed.lab.host_root(host) / place.lstrip("/")
            if str(point) in mounts():
                run(["umount", point])
