# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a domain refers to by name or address, and the standby's host may not have, or not the same. Pure checks.

libvirt and QEMU would say the same when the standby starts: after its images were made, and in words without a remedy.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..observation.seen import Domain, Host, Lan, Listen, Network, Nic
from .problem import Problem

EVERYWHERE = ("0.0.0.0", "::", "*")
LOOPBACK = ("127.", "::1", "localhost")


def networks(domain: Domain, here: Host, there: Host) -> Iterator[Problem]:
    """What a NIC's network comes to there; and for every NIC, whether its bridge leads to as much as here."""
    known = {network.name: network for network in there.networks or ()}
    for nic in domain.nics:
        bridge = nic.bridge
        if nic.network is not None and there.networks is not None:
            network = known.get(nic.network)
            problem = _network(nic, network, there)
            if problem:
                yield problem
                continue
            bridge = network.bridge
        yield from _leads_as_far(nic, _lan(here, nic.bridge), _lan(there, bridge), here, there)


def _network(nic: Nic, network: Network | None, there: Host) -> Problem | None:
    if network is None:
        words = f"{there.name} has no network {nic.network}, which NIC {nic.mac} is on"
        return Problem(words, "Define it there, so that it leads to the same LAN, and start it")
    if not network.active:
        words = f"network {nic.network}, which NIC {nic.mac} is on, is not active on {there.name}"
        return Problem(words, "Start it there, and have it start with the host (virsh net-start, net-autostart)")
    if network.bridge is None:
        words = f"network {nic.network} of {there.name} has no bridge, and NIC {nic.mac} needs one"
        return Problem(words, "Define it there with the bridge of the same LAN")
    return None


def _lan(host: Host, bridge: str | None) -> Lan | None:
    return next((lan for lan in host.lans if lan.bridge == bridge), None)


def _leads_as_far(nic: Nic, one: Lan | None, other: Lan | None, here: Host, there: Host) -> Iterator[Problem]:
    if one is None or other is None:  # that a bridge is not there has a row of its own
        return
    where = f"bridge {other.bridge} of {there.name}, where NIC {nic.mac} would be"
    remedy = f"Have it lead to the same LAN as {one.bridge} of {here.name}: a promoted guest would not be reached"
    if one.uplinks and not other.uplinks:
        yield Problem(f"{where}, has no port but those of guests, and {one.bridge} of {here.name} has", remedy)
    elif one.vlans != other.vlans:
        yield Problem(f"{where}, is in VLAN {_list(other.vlans)}, and here it is in {_list(one.vlans)}", remedy)
    if other.mtu < one.mtu:
        words = f"{where}, has an MTU of {other.mtu}, and here it is {one.mtu}"
        yield Problem(words, "Give both the same: after a failover large packets of the guest would be lost")


def _list(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers)) or "none"


def other_bridge(domain: Domain, there: Host) -> Iterator[Problem]:
    """A note: the same LAN may be on bridges of different names, and only a person knows."""
    known = {network.name: network for network in there.networks or ()}
    for nic in domain.nics:
        network = known.get(nic.network) if nic.network else None
        if network and network.active and network.bridge and network.bridge != nic.bridge:
            yield Problem(
                f"network {nic.network} leads to bridge {network.bridge} on {there.name}, and to {nic.bridge} here",
                "Be sure that both are the same LAN; lockstep.colo.drill does not prove it",
            )


def filters(domain: Domain, there: Host) -> Iterator[Problem]:
    for name in domain.network_filters if there.network_filters is not None else ():
        if name not in there.network_filters:
            yield Problem(
                f"{there.name} has no nwfilter {name}, which a NIC refers to",
                "Define the same there (virsh nwfilter-dumpxml here, nwfilter-define there)",
            )


def listeners(domain: Domain, there: Host) -> Iterator[Problem]:
    """Addresses that the host has to have, and ports that nobody else may have."""
    for wish in domain.listens:
        if _missing(wish.address, there):
            yield Problem(
                f"{wish.what} of the domain listens on {wish.address}, which is no address of {there.name}",
                "Have it listen on an address that both hosts have, such as 127.0.0.1 or 0.0.0.0; it takes effect at a "
                "cold start",
            )
        elif wish.port is not None and _taken(wish, there):
            yield Problem(
                f"port {wish.port}, on which {wish.what} of the domain listens, is in use on {there.name}",
                "End what listens there, or let libvirt choose the port (autoport); it takes effect at a cold start",
            )


def _missing(address: str | None, host: Host) -> bool:
    if not address or address in EVERYWHERE or address.startswith(LOOPBACK):
        return False
    numeric = address.replace(".", "").isdigit() or ":" in address
    return numeric and address not in host.addresses


def _taken(wish: Listen, host: Host) -> bool:
    """Whether a socket that listens keeps this one from it: on the same address, or on all of them, either way."""
    for listener in host.listeners or ():
        address, _colon, port = listener.rpartition(":")
        clash = address in EVERYWHERE or not wish.address or wish.address in EVERYWHERE or address == wish.address
        if clash and int(port) == wish.port:
            return True
    return False


def identity(domain: Domain, there: Host) -> Iterator[Problem]:
    for known in there.domains:
        if known.uuid == domain.uuid and known.name != domain.name:
            yield Problem(
                f"{there.name} has a domain {known.name} with the UUID of this one ({domain.uuid})",
                "Undefine that one there if it is an old copy, or give it a UUID of its own",
            )


def snapshots(domain: Domain) -> Iterator[Problem]:
    """A note: what only libvirt of this host knows."""
    if domain.snapshots:
        yield Problem(
            f"the domain has snapshots or checkpoints ({', '.join(domain.snapshots)}), which libvirt keeps here alone",
            "They do not follow the guest to the other host, and libvirt forgets them when the domain leaves this one: "
            "backups that go on from a checkpoint then have to begin with a full one",
        )
