# SPDX-License-Identifier: GPL-3.0-or-later
"""What a copy of only what differs costs beside a full one, with bare QEMUs: one session, one disk, a link of a rate.

resync.py [--root DIR] [--gigabytes 8] [--data 1] [--changed 0.05] [--rate 117] [--format raw]: two QEMUs without a
machine, that of DIR (a root file system to chroot to) or this host's; a disk of so many GiB, with so many of them
written, of which a part was changed since; MB/s of the link between. Three writers go on meanwhile, as the guest.

For each way, to a standby that has the old image: seconds until it has all, bytes sent over the link, the writers'
latency (median, p99) with and without; and whether both images are the same in the end. ``full`` and ``changed`` begin
with a QEMU that knows nothing; for ``written`` it has noted in a bitmap what was changed. Prints JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / ".cache" / "collections"))
sys.dont_write_bytecode = True

from ansible_collections.lockstep.colo.plugins.module_utils.host import nbd, sieve, sums  # noqa: E402

MB, CLUSTER = 1 << 20, sums.CLUSTER
LOCAL = "127.0.0.1"
PIECE = 1 << 16
BITMAP = "since"
BEFORE = 5.0  # seconds of writing before the copy, to compare with


class Qemu:
    def __init__(self, root: str | None, directory: Path, name: str) -> None:
        self.uuid = str(uuid.uuid4())
        path = directory / f"{name}.qmp"
        words = ["qemu-system-x86_64", "-machine", "none", "-nodefaults", "-display", "none", "-S", "-uuid", self.uuid]
        words += ["-qmp", f"unix:{path},server=on,wait=off"]
        self.process = subprocess.Popen([*(("chroot", root) if root else ()), *words], stderr=subprocess.DEVNULL)
        self.socket = socket.socket(socket.AF_UNIX)
        while True:
            with contextlib.suppress(OSError):
                self.socket.connect(str(path))
                break
            time.sleep(0.05)
        self.file = self.socket.makefile("rb")
        self.file.readline()
        self("qmp_capabilities")

    def __call__(self, command: str, **arguments: Any) -> Any:
        plain = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.socket.sendall(json.dumps({"execute": command, "arguments": plain}).encode() + b"\n")
        while "event" in (answer := json.loads(self.file.readline())):
            pass
        if "error" in answer:
            sys.exit(f"{command}: {answer['error']['desc']}")
        return answer["return"]

    def disk(self, path: Path, kind: str) -> None:
        file = {"driver": "file", "filename": str(path), "discard": "unmap"}
        self("blockdev-add", driver=kind, node_name="disk", file=file, discard="unmap")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Link:
    """A way to a port, of so many bytes per second in all; counts what is sent to it."""

    def __init__(self, port: int, rate: float) -> None:
        self.rate, self.sent, self.free, self.lock, self.port = rate, 0, time.monotonic(), threading.Lock(), port
        self.server = socket.create_server((LOCAL, 0))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _sender = self.server.accept()
                there = socket.create_connection((LOCAL, self.port))
                for a, b, counted in ((here, there, True), (there, here, False)):
                    threading.Thread(target=self._pump, args=(a, b, counted), daemon=True).start()

    def _pump(self, a: socket.socket, b: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := a.recv(PIECE):
                if counted:
                    with self.lock:
                        self.sent += len(data)
                        self.free = max(self.free, time.monotonic()) + len(data) / self.rate
                        wait = self.free - time.monotonic()
                    if wait > 0.002:
                        time.sleep(wait)
                b.sendall(data)
        for one in (a, b):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class Writers:
    """Three who write small pieces to the running guest's disk, and note how long each took."""

    def __init__(self, path: Path, size: int, seed: int) -> None:
        self.times: list[float] = []
        self.errors = 0
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._write, args=(path, size, seed + k)) for k in range(3)]
        for one in self.threads:
            one.start()

    def _write(self, path: Path, size: int, seed: int) -> None:
        chance = random.Random(seed)
        plain = socket.socket(socket.AF_UNIX)
        plain.connect(str(path))
        connection, _size = nbd.connected(plain, "guest")
        while not self.stop.is_set():
            data, at = chance.randbytes(4096), chance.randrange(0, min(size, 16 * MB) - 4096, 512)
            began = time.monotonic()
            connection.sendall(nbd.REQUEST.pack(nbd.ASKED, 0, nbd.WRITE, 1, at, len(data)) + data)
            _magic, error, _handle = nbd.REPLY.unpack(nbd.exactly(connection, nbd.REPLY.size))
            self.errors += bool(error)
            self.times.append(time.monotonic() - began)
            time.sleep(0.05)

    def taken(self) -> dict[str, float]:
        found, self.times = sorted(self.times), []
        return {
            "median_ms": round(1000 * statistics.median(found), 2),
            "p99_ms": round(1000 * found[len(found) * 99 // 100], 2),
        }

    def end(self) -> None:
        self.stop.set()
        for one in self.threads:
            one.join()


Changes = list[tuple[int, bytes]]


def make(directory: Path, words: argparse.Namespace) -> tuple[Path, Path, Changes]:
    """The survivor's image, the old one of the standby, and what was written between, where."""
    chance, size = random.Random(words.seed), words.gigabytes << 30
    plain, old, new = directory / "plain", directory / "old", directory / "new"
    with plain.open("wb") as file:
        file.truncate(size)
        step = size // (words.data << 10)
        for number in range(words.data << 10):
            file.seek(number * step // MB * MB)
            file.write(chance.randbytes(MB))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", words.format, plain, old], check=True)
    with plain.open("r+b") as file:
        clusters, changes = (words.data << 30) // CLUSTER, []
        for number in chance.sample(range(clusters), int(clusters * words.changed)):
            changes.append((number // 16 * step // MB * MB + number % 16 * CLUSTER, chance.randbytes(CLUSTER)))
            file.seek(changes[-1][0])
            file.write(changes[-1][1])
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", words.format, plain, new], check=True)
    plain.unlink()
    return new, old, changes


def note(survivor: Qemu, guest: Path, changes: Changes) -> None:
    """Write them as a guest does, with a bitmap on the disk."""
    survivor("block-dirty-bitmap-add", node="disk", name=BITMAP, granularity=CLUSTER)
    plain = socket.socket(socket.AF_UNIX)
    plain.connect(str(guest))
    connection, _size = nbd.connected(plain, "guest")
    for at, data in changes:
        connection.sendall(nbd.REQUEST.pack(nbd.ASKED, 0, nbd.WRITE, 1, at, len(data)) + data)
        nbd.exactly(connection, nbd.REPLY.size)


def read(survivor: Qemu) -> None:
    """Let the process read what the bitmap names; the mirror has begun. QEMU has but one NBD server."""
    survivor("block-dirty-bitmap-disable", node="disk", name=BITMAP)
    export = {"type": "nbd", "id": "w", "node_name": "disk", "name": "written", "writable": False}
    survivor("block-export-add", bitmaps=[BITMAP], **export)


def is_over(survivor: Qemu, way: str) -> str | None:
    """How the copying has ended; None as long as it goes on."""
    job = survivor("query-jobs")[0]
    if job["status"] == "concluded" or job.get("error"):
        return job.get("error") or "concluded"
    noted = sieve.noted(survivor.uuid, "vda") if way == "written" else None
    return "ready" if job["status"] == "ready" and (way != "written" or (noted and noted.left == 0)) else None


def run(directory: Path, words: argparse.Namespace, way: str, made: tuple[Path, Path, Changes]) -> dict[str, Any]:
    here, there, size = directory / "here", directory / "there", words.gigabytes << 30
    new, old, changes = made
    for source, copy in ((old if way == "written" else new, here), (old, there)):
        subprocess.run(["cp", "--sparse=always", source, copy], check=True)
    survivor, standby = (Qemu(words.root, directory, name) for name in ("survivor", "standby"))
    try:
        survivor.disk(here, words.format)
        standby.disk(there, words.format)
        port = free_port()
        standby("nbd-server-start", addr={"type": "inet", "data": {"host": LOCAL, "port": str(port)}})
        standby("block-export-add", type="nbd", id="e", node_name="disk", name="disk", writable=True)
        guest = directory / "guest.nbd"
        survivor("nbd-server-start", addr={"type": "unix", "data": {"path": str(guest)}})
        quorum = {"vote_threshold": 1, "read_pattern": "fifo", "children": ["disk"]}
        survivor("blockdev-add", driver="quorum", node_name="top", **quorum)
        survivor("block-export-add", type="nbd", id="g", node_name="top", name="guest", writable=True)
        if way == "written":
            note(survivor, guest, changes)
        writers, link = Writers(guest, size, words.seed), Link(port, words.rate * 1e6)
        time.sleep(BEFORE)
        without, began = writers.taken(), time.monotonic()
        target(survivor, standby, directory, way, link, there, words)
        more = {} if way == "full" else {"granularity": CLUSTER}
        sync = "none" if way == "written" else "full"
        survivor("blockdev-mirror", job_id="j", device="top", target="copy", sync=sync, auto_dismiss=False, **more)
        if way == "written":
            read(survivor)
        while (ended := is_over(survivor, way)) is None:
            time.sleep(0.05)
        seconds, during = time.monotonic() - began, writers.taken()
        writers.end()
        survivor("block-job-cancel", device="j")
        while survivor("query-jobs")[0]["status"] != "concluded":
            time.sleep(0.05)
        found = {"seconds": round(seconds, 2), "sent_mb": round(link.sent / 1e6, 1), "job": ended}
        found |= {"without": without, "during": during, "errors": writers.errors}
    finally:
        survivor.end()
        standby.end()
    same = subprocess.run(
        ["qemu-img", "compare", "-f", words.format, "-F", words.format, here, there], capture_output=True
    )
    return {**found, "same": same.returncode == 0}


def target(
    survivor: Qemu, standby: Qemu, directory: Path, way: str, link: Link, there: Path, words: argparse.Namespace
) -> None:
    port = link.server.getsockname()[1]
    if way == "full":
        server = {"type": "inet", "host": LOCAL, "port": str(port)}
        how = {"discard": "unmap", "detect_zeroes": "unmap"}
        survivor("blockdev-add", driver="nbd", node_name="copy", server=server, export="disk", **how)
        return
    told, path = free_port(), directory / "sieve"
    images = {"vda": {"path": str(there), "format": words.format}}
    common = {"address": LOCAL, "credentials": None}
    sums.begin({"uuid": standby.uuid, "port": told, "peer": LOCAL, "host": LOCAL, "images": images, **common}, 20)
    size = words.gigabytes << 30
    source = {"socket_path": str(directory / "guest.nbd"), "export": "written", "bitmap": BITMAP}
    known = {"written": source} if way == "written" else {}
    sieve.begin(
        {"uuid": survivor.uuid, "target": "vda", "socket": str(path), "port": port, "sums": told, "export": "disk",
         "size": size, **common, **known}, 60,
    )  # fmt: skip
    server = {"type": "unix", "path": str(path)}
    survivor("blockdev-add", driver="nbd", node_name="copy", server=server, export="disk")


def free_port() -> int:
    with socket.create_server((LOCAL, 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def place(root: str | None) -> Iterator[Path]:
    """A directory that is called the same inside of ``root``."""
    directory = Path(tempfile.mkdtemp(prefix="resync-"))
    if root:
        inside = Path(root, directory.relative_to("/"))
        inside.mkdir(parents=True)
        subprocess.run(["mount", "--bind", directory, inside], check=True)
    try:
        yield directory
    finally:
        if root:
            subprocess.run(["umount", inside], check=True)
            inside.rmdir()
        shutil.rmtree(directory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root")
    parser.add_argument("--gigabytes", type=int, default=8)
    parser.add_argument("--data", type=int, default=1)
    parser.add_argument("--changed", type=float, default=0.05)
    parser.add_argument("--rate", type=float, default=117, help="MB/s of the link; 117 is 1 Gbit/s")
    parser.add_argument("--format", default="raw")
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    with place(words.root) as directory:
        made = make(directory, words)
        found = {way: run(directory, words, way, made) for way in ("full", "changed", "written")}
    differs = int((words.data << 30) // CLUSTER * words.changed) * CLUSTER
    found["differs_mb"] = round(differs / 1e6, 1)
    found["ratio"] = round(found["changed"]["seconds"] / found["full"]["seconds"], 2)
    found["of_what_differs"] = {way: round(found[way]["sent_mb"] * 1e6 / differs, 2) for way in ("changed", "written")}
    print(json.dumps({"load": os.getloadavg()[0], "words": vars(words), **found}, indent=1))


if __name__ == "__main__":
    main()
