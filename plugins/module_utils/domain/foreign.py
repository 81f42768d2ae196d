# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a domain's XML has its host do beyond the guest's own: files, programs and rights of the host.

A standby's domain is made from the XML of the other host, which may be compromised. libvirt, which is root, runs
the emulator that the XML names, hands QEMU's user each file that it names, and writes a console's log where it says.
So only what is in a place for it passes by itself, and in a directory that all guests share, what has this one's name.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterator

from ..record.schema import etree
from . import arguments, tree
from .editing import NO_VHOST
from .standby import forget_run

_SYSTEM = r"/usr/(share|lib|lib64|libexec|local/lib)/[^\s:$]+"  # of the distribution or of root, and read alone
_CHARACTER_DEVICE = "(serial|parallel|console|channel)"
_LOG = rf"/var/log/libvirt/qemu/OWN[-.]{_CHARACTER_DEVICE}[0-9]*\.log"
_SOCKET = (
    r"(/var/lib|/var/run|/run)/libvirt/qemu/"
    rf"OWN(\.agent|[-.]({_CHARACTER_DEVICE}|vnc|spice|agent)[0-9]*\.sock)"
)
# Where what an element names may lead. OWN is the domain's name or UUID.
_PLACES = (
    (r"devices/emulator", r"/usr/(bin|libexec|local/bin)/(qemu-system-(x86_64|i386)|qemu-kvm|kvm)"),
    (r"os/(kernel|initrd|shim)", "/boot/[^/]+|/var/lib/libvirt/boot/[^/]+"),
    (r"os/loader|os/nvram@template", _SYSTEM),
    (r"os/nvram(/source@file)?", r"/var/lib/libvirt/qemu/nvram/OWN_VARS\.(fd|raw|qcow2)"),
    (r"sysinfo/entry@file", rf"{_SYSTEM}|/var/lib/libvirt/images/.+\.ign"),  # of Ignition
    (r"devices/disk/source@file", rf"{_SYSTEM}|/var/lib/libvirt/images/.+\.iso"),
    (r"devices/rng/backend", "/dev/(u?random|hwrng)"),
    (r"devices/interface/backend@(tap|vhost)", f"/dev/net/tun|/dev/vhost-net|{re.escape(NO_VHOST)}"),
    (rf"devices/{_CHARACTER_DEVICE}/source@path", f"{_LOG}|{_SOCKET}"),
    (r"devices/graphics(/listen)?@socket", _SOCKET),
    (rf"devices/{_CHARACTER_DEVICE}/log@file", _LOG),
    (r"clock@timezone", r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*"),  # not ":/path", which names a file (tzset(3))
    (r"resource/partition", r"(/[A-Za-z0-9][A-Za-z0-9_.@-]*)+"),
)
# What is a path whatever it begins with (by libvirt's schema; the attributes wherever they are).
_PATHS = re.compile(
    r"devices/(emulator|rng/backend)|os/(kernel|initrd|shim|dtb|loader|nvram|acpi/table|init|initdir|root)"
    r"|resource/partition|blkiotune/device/path|devices/(memory|hostdev)/source/(path|block|char)"
    r"|(?!devices/filesystem/target).*@dir|.*@(file|path|socket|template|rendernode|evdev|tap|vhost|logFile|xauth)"
    r"|(?!devices/interface/).*/source@dev"
)
# Whose texts are no paths, though they may have slashes. Of sysinfo, a file may be handed to the firmware.
_WORDS = re.compile(
    r"description|metadata|title|os/cmdline|sysinfo(?!/entry@file).*|resource/fibrechannel@appid"
    r"|devices/disk/(serial|vendor|product)|devices/graphics@passwd|devices/interface/filterref/parameter@value"
)
_SHOWN = 200  # characters
_UNKNOWN = "QEMU would do what libvirt knows nothing of"


def foreign_in(xml: str) -> dict[str, str]:
    """By its name, for an operator who knows it: what it is in words, and what is against it.

    What libvirt made up for one run is none of it: a standby does not inherit it.
    """
    root = tree.parse(xml)
    forget_run(root)
    found: dict[str, str] = {}
    for where, path in _paths(root):
        found.setdefault(f"path {path}", f"{where} is {path[:_SHOWN]}, which is no place for it")
    for name, words in (*_elsewhere(root), *_handed_on(root), *_rights(root), *_sounds(root)):
        found.setdefault(name, f"{name[:_SHOWN]}: {words}")  # a name is whole: it must be that of nothing else
    return found


def _kept(root: etree._Element) -> Iterator[etree._Element]:
    """The disks of which a standby has no image of its own: it opens what the XML says."""
    disks = root.findall("devices/disk")
    targets = Counter(tree.first_attribute(disk.find("target"), ("dev",)) for disk in disks)
    for disk in disks:
        twice = targets[tree.first_attribute(disk.find("target"), ("dev",))] > 1
        if disk.get("device", "disk") != "disk" or disk.find("readonly") is not None or twice:
            yield disk


def _paths(root: etree._Element) -> Iterator[tuple[str, str]]:
    """(element, path) of each path in a place where it does not belong."""
    names = [text for text in (root.findtext("name"), root.findtext("uuid")) if text]
    for element, where in _elements(root, "", _own(root)):
        texts = [] if len(element) else [(where, element.text or "")]
        texts += [(f"{where}@{key}", value) for key, value in element.attrib.items()]
        for place, text in texts:
            if text.strip() and _is_path(place, text) and not _in_place(place, text, names):
                yield place, text


def _own(root: etree._Element) -> set[etree._Element]:
    """What a standby has images of its own for, and what is named with the disk that it is of."""
    kept = set(_kept(root))
    replaced = {
        element
        for disk in root.iterfind("devices/disk")
        if disk not in kept
        for tag in ("source", "backingStore", "mirror")
        for element in disk.iterfind(tag)
    }
    return replaced | {source for disk in kept if not _in_files(disk) for source in disk.iterfind("source")}


def _in_files(image: etree._Element) -> bool:
    return image.get("type", "file") in ("file", "block")


def _elements(parent: etree._Element, name: str, skipped: set[etree._Element]) -> Iterator[tuple[etree._Element, str]]:
    for child in parent.iterchildren(etree.Element):
        where = f"{name}/{child.tag}".lstrip("/")
        if child in skipped or child.tag in ("seclabel", "metadata") or child.tag.startswith("{"):  # looked at apart
            continue
        yield child, where
        yield from _elements(child, where, skipped)


def _is_path(where: str, text: str) -> bool:
    return bool(_PATHS.fullmatch(where)) or ("/" in text and not _WORDS.fullmatch(where))


def _in_place(where: str, path: str, names: list[str]) -> bool:
    own = f"({'|'.join(map(re.escape, names))})" if names else "(?!)"
    plain = posixpath.normpath(path) == path
    return plain and any(
        re.fullmatch(at, where) and re.fullmatch(place.replace("OWN", own), path) for at, place in _PLACES
    )


def _elsewhere(root: etree._Element) -> Iterator[tuple[str, str]]:
    """The disks whose image is neither a file nor a block device, of which this host might have another one."""
    for disk in _kept(root):
        target = tree.first_attribute(disk.find("target"), ("dev",))
        for image in (disk, *disk.iter("backingStore", "mirror", "dataStore")):
            if not _in_files(image):
                told = [f"{key}={value}" for source in image.iterfind("source") for key, value in _attributes(source)]
                name = " ".join([f"disk {target} of type {image.get('type')}", *told])
                yield name, "what a standby would read there is another guest's, or another host's"


def _attributes(element: etree._Element) -> Iterator[tuple[str, str]]:
    for one in element.iter(etree.Element):
        yield from one.attrib.items()


def _handed_on(root: etree._Element) -> Iterator[tuple[str, str]]:
    """What QEMU is handed past libvirt. A library of root's that is loaded before QEMU is one that this host has."""
    for option, value in arguments.options(root):
        if (option, value) != ("incoming", "defer"):
            given = f"-{option} {value or ''}" if option else value
            yield f"qemu:commandline {given}".rstrip(), _UNKNOWN
    for _name, given in arguments.overrides(root):
        yield given, _UNKNOWN
    for variable in root.iter(f"{{{tree.QEMU_NAMESPACE}}}env"):
        name, value = variable.get("name", ""), variable.get("value", "")
        libraries = re.split(r"[:\s]", value)  # as ld.so(8) parts them
        plain = all(re.fullmatch(_SYSTEM, path) and posixpath.normpath(path) == path for path in libraries)
        if name != "LD_PRELOAD" or not plain:
            yield f"qemu:env {name}={value}", "QEMU would be started in another environment than libvirt's"


def _rights(root: etree._Element) -> Iterator[tuple[str, str]]:
    """Other rights than those that libvirt gives QEMU."""
    for label in root.iterfind("seclabel"):
        if label.get("type") != "dynamic" or label.find("baselabel") is not None:
            given = (label.get("model"), label.get("type"), label.findtext("label"), label.findtext("baselabel"))
            name = " ".join(filter(None, ("seclabel", *given)))
            yield name, "QEMU would have other rights than libvirt gives it"
    for label in root.iterfind("*//seclabel"):
        if label.find("label") is not None:
            name = " ".join(
                ["seclabel", label.get("model", ""), label.findtext("label", ""), "of", label.getparent().tag]
            )
            yield name, "a file of the host would get other rights than libvirt gives it"


def _sounds(root: etree._Element) -> Iterator[tuple[str, str]]:
    """Where a sound is to go, unless to nobody or to the display: ALSA's names of devices can be commands."""
    for audio in root.iterfind("devices/audio"):
        given = [f"{key}={value}" for key, value in _attributes(audio) if key != "id"]
        if given not in ([], ["type=none"], ["type=spice"]):
            yield " ".join(["audio", *given]), "this host would be asked to play it, by a program or over a network"
