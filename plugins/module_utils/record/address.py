# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the IP address of an end of the pair is written, alone and with a port. Pure."""

from __future__ import annotations

import ipaddress


def canonical(text: str) -> str:
    """The one way to write this address, in which two can be compared; what is no address stays as it is."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


def check(text: str) -> None:
    """ValueError for what is no IP address, and for one with a scope: that of a link-local address may be any text."""
    if getattr(ipaddress.ip_address(text), "scope_id", None):
        raise ValueError(f"{text!r} means nothing without a device")


def bracketed(address: str) -> str:
    """The address where a port may follow: the colons of an IPv6 address are told from the port's by brackets."""
    return f"[{address}]" if ":" in address else address


def endpoint(address: str, port: int) -> str:
    """``10.0.0.1:21600``, or ``[fd00::1]:21600`` (RFC 3986, 3.2.2)."""
    return f"{bracketed(address)}:{port}"


def is_link_local(address: str) -> bool:
    """Whether it is an IPv6 address that means nothing without the name of a device (RFC 4291, 2.5.6)."""
    try:
        return ipaddress.IPv6Address(address).is_link_local
    except ValueError:
        return False
