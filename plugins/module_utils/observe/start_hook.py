# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is there of the hook that refuses to start a domain of a pair behind the collection's back."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ..observation.seen import StartHook

HOOK = "/etc/libvirt/hooks/qemu.d/lockstep-colo"
# Of the daemon that drives QEMU, monolithic or modular, as Debian builds libvirt; each writes its own when it starts.
PID_FILES = ("/run/libvirtd.pid", "/run/virtqemud.pid")


def start_hook() -> StartHook:
    """What is there of the hook, and whether the daemon that drives QEMU knows of it.

    libvirt looks for hooks when it starts (virHookInitialize), and not again while it runs. A daemon that does not run
    will be started by its socket, and look then.
    """
    try:
        text, changed = Path(HOOK).read_bytes(), os.stat(HOOK).st_ctime
    except OSError:
        return StartHook()
    started = max(filter(None, map(_started, PID_FILES)), default=None)
    known = started is None or started >= changed
    return StartHook(hashlib.sha256(text).hexdigest(), os.access(HOOK, os.X_OK), known)


def _started(pid_file: str) -> float | None:
    """When the daemon that wrote this file started, in seconds since the epoch; None where it does not run."""
    try:
        pid = Path(pid_file).read_text(encoding="ascii").strip()
        return os.stat(pid_file).st_mtime if os.path.exists(f"/proc/{pid}/exe") else None
    except OSError:
        return None
