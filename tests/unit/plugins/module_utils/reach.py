# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a domain's XML reaches of its host, told by XPath alone: a second opinion, which asks nothing of what it judges.

Everything that a standby's domain may reach is listed here; what is not is told. Texts are XPath's string value and
names those without a namespace, as libvirt takes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

_QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
_OURS = "not(ancestor-or-self::*[local-name()='metadata'])"
# What libvirt's schema has for a path of the host (absFilePath, filePath, absDirPath), and for a socket.
_ATTRIBUTES = (
    "file", "path", "socket", "template", "rendernode", "evdev", "tap", "vhost", "logFile", "xauth", "tty", "keymap",
)  # fmt: skip
_TEXTS = ("emulator", "kernel", "initrd", "shim", "dtb", "loader", "nvram", "table", "backend", "partition", "path")
_FORBIDDEN = (
    "filesystem", "hostdev", "redirdev", "smartcard", "tpm", "shmem", "vsock", "lease", "script", "downscript",
    "dataStore", "reservations", "encryption", "launchSecurity", "baselabel", "override", "capabilities",
)  # fmt: skip
_WORDS = ("title", "description", "cmdline", "serial", "vendor", "product")


def reached(xml: str, name: str, uuid: str, images: set[str]) -> list[str]:
    """Each thing that this XML has to do with its host, and that is neither the guest's nor in ``images``."""
    root = etree.fromstring(xml.encode())
    return list(_told(root, name, uuid, images))


def _told(root: etree._Element, name: str, uuid: str, images: set[str]) -> Iterator[str]:
    for tag, wanted in (("name", name), ("uuid", uuid)):
        said = [element.xpath("string()") for element in root.xpath(f"*[local-name()='{tag}']")]
        if said != [wanted]:
            yield f"{tag} {said}"
    for tag in _FORBIDDEN:
        if root.xpath(f"//*[local-name()='{tag}'][{_OURS}]"):
            yield tag
    yield from _strange_names(root)
    yield from _disks(root, images)
    yield from _network(root)
    yield from _paths(root, name, uuid, images)
    args = [str(value) for value in root.xpath("//*[local-name()='arg']/@*[local-name()='value']")]
    if args not in ([], ["-incoming", "defer"]):
        yield f"arguments {args}"
    for variable in root.xpath("//*[local-name()='env']"):
        if dict(variable.attrib) != {"name": "LD_PRELOAD", "value": "/usr/local/lib/lab-tcg-shim.so"}:
            yield f"environment {dict(variable.attrib)}"
    for label in root.xpath(f"//*[local-name()='seclabel'][{_OURS}]"):
        if label.get("type") != "dynamic" or len(label):
            yield f"label {etree.tostring(label)}"


def _strange_names(root: etree._Element) -> Iterator[str]:
    for element in root.xpath(f"//*[{_OURS}]"):
        namespaces = {etree.QName(name).namespace for name in (element.tag, *element.attrib)}
        if namespaces - {None, _QEMU} or (_QEMU in namespaces and root.find("devices") in element.iterancestors()):
            yield f"names of {namespaces}"
    if root.xpath(f"//comment()[{_OURS}] | //processing-instruction()[{_OURS}]"):
        yield "something hidden"


def _disks(root: etree._Element, images: set[str]) -> Iterator[str]:
    for disk in root.xpath("//*[local-name()='devices']/*[local-name()='disk']"):
        kept = disk.get("device", "disk") != "disk" or disk.find("readonly") is not None
        for image in disk.xpath("descendant-or-self::*[local-name()='disk' or local-name()='backingStore']"):
            if image.get("type", "file") not in ("file", "block"):
                yield f"a disk of type {image.get('type')}"
        for source in disk.xpath("descendant::*[local-name()='source']/@*"):
            if str(source) not in images and not (kept and _medium(str(source))):
                yield f"a disk at {source}"


def _network(root: etree._Element) -> Iterator[str]:
    """What is done to the host's own network, and where is connected to."""
    for interface in root.xpath("//*[local-name()='devices']/*[local-name()='interface']"):
        if interface.get("type") not in ("bridge", "network"):
            yield f"a NIC of type {interface.get('type')}"
        for element in interface.xpath("descendant::*[local-name()='ip' or local-name()='route']"):
            yield f"{etree.QName(element).localname} {dict(element.attrib)}"
    for host in root.xpath(f"//*[local-name()='source']/*[local-name()='host'][{_OURS}]"):
        yield f"a connection to {dict(host.attrib)}"
    for store in root.xpath("//*[local-name()='os']/*[local-name()='nvram']"):
        if store.get("type", "file") != "file":
            yield f"a UEFI variable store of type {store.get('type')}"


def _medium(path: str) -> bool:
    return re.fullmatch(r"/var/lib/libvirt/images/[\w.-]+\.iso", path) is not None


def _paths(root: etree._Element, name: str, uuid: str, images: set[str]) -> Iterator[str]:
    own = f"({re.escape(name)}|{re.escape(uuid)})"
    allowed = [
        *map(re.escape, images),
        "/usr/bin/qemu-system-x86_64",
        r"/usr/(local/lib|lib|share)/\w[\w.-]*(/\w[\w.-]*)*",
        rf"/var/lib/libvirt/qemu/nvram/{own}_VARS\.(fd|qcow2)",
        rf"/var/log/libvirt/qemu/{own}[-.](serial|console|channel|parallel)\d*\.log",
        rf"(/var/lib|/var/run|/run)/libvirt/qemu/{own}[-.](serial|console|channel|vnc|spice|agent)\d*\.sock",
        r"/var/lib/libvirt/images/[\w.-]+\.iso",
        "/(boot|var/lib/libvirt/boot)/[^/]+",
        "/dev/(urandom|random|hwrng|vhost-net|net/tun)|/run/lockstep-colo/no-vhost",
        r"/[A-Za-z0-9]\w*",  # a partition of the resources
    ]
    for element in root.xpath(f"//*[{_OURS}]"):
        if isinstance(element.tag, str) and etree.QName(element).localname not in _WORDS:
            yield from _values(element, "|".join(allowed))


def _values(element: etree._Element, allowed: str) -> Iterator[str]:
    tag = etree.QName(element).localname
    values = [(f"@{etree.QName(key).localname}", value) for key, value in element.attrib.items()]
    if not len(element.xpath("*")):
        values.append((tag, element.xpath("string()")))
    for place, value in values:
        path = place.removeprefix("@") in (_ATTRIBUTES if place.startswith("@") else _TEXTS) or "/" in value
        if path and value.strip() and not re.fullmatch(allowed, value):
            yield f"{tag} {place} {value}"
