# SPDX-License-Identifier: GPL-3.0-or-later
"""A host as a systemd-nspawn machine: a directory (its disk: an overlay's upper layer) and a network namespace."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from . import guestimage, identity, network, rootfs
from .common import Lab, mounts

BOOT_TIMEOUT = 90.0
ENVIRONMENT = {
    "SYSTEMD_SECCOMP": "0",
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
}


def prepare(lab: Lab, host: str) -> None:
    """The host's end of the LAN and its mounted overlay, which the first time becomes this host's."""
    network.make_host(lab, host)
    directory, root = lab.host_dir(host), lab.host_root(host)
    for name in ("upper", "work", "root"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    if str(root) not in mounts():
        layers = rootfs.stack(lab, bare=lab.is_bare(host), suite=lab.facts()["suite"])
        rootfs.mount_overlay(layers, directory / "upper", directory / "work", root)
    if not identity.known(host, root):
        identity.write_into(lab, host, root)
    guestimage.install(lab, root)


def command(lab: Lab, host: str) -> list[str]:
    """The words that boot it."""
    name, packages = lab.host_ns(host), rootfs.repository(lab, lab.facts()["suite"])
    words = ["systemd-nspawn", "-q", "-D", str(lab.host_root(host)), "-M", name, "-b", "--register=no", "--keep-unit"]
    words += [
        f"--network-namespace-path=/run/netns/{name}",
        "--capability=all",
        "--console=pipe",
        "--bind=/dev/net/tun",
    ]
    words += [f"--hostname={host}", f"--bind-ro={packages}:{rootfs.REPOSITORY}", "--resolv-conf=off"]
    words += ["--timezone=off", "--link-journal=no"]
    if lab.facts()["kvm"]:
        # A node of its own: the groups of the machine's are not the host's. (Not tried where the lab was written.)
        node = lab.host_dir(host) / "kvm"
        if not node.exists():
            os.mknod(node, stat.S_IFCHR, Path("/dev/kvm").stat().st_rdev)
            node.chmod(0o666)
        words += [f"--bind={node}:/dev/kvm"]
    return words
