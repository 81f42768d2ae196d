# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts' file systems: cached layers that an overlay stacks.

base  a bare Debian with ssh and Python (mmdebstrap; the mirror comes from its own defaults and the host's apt)
full  what the packages of a KVM host add to it; QEMU is that of the suite or, in other layers, that of its backports
apt   points apt at a repository of the downloaded packages in a directory, so that hosts need no network
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .common import Lab, LabError, mounts, remove_tree, run, say, write

SUITE = "trixie"
BACKPORTS = f"{SUITE}-backports"
OLDER = "bookworm"
SUITES = (SUITE, BACKPORTS, OLDER)  # of hosts: those of the second are of the first, with its backports' QEMU
FROM_BACKPORTS = "src:qemu src:seabios"  # QEMU, and the firmware that it depends on in a newer version
BASE = [
    "systemd-sysv",
    "dbus",
    "udev",
    "kmod",
    "python3",
    "python3-apt",
    "sudo",
    "iproute2",
    "openssh-server",
    "ca-certificates",
    "procps",
    "iputils-ping",
]
FULL = [
    "libvirt-daemon-system",
    "libvirt-clients",
    "qemu-system-x86",
    "qemu-utils",
    "python3-libvirt",
    "python3-lxml",
    "nftables",
    "dnsmasq-base",
    "gnutls-bin",
    "openssl",
]
EXTRA = ["apparmor", "firewalld"]  # kept as packages for those who want to install them; not installed
DEVICES = ["ovmf", "qemu-system-modules-spice"]  # as well; what some guests of tests/long/devices are made of
KERNEL = "linux-image-cloud-amd64"
GENERIC_KERNEL = "linux-image-amd64"  # it has the drivers of devices that no cloud has
MASKED = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "fstrim.timer",
    "e2scrub_all.timer",
    "man-db.timer",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-networkd-wait-online.service",
    "console-getty.service",
    "getty@.service",
    "systemd-udevd.service",
    "systemd-udev-trigger.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-timesyncd.service",
    "systemd-firstboot.service",
    "ldconfig.service",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "dev-hugepages.mount",
    "modprobe@.service",
]
LAYERS = ("apt", "full", "base")  # of a host, top first
REPOSITORY = "/srv/lab-apt"  # where hosts see the packages
REPOSITORY_FORM = 2  # raise it when hosts shall find the packages there in another way
COMPONENT = "main"
BACKPORTED = re.compile(r"^Version: .*~bpo", re.MULTILINE)
PREFERENCES = "etc/apt/preferences.d/lab"
RECIPE = 3  # raise it when the code below builds something else from the same lists


def key(*parts: object) -> str:
    """A name for what is built from these parts by the code below."""
    return hashlib.sha256(json.dumps([RECIPE, SUITE, *parts]).encode()).hexdigest()[:12]


def release(suite: str) -> str:
    """The Debian that hosts of a suite are."""
    return suite.removesuffix("-backports")


def layer_path(lab: Lab, name: str, suite: str = SUITE) -> Path:
    """Where a layer lies; its name changes with what it is made from."""
    base = [BASE, *([release(suite)] if release(suite) != SUITE else [])]
    packages = [*base, FULL, *_fetched(suite), *([suite, FROM_BACKPORTS] if suite == BACKPORTS else [])]
    made_from = {"base": base, "full": packages, "apt": [REPOSITORY_FORM, *packages]}[name]
    return lab.cache / "layers" / f"{name}-{key(*made_from)}"


def _fetched(suite: str) -> list[list[str]]:
    """Lists of packages that hosts of a suite find in their repository, beside what they have."""
    return [EXTRA] if release(suite) == OLDER else [EXTRA, DEVICES]  # its QEMU has no modules of that name


def repository(lab: Lab, suite: str = SUITE) -> Path:
    """The packages, bound to REPOSITORY in every host of that suite."""
    return lab.cache / ("packages" if suite == SUITE else f"packages-{suite}")


def stack(lab: Lab, *, bare: bool, suite: str = SUITE) -> list[Path]:
    """The layers of a host, top first."""
    return [layer_path(lab, name, suite) for name in (("apt", "base") if bare else LAYERS)]


