# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this host has for a guest: processor, links, bridges, storage, AppArmor. Only the preflight asks for it."""

from __future__ import annotations

import contextlib
import grp
import itertools
import os
import pwd
import re
from collections.abc import Iterable
from pathlib import Path

from ..domain.needs import number_set
from ..errors import ColoError
from ..host.command import run
from ..observation.seen import Cpu, ForwardDelay, HugePages, Link, Space

NETWORK = "/sys/class/net"
CPUINFO = "/proc/cpuinfo"
KVM = "/dev/kvm"
SYSTEM = "/sys/devices/system"
HUGE_PAGES = "/sys/kernel/mm/hugepages"
MEMINFO = "/proc/meminfo"
CENTISECOND = 0.01  # the unit of a bridge's times in /sys
ECHOES = 3
ECHO_DEADLINE = 0.2  # seconds for the last echo; a replication link answers in milliseconds
_BEST_ECHO = re.compile(r" = ([0-9]+[.,][0-9]+)/")  # rtt min/avg/max/mdev, in whatever language

# libvirt confines guests where the kernel has a profile for libvirt itself (src/security/security_apparmor.c), and the
# profile it makes for each guest includes the local rules.
APPARMOR_PROFILES = "/sys/kernel/security/apparmor/profiles"
APPARMOR_LOCAL = "/etc/apparmor.d"
_LOCAL_RULES = ("local/abstractions/libvirt-qemu", "abstractions/libvirt-qemu.d/*")  # Debian 12 has the first alone
_LIBVIRT_PROFILE = re.compile(r"^(/usr/sbin/)?(libvirtd|virtqemud) \(", re.MULTILINE)
_DIRECTORY_RULE = re.compile(r'^\s*"?(?P<path>/[^"*]*)/\*\*"?\s+(?P<access>[a-z]+),', re.MULTILINE)


def cpu() -> Cpu | None:
    """The first processor; a host's processors are of one kind."""
    with open(CPUINFO, encoding="utf-8") as every:
        first = list(itertools.takewhile(str.strip, every))
    fields = dict(re.split(r"\s*:\s*", line.strip(), maxsplit=1) for line in first if ":" in line)
    if "model name" not in fields:  # not x86
        return None
    return Cpu(fields["model name"], tuple(sorted(fields.get("flags", "").split())))


def online(kind: str) -> tuple[int, ...]:
    """The numbers of the processors (``cpu``) or NUMA nodes (``node``) that are online; none where nothing says so."""
    try:
        text = Path(SYSTEM, kind, "online").read_text(encoding="ascii").strip()
    except OSError:  # a kernel without NUMA
        return ()
    return tuple(sorted(number_set(text))) if text else ()


def has_kvm() -> bool:
    """Whether this kernel has KVM for QEMU to use."""
    return os.path.exists(KVM)


def huge_pages() -> tuple[HugePages, ...]:
    """The sizes of huge pages that the kernel has, and which is its default."""
    found = []
    usual = re.search(r"^Hugepagesize:\s*(\d+) kB$", Path(MEMINFO).read_text(encoding="ascii"), re.MULTILINE)
    for directory in sorted(Path(HUGE_PAGES).glob("hugepages-*kB")):
        size = directory.name.removeprefix("hugepages-").removesuffix("kB")
        free = int((directory / "free_hugepages").read_text(encoding="ascii"))
        found.append(HugePages(int(size) * 1024, free, usual is not None and usual[1] == size))
    return tuple(found)


def links(devices: dict[str, str]) -> tuple[Link, ...]:
    """The link of each address in ``devices`` of which the speed is known."""
    found = {address: _speed(device) for address, device in devices.items()}
    return tuple(Link(address, speed) for address, speed in found.items() if speed)


def _speed(device: str) -> int | None:
    """Mbit/s of the hardware; of a bridge, a bond or a VLAN that of the slowest below.

    What a tap, a veth or a bridge itself says is no speed of anything.
    """
    link = Path(NETWORK, device)
    if (link / "device").exists():
        with contextlib.suppress(OSError, ValueError):  # the link is down, or the driver does not know
            return max(int((link / "speed").read_text(encoding="ascii")), 0) or None
        return None
    below = [_speed(lower.name.removeprefix("lower_")) for lower in link.glob("lower_*")]
    return min((speed for speed in below if speed), default=None)


def forward_delays() -> tuple[ForwardDelay, ...]:
    """Of each bridge, the seconds for which a port that comes up lets nothing pass: its forward delay where it speaks
    STP, else 0 (the kernel's sysfs, Documentation/ABI: bridge/forward_delay, in hundredths of a second)."""
    found = []
    for bridge in sorted(Path(NETWORK).glob("*/bridge")):
        try:
            stp, delay = (int((bridge / name).read_text(encoding="ascii")) for name in ("stp_state", "forward_delay"))
        except OSError:  # it has gone meanwhile
            continue
        found.append(ForwardDelay(bridge.parent.name, delay * CENTISECOND if stp else 0.0))
    return tuple(found)


def space(directory: str) -> Space:
    """What QEMU's user may still write into ``directory``, or into the nearest above it that is there."""
    path = Path(directory)
    while not path.exists():
        path = path.parent
    room = os.statvfs(path)
    return Space(
        room.f_bavail * room.f_frsize,
        str(os.stat(path).st_dev),
        room.f_favail if room.f_files else None,  # btrfs has no number of them
        bool(room.f_flag & os.ST_RDONLY),
        None if path.is_dir() else str(path),
    )


def files(paths: Iterable[str]) -> dict[str, bool]:
    """Whether this host has each of these paths."""
    return {path: os.path.exists(path) for path in paths}


def accounts(user: str | None, group: str | None) -> dict[str, bool]:
    """Whether this host has the user and the group of these names, each by what it is and its name."""
    found = {}
    for what, name, known in (("user", user, pwd.getpwnam), ("group", group, grp.getgrnam)):
        if name is not None:
            found[f"{what} {name}"] = True
            try:
                known(name)
            except KeyError:
                found[f"{what} {name}"] = False
    return found


def apparmor() -> bool:
    """Whether libvirt confines its guests with AppArmor."""
    try:
        profiles = Path(APPARMOR_PROFILES).read_text(encoding="utf-8")
    except OSError:  # no AppArmor in this kernel
        return False
    return bool(_LIBVIRT_PROFILE.search(profiles))


def apparmor_rules() -> tuple[str, ...]:
    """The directories below which the local rules let every guest's QEMU write."""
    found = []
    for path in (path for pattern in _LOCAL_RULES for path in sorted(Path(APPARMOR_LOCAL).glob(pattern))):
        try:
            rules = _DIRECTORY_RULE.finditer(path.read_text(encoding="utf-8", errors="replace"))
        except OSError:  # a directory, or a link that leads nowhere: apparmor_parser takes no rule from it either
            continue
        found += [rule["path"] for rule in rules if {"r", "w"} <= set(rule["access"])]
    return tuple(found)


def latency(address: str) -> float | None:
    """Milliseconds to ``address`` and back, the best of a few echoes; None where none comes, or there is no ping."""
    command = ("ping", "-n", "-q", "-c", str(ECHOES), "-i", "0.01", "-W", str(ECHO_DEADLINE), address)
    try:
        said = run(*command)
    except ColoError:
        return None
    best = _BEST_ECHO.search(said)
    return float(best[1].replace(",", ".")) if best else None
