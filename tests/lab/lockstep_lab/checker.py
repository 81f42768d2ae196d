# SPDX-License-Identifier: GPL-3.0-or-later
"""The checker: is every record that was acknowledged to the client in the image that survived?

The layout is that of guest/writer.c. The disk is a ring: record n may have been overwritten by record n + k * ring,
which was written after n was safe. Such a number counts as superseded, and only when the later record is sound.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import shlex
import struct
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from . import hosts, network, probe
from .common import HOSTS, Lab, LabError, mounts, run, say

BLOCK = 512
FIRST = 2048
MAGIC = 0x4B4341424B434F4C
_MASK = (1 << 64) - 1
_RECORD = struct.Struct("<QQQQ")
SHOWN = 1000


def checksum(number: int, disk: int) -> int:
    """As in writer.c."""
    x = MAGIC ^ (number * 0x9E3779B97F4A7C15 & _MASK) ^ (disk * 0xC2B2AE3D27D4EB4F & _MASK)
    x ^= x >> 29
    x = x * 0xBF58476D1CE4E5B9 & _MASK
    return x ^ (x >> 32)


def record(number: int, disk: int) -> bytes:
    """The whole block of a record."""
    return _RECORD.pack(MAGIC, number, disk, checksum(number, disk)) * (BLOCK // _RECORD.size)


def ring_of(size: int) -> int:
    """How many records a disk of that many bytes keeps."""
    return size // BLOCK - FIRST


def number_at(disk_bytes: mmap.mmap | bytes, slot: int, disk: int) -> int:
    """The number of the sound record in a slot of the ring, 0 when there is none."""
    at = (FIRST + slot) * BLOCK
    magic, number, _, _ = _RECORD.unpack_from(disk_bytes, at)
    if magic != MAGIC:
        return 0
    return number if disk_bytes[at : at + BLOCK] == record(number, disk) else 0


def verify(disk_bytes: mmap.mmap | bytes, numbers: Iterable[int], disk: int) -> dict[str, Any]:
    """Look for every number in the content of a disk."""
    ring = ring_of(len(disk_bytes))
    wanted = sorted(set(numbers))
    lost: list[int] = []
    superseded = 0
    found = [number_at(disk_bytes, slot, disk) for slot in range(ring)]
    highest = max(found, default=0)
    for number in wanted:
        there = found[number % ring]
        if there == number:
            continue
        if there > number and (there - number) % ring == 0:
            superseded += 1
        else:
            lost.append(number)
    # Whatever was acknowledged: the writer numbers without gaps, so the newest records have to be contiguous.
    holes = [n for n in range(max(1, highest - ring + 1), highest + 1) if found[n % ring] != n]
    return {
        "ok": not lost and bool(wanted),
        "disk": disk,
        "acknowledged": len(wanted),
        "checked": len(wanted),
        "present": len(wanted) - superseded - len(lost),
        "superseded": superseded,
        "lost_count": len(lost),
        "lost": lost[:SHOWN],
        "holes_count": len(holes),
        "holes": holes[:SHOWN],
        "highest_acknowledged": wanted[-1] if wanted else None,
        "highest_on_disk": highest,
        "ring": ring,
    }


def check(lab: Lab, host: str, image: str, acks: Path, *, disk: int = 0, live: bool = False) -> dict[str, Any]:
    """Verify an image on a host. An image in use is refused, unless `live`."""
    if host not in HOSTS:
        raise LabError(f"no host {host!r}")
    numbers = probe.acknowledged(Path(acks), disk)
    if not numbers:
        say(f"nothing was acknowledged for disk {disk} in {acks}: the check proves nothing, so it fails")
    say(f"reading {image} of {host}")
    share = ["-U"] if live else []
    in_reach = _fetched if lab.facts().get("instances") else _in_place
    with (
        in_reach(lab, host, image, share) as raw,
        raw.open("rb") as handle,
        mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        return {"host": host, "image": image, **verify(content, numbers, disk)}


@contextlib.contextmanager
def _in_place(lab: Lab, host: str, image: str, share: list[str]) -> Iterator[Path]:
    """The content of an image, in the file system of a container, which may be powered off."""
    root = lab.host_root(host)
    if str(root) not in mounts():
        raise LabError(f"{host} has no disk: the lab {lab.name} is not up")
    if not (root / image.lstrip("/")).is_file():
        raise LabError(f"{host} has no image {image}")
    raw = f"/var/tmp/lab-check-{uuid.uuid4().hex}.raw"
    try:
        _convert(lab, host, image, share, "raw", raw)
        yield root / raw.lstrip("/")
    finally:
        (root / raw.lstrip("/")).unlink(missing_ok=True)


@contextlib.contextmanager
def _fetched(lab: Lab, host: str, image: str, share: list[str]) -> Iterator[Path]:
    """The content of an image, fetched from an instance, which has to be on: its disk is its own."""
    packed = f"/var/tmp/lab-check-{uuid.uuid4().hex}.qcow2"  # holes are not sent
    with tempfile.TemporaryDirectory(dir=lab.state) as directory:
        here, raw = Path(directory, "packed.qcow2"), Path(directory, "content.raw")
        try:
            _convert(lab, host, image, share, "qcow2", packed)
            hosts.fetch(lab, host, packed, here)
        finally:
            hosts.ssh(lab, host, f"rm -f {packed}", check=False)
        run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", here, raw], timeout=300)
        yield raw


def _convert(lab: Lab, host: str, image: str, share: list[str], kind: str, target: str) -> None:
    information = json.loads(_on_host(lab, host, ["qemu-img", "info", *share, "--output=json", image]))
    _on_host(lab, host, ["qemu-img", "convert", *share, "-f", information["format"], "-O", kind, image, target])


def _on_host(lab: Lab, host: str, words: list[str]) -> str:
    """Run a command in a host's own file system, where the names of backing images mean what they mean there."""
    if hosts.running(lab, host) and not hosts.frozen(lab, host) and network.joined(lab, host):
        return hosts.ssh(lab, host, shlex.join(words), timeout=300).stdout
    return run(["chroot", lab.host_root(host), *words], timeout=300).stdout
