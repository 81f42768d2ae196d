# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The QEMU process of a domain, as the kernel and libvirt's log have it."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from ..errors import ColoError
from .processes import kill

VHOST_DEVICE = "/dev/vhost-net"
DELETED = " (deleted)"
LAST_WORDS = 3  # lines of a log
OLDER_LOGS = 3
STARTED = ": starting up libvirt"  # libvirt's line before those of a new QEMU
LOGS = "/var/log/libvirt/qemu"
PID_FILE = "/run/libvirt/qemu/{}.pid"


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


def began(domain: str) -> float | None:
    """When the QEMU of ``domain`` was started, in seconds since the epoch; None where none runs."""
    try:
        return os.stat(PID_FILE.format(domain)).st_mtime
    except OSError:
        return None


def kill_emulator(domain: str, uuid: str, timeout: float) -> None:
    """End the QEMU of ``domain`` at once, as a loss of power would, and return when it has ended.

    libvirt's own destroy asks QEMU first and looks only every 0.2 s whether it is gone (our measurement: 0.35 s).
    """
    pid = int(Path(PID_FILE.format(domain)).read_text(encoding="ascii"))
    handle = os.pidfd_open(pid)
    try:
        if uuid.encode() not in Path("/proc", str(pid), "cmdline").read_bytes():
            raise ColoError(f"process {pid} is not the QEMU of the domain", remedy="See what libvirt's log says of it")
        kill(handle, pid, timeout, "Look at the host's storage")
    finally:
        os.close(handle)


def log_file(domain: str, directory: str = LOGS) -> str:
    """Where libvirt and its QEMUs log."""
    return f"{directory}/{domain}.log"


def _log(domain: str, directory: str) -> str:
    """What libvirt and its QEMUs have logged of ``domain``; nothing where there is no log that can be read."""
    return _read(log_file(domain, directory))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def logged_since(domain: str, words: str, directory: str = LOGS) -> str | None:
    """What the QEMU that was started last logged after its last line that has ``words``; None where it has none.

    virtlogd moves a log that has grown (2 MiB) to NAME.log.0, and that to NAME.log.1, three of them at most.
    """
    path, text = log_file(domain, directory), _log(domain, directory)
    for number in range(OLDER_LOGS):
        if words in text or STARTED in text:
            break
        older = _read(f"{path}.{number}")
        if not older:
            return None
        text = older + text
    _before, there, after = text.rpartition(words)
    return after if there and STARTED not in after else None


def logged_end(domain: str, directory: str = LOGS) -> str | None:
    """Why its QEMU ended last, as libvirt logged it; None where the log has no end after the last start.

    A start that was refused is logged as an end that has failed (libvirt 11.3, our measurement).
    """
    ends = r": (?:starting up libvirt|shutting down, reason=(?!failed)(\w+))"
    found = re.findall(ends, _log(domain, directory))
    return found[-1] or None if found else None


def last_words(domain: str, directory: str = LOGS) -> tuple[str, ...]:
    """What its QEMU said last before it ended by itself, at most LAST_WORDS lines without their time; else nothing.

    QEMU's own lines begin with the name of its program (error_report); libvirt logs the reason of each end after them.
    """
    life = _log(domain, directory).rpartition(STARTED)[2]
    if re.search(r": shutting down, reason=(?:shutdown|destroyed|saved|migrated)", life):
        return ()
    return tuple(re.findall(r"^(?:\S+Z )?qemu-system-\S+: (.{1,300})", life, re.MULTILINE)[-LAST_WORDS:])
