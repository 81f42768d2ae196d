# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A domain's XML taken apart into facts, as the table of known devices has them, and each said in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..record.schema import etree
from . import devices, tree
from .marks import QEMU_NAMESPACE

# What is beside <devices> and can be in the way of a checkpoint; of the rest only its name is a fact.
SETTINGS = ("clock", "cpu", "features", "keywrap", "launchSecurity", "memoryBacking", "os")


@dataclass(frozen=True)
class Fact:
    """An element, an attribute or its value; ``element`` is the device, or the setting, that it is of."""

    name: str
    element: etree._Element

    def __str__(self) -> str:
        """What it is about, in few words: ``disk vda of type nvme``, ``sound model=usb``, ``cpu migratable=off``."""
        path, _at, attribute = self.name.partition("@")
        tag, *inner = path.split("/")
        if tag in SETTINGS or tag == "domain":
            return " ".join([inner[-1] if inner else tag, attribute]).rstrip()
        if inner:
            return f"{describe(self.element)} with {' '.join([inner[-1], attribute]).rstrip()}"
        if attribute and tag in ("disk", "interface"):
            return f"{describe(self.element)} of {attribute.replace('=', ' ', 1)}"
        words = describe(self.element)
        return words if not attribute or attribute in words.split() else f"{words} {attribute}"


def facts(root: etree._Element) -> Iterator[Fact]:
    """Every fact of a domain, but for the elements that hand QEMU arguments of their own."""
    yield Fact(f"domain@type={root.get('type', 'qemu')}", root)
    for child in root.iterchildren(etree.Element):
        name = etree.QName(child)
        if name.namespace == QEMU_NAMESPACE:
            continue
        if child.tag in SETTINGS:
            yield from _of(child, child, child.tag)
        else:
            yield Fact(f"domain/{name.localname}" if name.namespace is None else f"domain/{child.tag}", child)
    for device in root.iterfind("devices/*"):
        yield from _of(device, device, device.tag)


def _of(owner: etree._Element, element: etree._Element, path: str) -> Iterator[Fact]:
    yield Fact(path, owner)
    for key, value in element.attrib.items():
        yield Fact(f"{path}@{key}={value}", owner)
    for child in element.iterchildren(etree.Element):
        yield from _of(owner, child, f"{path}/{child.tag}")


def describe(element: etree._Element) -> str:
    """The device in few words by which it is found in the XML: ``disk vda``, ``sound model=usb``."""
    if element.tag == "disk":
        target = element.find("target")
        return f"disk {'' if target is None else target.get('dev', '')}".rstrip()
    if element.tag == "interface":
        return f"interface {devices.mac_of(element)}".rstrip()
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
