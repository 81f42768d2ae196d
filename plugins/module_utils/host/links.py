# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The network devices of this host."""

from __future__ import annotations

import json
from pathlib import Path

from ..record.address import canonical
from .command import run

IFF_UP = 0x1


def devices() -> dict[str, str]:
    """The IP addresses of this host, without loopback, and the network device that has each."""
    links = json.loads(run("ip", "-j", "address"))
    return {
        canonical(item["local"]): link["ifname"]
        for link in links
        for item in link.get("addr_info", ())
        if item.get("local") and item.get("scope") != "host"
    }


def bridges() -> tuple[str, ...]:
    return tuple(sorted(path.parent.name for path in Path("/sys/class/net").glob("*/bridge")))


def link_up(device: str) -> bool | None:
    """Whether a network device is administratively up; None where there is no such device."""
    try:
        flags = int(Path("/sys/class/net", device, "flags").read_text(encoding="ascii"), 16)
    except FileNotFoundError:
        return None
    return bool(flags & IFF_UP)


def set_link(device: str, *, up: bool) -> None:
    """Set a network device of this host administratively up or down; CommandFailed where there is no such device."""
    run("ip", "link", "set", "dev", device, "up" if up else "down")
