# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this host has that a domain of another one may refer to by name: networks, filters, addresses, other domains."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import ColoError
from ..host import leaving
from ..host.command import run
from ..host.hypervisor import Hypervisor
from ..host.links import has_carrier, link_up, mtu
from ..host.sockets import listening
from ..host.uplinks import uplinks_of
from ..observation.seen import Carried, KnownDomain, Lan, Network
from ..record.schema import etree

NETWORK = "/sys/class/net"
UNTAGGED = "Egress Untagged"  # the word of bridge(8) for a VLAN whose frames leave without its tag


def surroundings(hypervisor: Hypervisor, macs: Container[str] = ()) -> dict[str, Any]:
    """What this host has of such things, as fields of an observation's Host by their names.

    ``macs``: addresses of the peer's guest, which may be heard here.
    """
    stock = hypervisor.stock()
    return {
        "lans": lans(macs),
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


def lans(macs: Container[str] = ()) -> tuple[Lan, ...]:
    """What each bridge leads to, and which of these addresses it has heard from there."""
    vlans = _vlans()
    found = (_lan(bridge, vlans, macs) for bridge in sorted(Path(NETWORK).glob("*/bridge")))
    return tuple(lan for lan in found if lan)


def _lan(bridge: Path, vlans: dict[str, int], macs: Container[str]) -> Lan | None:
    """None of a bridge that has gone meanwhile, as those of guests do; a port that has gone is none."""
    device = bridge.parent
    sizes = {port: mtu(port) for port in uplinks_of(device.name)}
    uplinks = tuple(port for port, size in sizes.items() if size is not None)
    own = mtu(device.name)
    if own is None:
        return None
    tagged = {vlans[port] for port in uplinks if port in vlans}
    dead = tuple(port for port in uplinks if not has_carrier(port))
    smallest = min([own, *(sizes[port] for port in uplinks)])
    lan = Lan(device.name, smallest, uplinks, tuple(sorted(tagged)), dead, link_up(device.name))
    if macs and uplinks:
        lan = replace(lan, hears=_heard(lan, macs))
    try:
        return _with_filter(lan, bridge)
    except OSError:
        return None


def _heard(lan: Lan, macs: Container[str]) -> tuple[str, ...]:
    heard = leaving.learned(lan.bridge).items()
    return tuple(sorted(mac for mac, port in heard if mac in macs and port in lan.uplinks))


def _with_filter(lan: Lan, settings: Path) -> Lan:
    """With the VLANs that it keeps apart; a kernel that cannot do that has no such setting."""
    if not (settings / "vlan_filtering").exists() or not _setting(settings, "vlan_filtering"):
        return lan
    own = _setting(settings, "default_pvid") or None
    return replace(lan, filters=True, own=own, carried=_carried(lan.uplinks))


def _setting(settings: Path, name: str) -> int:
    return int((settings / name).read_text(encoding="ascii"))


def _carried(uplinks: tuple[str, ...]) -> tuple[Carried, ...] | None:
    """By any of these ports."""
    try:
        ports: Iterable[dict[str, Any]] = json.loads(run("bridge", "-j", "vlan", "show") or "[]")
        found = [vlan for port in ports if port.get("ifname") in uplinks for vlan in port["vlans"]]
        carried = {(v["vlan"], v.get("vlanEnd", v["vlan"]), UNTAGGED not in v.get("flags", ())) for v in found}
    except (ColoError, ValueError, KeyError):
        return None
    return tuple(Carried(*one) for one in sorted(carried))


def _vlans() -> dict[str, int]:
    """The VLAN of each device that is one."""
    try:
        links: Iterable[dict[str, Any]] = json.loads(run("ip", "-j", "-d", "link", "show", "type", "vlan") or "[]")
    except (ColoError, ValueError):
        return {}
    return {link["ifname"]: link["linkinfo"]["info_data"]["id"] for link in links if link.get("linkinfo")}
