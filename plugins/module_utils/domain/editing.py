# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's domain XML, text in and text out.

Two laws hold for what is added here: adding it twice is adding it once, and removing it gives back the XML from before,
except where the user has changed it since. What we did not write is not touched.
"""

from __future__ import annotations

from ..observation.seen import Disk
from ..record import xml as record_xml
from ..record.pair import RUN_DIRECTORY, Record
from ..record.schema import etree
from . import devices, marks, tree
from .devices import NicElement
from .tree import DomainXmlError

NO_VHOST = f"{RUN_DIRECTORY}/no-vhost"  # a vhost device that is not there

_UNITS = {"b": 1, "byte": 1, "bytes": 1, "": 1024}
for _power, _letter in enumerate("kmgtpe", start=1):
    _UNITS |= {_letter: 1024**_power, f"{_letter}ib": 1024**_power, f"{_letter}b": 1000**_power}

_SECRETS = ("passwd", "passwdValidTo")


# Reading


def canonical(xml: str) -> str:
    """The same text for the same XML: comments, indentation and the order of attributes do not count.

    It has one element a line, to be compared by people as well.
    """
    return _canonical(tree.parse(xml))


def _canonical(root: etree._Element) -> str:
    etree.strip_tags(root, etree.Comment)
    for element in root.iter(etree.Element):
        if element.text is not None and not element.text.strip():
            element.text = None
    etree.indent(root)
    # Exclusive: a declaration of a namespace that nothing uses says nothing.
    return etree.tostring(root, method="c14n", exclusive=True, with_comments=False).decode("utf-8")


def uuid(xml: str) -> str:
    return tree.required_text(tree.parse(xml), "uuid")


def name(xml: str) -> str:
    return tree.required_text(tree.parse(xml), "name")


def machine(xml: str) -> str:
    """The machine type, such as pc-i440fx-7.2."""
    element = tree.parse(xml).find("os/type")
    return "" if element is None else element.get("machine", "")


def virt_type(xml: str) -> str:
    """What runs the guest: kvm, or qemu for QEMU alone."""
    return tree.parse(xml).get("type", "")


def cpu_mode(xml: str) -> str:
    """How the guest's CPU is chosen: custom where nothing is said, as libvirt takes it."""
    element = tree.parse(xml).find("cpu")
    return "custom" if element is None else element.get("mode", "custom")


def nvram(xml: str) -> str | None:
    """The type of the UEFI variable store's source; None for a domain that has none."""
    element = tree.parse(xml).find("os/nvram")
    return None if element is None else element.get("type", "file")


def nvram_file(xml: str) -> str | None:
    """The UEFI variable store, where it is a file."""
    element = tree.parse(xml).find("os/nvram")
    if element is None or element.get("type", "file") != "file":
        return None
    source = element.find("source")
    return (element.text or "").strip() or (None if source is None else source.get("file"))


def files(xml: str) -> list[str]:
    """The host's files that a start needs, QEMU itself among them, besides the disks that the guest writes to."""
    root = tree.parse(xml)
    tags = ("os/loader", "os/kernel", "os/initrd", "os/dtb", "devices/emulator")
    found = [(root.findtext(tag) or "").strip() for tag in tags]
    store = root.find("os/nvram")
    if store is not None:
        found.append(store.get("template", ""))
    for element in root.iterfind("devices/disk"):
        disk = devices.read_disk(element)
        if (disk.readonly or disk.device != "disk") and disk.type in ("file", "block"):
            found.append(disk.source or "")
    return sorted({path for path in found if path})


def memory_bytes(xml: str) -> int:
    """The guest's memory as it is booted, in bytes."""
    root = tree.parse(xml)
    return _bytes(tree.required_text(root, "memory"), root.find("memory").get("unit", ""))


def _bytes(amount: str, unit: str) -> int:
    if not amount.isdecimal() or unit.lower() not in _UNITS:
        raise DomainXmlError(f"memory of {amount!r} {unit.lower()!r}")
    return int(amount) * _UNITS[unit.lower()]


def huge_page(xml: str) -> int | None:
    """The size of the huge pages that all of the guest's memory is made of; 0 for the host's default size."""
    backing = tree.parse(xml).find("memoryBacking/hugepages")
    if backing is None:
        return None
    sizes = {_bytes(page.get("size", ""), page.get("unit", "")) for page in backing.iterfind("page")}
    return max(sizes, default=0)


def vcpus(xml: str) -> int:
    """DomainXmlError when it is no number."""
    text = tree.parse(xml).findtext("vcpu", "1").strip()
    if not text.isdecimal():
        raise DomainXmlError(f"vcpu is {text!r}")
    return int(text)


def emulator(xml: str) -> str | None:
    text = tree.parse(xml).findtext("devices/emulator")
    return text.strip() if text else None


def disks(xml: str) -> list[Disk]:
    return [devices.read_disk(element) for element in tree.parse(xml).iterfind("devices/disk")]


def nics(xml: str) -> list[NicElement]:
    return [devices.read_nic(element) for element in tree.parse(xml).iterfind("devices/interface")]


def read_record(xml: str) -> Record | None:
    """The collection's record in the domain's metadata; VocabularyError when there is one that cannot be read."""
    return marks.read_record(tree.parse(xml))


def has_incoming(xml: str) -> bool:
    """Whether QEMU is told to wait for an incoming migration, as a standby is."""
    return bool(marks.incoming(tree.parse(xml)))


def redacted(xml: str) -> str:
    """The XML without the passwords that VIR_DOMAIN_XML_SECURE adds: fit for a terminal, a log and a diff."""
    root = tree.parse(xml)
    for element in root.iter(etree.Element):
        for attribute in _SECRETS:
            element.attrib.pop(attribute, None)
    return tree.text(root)


def has_passwords(xml: str) -> bool:
    """Whether redacted() would take something out."""
    return any(attribute in element.attrib for element in tree.parse(xml).iter(etree.Element) for attribute in _SECRETS)


# Writing


def settle(xml: str, record: Record) -> Record:
    """The record as protect() writes it: with what only the XML knows of the time before.

    A value that is not ours in the XML is the user's, and so the original; where it is ours, the original is the one
    that was recorded first.
    """
    return marks.settle(tree.parse(xml), record)


def protect(xml: str, record: Record) -> str:
    """Write the record, and around it what libvirt must know: the NICs' driver, and a standby's -incoming."""
    root = tree.parse(xml)
    marks.protect(root, marks.settle(root, record))
    return tree.text(root)


def unprotect(xml: str) -> str:
    """Take out what protect() put in, and nothing that was changed since."""
    root = tree.parse(xml)
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
    root = tree.parse(xml)
    for interface in root.iterfind("devices/interface"):
        driver = interface.find("driver")
        if not devices.is_virtio(interface) or (driver is not None and driver.get("name") == "qemu"):
            continue
        devices.after_model(interface, "backend").set("vhost", NO_VHOST)
    return tree.text(root)


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
