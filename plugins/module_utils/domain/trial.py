# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A domain with which a host is asked whether it would start a standby, before there is anything of that standby."""

from __future__ import annotations

from dataclasses import dataclass

from ..record.schema import etree
from . import devices, tree
from .standby import forget_primary, forget_run

SUFFIX = ".lockstep-trial"
_WRITTEN = (
    ("os/nvram/source[@file]", "file"),
    ("devices/*[@type='file']/source[@path]", "path"),  # of serial lines, consoles and channels
    ("devices/*[@type='unix']/source[@mode='bind'][@path]", "path"),
    ("devices/*/log[@file]", "file"),
)


@dataclass(frozen=True)
class Trial:
    """``xml`` of a domain that is started paused and ended at once; ``files`` of its own that may be left by it."""

    xml: str
    files: tuple[str, ...]


def trial_of(primary_xml: str, name: str, uuid: str) -> Trial:
    """From the live XML of a primary: the same but for its name, its UUID and the disks that the guest writes to.

    Files that its QEMU would write are others, in the same directories, and its guest never runs.
    """
    root = tree.parse(primary_xml)
    forget_primary(root)
    forget_run(root)
    root.find("name").text, root.find("uuid").text = name, uuid
    for entry in root.iterfind("sysinfo/system/entry[@name='uuid']"):  # which libvirt wants to be the domain's
        entry.text = uuid
    for element in root.findall("devices/disk"):
        disk = devices.read_disk(element)
        if disk.device == "disk" and not disk.readonly:
            tree.remove(element)
    files = tuple(_own_files(root))
    return Trial(tree.text(root), files)


def _own_files(root: etree._Element) -> list[str]:
    found = []
    store = root.find("os/nvram")
    if store is not None and (store.text or "").strip():
        store.text = f"{store.text.strip()}{SUFFIX}"
        found.append(store.text)
    for place, key in _WRITTEN:
        for element in root.iterfind(place):
            element.set(key, f"{element.get(key)}{SUFFIX}")
            found.append(element.get(key))
    return list(dict.fromkeys(found))
