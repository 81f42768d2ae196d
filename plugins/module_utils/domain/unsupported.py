# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a domain has that COLO cannot carry, by its XML."""

from __future__ import annotations

from ..record.schema import etree
from . import devices, tree

_NIC_TYPES = ("bridge", "network", "ethernet")
_VIRTUAL_FUNCTIONS = {
    "direct": "a macvtap has no tap device whose packets could be compared",
    "vhostuser": "its packets do not pass through QEMU",
    "vdpa": "its packets do not pass through QEMU",
    "hostdev": "a device of the host cannot be in two hosts",
    "user": "its connections live in the QEMU process of one host",
}
# A device of these kinds has state outside of QEMU, or one that QEMU does not migrate.
_UNSUPPORTED_DEVICES = {
    "hostdev": "a device of the host cannot be in two hosts",
    "filesystem": "a directory of the host is not replicated",
    "tpm": "its state is not in QEMU's checkpoints",
    "shmem": "memory shared with other processes is not in QEMU's checkpoints",
    "vsock": "its connections end in the kernel of one host",
    "smartcard": "a card reader of the host cannot be in two hosts",
    "redirdev": "a redirected USB device is connected to one host",
    "crypto": "QEMU does not migrate it",
}
_MEMORY_MODELS = ("nvdimm", "virtio-pmem", "sgx-epc")


def unsupported_in(xml: str) -> list[str]:
    """What this domain has that COLO cannot carry, each in plain words with the element that it is about."""
    root = tree.parse(xml)
    found = []
    for tag, reason in _UNSUPPORTED_DEVICES.items():
        found += [f"{_describe(element)}: {reason}" for element in root.iterfind(f"devices/{tag}")]
    for element in root.iterfind("devices/interface"):
        found += _unsupported_nic(element)
    for element in root.iterfind("devices/disk"):
        found += _unsupported_disk(element)
    found += _unsupported_controllers(root)
    found += _unsupported_others(root)
    return found


def _unsupported_nic(interface: etree._Element) -> list[str]:
    kind, found = interface.get("type", ""), []
    label = f"interface {devices.mac_of(interface)}"
    if kind not in _NIC_TYPES:
        reason = _VIRTUAL_FUNCTIONS.get(kind, f"only {', '.join(_NIC_TYPES)} have a tap device on the host")
        found.append(f"{label} of type {kind}: {reason}")
    if devices.queues_of(interface.find("driver")) > 1:
        found.append(f"{label} with multiqueue: QEMU's network filters take one queue")
    return found


def _unsupported_disk(element: etree._Element) -> list[str]:
    disk, found = devices.read_disk(element), []
    if disk.device == "floppy" and disk.source and not disk.readonly:
        found.append(f"disk {disk.target} is a floppy that the guest can write to: only disks are replicated")
    if disk.device == "lun":
        found.append(f"disk {disk.target} of device lun: SCSI commands pass by the replication")
    if disk.type in ("vhostuser", "vhostvdpa", "nvme"):
        found.append(f"disk {disk.target} of type {disk.type}: its data does not pass through QEMU's block layer")
    if disk.shareable and not disk.readonly:
        found.append(f"disk {disk.target} is shareable: writes of others would not be replicated")
    if element.find("transient") is not None:
        found.append(f"disk {disk.target} is transient: its overlay exists on one host")
    if element.find(".//encryption") is not None:
        found.append(f"disk {disk.target} is encrypted: the standby's image would be plain")
    if element.find("mirror") is not None:
        found.append(f"disk {disk.target} has a block job of its own: let it end first")
    return found


def _unsupported_controllers(root: etree._Element) -> list[str]:
    """Where ``qom-set`` of a SCSI disk's ``drive`` fails with "Different aio context" (our measurement, QEMU 10.0).

    A virtio disk leaves its I/O thread whenever the guest stands still, a SCSI disk never does.
    """
    drivers = {c.get("index", "0"): c.find("driver") for c in root.iterfind("devices/controller[@type='scsi']")}
    found = []
    for element in root.iterfind("devices/disk"):
        disk, address = devices.read_disk(element), element.find("address")
        index = "0" if address is None else address.get("controller", "0")
        driver = drivers.get(index) if disk.bus == "scsi" and not disk.readonly else None
        if driver is not None and (driver.get("iothread") or driver.find("iothreads") is not None):
            name = f"the I/O thread of disk {disk.target}'s SCSI controller {index}"
            found.append(f"{name}: QEMU cannot give the disk other layers; virtio disks may have one")
    return found


def _unsupported_others(root: etree._Element) -> list[str]:
    found = []
    for memory in root.iterfind("devices/memory"):
        if memory.get("model") in _MEMORY_MODELS:
            found.append(f"memory model={memory.get('model')}: its contents are not in QEMU's checkpoints")
    for video in root.iterfind("devices/video"):
        driver, acceleration = video.find("driver"), video.find(".//acceleration")
        if driver is not None and driver.get("name") == "vhostuser":
            found.append("video driver vhostuser: its state is in another process")
        elif acceleration is not None and acceleration.get("accel3d") == "yes":
            found.append("video with accel3d: its state is in the graphics card of one host")
    for entry in root.iterfind("devices/input"):
        if entry.get("type") == "passthrough":
            found.append("input type=passthrough: a device of the host cannot be in two hosts")
    if root.find("launchSecurity") is not None:
        found.append("launchSecurity: encrypted guest memory cannot be checkpointed")
    if root.find("features/hyperv[@mode='passthrough']") is not None:
        found.append("hyperv mode=passthrough: what the CPU of one host offers is not migrated")
    found += _unsupported_cpu(root)
    return found


def _unsupported_cpu(root: etree._Element) -> list[str]:
    """QEMU blocks migration with an invariant TSC, unless its frequency is given."""
    cpu = root.find("cpu")
    if cpu is not None and cpu.get("migratable") == "off":
        return ["cpu migratable=off: it has features of the host that cannot be migrated"]
    fixed = any(t.get("name") == "tsc" and t.get("frequency") for t in root.iterfind("clock/timer"))
    for feature in root.iterfind("cpu/feature"):
        if feature.get("name") == "invtsc" and feature.get("policy", "require") in ("require", "force") and not fixed:
            return ["cpu feature invtsc: blocks migration unless the tsc timer has a frequency"]
    return []


def _describe(element: etree._Element) -> str:
    words = [element.tag]
    words += [f"{key}={element.get(key)}" for key in ("mode", "type", "model") if element.get(key)]
    name = tree.first_attribute(element.find("target"), ("dir",)) or element.get("name") or _host_address(element)
    return " ".join([*words, name] if name else words)


def _host_address(element: etree._Element) -> str | None:
    """The device of the host as lspci or lsusb would write it."""
    address, vendor, product = (element.find(f"source/{tag}") for tag in ("address", "vendor", "product"))
    if vendor is not None and product is not None:
        return ":".join(number.get("id", "").removeprefix("0x") for number in (vendor, product))
    if address is None or "slot" not in address.attrib:
        return None
    numbers = [address.get(key, "0").removeprefix("0x") for key in ("domain", "bus", "slot", "function")]
    return ":".join(numbers[:3]) + "." + numbers[3]
