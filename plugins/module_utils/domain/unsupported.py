# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a domain has that COLO cannot carry, or that nobody has tried, by its XML.

The table of known devices decides; here is what no table can say, since it takes two things together.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..observation.seen import Disk
from ..record.schema import etree
from . import arguments, devices, tree
from .facts import Fact, describe, facts
from .known_devices import REFUSED, UNTRIED, Row, row_of, takes_values

# The block layers of these disks cannot be changed: the device hands its backend on to another one, or is none of the
# machine's bus (our reading of QEMU's hw/usb/dev-storage-classic.c, hw/sd/sd.c and hw/block/fdc.c).
_FIXED_BUSES = ("usb", "sd", "fdc")
_MACHINES = ("pc", "q35")
_SHOWN = 120  # characters of what somebody else wrote


def unsupported_in(xml: str) -> list[str]:
    """What this domain has that COLO cannot carry, each in plain words with the element that it is about."""
    root = tree.view(xml)
    found = [_sentence(fact, row.reason) for fact, row in _decided(root) if row is not None and row.verdict == REFUSED]
    found += [*_nics(root), *_disks(root), *_controllers(root), *_cpu(root), *arguments.refused(root)]
    return list(dict.fromkeys(map(_shown, found)))


def untried_in(xml: str) -> dict[str, str]:
    """What this domain has that nobody has tried with COLO: its name, for an operator who wants to, and words."""
    root, found = tree.view(xml), {}
    for fact, row in _decided(root):
        if row is None or row.verdict == UNTRIED:
            found.setdefault(_shown(_name(fact)), _shown(_sentence(fact, row.reason if row else "not known here")))
    found |= _machine(root)
    found |= {_shown(name): _shown(words) for name, words in arguments.untried(root)}
    return found


def _decided(root: etree._Element) -> Iterator[tuple[Fact, Row | None]]:
    """The first fact of each row that an element comes to, and of what is not known the outermost."""
    said: set[tuple[etree._Element, Row]] = set()
    unknown: tuple[str, ...] = ()
    for fact in facts(root):
        row = row_of(fact.name)
        if row is None:
            if not fact.name.startswith(unknown):
                yield fact, None
                unknown = (*unknown, f"{fact.name}/", f"{fact.name}@")
        elif (fact.element, row) not in said:
            said.add((fact.element, row))
            yield fact, row


def _name(fact: Fact) -> str:
    """Without the value, where the value is not what matters."""
    named, _equals, _value = fact.name.partition("=")
    return fact.name if takes_values(named) else named


def _sentence(fact: Fact, reason: str) -> str:
    return f"{describe(fact.element)} {reason}" if reason.startswith(("is ", "has ")) else f"{fact}: {reason}"


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 2 * _SHOWN else f"{line[:_SHOWN]}...{line[-_SHOWN:]}"


def _nics(root: etree._Element) -> Iterator[str]:
    for interface in root.iterfind("devices/interface"):
        if devices.queues_of(interface.find("driver")) > 1:
            mac = devices.mac_of(interface)
            yield f"interface {mac} with multiqueue: QEMU's network filters take one queue"


def _disks(root: etree._Element) -> Iterator[str]:
    for element in root.iterfind("devices/disk"):
        disk = devices.read_disk(element)
        if not disk.readonly:
            yield from _written(disk)


def _written(disk: Disk) -> Iterator[str]:
    if disk.device == "floppy" and disk.source:
        yield f"disk {disk.target} is a floppy that the guest can write to: only disks are replicated"
    elif disk.device == "disk" and disk.bus in _FIXED_BUSES:
        words = "QEMU cannot give it other layers; a virtio, SCSI, SATA or IDE disk can have them"
        yield f"disk {disk.target} on the bus {disk.bus}: {words}"
    if disk.shareable:
        yield f"disk {disk.target} is shareable: writes of others would not be replicated"


def _controllers(root: etree._Element) -> Iterator[str]:
    """Where ``qom-set`` of a SCSI disk's ``drive`` fails with "Different aio context" (our measurement, QEMU 10.0).

    A virtio disk leaves its I/O thread whenever the guest stands still, a SCSI disk never does.
    """
    drivers = {c.get("index", "0"): c.find("driver") for c in root.iterfind("devices/controller[@type='scsi']")}
    for element in root.iterfind("devices/disk"):
        disk, address = devices.read_disk(element), element.find("address")
        index = "0" if address is None else address.get("controller", "0")
        driver = drivers.get(index) if disk.bus == "scsi" and not disk.readonly else None
        if driver is not None and (driver.get("iothread") or driver.find("iothreads") is not None):
            name = f"the I/O thread of disk {disk.target}'s SCSI controller {index}"
            yield f"{name}: QEMU cannot give the disk other layers; virtio disks may have one"


def _cpu(root: etree._Element) -> Iterator[str]:
    """QEMU blocks migration with an invariant TSC, or with re-enlightenment, unless the TSC's frequency is given."""
    if any(timer.get("name") == "tsc" and timer.get("frequency") for timer in root.iterfind("clock/timer")):
        return
    for feature in root.iterfind("cpu/feature"):
        if feature.get("name") == "invtsc" and feature.get("policy", "require") in ("require", "force"):
            yield "cpu feature invtsc: blocks migration unless the tsc timer has a frequency"
    if root.find("features/hyperv/reenlightenment[@state='on']") is not None:
        yield "hyperv reenlightenment: blocks migration unless the tsc timer has a frequency"


def _machine(root: etree._Element) -> dict[str, str]:
    """The machine types of other families; which version of QEMU keeps a standby of q35 is another question."""
    kind = root.find("os/type")
    machine = "" if kind is None else kind.get("machine", "")
    if not machine or machine in _MACHINES or machine.startswith(tuple(f"pc-{name}-" for name in ("i440fx", "q35"))):
        return {}
    return {f"os/type@machine={machine}": f"machine type {machine}: only pc and q35 were tried"}
