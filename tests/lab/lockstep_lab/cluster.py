# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster of the lab's hosts needs: Debian's packages, a third host, and a fencing agent (fence_lab), which asks
the power switch (powerswitch.py)."""

from __future__ import annotations

import shutil
from pathlib import Path

from . import hosts, rootfs
from .common import HOSTS, SOURCE, WITNESS, Lab, remove_tree, say, write

PACKAGES = ["corosync", "corosync-qdevice", "corosync-qnetd", "pacemaker", "pacemaker-cli-utils"]
REPOSITORY = "/srv/lab-cluster"  # where hosts see them


def packages(lab: Lab) -> Path:
    """A repository of them and all that they need; fetched when the first cluster is made."""
    directory = lab.cache / "packages-cluster"
    if not (directory / "dists").exists():
        say("downloading Pacemaker and Corosync")
        log, upper = lab.cache / "build-cluster.log", lab.cache / "making-cluster"
        remove_tree(upper)
        upper.mkdir()
        with rootfs.apt_chroot(lab, rootfs.layer_path(lab, "base"), upper, directory, log) as (_root, apt_get):
            apt_get("install", "--download-only", *PACKAGES)
        remove_tree(upper)
        rootfs.index(directory, rootfs.SUITE)
    return directory


def equip(lab: Lab) -> None:
    """Boot the third host, and give all three the packages, and the two the agent."""
    repository = packages(lab)
    hosts.boot(lab, WITNESS)
    for host in (*HOSTS, WITNESS):
        root = lab.host_root(host)
        shutil.copytree(repository, root / REPOSITORY.lstrip("/"), dirs_exist_ok=True)
        write(
            root / "etc/apt/sources.list.d/lab-cluster.list",
            f"deb [trusted=yes] file:{REPOSITORY} {rootfs.SUITE} {rootfs.COMPONENT}\n",
        )
        if host in HOSTS:
            shutil.copy(SOURCE / "fence_lab", root / "usr/sbin/fence_lab")
            (root / "usr/sbin/fence_lab").chmod(0o755)
