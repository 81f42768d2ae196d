# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""This host's kernel and files: sockets, links, memory, images. Everything of a host that is not libvirt or QEMU."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import ipaddress
import json
import os
import re
import select
import shutil
import signal
import socket
import stat
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from ..errors import ColoError, CommandFailed, Timeout
from ..observation.seen import Image
from ..record.pair import PORT_RANGE, RUN_DIRECTORY
from .command import run

QCOW2_MAGIC = b"QFI\xfb"
TCP_SYN_SENT, TCP_LISTEN = "02", "0A"  # include/net/tcp_states.h, as /proc/net/tcp prints them
IFF_UP = 0x1
VHOST_DEVICE = "/dev/vhost-net"
DELETED = " (deleted)"
STAT_BLOCK = 512  # the unit of st_blocks, stat(2)
LOCK_POLL = 0.1  # seconds
LAST_WORDS = 3  # lines of a log
FLOCK = "hhqqi4x"  # struct flock of fcntl(2) on 64-bit Linux: type, whence, start, length, process
PID_FILE = "/run/libvirt/qemu/{}.pid"


def name() -> str:
    return os.uname().nodename


def machine_id() -> str:
    return Path("/etc/machine-id").read_text(encoding="ascii").strip()


def memory_available() -> int:
    """Bytes that new processes can have without swapping (MemAvailable)."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def devices() -> dict[str, str]:
    """The IP addresses of this host, without loopback, and the network device that has each."""
    links = json.loads(run("ip", "-j", "address"))
    return {
        item["local"]: link["ifname"]
        for link in links
        for item in link.get("addr_info", ())
        if item.get("local") and item.get("scope") != "host"
    }


def bridges() -> tuple[str, ...]:
    return tuple(sorted(path.parent.name for path in Path("/sys/class/net").glob("*/bridge")))


def _tcp() -> Iterable[tuple[str, int, str, int, str]]:
    """(local address, local port, remote address, remote port, state) of every TCP socket of this namespace."""
    for table in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:  # no IPv6 in this kernel
            continue
        for line in lines:
            local, remote, state = line.split()[1:4]
            yield (*_endpoint(local), *_endpoint(remote), state)


def _endpoint(text: str) -> tuple[str, int]:
    """Decode "0100007F:1F90": 32-bit words in host byte order, the port in hexadecimal."""
    address, _colon, port = text.partition(":")
    packed = b"".join(bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8))
    ip = ipaddress.ip_address(packed)
    mapped = getattr(ip, "ipv4_mapped", None)
    return str(mapped or ip), int(port, 16)


def ports_in_use() -> tuple[int, ...]:
    """Ports of the collection's range on which somebody listens."""
    return tuple(sorted({port for _l, port, _r, _p, state in _tcp() if state == TCP_LISTEN and port in PORT_RANGE}))


def peer_sockets(peer: str, ports: Iterable[int]) -> tuple[str, ...]:
    """The connections with ``peer`` over ``ports``, but for those that listen or still try to come about."""
    wanted = set(ports)
    return tuple(
        sorted(
            f"{local}:{port} {remote}:{remote_port}"
            for local, port, remote, remote_port, state in _tcp()
            if remote == peer and state not in (TCP_SYN_SENT, TCP_LISTEN) and (port in wanted or remote_port in wanted)
        )
    )


def release_sockets(peer: str, ports: Iterable[int]) -> None:
    """Reset every connection with ``peer`` over ``ports``, so that a QEMU that waits for a dead host goes on.

    A silent cut leaves QEMU's main loop in a read or write that ends only with the kernel's time-outs, many minutes
    later. ``ss --kill`` (SOCK_DESTROY, CONFIG_INET_DIAG_DESTROY, on in Debian's kernels) ends it at once.
    """
    either = " or ".join(f"sport = :{port} or dport = :{port}" for port in sorted(ports))
    run("ss", "--kill", "--no-header", "--tcp", "--numeric", f"dst {peer} and ( {either} )")


