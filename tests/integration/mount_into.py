# SPDX-License-Identifier: GPL-3.0-or-later
"""mount_into.py SOURCE PID TARGET: mount a directory of this machine inside the mount namespace of another process.

A bind mount cannot name a source outside its namespace; a detached copy of a mount (open_tree) can be carried over.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

OPEN_TREE, MOVE_MOUNT = 428, 429  # x86-64
OPEN_TREE_CLONE, MOVE_MOUNT_F_EMPTY_PATH, AT_FDCWD = 1, 4, -100

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


source, pid, target = sys.argv[1:]
tree = check(libc.syscall(OPEN_TREE, AT_FDCWD, source.encode(), OPEN_TREE_CLONE | os.O_CLOEXEC), "open_tree")
with Path(f"/proc/{pid}/ns/mnt").open("rb") as namespace:
    check(libc.setns(namespace.fileno(), 0), "setns")
check(
    libc.syscall(MOVE_MOUNT, tree, b"", AT_FDCWD, target.encode(), MOVE_MOUNT_F_EMPTY_PATH), f"move_mount to {target}"
)
