# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a domain asks of the host that it is started on, besides files, memory and a QEMU, by its XML."""

from __future__ import annotations

from collections.abc import Iterator

from ..observation.seen import Listen
from ..record.schema import etree
from . import tree

_PORTS = ("port", "tlsPort", "websocket")  # of graphics
_CHARACTER_DEVICES = ("serial", "parallel", "console", "channel")


def listens(xml: str) -> list[Listen]:
    """Where the domain's QEMU listens: each address as it is stated, with a port where that is stated, too.

    What libvirt chooses at each start is not listed: a port of autoport, the address of a network.
    """
    root, found = tree.view(xml), []
    for graphics in root.iterfind("devices/graphics"):
        found += _graphics(graphics)
    for tag in _CHARACTER_DEVICES:
        for source in root.iterfind(f"devices/{tag}/source[@mode='bind']"):
            found.append(Listen(tag, source.get("host"), _port(source.get("service"))))
    return list(dict.fromkeys(found))


def _graphics(graphics: etree._Element) -> Iterator[Listen]:
    kind = graphics.get("type", "")
    chosen = graphics.get("autoport") == "yes"
    ports = [_port(graphics.get(name)) for name in _PORTS if not chosen or name == "websocket"]
    known = [port for port in ports if port is not None] or [None]
    elements = graphics.findall("listen")
    addresses = [one.get("address") for one in elements if one.get("type") == "address"]
    if not elements:
        addresses = [graphics.get("listen")]
    for address in addresses:
        for port in known:
            if address or port:
                yield Listen(kind.upper(), address, port)


def _port(text: str | None) -> int | None:
    """None for what libvirt chooses (0 and -1), and for the name of a service."""
    return tree.number(text, "a port") or None if text and text.isdecimal() else None


def network_filters(xml: str) -> list[str]:
    """The nwfilters that its NICs refer to."""
    found = tree.view(xml).iterfind("devices/interface/filterref")
    return sorted({element.get("filter", "") for element in found} - {""})
