# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this host has that a domain of another one may refer to by name: networks, filters, addresses, other domains."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import ColoError
from ..host.command import run
from ..host.hypervisor import Hypervisor
from ..host.links import has_carrier, link_up
from ..host.sockets import listening
from ..observation.seen import KnownDomain, Lan, Network
from ..record.schema import etree

NETWORK = "/sys/class/net"


def surroundings(hypervisor: Hypervisor) -> dict[str, Any]:
    """What this host has of such things, as fields of an observation's Host by their names."""
    stock = hypervisor.stock()
    return {
        "lans": lans(),
        "networks": tuple(network(text, active) for text, active in stock["networks"]),
        "network_filters": None if stock["filters"] is None else tuple(sorted(stock["filters"])),
        "domains": tuple(KnownDomain(name, uuid) for uuid, name in sorted(stock["domains"].items())),
        "listeners": tuple(sorted(f"{address}:{port}" for address, port in listening())),
    }


def network(xml: str, active: bool) -> Network:
    """What libvirt's XML of a network says; ``active`` as it is handed in."""
    root = etree.fromstring(xml)
    bridge, forward = root.find("bridge"), root.find("forward")
    return Network(
        root.findtext("name", ""),
        active,
        None if bridge is None else bridge.get("name"),
        None if forward is None else forward.get("mode", "nat"),
    )


def lans() -> tuple[Lan, ...]:
    """What each bridge leads to; a port is an uplink unless it is the tap of a guest."""
    vlans, found = _vlans(), []
    for bridge in sorted(Path(NETWORK).glob("*/bridge")):
        device = bridge.parent
        ports = sorted(port.name for port in (device / "brif").glob("*"))
        uplinks = tuple(port for port in ports if not Path(NETWORK, port, "tun_flags").exists())
        tagged = {vlans[port] for port in uplinks if port in vlans}
        mtu = min(int(Path(NETWORK, one, "mtu").read_text(encoding="ascii")) for one in (device.name, *uplinks))
        dead = tuple(port for port in uplinks if not has_carrier(port))
        found.append(Lan(device.name, mtu, uplinks, tuple(sorted(tagged)), dead, link_up(device.name)))
    return tuple(found)


def _vlans() -> dict[str, int]:
    """The VLAN of each device that is one."""
    try:
        links: Iterable[dict[str, Any]] = json.loads(run("ip", "-j", "-d", "link", "show", "type", "vlan") or "[]")
    except (ColoError, ValueError):
        return {}
    return {link["ifname"]: link["linkinfo"]["info_data"]["id"] for link in links if link.get("linkinfo")}
