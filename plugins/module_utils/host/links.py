# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The network devices of this host."""

from __future__ import annotations

import fcntl
import json
import socket
import struct
from pathlib import Path

from ..errors import CommandFailed
from ..record.address import canonical
from .command import run

IFF_UP = 0x1
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914  # netdevice(7)
IFNAMSIZ = 16
IFREQ = struct.Struct(f"{IFNAMSIZ}sH22x")  # its name, its flags


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
    """The names of the kernel's bridges on this host."""
    return tuple(sorted(path.parent.name for path in Path("/sys/class/net").glob("*/bridge")))


def link_up(device: str) -> bool | None:
    """Whether a network device is administratively up; None where there is no such device."""
    try:
        flags = int(Path("/sys/class/net", device, "flags").read_text(encoding="ascii"), 16)
    except OSError:  # of one that goes meanwhile, it is no such file, device or argument
        return None
    return bool(flags & IFF_UP)


def mtu(device: str) -> int | None:
    """The largest packet that a network device takes, in bytes; None where there is no such device."""
    try:
        return int(Path("/sys/class/net", device, "mtu").read_text(encoding="ascii"))
    except OSError:
        return None


def has_carrier(device: str) -> bool:
    """Whether a network device is up and sees its other end."""
    try:
        return Path("/sys/class/net", device, "carrier").read_text(encoding="ascii").strip() == "1"
    except OSError:  # of one that is down the kernel does not say
        return False


def set_link(device: str, *, up: bool) -> None:
    """Set a network device of this host administratively up or down; CommandFailed where there is no such device."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        name = device.encode()[:IFNAMSIZ].ljust(IFNAMSIZ, b"\0")
        try:
            flags = IFREQ.unpack(fcntl.ioctl(any_socket, SIOCGIFFLAGS, IFREQ.pack(name, 0)))[1]
            flags = flags | IFF_UP if up else flags & ~IFF_UP
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, IFREQ.pack(name, flags))
        except OSError as error:
            raise CommandFailed(f"the link {device} cannot be set {'up' if up else 'down'}: {error.strerror}") from None
