# SPDX-License-Identifier: GPL-3.0-or-later
"""What VM instances boot from, built once for each Debian suite.

root.ext4      a bare Debian with ssh, Python, a kernel and AppArmor; each instance has a copy of its own
packages.ext4  the repository of downloaded packages (rootfs.py), which all instances read
vmlinuz, initrd.img  the kernel of root.ext4, for QEMU to start without a boot loader
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from . import rootfs
from .common import HOSTS, Lab, remove_tree, run, say, write

SUITES = ("trixie", "bookworm")
PACKAGES = [*rootfs.BASE, rootfs.KERNEL, "apparmor"]
# Timers would make noise in measurements; the others wait for what a lab has not got.
MASKED = [unit for unit in rootfs.MASKED if unit.endswith(".timer")]
MASKED += ["systemd-networkd-wait-online.service", "systemd-firstboot.service"]
DISK_SIZE = "8G"  # sparse; standbys and snapshots need room
RECIPE = 5  # raise it when the code below builds something else from the same lists


def suites(text: str) -> str:
    """The suite of both hosts, or that of each of them with a comma between them."""
    named = text.split(",")
    if len(named) > len(HOSTS) or not set(named) <= set(SUITES):
        raise ValueError(text)
    return text


def of_hosts(lab: Lab, text: str) -> dict[str, Path]:
    """Where the files of each host's suite lie."""
    named = text.split(",")
    return dict(zip(HOSTS, (path(lab, suite) for suite in (named[0], named[-1])), strict=True))


def path(lab: Lab, suite: str) -> Path:
    """Where the files of a suite lie; the name changes with what they are made from."""
    key = rootfs.key("instance", RECIPE, PACKAGES, MASKED, DISK_SIZE, rootfs.FULL, rootfs.EXTRA)
    return lab.cache / "instances" / f"{suite}-{key}"


def build(lab: Lab, suite: str) -> None:
    """Make the files of a suite, when they are missing."""
    target = path(lab, suite)
    if target.exists():
        return
    log = lab.cache / "build-instance.log"
    log.write_text("", encoding="utf-8")
    making = target.with_name(f"making-{suite}")
    remove_tree(making)
    making.mkdir(parents=True)
    tree = making / "tree"
    say(f"building the instances' disk: Debian {suite} with ssh, Python and a kernel (about 2 min; log: {log})")
    rootfs.bootstrap(tree, suite, PACKAGES, MASKED, log)
    debs = _repository(lab, suite, tree, log)
    rootfs.use_repository(tree, suite)
    # apt reads nothing anew within the hour after its lists' date, and it would find an empty directory of this minute.
    os.utime(tree / "var/lib/apt/lists", (0, 0))
    write(tree / "etc/fstab", f"/dev/vda / ext4 defaults 0 0\n/dev/vdb {rootfs.REPOSITORY} ext4 ro 0 0\n")
    (tree / rootfs.REPOSITORY.lstrip("/")).mkdir(parents=True)
    # All of it costs an emulated instance minutes: no package there needs another initramfs, no instance outlives a
    # loss of power while packages are installed, and what is only recommended was not downloaded on purpose.
    write(tree / "etc/initramfs-tools/update-initramfs.conf", "update_initramfs=no\n")
    write(tree / "etc/dpkg/dpkg.cfg.d/lab", "force-unsafe-io\n")
    write(tree / "etc/apt/apt.conf.d/91lab", 'APT::Install-Recommends "false";\n')
    run(["chroot", tree, "systemctl", "enable", "systemd-networkd.service"], log=log)
    for name in ("vmlinuz", "initrd.img"):
        shutil.copy(next(tree.glob(f"boot/{name}-*")), making / name)
    say("writing root.ext4 and packages.ext4")
    _filesystem(tree, making / "root.ext4", DISK_SIZE, log)
    _filesystem(debs, making / "packages.ext4", f"{_mebibytes(debs) * 5 // 4 + 64}M", log)
    remove_tree(tree)
    making.rename(target)
    rootfs.remove_unused(lab, set(target.parent.glob(f"{suite}-*")) - {target})
    say(f"the instances' disk of {suite} is ready")


def _repository(lab: Lab, suite: str, tree: Path, log: Path) -> Path:
    """The packages that make a KVM host of the suite, as a repository."""
    if suite == rootfs.SUITE:
        return rootfs.repository(lab)  # the containers' own
    say(f"downloading the packages of a KVM host of {suite}")
    debs = lab.cache / f"packages-{suite}"
    upper = lab.cache / f"making-packages-{suite}"
    remove_tree(upper)
    upper.mkdir()
    with rootfs.apt_chroot(lab, tree, upper, debs, log) as (_, apt_get):
        apt_get("install", "--download-only", *rootfs.FULL, *rootfs.EXTRA)
    remove_tree(upper)
    rootfs.index(debs, suite)
    return debs


def _filesystem(source: Path, image: Path, size: str, log: Path) -> None:
    run(["mkfs.ext4", "-q", "-d", source, image, size], timeout=300, log=log)


def _mebibytes(directory: Path) -> int:
    return sum(entry.stat().st_size for entry in directory.iterdir() if entry.is_file()) >> 20