def build(lab: Lab, suite: str = SUITE) -> None:
    """Make the layers that are missing; about two minutes when there is nothing."""
    if release(suite) != SUITE:
        build(lab)  # the guest's kernel, and the guest that tries KVM, are of it
    apt, full, base = stack(lab, bare=False, suite=suite)
    if all(path.exists() for path in (base, full, apt)) and any((lab.cache / "kernel").glob("*.deb")):
        return
    lab.cache.joinpath("layers").mkdir(parents=True, exist_ok=True)
    log = lab.cache / "build.log"
    log.write_text("", encoding="utf-8")
    if not base.exists():
        say(f"building layer base: Debian {release(suite)} with ssh and Python (about 40 s; log: {log})")
        _build_base(base, suite, log)
    if not full.exists() or not any((lab.cache / "kernel").glob("*.deb")):
        say(f"building layer full: libvirt, QEMU of {suite} and the guest's kernel package (about 60 s)")
        _build_full(lab, suite, log)
    if not apt.exists():
        say("building layer apt: a repository of the downloaded packages")
        _build_apt(lab, suite, log)
    current = {path for one in SUITES for path in stack(lab, bare=False, suite=one)}
    remove_unused(lab, set(lab.cache.joinpath("layers").iterdir()) - current)
    say("layers are ready")


def remove_unused(lab: Lab, outdated: Iterable[Path]) -> None:
    """Remove what no lab was made from."""
    used = {layer for facts in lab.directory.glob("labs/*/lab.json") for layer in _layers_of(facts)}
    for old in outdated:
        if str(old) not in used:
            remove_tree(old)


def _layers_of(facts: Path) -> list[str]:
    return list(json.loads(facts.read_text(encoding="utf-8")).get("layers", []))


def _build_base(base: Path, suite: str, log: Path) -> None:
    making = base.with_name("making-base")
    remove_tree(making)
    bootstrap(making, release(suite), BASE, MASKED, log)
    making.rename(base)


def bootstrap(target: Path, suite: str, packages: Sequence[str], masked: Sequence[str], log: Path) -> None:
    """A Debian of that suite in a directory, without what every host has to have for itself."""
    run(
        ["mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}", suite, target],
        timeout=900,
        log=log,
    )
    for unit in masked:
        (target / "etc/systemd/system" / unit).unlink(missing_ok=True)
        (target / "etc/systemd/system" / unit).symlink_to("/dev/null")
    # Every host gets its own at its first boot.
    for key_file in target.glob("etc/ssh/ssh_host_*"):
        key_file.unlink()
    write(target / "etc/machine-id", "")


def _build_full(lab: Lab, suite: str, log: Path) -> None:
    base, full = layer_path(lab, "base", suite), layer_path(lab, "full", suite)
    making = full.with_name("making-full")
    remove_tree(making)
    making.mkdir()
    with apt_chroot(lab, base, making, repository(lab, suite), log) as (root, apt_get):
        # Downloaded before the installation, so that a bare host finds everything that it may ask for.
        all_of_them = [*FULL, *itertools.chain(*_fetched(suite))]
        apt_get("install", "--download-only", *all_of_them)
        if suite == BACKPORTS:  # beside the suite's own QEMU, which bare hosts may begin with
            _add_backports(root)
            apt_get("update")
            apt_get("install", "--download-only", *all_of_them)
        apt_get("install", *FULL)
        if release(suite) == SUITE:
            _download_kernel(root, KERNEL, lab.cache / "kernel", log)
        # The two hosts are one machine to dmidecode; to libvirt they have to be two.
        with (root / "etc/libvirt/libvirtd.conf").open("a", encoding="utf-8") as handle:
            handle.write(
                '\n# lab: both hosts share the SMBIOS of the machine they run on\nhost_uuid_source = "machine-id"\n'
            )
        for link in ("default.xml", "autostart/default.xml"):
            (root / "etc/libvirt/qemu/networks" / link).unlink(missing_ok=True)
        (root / PREFERENCES).unlink(missing_ok=True)
    making.rename(full)


