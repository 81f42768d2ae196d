# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks and NICs of a domain's XML, one element each."""

from __future__ import annotations

from dataclasses import dataclass

from ..observation.seen import Disk
from ..record.schema import etree
from . import tree
from .tree import DomainXmlError, alias, first_attribute, insert

_SOURCE_ATTRIBUTES = ("file", "dev", "dir", "name", "volume", "path")
_NIC_SOURCE_ATTRIBUTES = ("bridge", "network", "dev", "path")


@dataclass(frozen=True)
class NicElement:
    """A NIC as its <interface> says it; ``mac`` in lower case, ``source`` a bridge, network or device."""

    mac: str
    model: str
    type: str
    source: str | None
    tap: str | None
    alias: str | None
    driver: str | None
    driver_element: bool
    queues: int
    network: str | None = None
    vlans: tuple[int, ...] = ()


def read_disk(element: etree._Element) -> Disk:
    """What a <disk> says; DomainXmlError where it has no target."""
    target, driver = element.find("target"), element.find("driver")
    if target is None:
        raise DomainXmlError(f"line {element.sourceline}: a disk without a target")
    return Disk(
        target=target.get("dev", ""),
        device=element.get("device", "disk"),
        type=element.get("type", "file"),
        source=_disk_source(element),
        format=None if driver is None else driver.get("type"),
        bus=target.get("bus", ""),
        alias=alias(element),
        readonly=element.find("readonly") is not None,
        shareable=element.find("shareable") is not None,
    )


def _disk_source(element: etree._Element) -> str | None:
    source = element.find("source")
    if source is not None and element.get("type") == "volume":
        return f"{source.get('pool')}/{source.get('volume')}"
    return first_attribute(source, _SOURCE_ATTRIBUTES)


def disks_by_target(root: etree._Element) -> dict[str, etree._Element]:
    """The disks by their <target dev>."""
    found = ((element.find("target"), element) for element in root.iterfind("devices/disk"))
    return {target.get("dev", ""): element for target, element in found if target is not None}


def read_nic(interface: etree._Element) -> NicElement:
    """What an <interface> says; DomainXmlError where its number of queues is none."""
    driver, target = interface.find("driver"), interface.find("target")
    source = interface.find("source")
    return NicElement(
        mac=mac_of(interface),
        model=_model(interface),
        type=interface.get("type", ""),
        source=first_attribute(source, _NIC_SOURCE_ATTRIBUTES),
        network=None if source is None else source.get("network"),
        tap=None if target is None else target.get("dev"),
        alias=alias(interface),
        driver=None if driver is None else driver.get("name"),
        driver_element=driver is not None,
        queues=queues_of(driver),
        vlans=tuple(tree.number(tag.get("id", ""), "the number of a VLAN") for tag in interface.iterfind("vlan/tag")),
    )


def mac_of(interface: etree._Element) -> str:
    """The MAC address of an <interface> in lower case; empty where it states none."""
    element = interface.find("mac")
    return "" if element is None else element.get("address", "").lower()


def _model(interface: etree._Element) -> str:
    element = interface.find("model")
    return "" if element is None else element.get("type", "")


def queues_of(driver: etree._Element | None) -> int:
    """How many queues the <driver> of an <interface> asks for; 1 where there is none."""
    return 1 if driver is None else tree.number(driver.get("queues", "1"), f"line {driver.sourceline}: queues")


def is_virtio(interface: etree._Element) -> bool:
    return _model(interface).startswith("virtio")


def find_nic(root: etree._Element, mac: str, required: bool = True) -> etree._Element | None:
    """The interface with this MAC address. There is none: DomainXmlError, or None unless ``required``."""
    for interface in root.iterfind("devices/interface"):
        if mac_of(interface) == mac:
            return interface
    if required:
        raise DomainXmlError(f"the domain has no NIC with the MAC address {mac}")
    return None


def after_model(interface: etree._Element, tag: str) -> etree._Element:
    """The interface's element of this name, made right after its model where there is none."""
    element = interface.find(tag)
    if element is None:
        element = etree.Element(tag)
        insert(interface, interface.index(interface.find("model")) + 1, element)
    return element