def reach(address: str, port: int, deadline: float = 5.0) -> None:
    """Connect to a port and close again. QEMU itself must not be the first to try: it waits without bound.

    Raises ColoError saying whether nobody listens or nothing answers.
    """
    try:
        socket.create_connection((address, port), deadline).close()
    except TimeoutError:
        raise ColoError(
            f"{address} port {port} does not answer within {deadline:g} s",
            remedy="Check the network between the hosts and the firewall of that host",
        ) from None
    except OSError as error:
        raise ColoError(
            f"cannot connect to {address} port {port}: {error.strerror or error}",
            remedy="Check that the standby listens there and that the hosts reach each other on that network",
        ) from None


def link_up(device: str) -> bool | None:
    """Whether a network device is administratively up; None where there is no such device."""
    try:
        flags = int(Path("/sys/class/net", device, "flags").read_text(encoding="ascii"), 16)
    except FileNotFoundError:
        return None
    return bool(flags & IFF_UP)


def set_link(device: str, *, up: bool) -> None:
    """Of a network device of this host."""
    run("ip", "link", "set", "dev", device, "up" if up else "down")


def open_files(domain: str) -> tuple[str, ...]:
    """What the running QEMU of ``domain`` has open, as /proc shows it: a file that was removed ends in DELETED."""
    try:
        pid = Path(PID_FILE.format(domain)).read_text(encoding="ascii").strip()
        handles = list(Path("/proc", pid, "fd").iterdir())
    except OSError:
        return ()
    found = []
    for handle in handles:
        with contextlib.suppress(OSError):
            found.append(os.readlink(handle))
    return tuple(found)


def kill_emulator(domain: str, uuid: str, timeout: float) -> None:
    """End the QEMU of ``domain`` at once, as a loss of power would, and return when it has ended.

    libvirt's own destroy asks QEMU first and looks only every 0.2 s whether it is gone (our measurement: 0.35 s).
    """
    pid = int(Path(PID_FILE.format(domain)).read_text(encoding="ascii"))
    handle = os.pidfd_open(pid)
    try:
        if uuid.encode() not in Path("/proc", str(pid), "cmdline").read_bytes():
            raise ColoError(f"process {pid} is not the QEMU of the domain", remedy="See what libvirt's log says of it")
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        if not select.select([handle], [], [], timeout)[0]:
            raise Timeout(f"QEMU (process {pid}) did not end within {timeout:g} s", remedy="Look at the host's storage")
    finally:
        os.close(handle)


def _run_directory() -> Path:
    directory = Path(RUN_DIRECTORY)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


