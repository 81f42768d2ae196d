# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a Debian file system this one host of the lab: its name, its keys, and who may enter."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from . import rootfs
from .common import ADDRESSES, CLIENT_ADDRESS, Lab, run, write


def write_into(lab: Lab, host: str, root: Path) -> None:
    """Make the file system at `root` this host; the host's name is written last, so it says that the rest is there."""
    names = "".join(f"{address} {name}\n" for name, address in ADDRESSES.items())
    write(root / "etc/hosts", f"127.0.0.1 localhost\n{names}{CLIENT_ADDRESS} client\n")
    write(root / "etc/machine-id", f"{uuid.uuid4().hex}\n", 0o444)
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    write(root / "etc/resolv.conf", "# lab: no names from outside\n")
    for directory, mode in (("root", 0o700), ("root/.ssh", 0o700), ("etc/ssh", 0o755)):
        (root / directory).mkdir(mode=mode, exist_ok=True)
    shutil.copy(lab.state / "key.pub", root / "root/.ssh/authorized_keys")
    for kind in ("ed25519", "ecdsa"):
        run(["ssh-keygen", "-q", "-N", "", "-t", kind, "-C", host, "-f", root / f"etc/ssh/ssh_host_{kind}_key"])
    write(
        root / "etc/ssh/sshd_config.d/lab.conf",
        "PermitRootLogin prohibit-password\nUseDNS no\nMaxStartups 100\nMaxSessions 100\n",
    )
    (root / rootfs.REPOSITORY.lstrip("/")).mkdir(parents=True, exist_ok=True)
    write(root / "etc/hostname", f"{host}\n")


def known(host: str, root: Path) -> bool:
    """Whether the file system at `root` is this host already."""
    name = root / "etc/hostname"
    return name.exists() and name.read_text(encoding="utf-8").strip() == host
