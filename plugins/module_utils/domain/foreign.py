# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a domain's XML has its host do beyond the guest's own: files, programs and rights of the host.

A standby's domain is made from the XML of the other host, which may be compromised. libvirt, which is root, runs
the emulator that the XML names, hands QEMU's user each file that it names, and writes a console's log where it says.
So only what is in a place for it passes by itself.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from ..record.schema import etree
from . import arguments, devices, tree
from .editing import NO_VHOST
from .marks import QEMU_NAMESPACE

_SYSTEM = "/usr/(share|lib|lib64|libexec|local/lib)/.+"  # of the distribution or of root, and read alone
_RUN = "(/var)?/run/libvirt/qemu/.+|/var/lib/libvirt/qemu/.+"  # made by libvirt for each guest
_LOG = "/var/log/libvirt/qemu/[^/]+"
# Where an element's absolute path may lead; the more general row comes last.
_PLACES = (
    (r"devices/emulator", r"/usr/(bin|libexec|local/bin)/(qemu-system-[a-z0-9_]+|qemu-kvm|kvm)"),
    (r"os/(kernel|initrd|shim)", "/boot/[^/]+|/var/lib/libvirt/boot/[^/]+"),
    (r"os/loader|os/nvram@template", _SYSTEM),
    (r"os/nvram(/source@file)?", "/var/lib/libvirt/qemu/nvram/[^/]+"),
    (r"sysinfo/entry@file", rf"{_SYSTEM}|/var/lib/libvirt/images/.+\.ign"),  # of Ignition
    (r"devices/disk/source@file", rf"{_SYSTEM}|/var/lib/libvirt/images/.+\.iso"),
    (r"devices/rng/backend", "/dev/(u?random|hwrng)"),
    (r"devices/interface/backend@(tap|vhost)", f"/dev/net/tun|/dev/vhost-net|{re.escape(NO_VHOST)}"),
    (r"devices/(serial|parallel|console)(@tty|/source@path)", f"/dev/pts/[0-9]+|{_LOG}"),
    (r"devices/[a-z]+/log@file", _LOG),
    (r"devices/(serial|parallel|console|channel|graphics)/.*|devices/graphics@socket", _RUN),
)
# Whose texts are no paths, though they may begin with a slash. Of sysinfo, a file may be handed to the firmware.
_WORDS = ("description", "metadata", "title", "resource", "os/cmdline", "seclabel", "sysinfo")
_IN_ARGUMENT = re.compile(r"/[^,;:\s]*")
_SHOWN = 200  # characters


def foreign_in(xml: str) -> dict[str, str]:
    """By its name, for an operator who knows it: what it is in words, and what is against it."""
    root = tree.view(xml)
    found: dict[str, str] = {}
    for where, path in (*_paths(root), *_handed_on(root)):
        shown = path[:_SHOWN]
        found.setdefault(f"path {shown}", f"{where} is {shown}, which is no place for it")
    for label in root.iterfind("seclabel"):
        if label.get("type") != "dynamic" or label.find("baselabel") is not None:
            name = " ".join(filter(None, ("seclabel", label.get("model"), label.get("type"))))[:_SHOWN]
            found.setdefault(name, f"{name}: QEMU would have other rights than libvirt gives it")
    for interface in root.iterfind("devices/interface"):
        for tag in ("script", "downscript"):
            if interface.find(tag) is not None:
                mac = devices.mac_of(interface)
                found.setdefault(f"interface {tag}", f"interface {mac} has a {tag}, a program that is run as root")
    return found


def _paths(root: etree._Element) -> Iterator[tuple[str, str]]:
    """(element, path) of each absolute path in a place where it does not belong."""
    own = set()
    for disk in root.iterfind("devices/disk"):
        if disk.find("readonly") is None:  # a standby has images of its own for it
            own |= {element for tag in ("source", "backingStore", "mirror") for element in disk.iterfind(tag)}
    for entry in root.iterfind("sysinfo/entry[@file]"):
        if not _in_place("sysinfo/entry@file", entry.get("file")):
            yield "sysinfo/entry@file", entry.get("file")
    for element, name in _elements(root, "", own):
        texts = [(name, (element.text or "").strip())]
        texts += [(f"{name}@{key}", value) for key, value in element.attrib.items()]
        for where, text in texts:
            if text.startswith("/") and not _in_place(where, text):
                yield where, text


def _elements(parent: etree._Element, name: str, skipped: set[etree._Element]) -> Iterator[tuple[etree._Element, str]]:
    for child in parent.iterchildren(etree.Element):
        where = f"{name}/{child.tag}".lstrip("/")
        if child not in skipped and where not in _WORDS and QEMU_NAMESPACE not in child.tag:
            yield child, where
            yield from _elements(child, where, skipped)


def _in_place(where: str, path: str) -> bool:
    plain = posixpath.normpath(path) == path.rstrip("/")
    return plain and any(re.fullmatch(at, where) and re.fullmatch(place, path) for at, place in _PLACES)


def _handed_on(root: etree._Element) -> Iterator[tuple[str, str]]:
    """Of what QEMU is handed past libvirt; the environment may name what it loads."""
    for option, value in arguments.options(root):
        yield from _outside(f"qemu:commandline -{option}", value or "")
    for variable in root.iter(f"{{{QEMU_NAMESPACE}}}env"):
        yield from _outside(f"qemu:env {variable.get('name')}", variable.get("value", ""))


def _outside(where: str, value: str) -> Iterator[tuple[str, str]]:
    for path in _IN_ARGUMENT.findall(value):
        if not re.fullmatch(_SYSTEM, path) or posixpath.normpath(path) != path:
            yield where, path
