# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest runs with, and its persistent XML, of which a standby is made, has otherwise or not at all.

Of a device only what has to be the same in both QEMUs, and the images of what the guest writes to. What else differs is
libvirt's own doing in a running domain (names of taps, aliases, a network's bridge), or no matter, as the medium in a
drive.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..observation.seen import Otherwise
from ..record.schema import etree
from . import devices, reading, tree

_MIB = 1 << 20


def otherwise(inactive_xml: str, live_xml: str) -> Iterator[Otherwise]:
    """What differs, in the order of the running domain's XML."""
    running, persistent = _hardware(live_xml), _hardware(inactive_xml)
    for what in dict.fromkeys((*running, *persistent)):
        one, other = running.get(what), persistent.get(what)
        if one != other:
            yield Otherwise(what, one, other)
    slots, others = _addresses(live_xml), _addresses(inactive_xml)
    for what, slot in slots.items():
        if others.get(what, slot) != slot:
            yield Otherwise(f"the address of {what}", slot, others[what])


def _hardware(xml: str) -> dict[str, str]:
    vcpu = tree.view(xml).find("vcpu")
    most = reading.vcpus(xml)
    found = {
        "the machine type": reading.machine(xml),
        # In whole MiB, as libvirt rounds a running domain's.
        "the memory": f"{-(-reading.memory_bytes(xml) // _MIB)} MiB",
        "the number of processors": f"{most if vcpu is None else vcpu.get('current', most)} of {most}",
    }
    for nic in reading.nics(xml):
        _add(found, f"NIC {nic.mac}", f"{nic.model} on {nic.network or nic.source}")
    for disk in reading.disks(xml):
        image = f", {disk.format} image {disk.source}" if disk.written else ""
        _add(found, f"disk {disk.target}", f"{disk.device} on {disk.bus}{image}")
    return found


def _add(found: dict[str, str], what: str, how: str) -> None:
    """Two NICs may have one MAC address."""
    found[what] = f"{found[what]} and {how}" if what in found else how


def _addresses(xml: str) -> dict[str, str]:
    """Where the devices that have one of their own are on their buses."""
    root, found = tree.view(xml), {}
    for element in root.iterfind("devices/interface"):
        _add_address(found, f"NIC {devices.mac_of(element)}", element)
    for target, element in devices.disks_by_target(root).items():
        _add_address(found, f"disk {target}", element)
    return found


def _add_address(found: dict[str, str], what: str, element: etree._Element) -> None:
    address = element.find("address")
    if address is not None:
        _add(found, what, " ".join(f"{key}={value}" for key, value in sorted(address.attrib.items())))
