# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a domain needs of the host that it is started on, besides memory and the disks that the guest writes to."""

from __future__ import annotations

from collections.abc import Iterable

from . import devices, tree
from .tree import DomainXmlError

MAX_PROCESSOR = 65535  # the kernel's CONFIG_NR_CPUS is 8192 at most
DEFAULT_PARTITION = "/machine"  # libvirt's
_TEXTS = ("os/loader", "os/kernel", "os/initrd", "os/shim", "os/dtb", "os/acpi/table", "devices/emulator")
_ATTRIBUTES = (
    ("os/nvram", "template"),
    ("sysinfo[@type='fwcfg']/entry", "file"),
    ("devices/*/rom", "file"),
    ("devices/*[@type='dev']/source", "path"),  # of the serial lines and channels that are devices of the host
    ("devices/input/source", "dev"),
    ("devices/input/source", "evdev"),
    ("devices/graphics/gl", "rendernode"),
    ("devices/video/model/acceleration", "rendernode"),
)


def files(xml: str) -> list[str]:
    """The host's files and devices that a start needs, QEMU itself among them."""
    root = tree.view(xml)
    found = [(element.text or "").strip() for tag in _TEXTS for element in root.iterfind(tag)]
    found += [element.get(key, "") for path, key in _ATTRIBUTES for element in root.iterfind(path)]
    found += [(element.text or "").strip() for element in root.iterfind("devices/rng/backend[@model='random']")]
    for element in root.iterfind("devices/disk"):
        disk = devices.read_disk(element)
        if (disk.readonly or disk.device != "disk") and disk.type in ("file", "block"):
            found.append(disk.source or "")
    return sorted({path for path in found if path.startswith("/")})


def processors(xml: str) -> list[int]:
    """The host's processors that the guest, or a part of its QEMU, is bound to, by their numbers."""
    root = tree.view(xml)
    found = [*root.iterfind("vcpu"), *root.iterfind("cputune/*")]
    return _numbers(element.get("cpuset") for element in found)


def numa_nodes(xml: str) -> list[int]:
    """The host's NUMA nodes that the guest's memory is to be on."""
    root = tree.view(xml)
    named = [element.get("nodeset") for element in root.iterfind("numatune/*")]
    return _numbers([*named, *(mask.text for mask in root.iterfind("devices/memory/source/nodemask"))])


def partition(xml: str) -> str | None:
    """The resource partition that the domain is put into, unless it is libvirt's own."""
    found = (tree.view(xml).findtext("resource/partition") or "").strip()
    return None if found in ("", DEFAULT_PARTITION) else found


def _numbers(sets: Iterable[str | None]) -> list[int]:
    return sorted(set().union(*(number_set(text) for text in sets if text)))


def number_set(text: str) -> set[int]:
    """What ``0-3,^2,8`` says, as libvirt and the kernel write sets; DomainXmlError when it says nothing."""
    found: set[int] = set()
    for part in text.strip().split(","):
        without = part.strip().removeprefix("^")
        ends = [tree.number(end.strip(), "the number of a processor or a node") for end in without.split("-")]
        if len(ends) > 2 or ends[-1] > MAX_PROCESSOR:
            raise DomainXmlError(f"{text[:40]!r} is no set of processors or nodes")
        some = set(range(ends[0], ends[-1] + 1))
        found = found - some if part.strip().startswith("^") else found | some
    return found