@contextlib.contextmanager
def lock(domain: str, holder: str, patience: float, *, take_over: bool = False) -> Iterator[str | None]:
    """Be the only run that works on ``domain`` on this host; the kernel frees the lock however the process ends.

    Waits ``patience`` seconds for another run and then raises ColoError with its name. With ``take_over`` that run is
    ended instead, which is safe at any of its steps; yields its name then.
    """
    with open(_run_directory() / f"{domain}.lock", "a+", encoding="utf-8") as file:
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
            if take_over and (pid := _lock_holder(file)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(LOCK_POLL)
        file.truncate(0)
        file.write(holder)
        file.flush()
        yield other if take_over else None


def _locked_now(file: TextIO) -> bool:
    """Take the lock if it is free: a record lock, which no worker keeps that outlives its parent."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def _lock_holder(file: TextIO) -> int | None:
    """The process that has the lock, as the kernel knows it: what the file says may be of one that has ended."""
    wanted = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _whence, _start, _length, pid = struct.unpack(FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, wanted))
    return None if kind == fcntl.F_UNLCK else pid


def _note(uuid: str) -> Path:
    return _run_directory() / f"{uuid}.saved"


def note_save(uuid: str) -> None:
    """Note that a run is about to save this domain in order to restore it, until the host reboots."""
    _note(uuid).touch()


def forget_save(uuid: str) -> None:
    """The opposite of ``note_save``."""
    _note(uuid).unlink(missing_ok=True)


def is_noted(uuid: str) -> bool:
    return os.path.exists(f"{RUN_DIRECTORY}/{uuid}.saved")


@contextlib.contextmanager
def start_permit(uuid: str) -> Iterator[None]:
    """Let libvirt's hook, which the role host installs, pass one start of this domain while this process lives.

    It refuses every other start of a domain that is in a pair.
    """
    permit = Path(_run_directory(), uuid)
    permit.write_text(str(os.getpid()), encoding="ascii")
    try:
        yield
    finally:
        permit.unlink(missing_ok=True)


def logged_end(domain: str, directory: str = "/var/log/libvirt/qemu") -> str | None:
    """Why its QEMU ended last, as libvirt logged it; None where the log has no end after the last start.

    A start that was refused is logged as an end that has failed (libvirt 11.3, our measurement).
    """
    try:
        text = Path(directory, f"{domain}.log").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.findall(r": (?:starting up libvirt|shutting down, reason=(?!failed)(\w+))", text)
    return found[-1] or None if found else None


def last_words(domain: str, directory: str = "/var/log/libvirt/qemu") -> tuple[str, ...]:
    """What its QEMU said last before it ended by itself, at most LAST_WORDS lines without their time; else nothing.

    QEMU's own lines begin with the name of its program (error_report); libvirt logs the reason of each end after them.
    """
    try:
        text = Path(directory, f"{domain}.log").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    life = text.rpartition(": starting up libvirt")[2]
    if re.search(r": shutting down, reason=(?:shutdown|destroyed|saved|migrated)", life):
        return ()
    return tuple(re.findall(r"^(?:\S+Z )?qemu-system-\S+: (.{1,300})", life, re.MULTILINE)[-LAST_WORDS:])


def digest(path: str) -> str | None:
    """SHA-256 of a small file; None where it cannot be read."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return None


def image(path: str, image_format: str) -> Image:
    """Look at an image file that is said to be ``image_format``; the format is checked, never guessed."""
    if not os.path.lexists(path):
        return Image(path, exists=False)
    with open(path, "rb") as file:
        looks_qcow2 = file.read(4) == QCOW2_MAGIC
    if (image_format == "qcow2") != looks_qcow2:
        return Image(path, exists=True, format="qcow2" if looks_qcow2 else "raw")
    info = json.loads(run("qemu-img", "info", "-U", "-f", image_format, "--output=json", path))
    in_use = _locked(path, image_format)
    inode = os.stat(path).st_ino
    return Image(path, True, info["format"], info["virtual-size"], in_use, inode, _allocated(path))


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
    """What ``qemu-img check`` finds wrong with a qcow2 image that nobody has open; None when nothing is."""
    try:
        run("qemu-img", "check", "-q", "-f", "qcow2", path, deadline=deadline)
    except CommandFailed as error:
        return error.what
    return None


def create_image(path: str, image_format: str, size: int, owner: str, group: str) -> None:
    """Make an empty image of exactly ``size`` bytes that QEMU's user can open; never over an existing file."""
    partial = f"{path}.partial"
    Path(partial).unlink(missing_ok=True)
    run("qemu-img", "create", "-q", "-f", image_format, partial, str(size))
    _own(partial, owner, group, 0o600)
    try:
        os.link(partial, path)  # unlike a rename, fails where a file has appeared meanwhile
    except FileExistsError:
        raise ColoError(f"{path} exists already", remedy="Move it away if it is not needed") from None
    finally:
        os.unlink(partial)
    _sync_directory(Path(path).parent)


def make_directory(path: str, owner: str, group: str) -> None:
    Path(path).mkdir(parents=True, exist_ok=True)
    _own(path, owner, group, 0o751)


def _own(path: str, owner: str, group: str, mode: int) -> None:
    try:
        shutil.chown(path, owner, group)
    except LookupError as error:
        raise ColoError(
            f"cannot give {path} to {owner}:{group}: {error}",
            remedy="State the user and group that QEMU runs as in image_owner and image_group",
        ) from None
    os.chmod(path, mode)


def remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)


def remove_directory(path: str) -> None:
    """Remove a directory if it is empty: what is in it and not ours stays."""
    with contextlib.suppress(FileNotFoundError, OSError):
        Path(path).rmdir()


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
