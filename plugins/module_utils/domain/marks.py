# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pair puts into a domain's XML: the record in its metadata, a standby's -incoming, the driver of its NICs."""

from __future__ import annotations

import dataclasses

from ..record import xml
from ..record.pair import NicRecord, Record
from ..record.schema import NAMESPACE, VocabularyError, etree, validate
from .devices import after_model, find_nic, is_virtio
from .tree import QEMU_NAMESPACE, DomainXmlError, append, empty, insert, remove

# Every version of our namespace begins like this.
_NAMESPACE_FAMILY = NAMESPACE.rpartition(":")[0] + ":"
COMMANDLINE = f"{{{QEMU_NAMESPACE}}}commandline"
_ARG = f"{{{QEMU_NAMESPACE}}}arg"


def record_element(root: etree._Element) -> etree._Element | None:
    """The record in a domain's metadata; VocabularyError for a second one, or one of another version."""
    found = []
    for element in root.iterfind("metadata/*"):
        namespace = etree.QName(element).namespace or ""
        if namespace == NAMESPACE:
            found.append(element)
        elif namespace.startswith(_NAMESPACE_FAMILY):
            raise VocabularyError(f"line {element.sourceline}: a record of {namespace}, this version reads {NAMESPACE}")
    if len(found) > 1:
        raise VocabularyError(f"line {found[1].sourceline}: a second record")
    return found[0] if found else None


def read_record(root: etree._Element) -> Record | None:
    """The pair's record in a domain; VocabularyError when there is one that cannot be read."""
    element = record_element(root)
    return None if element is None else xml.from_xml(element)


def settle(root: etree._Element, record: Record) -> Record:
    """``record`` with what only the XML knows of the time before, as editing.settle() says."""
    existing = read_record(root)
    return dataclasses.replace(
        record,
        nics=tuple(_settle_nic(root, existing, nic) for nic in record.nics),
        incoming_added=record.role == "secondary" and _incoming_is_ours(root, existing),
        metadata_before=existing.metadata_before if existing else root.find("metadata") is not None,
        commandline_before=existing.commandline_before if existing else root.find(COMMANDLINE) is not None,
    )


def _settle_nic(root: etree._Element, existing: Record | None, nic: NicRecord) -> NicRecord:
    known = next((item for item in existing.nics if item.mac == nic.mac), None) if existing else None
    interface = find_nic(root, nic.mac, required=known is None)
    # One that was taken out by the user while the pair is there is no reason to fail in the middle of a failover.
    driver = None if interface is None else interface.find("driver")
    if interface is None or (driver is not None and driver.get("name") == "qemu"):
        return dataclasses.replace(known or nic, uplink=nic.uplink)
    return NicRecord(nic.mac, None if driver is None else driver.get("name"), driver is not None, nic.uplink)


def _incoming_is_ours(root: etree._Element, existing: Record | None) -> bool:
    """Whether a standby's -incoming is or will be there because of us."""
    found = incoming(root)
    if not found:
        return True
    values = sorted({value.get("value", "") for _flag, value in found if value is not None} or {""})
    if values != ["defer"]:
        raise DomainXmlError(f"qemu:commandline has -incoming {' '.join(values)}, a standby needs -incoming defer")
    return existing is not None and existing.incoming_added


def protect(root: etree._Element, record: Record) -> None:
    """Put the record in, and around it what libvirt must know; ``record`` is settled."""
    existing = read_record(root)
    if record.incoming_added:
        _add_incoming(root)
    elif existing is not None and existing.incoming_added:
        remove_incoming(root)
        remove_empty_commandline(root, record)
    for nic in record.nics:
        _set_driver(root, nic.mac)
    write_record(root, record)


def write_record(root: etree._Element, record: Record) -> None:
    """Put the record in the metadata, in the place of an older one; VocabularyError for one that is none."""
    element, old = xml.to_element(record), record_element(root)
    validate(element)
    if old is not None:
        metadata, index = old.getparent(), old.getparent().index(old)
        remove(old)
        insert(metadata, index, element)
        return
    metadata = root.find("metadata")
    if metadata is None:
        metadata = etree.Element("metadata")
        heads = [child for child in root if child.tag in ("name", "uuid", "genid", "title", "description")]
        insert(root, root.index(heads[-1]) + 1 if heads else 0, metadata)
    append(metadata, element)


def remove_record(root: etree._Element, record: Record) -> None:
    """Take the record out, and with it a <metadata> that was not there before it."""
    element = record_element(root)
    if element is None:
        return
    metadata = element.getparent()
    remove(element)
    if not record.metadata_before and empty(metadata):
        remove(metadata)


def incoming(root: etree._Element) -> list[tuple[etree._Element, etree._Element | None]]:
    """Each `-incoming` argument with the one that follows it, which is its value whatever it says, as for QEMU."""
    args = iter(root.findall(f"{COMMANDLINE}/{_ARG}"))
    return [(arg, next(args, None)) for arg in args if arg.get("value") == "-incoming"]


def _add_incoming(root: etree._Element) -> None:
    if incoming(root):
        return
    commandline = root.find(COMMANDLINE)
    if commandline is None:
        commandline = etree.Element(COMMANDLINE, nsmap={"qemu": QEMU_NAMESPACE})
        # Where libvirt writes it: at the end, before what else is in its namespace.
        others = [child for child in root.iterchildren(etree.Element) if etree.QName(child).namespace == QEMU_NAMESPACE]
        insert(root, root.index(others[0]) if others else len(root), commandline)
    # libvirt writes all arguments before the environment.
    args = commandline.findall(_ARG)
    index = commandline.index(args[-1]) + 1 if args else 0
    for offset, value in enumerate(("-incoming", "defer")):
        insert(commandline, index + offset, etree.Element(_ARG, {"value": value}, nsmap={"qemu": QEMU_NAMESPACE}))


def remove_incoming(root: etree._Element) -> None:
    """Remove `-incoming defer`; another value is one that the user put there."""
    for flag, value in incoming(root):
        if value is not None and value.get("value") == "defer":
            remove(value)
            remove(flag)


def remove_empty_commandline(root: etree._Element, record: Record) -> None:
    """Take <qemu:commandline> out where nothing is left in it and it was not there before the record."""
    commandline = root.find(COMMANDLINE)
    if commandline is not None and not record.commandline_before and empty(commandline):
        remove(commandline)


def _set_driver(root: etree._Element, mac: str) -> None:
    """Keep the packets of a virtio NIC inside QEMU, where the filters see them, instead of in the kernel's vhost."""
    interface = find_nic(root, mac, required=False)
    if interface is None or not is_virtio(interface):
        return
    after_model(interface, "driver").set("name", "qemu")


def restore_driver(root: etree._Element, nic: NicRecord) -> None:
    """Give a NIC back the driver that it had, unless somebody has stated another one since."""
    interface = find_nic(root, nic.mac, required=False)
    driver = None if interface is None else interface.find("driver")
    if interface is None or driver is None or not is_virtio(interface) or driver.get("name") != "qemu":
        return
    if nic.driver_before is not None:
        driver.set("name", nic.driver_before)
        return
    del driver.attrib["name"]
    if not nic.driver_element_before and empty(driver):
        remove(driver)
