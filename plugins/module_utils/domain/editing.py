# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is changed in libvirt's domain XML, text in and text out.

Two laws hold for what is added here: adding it twice is adding it once, and removing it gives back the XML from before,
except where the user has changed it since. What we did not write is not touched.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..record import xml as record_xml
from ..record.pair import RUN_DIRECTORY, Record
from ..record.schema import etree
from . import devices, marks, tree

NO_VHOST = f"{RUN_DIRECTORY}/no-vhost"  # a vhost device that is not there


def settle(xml: str, record: Record) -> Record:
    """The record as protect() writes it: with what only the XML knows of the time before.

    A value that is not ours in the XML is the user's, and so the original; where it is ours, the original is the one
    that was recorded first.
    """
    return marks.settle(tree.parse(xml, own=True), record)


def protect(xml: str, record: Record) -> str:
    """Write the record, and around it what libvirt must know: the NICs' driver, and a standby's -incoming."""
    root = tree.parse(xml, own=True)
    marks.protect(root, marks.settle(root, record))
    return tree.text(root)


def with_record(xml: str, record: Record | None) -> str:
    """The domain with this record and nothing else changed, as libvirt writes it; None: without one."""
    root = tree.parse(xml, own=True)
    old = marks.read_record(root)
    if record is not None:
        marks.write_record(root, record)
    elif old is not None:
        marks.remove_record(root, old)
    return tree.text(root)


def unprotect(xml: str) -> str:
    """Take out what protect() put in, and nothing that was changed since."""
    root = tree.parse(xml, own=True)
    record = marks.read_record(root)
    if record is None:
        return xml
    if record.incoming_added:
        marks.remove_incoming(root)
    marks.remove_empty_commandline(root, record)
    for nic in record.nics:
        marks.restore_driver(root, nic)
    marks.remove_record(root, record)
    return tree.text(root)


def without_vhost(xml: str) -> str:
    """The XML of a saved guest, with which QEMU itself carries the packets of its virtio NICs.

    In a saved guest libvirt refuses to have a NIC's driver changed, but not the device of its backend. Where that is
    not there, a NIC for which no driver is stated goes without vhost (our measurement, libvirt 11.3).
    """
    root = tree.parse(xml, own=True)
    for interface in root.iterfind("devices/interface"):
        driver = interface.find("driver")
        if not devices.is_virtio(interface) or (driver is not None and driver.get("name") == "qemu"):
            continue
        devices.after_model(interface, "backend").set("vhost", NO_VHOST)
    return tree.text(root)


def with_aliases(xml: str, aliases: Mapping[str, str]) -> str:
    """As libvirt writes a domain that runs: each disk (by its target) and NIC (by its MAC) with its name in QEMU."""
    root = tree.parse(xml, own=True)
    for disk in root.iterfind("devices/disk"):
        _name(disk, aliases.get(tree.first_attribute(disk.find("target"), ("dev",)) or ""))
    for interface in root.iterfind("devices/interface"):
        _name(interface, aliases.get(devices.mac_of(interface)))
    return tree.text(root)


def _name(device: etree._Element, alias: str | None) -> None:
    if alias and tree.alias(device) is None:
        etree.SubElement(device, "alias", {"name": alias})


def with_metadata_element(record: Record) -> str:
    """The record as virDomainSetMetadata wants it, with our PREFIX and NAMESPACE as key and URI.

    libvirt puts every element without a namespace into ours, and refuses one that declares it already.
    """
    qualified = record_xml.to_element(record)
    plain = etree.Element(etree.QName(qualified).localname, dict(qualified.attrib))
    _copy_plain(qualified, plain)
    etree.indent(plain)
    return etree.tostring(plain, encoding="unicode")


def _copy_plain(source: etree._Element, copy: etree._Element) -> None:
    copy.text = source.text
    for child in source:
        _copy_plain(child, etree.SubElement(copy, etree.QName(child).localname, dict(child.attrib)))
