# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a domain hands QEMU past libvirt: <qemu:commandline>, <qemu:override>, <qemu:capabilities>."""

from __future__ import annotations

from collections.abc import Iterator

from ..record.schema import etree
from .marks import QEMU_NAMESPACE

# Of QEMU's options, those that leave the guest and its disks alone. The environment is QEMU's, not the guest's.
HARMLESS = ("D", "chardev", "d", "mon", "monitor", "msg", "name", "pidfile", "qmp", "qmp-pretty", "trace")
# Those that bring a disk or a device, which is on no list of the domain.
BRING_DISKS = (
    "blockdev", "cdrom", "drive", "fda", "fdb", "fsdev", "hda", "hdb", "hdc", "hdd", "mtdblock", "pflash", "sd",
    "snapshot", "virtfs",
)  # fmt: skip
_UNSEEN = "what it brings is not replicated, and no standby of the domain has it"


def _qemu(tag: str) -> str:
    return f"{{{QEMU_NAMESPACE}}}{tag}"


def options(root: etree._Element) -> Iterator[tuple[str, str | None]]:
    """QEMU's options of the command line, without their dashes, each with its value; a stray value has no option.

    As QEMU reads them, but that it alone knows which options take a value: here those do that are followed by one.
    """
    name = None
    for arg in root.iterfind(f"{_qemu('commandline')}/{_qemu('arg')}"):
        value = arg.get("value", "")
        if name == "incoming":  # takes one, whatever it is
            yield name, value
            name = None
        elif value.startswith("-") and len(value) > 1:
            if name is not None:
                yield name, None
            name = value.removeprefix("-").removeprefix("-")
        else:
            yield name or "", value
            name = None
    if name is not None:
        yield name, None


def refused(root: etree._Element) -> Iterator[str]:
    """Each option that cannot be carried, with the reason."""
    for name, value in options(root):
        if not name:
            yield f"qemu:commandline {value}: QEMU takes an argument of no option for a disk image; {_UNSEEN}"
        elif name in BRING_DISKS:
            yield f"qemu:commandline -{name} {value or ''}".rstrip() + f": {_UNSEEN}; define it as a disk of the domain"
        elif name == "incoming" and value != "defer":
            yield f"qemu:commandline -incoming {value or ''}".rstrip() + ": a standby waits with -incoming defer"


def untried(root: etree._Element) -> Iterator[tuple[str, str]]:
    """What nobody has tried: its name, and what it is in words."""
    for name, value in options(root):
        if name and name not in (*HARMLESS, *BRING_DISKS, "incoming"):
            yield f"qemu:commandline -{name}", f"qemu:commandline -{name} {value or ''}".rstrip()
    yield from overrides(root)
    for change in root.iterfind(f"{_qemu('capabilities')}/*"):
        name = f"qemu:capabilities {etree.QName(change).localname} {change.get('capability')}"
        yield name, name


def overrides(root: etree._Element) -> Iterator[tuple[str, str]]:
    """Each property of a device that QEMU is given otherwise than by libvirt: its name, and with what it is given."""
    for device in root.iterfind(f"{_qemu('override')}/{_qemu('device')}"):
        for found in device.iter(_qemu("property")):
            name, value = f"qemu:override {device.get('alias')} {found.get('name')}", found.get("value")
            yield name, f"{name} {found.get('type')}" if value is None else f"{name}={value}"
