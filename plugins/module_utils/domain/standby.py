# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The domain of a standby, made from one of its primary: what it does not inherit."""

from __future__ import annotations

import dataclasses
import re

from ..record import xml
from ..record.pair import IOTHREAD, DiskRecord, Record
from ..record.schema import etree
from . import devices, marks, tree
from .tree import DomainXmlError

# The names that libvirt makes up when it creates an interface on the host.
_GENERATED_TAP = re.compile(r"(vnet|macvtap|macvlan)\d+")
# libvirt's directory of one run of a domain (qemuDomainSetPrivatePaths), which another run does not have.
_GENERATED_DISPLAY = re.compile(r"(/var/lib|/var/run|/run)/libvirt/qemu/domain-[^/]*/")
_GENERATED_SOCKET = re.compile(r"(/var/lib|/var/run|/run)/libvirt/qemu/channel/")


def standby_of(primary_xml: str, record: Record) -> str:
    """The secondary's domain, from an XML of the primary and the secondary's own record.

    The primary's persistent XML makes the persistent one. The live XML, which has the addresses, the CPU and the
    machine version that the running guest has seen, makes the one that the standby is started with.
    """
    return tree.text(_standby_of(primary_xml, record))


def standby_to_start(live_xml: str, record: Record) -> str:
    """The standby of a guest as it runs, its images opened so that a hole of the copy becomes one here.

    libvirt opens an image without discard unless the domain asks for it, and QEMU then zeroes without unmapping: a raw
    one is allocated in full (our measurement, QEMU 10.0.13, 256 MiB: 1032 blocks became 524,296, and 1024 so). It is
    not in the standby's persistent domain, which is that of the primary.
    """
    root = _standby_of(live_xml, record)
    elements = devices.disks_by_target(root)
    for disk in record.disks:
        driver = elements[disk.target].find("driver")
        driver.set("discard", driver.get("discard", "unmap"))
    return tree.text(root)


def _standby_of(primary_xml: str, record: Record) -> etree._Element:
    if record.role != "secondary":
        raise DomainXmlError(f"a standby's record is that of a secondary, not role {record.role}")
    root = tree.parse(primary_xml)
    before = forget_primary(root)
    forget_run(root)
    elements = devices.disks_by_target(root)
    for disk in record.disks:
        if disk.target not in elements:
            raise DomainXmlError(f"the domain has no disk {disk.target}")
        _point_disk(elements[disk.target], disk)
    for nic in record.nics:
        devices.find_nic(root, nic.mac)
    marks.protect(root, dataclasses.replace(record, incoming_added=True, **before))
    return root


def _point_disk(element: etree._Element, record: DiskRecord) -> None:
    """Make a disk of the standby's own image: whole, of a stated format, and of no chain.

    A running domain's XML always speaks of the chain; where a persistent one does not, it still does not afterwards.
    """
    chained = element.find("backingStore") is not None
    path_is_device = record.path.startswith("/dev/")
    element.set("type", "block" if path_is_device else "file")
    for tag in ("source", "backingStore", "mirror"):
        for child in element.findall(tag):
            tree.remove(child)
    driver = element.find("driver")
    if driver is None:
        driver = etree.Element("driver", name="qemu")
        tree.insert(element, 0, driver)
    driver.set("type", record.format)
    if record.format != "qcow2":
        _remove_qcow2_options(driver)
    index = element.index(driver) + 1
    tree.insert(element, index, etree.Element("source", {"dev" if path_is_device else "file": record.path}))
    if chained:
        tree.insert(element, index + 1, etree.Element("backingStore"))


def _remove_qcow2_options(driver: etree._Element) -> None:
    """libvirt refuses them on an image of another format."""
    driver.attrib.pop("discard_no_unref", None)
    for child in driver.findall("metadata_cache"):
        tree.remove(child)


