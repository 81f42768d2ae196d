# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read of a libvirt domain's XML: text in, plain data out."""

from __future__ import annotations

from ..observation.seen import Disk
from ..record.pair import Record
from ..record.schema import etree
from . import devices, marks, tree
from .devices import NicElement
from .tree import DomainXmlError

_UNITS = {"b": 1, "byte": 1, "bytes": 1, "": 1024}
for _power, _letter in enumerate("kmgtpe", start=1):
    _UNITS |= {_letter: 1024**_power, f"{_letter}ib": 1024**_power, f"{_letter}b": 1000**_power}

_SECRETS = ("passwd", "passwdValidTo")


def canonical(xml: str) -> str:
    """The same text for the same XML: comments, indentation and the order of attributes do not count.

    It has one element a line, to be compared by people as well.
    """
    return _canonical(tree.parse(xml, own=True))


def _canonical(root: etree._Element) -> str:
    etree.strip_tags(root, etree.Comment)
    for element in root.iter(etree.Element):
        if element.text is not None and not element.text.strip():
            element.text = None
    etree.indent(root)
    # Exclusive: a declaration of a namespace that nothing uses says nothing.
    return etree.tostring(root, method="c14n", exclusive=True, with_comments=False).decode("utf-8")


def uuid(xml: str) -> str:
    """The domain's UUID; DomainXmlError where it states none."""
    return tree.exact_text(tree.view(xml), "uuid")


def name(xml: str) -> str:
    """The domain's name; DomainXmlError where it states none."""
    return tree.exact_text(tree.view(xml), "name")


def machine(xml: str) -> str:
    """The machine type, such as pc-i440fx-7.2."""
    element = tree.view(xml).find("os/type")
    return "" if element is None else element.get("machine", "")


def virt_type(xml: str) -> str:
    """What runs the guest: kvm, or qemu for QEMU alone."""
    return tree.view(xml).get("type", "")


def cpu_mode(xml: str) -> str:
    """How the guest's CPU is chosen: custom where nothing is said, as libvirt takes it."""
    element = tree.view(xml).find("cpu")
    return "custom" if element is None else element.get("mode", "custom")


def nvram(xml: str) -> str | None:
    """The type of the UEFI variable store's source; None for a domain that has none."""
    element = tree.view(xml).find("os/nvram")
    return None if element is None else element.get("type", "file")


def nvram_file(xml: str) -> str | None:
    """The UEFI variable store, where it is a file."""
    element = tree.view(xml).find("os/nvram")
    if element is None or element.get("type", "file") != "file":
        return None
    source = element.find("source")
    return (element.text or "").strip() or (None if source is None else source.get("file"))


def memory_bytes(xml: str) -> int:
    """The guest's memory as it is booted, in bytes."""
    root = tree.view(xml)
    return _bytes(tree.required_text(root, "memory"), root.find("memory").get("unit", ""))


def _bytes(amount: str, unit: str) -> int:
    if unit.lower() not in _UNITS:
        raise DomainXmlError(f"an amount of memory is in {unit[:20]!r}, which is no unit")
    return tree.number(str(tree.number(amount, "an amount of memory") * _UNITS[unit.lower()]), "memory in bytes")


def huge_page(xml: str) -> int | None:
    """The size of the huge pages that all of the guest's memory is made of; 0 for the host's default size."""
    backing = tree.view(xml).find("memoryBacking/hugepages")
    if backing is None:
        return None
    sizes = {_bytes(page.get("size", ""), page.get("unit", "")) for page in backing.iterfind("page")}
    return max(sizes, default=0)


def vcpus(xml: str) -> int:
    """How many processors the guest may have; DomainXmlError when that is no number."""
    return tree.number(tree.view(xml).findtext("vcpu", "1").strip(), "vcpu")


def emulator(xml: str) -> str | None:
    """The path of the QEMU that is to run it; None where it is libvirt's choice."""
    text = tree.view(xml).findtext("devices/emulator")
    return text.strip() if text else None


def disks(xml: str) -> list[Disk]:
    """Its disks, in the order of the XML; DomainXmlError for one that has no target."""
    return [devices.read_disk(element) for element in tree.view(xml).iterfind("devices/disk")]


def nics(xml: str) -> list[NicElement]:
    """Its NICs, in the order of the XML; DomainXmlError for one whose number of queues is none."""
    return [devices.read_nic(element) for element in tree.view(xml).iterfind("devices/interface")]


def read_record(xml: str) -> Record | None:
    """The collection's record in the domain's metadata; VocabularyError when there is one that cannot be read."""
    return marks.read_record(tree.view(xml))


def has_incoming(xml: str) -> bool:
    """Whether QEMU is told to wait for an incoming migration, as a standby is."""
    return bool(marks.incoming(tree.view(xml)))


def redacted(xml: str) -> str:
    """The XML without the passwords that VIR_DOMAIN_XML_SECURE adds: fit for a terminal, a log and a diff."""
    return without_passwords(xml)[0]


def without_passwords(xml: str) -> tuple[str, bool]:
    """The same, and whether there were any."""
    root = tree.parse(xml, own=True)
    taken = [element.attrib.pop(name, None) for element in root.iter(etree.Element) for name in _SECRETS]
    return tree.text(root), any(one is not None for one in taken)