def _add_backports(root: Path) -> None:
    """Have apt know the suite's backports, at the address from which it has the suite, and take QEMU from there."""
    sources = root / "etc/apt/sources.list"
    lines = sources.read_text(encoding="utf-8").splitlines()
    added = [line.replace(f" {SUITE} ", f" {BACKPORTS} ") for line in lines if f" {SUITE} " in line]
    if not added:
        raise LabError(f"where backports are cannot be known: mmdebstrap wrote no entry for {SUITE} into sources.list")
    write(sources, "\n".join([*lines, *added]) + "\n")
    write(root / PREFERENCES, f"Package: {FROM_BACKPORTS}\nPin: release n={BACKPORTS}\nPin-Priority: 990\n")


def kernel(lab: Lab, package: str) -> Path:
    """The package of the kernel that ``package`` stands for; one that the layers did not need is fetched now."""
    directory = lab.cache / ("kernel" if package == KERNEL else f"kernel-{package}")
    if not any(directory.glob("*.deb")):
        say(f"downloading {package}")
        log, upper = lab.cache / "build-kernel.log", lab.cache / "making-kernel"
        remove_tree(upper)
        upper.mkdir()
        with apt_chroot(lab, layer_path(lab, "base"), upper, repository(lab), log) as (root, _apt_get):
            _download_kernel(root, package, directory, log)
        remove_tree(upper)
    return next(directory.glob("*.deb"))


def _download_kernel(root: Path, package: str, directory: Path, log: Path) -> None:
    script = f"apt-cache depends {package} | sed -n 's/.*Depends: \\(linux-image-[^ ]*\\).*/\\1/p'"
    version = run(["chroot", root, "sh", "-c", script]).stdout.split()
    if not version:
        raise LabError(f"apt does not know which kernel {package} stands for")
    run(["chroot", root, "sh", "-c", f"cd /root && apt-get -q download {version[0]}"], timeout=300, log=log)
    directory.mkdir(exist_ok=True)
    for old in directory.glob("*.deb"):
        old.unlink()
    for found in root.glob("root/linux-image-*.deb"):
        shutil.move(found, directory / found.name)
    run(["chroot", root, "apt-get", "clean", "-o", "Dir::Cache::archives=/root/"], log=log)