def forget_primary(root: etree._Element) -> dict[str, bool]:
    """Take out the primary's record and -incoming, and tell what of their surroundings is not ours.

    A survivor's live XML shows the -incoming that it was once started with until its next cold start.
    """
    element = marks.record_element(root)
    inherited = None if element is None else xml.from_xml(element)
    for flag, value in marks.incoming(root):
        for arg in (flag, value):
            if arg is not None:
                tree.remove(arg)
    if element is not None:
        tree.remove(element)
    before = {}
    for field, tag in (("metadata_before", "metadata"), ("commandline_before", marks.COMMANDLINE)):
        left = root.find(tag)
        before[field] = left is not None and (not tree.empty(left) or bool(inherited and getattr(inherited, field)))
        if left is not None and not before[field]:
            tree.remove(left)
    return before


def forget_run(root: etree._Element) -> None:
    """Remove what libvirt made up for this run, on this host."""
    root.attrib.pop("id", None)
    for alias in root.findall("devices//alias"):
        if not alias.get("name", "").startswith("ua-"):
            tree.remove(alias)
    for element in [*root.iterfind("devices/disk//source"), *root.iterfind("devices/disk//backingStore")]:
        element.attrib.pop("index", None)
    for interface in root.iterfind("devices/interface"):
        _forget_nic_run(interface)
    for graphics in root.iterfind("devices/graphics"):
        _forget_graphics_run(graphics)
    for tag in ("serial", "parallel", "console", "channel"):
        for device in root.iterfind(f"devices/{tag}"):
            _forget_chardev_run(device)
    _forget_labels(root)
    _forget_iothread(root)
    partition = root.find("resource/partition")
    if partition is not None and partition.text == "/machine":
        tree.remove(partition)
        if tree.empty(root.find("resource")):
            tree.remove(root.find("resource"))


def _forget_nic_run(interface: etree._Element) -> None:
    target, source = interface.find("target"), interface.find("source")
    if target is not None and _GENERATED_TAP.fullmatch(target.get("dev", "")):
        del target.attrib["dev"]
        if tree.empty(target):
            tree.remove(target)
    if source is not None and source.get("network") is not None:
        # The live XML shows what the network came to on this host; on the other one it may be something else.
        interface.set("type", "network")
        for key in ("portid", "bridge", "dev", "mode"):
            source.attrib.pop(key, None)


def _forget_graphics_run(graphics: etree._Element) -> None:
    if graphics.get("autoport") == "yes":
        for key in ("port", "tlsPort", "websocket"):
            if key in graphics.attrib:
                graphics.set(key, "-1")
    for element in (graphics, *graphics.iterfind("listen")):
        if _GENERATED_DISPLAY.match(element.get("socket", "")):
            del element.attrib["socket"]
    for listen in graphics.iterfind("listen"):
        if listen.get("type") == "network":
            listen.attrib.pop("address", None)
            graphics.attrib.pop("listen", None)


def _forget_chardev_run(device: etree._Element) -> None:
    device.attrib.pop("tty", None)
    for target in device.iterfind("target"):
        target.attrib.pop("state", None)
    source = device.find("source")
    if source is None:
        return
    # Of channels alone libvirt makes one up where none is stated.
    generated = device.tag == "channel" and device.get("type") == "unix"
    generated = generated and _GENERATED_SOCKET.match(source.get("path", ""))
    if device.get("type") == "pty" or generated:
        tree.remove(source)


def _forget_iothread(root: etree._Element) -> None:
    """The primary's live XML counts the thread that compares its packets; a standby has none."""
    threads, count = root.find("iothreadids"), root.find("iothreads")
    ours = root.find(f"iothreadids/iothread[@id='{IOTHREAD}']")
    if ours is None or threads is None or count is None:
        return
    tree.remove(ours)
    if len(threads):
        count.text = str(len(threads))
    else:
        tree.remove(threads)
        tree.remove(count)


def _forget_labels(root: etree._Element) -> None:
    """A label that libvirt made is made anew on every host; a base label, or an element without one, is a wish."""
    for label in root.findall("seclabel"):
        if label.get("type") != "dynamic":
            continue
        made = label.findall("label") + label.findall("imagelabel")
        for child in made:
            tree.remove(child)
        if made and label.find("baselabel") is None:
            tree.remove(label)