@contextlib.contextmanager
def apt_chroot(
    lab: Lab, base: Path, upper: Path, debs: Path, log: Path
) -> Iterator[tuple[Path, Callable[..., object]]]:
    """A file system above `base` in which apt reaches its mirror, keeps packages in `debs` and starts no service."""
    (debs / "partial").mkdir(parents=True, exist_ok=True)
    with chroot(lab, [base], upper, binds={debs: "/var/cache/apt/archives"}) as root:
        (root / "etc/resolv.conf").unlink(missing_ok=True)
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        write(root / "usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
        options = ["-q", "-y", "--no-install-recommends", "-o", "APT::Keep-Downloaded-Packages=true"]
        options += ["-o", "Binary::apt-get::APT::Keep-Downloaded-Packages=true", "-o", "APT::Sandbox::User=root"]
        options += ["-o", "Dpkg::Options::=--force-unsafe-io"]

        def apt_get(*words: str) -> None:
            command = ["chroot", root, "apt-get", *options, *words]
            run(command, timeout=900, log=log, env={"DEBIAN_FRONTEND": "noninteractive"})

        apt_get("update")
        yield root, apt_get
        shutil.rmtree(root / "var/lib/apt/lists")
        (root / "usr/sbin/policy-rc.d").unlink()


def _build_apt(lab: Lab, suite: str, log: Path) -> None:
    debs, apt = repository(lab, suite), layer_path(lab, "apt", suite)
    index(debs, release(suite))
    making = apt.with_name("making-apt")
    remove_tree(making)
    making.mkdir()
    with chroot(lab, [layer_path(lab, "base", suite)], making, binds={debs: REPOSITORY}) as root:
        use_repository(root, release(suite))
        run(["chroot", root, "apt-get", "-q", "update"], timeout=120, log=log)
    making.rename(apt)


def index(debs: Path, suite: str) -> None:
    """Make a directory of packages a repository of a suite and, where there are some from there, of its backports."""
    shutil.rmtree(debs / "partial", ignore_errors=True)
    (debs / "lock").unlink(missing_ok=True)
    shutil.rmtree(debs / "dists", ignore_errors=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        stanzas = list(pool.map(_stanza, sorted(debs.glob("*.deb"))))
    newer = [stanza for stanza in stanzas if BACKPORTED.search(stanza)]
    _suite(debs, suite, [stanza for stanza in stanzas if stanza not in newer])
    if newer:
        _suite(debs, f"{suite}-backports", newer, "NotAutomatic: yes\nButAutomaticUpgrades: yes\n")  # as Debian's


def _suite(debs: Path, name: str, stanzas: Sequence[str], fields: str = "") -> None:
    """One suite of a repository, with more fields for its Release file."""
    path, packages = f"{COMPONENT}/binary-amd64/Packages", "\n".join(stanzas)
    digest, size = hashlib.sha256(packages.encode()).hexdigest(), len(packages.encode())
    write(debs / "dists" / name / path, packages)
    write(
        debs / "dists" / name / "Release",
        f"Origin: lab\nSuite: {name}\nCodename: {name}\nDate: Thu, 01 Jan 1970 00:00:00 UTC\nArchitectures: amd64\n"
        f"Components: {COMPONENT}\n{fields}"
        f"SHA256:\n {digest} {size} {path}\n",
    )


def use_repository(root: Path, suite: str) -> None:
    """Have apt in a file system know that suite of the repository, and nothing else."""
    for old in (root / "etc/apt/sources.list.d").iterdir():
        old.unlink()
    write(
        root / "etc/apt/sources.list",
        f"# lab: hosts have no network beyond the lab\ndeb [trusted=yes] file:{REPOSITORY} {suite} {COMPONENT}\n",
    )
    write(root / "etc/apt/apt.conf.d/90lab", 'APT::Sandbox::User "root";\nAcquire::Languages "none";\n')


def _stanza(package: Path) -> str:
    """One package's entry in a repository index."""
    control = run(["dpkg-deb", "-f", package]).stdout.rstrip("\n")
    content = package.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return f"{control}\nFilename: {package.name}\nSize: {len(content)}\nSHA256: {digest}\n"


@contextlib.contextmanager
def chroot(lab: Lab, lower: Sequence[Path], upper: Path, *, binds: dict[Path, str]) -> Iterator[Path]:
    """An overlay that is ready to chroot into; all its mounts are gone afterwards."""
    root = lab.cache / f"chroot-{upper.name}"
    work = lab.cache / f"work-{upper.name}"
    unmount_tree(root)  # of a run that was killed
    remove_tree(work)
    for path in (root, work):
        path.mkdir(parents=True, exist_ok=True)
    mount_overlay(lower, upper, work, root)
    try:
        run(["mount", "-t", "proc", "proc", root / "proc"])
        run(["mount", "--rbind", "--make-rslave", "/dev", root / "dev"])
        for source, target in binds.items():
            (root / target.lstrip("/")).mkdir(parents=True, exist_ok=True)
            run(["mount", "--bind", source, root / target.lstrip("/")])
        yield root
    finally:
        unmount_tree(root)
        shutil.rmtree(work, ignore_errors=True)
        with contextlib.suppress(OSError):
            root.rmdir()


def mount_overlay(lower: Sequence[Path], upper: Path, work: Path, target: Path) -> None:
    """Mount layers (top first) with a writable one above them."""
    options = f"lowerdir={':'.join(map(str, lower))},upperdir={upper},workdir={work}"
    run(["mount", "-t", "overlay", "-o", options, "lab-overlay", target])


def unmount_tree(root: Path) -> None:
    """Unmount a directory and everything below it, the last mount first."""
    for point in reversed([m for m in mounts() if m == str(root) or m.startswith(f"{root}/")]):
        if run(["umount", point], check=False).returncode:
            run(["umount", "--lazy", point], check=False)


def architecture_supported() -> bool:
    """The lab's guest and shim are written for x86-64."""
    return platform.machine() == "x86_64"
