# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a guest sends and whether COLO can hold it back; the networks that it would find on the standby's host. Pure."""

from __future__ import annotations

from ...lockstep.uncompared import treatment
from ...observation.seen import Domain, Host, Lan, Network, Nic, Observation
from ...record.pair import DROP, MAX_NICS, REFUSE, TREATMENTS
from ...record.wanted import Wanted
from .row import Requirement, Row

BRIDGED = "bridge"  # the forward mode of a network of libvirt's that is a LAN of others


def nics(domain: Domain, seen: Observation) -> list[Requirement]:
    """No more NICs than a pair's ports are for, and each on a bridge."""
    row = Row("NICs", seen.host, "on a bridge, one queue")
    if len(domain.nics) > MAX_NICS:
        row.wrong(
            f"the domain has {len(domain.nics)} NICs, and a pair's block of ports is for {MAX_NICS} at most",
            "Take the others out of the domain; it takes effect at a cold start",
        )
    for nic in domain.nics:
        if nic.bridge is None:
            words = f"NIC {nic.mac} (type {nic.type}) is not on a bridge"
            row.wrong(words, "Attach it to a bridge that both hosts have")
    return row.found(", ".join(f"{nic.mac} ({nic.model}) on {nic.bridge}" for nic in domain.nics) or "none")


def vhost(domain: Domain, seen: Observation) -> list[Requirement]:
    """No NIC whose packets go past QEMU."""
    row = Row("vhost", seen.host, "no NIC that uses it")
    for nic in domain.nics:
        if uses_vhost(domain, nic):
            row.wrong(
                f"NIC {nic.mac} uses vhost: its packets go past QEMU, which has to compare them",
                "Give the interface <driver name='qemu'/> (virsh edit) and start the domain afresh, or have it done to "
                "the running guest with colo_vhost=save_and_restore; a new domain can have it from the beginning",
            )
    return row.found("none")


def uses_vhost(domain: Domain, nic: Nic) -> bool:
    """Whether this NIC's packets go through the kernel's vhost, stated, or by libvirt's choice at the start."""
    if not nic.model.startswith("virtio"):
        return False
    return nic.driver == "vhost" or (nic.driver != "qemu" and domain.vhost)


def uncompared(wanted: Wanted, seen: Observation) -> list[Requirement]:
    """A guest that serves with nothing that COLO does not compare, or an operator's choice about that."""
    row = Row("uncompared frames", seen.host, "none that the guest serves with, or a choice in colo_uncompared")
    if wanted.uncompared == REFUSE and seen.uncompared:
        row.wrong(
            f"the guest serves with frames that COLO cannot hold back until its standby has them: "
            f"{', '.join(seen.uncompared)}. What it tells clients in them a failover could undo",
            "Choose with colo_uncompared: drop, and it serves over IPv4 alone while it is protected; or allow, and "
            "what it says in such frames may be lost",
        )
    chosen = wanted.uncompared if wanted.uncompared in TREATMENTS else None
    return row.found(chosen if seen.uncompared is None else ", ".join(seen.uncompared) or "none seen")


def nftables(wanted: Wanted, host: Host) -> list[Requirement]:
    """The row that wants nftables on this host, wrong where frames are to be dropped and it has none.

    On either host, since the two change sides.
    """
    row = Row("nftables", host, "to drop such frames")
    if treatment(wanted.uncompared) == DROP and host.nftables is False:
        row.wrong(
            f"{host.name} has no nftables, with which frames are dropped that COLO cannot compare",
            "Install it; the role lockstep.colo.host does",
        )
    return row.found({None: None, True: "there", False: "none"}[host.nftables])


# On the standby's host


def networks(domain: Domain, here: Host, there: Host) -> list[Requirement]:
    """What a NIC's network comes to there; and for every NIC, whether its bridge leads to as much as here."""
    row = Row("networks", there, "such as lead as far as here")
    own, known = _by_name(here), _by_name(there)
    for nic in domain.nics:
        bridge = nic.bridge
        if nic.network is not None and there.networks is not None:
            network = known.get(nic.network)
            if not _usable(row, nic, network, there):
                continue
            if nic.network in own and not _same_mode(row, nic, (here, own[nic.network]), (there, network)):
                continue
            bridge = network.bridge
        _leads_as_far(row, nic, (here, nic.bridge), (there, bridge))
    _other_bridge(row, domain, known, there)
    return row.found(None if there.networks is None else "they do")


def _by_name(host: Host) -> dict[str, Network]:
    return {network.name: network for network in host.networks or ()}


def _same_mode(row: Row, nic: Nic, here: tuple[Host, Network], there: tuple[Host, Network]) -> bool:
    (home, own), (other, network) = here, there
    which = f"network {nic.network}, which NIC {nic.mac} is on,"
    if own.forward != network.forward:
        words = f"{which} {_mode(network, other)}, and {_mode(own, home)}"
        row.wrong(words, "Define it there as here (virsh net-dumpxml): a promoted guest would not be reached")
        return False
    if own.forward != BRIDGED:
        words = f"{which} is each host's own: it {_leads(own)}"
        row.note(
            words,
            "Give both the same addresses; if other machines use the guest, a bridge of their LAN, since connections "
            "through its host end at a failover",
        )
    return True


def _mode(network: Network, host: Host) -> str:
    return f"in {host.name} it {_leads(network)}"


def _leads(network: Network) -> str:
    return f"has forward mode {network.forward}" if network.forward else "leads nowhere"


def _usable(row: Row, nic: Nic, network: Network | None, there: Host) -> bool:
    if network is None:
        words = f"{there.name} has no network {nic.network}, which NIC {nic.mac} is on"
        row.wrong(words, "Define it there, so that it leads to the same LAN, and start it")
    elif not network.active:
        words = f"network {nic.network}, which NIC {nic.mac} is on, is not active on {there.name}"
        row.wrong(words, "Start it there, and have it start with the host (virsh net-start, net-autostart)")
    elif network.bridge is None:
        words = f"network {nic.network} of {there.name} has no bridge, and NIC {nic.mac} needs one"
        row.wrong(words, "Define it there with the bridge of the same LAN")
    else:
        return True
    return False


def _leads_as_far(row: Row, nic: Nic, here: tuple[Host, str | None], there: tuple[Host, str | None]) -> None:
    one, other = _lan(*here), _lan(*there)
    if one is None or other is None:  # that a bridge is not there has a row of its own
        return
    home = here[0].name
    where = f"bridge {other.bridge} of {there[0].name}, where NIC {nic.mac} would be"
    remedy = f"Have it lead to the same LAN as {one.bridge} of {home}: a promoted guest would not be reached"
    if other.up is False and one.up is not False:
        row.wrong(f"{where}, is down", "Set it up (ip link set dev ... up), and have it come up with the host")
    elif one.uplinks and not other.uplinks:
        row.wrong(f"{where}, has no port that leads out of the host, and {one.bridge} of {home} has", remedy)
    elif set(one.dead) < set(one.uplinks) and other.uplinks and set(other.dead) == set(other.uplinks):
        row.wrong(f"{where}, leads nowhere: its port {', '.join(other.dead)} is down or has no carrier", remedy)
    elif one.vlans != other.vlans:
        row.wrong(f"{where}, is in VLAN {_list(other.vlans)}, and here it is in {_list(one.vlans)}", remedy)
    elif one.uplinks:
        _by_vlan(row, nic, (one, home), (other, there[0].name))
    if other.mtu < one.mtu:
        words = f"{where}, has an MTU of {other.mtu}, and here it is {one.mtu}"
        row.wrong(words, "Give both the same: after a failover large packets of the guest would be lost")


def _by_vlan(row: Row, nic: Nic, here: tuple[Lan, str], there: tuple[Lan, str]) -> None:
    """Whether its frames leave the second host as they leave this one: in a VLAN that an uplink carries."""
    (one, home), (other, name) = here, there
    for vlan in nic.vlans or (None,):
        leaves, would = _as(one, vlan), _as(other, vlan)
        bridge, which = f"bridge {other.bridge} of {name}", f"NIC {nic.mac}{f' in VLAN {vlan}' if vlan else ''}"
        as_here = f"as those of {one.bridge} of {home} are"
        if would is None:
            row.note(
                f"it is not known which VLANs the uplinks of {bridge} are in, which keeps VLANs apart",
                f"Be sure that the frames of {which} pass there (bridge vlan show)",
            )
        elif leaves and not would:
            row.wrong(
                f"no frame of {which} would leave {name}: {_apart(other, vlan)}",
                f"Put the uplinks of {bridge} into that VLAN, {as_here} (bridge vlan add)",
            )
        elif leaves and leaves.isdisjoint(would):
            ways = f"{_list_ways(would)} there, and {_list_ways(leaves)} here"
            different = row.note if None in (leaves | would) else row.wrong
            different(
                f"the frames of {which} would leave {bridge} {ways}",
                "Be sure that both are the same LAN: a promoted guest would not be reached",
            )


def _as(lan: Lan, vlan: int | None) -> set[int | None] | None:
    """As what a NIC's frames leave by the bridge's uplinks: with the tag of a VLAN, or None, without; nothing where
    they do not leave, and None where that is not known. libvirt wants a bridge that filters for a NIC with a VLAN."""
    if not lan.filters:
        return {None} if vlan is None else set()
    if lan.carried is None:
        return None
    number = vlan or lan.own
    if number is None:
        return set()
    return {number if one.tagged else None for one in lan.carried if one.first <= number <= one.last}


def _apart(lan: Lan, vlan: int | None) -> str:
    if not lan.filters:
        return f"bridge {lan.bridge} there knows no VLANs"
    number = vlan or lan.own
    if number is None:
        return f"bridge {lan.bridge} there puts a tap into no VLAN (default_pvid 0)"
    return f"of bridge {lan.bridge} there, no uplink ({', '.join(lan.uplinks)}) is in VLAN {number}"


def _list_ways(ways: set[int | None]) -> str:
    return " and ".join("without a tag" if way is None else f"in VLAN {way}" for way in sorted(ways, key=str))


def _lan(host: Host, bridge: str | None) -> Lan | None:
    return next((lan for lan in host.lans if lan.bridge == bridge), None)


def _list(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers)) or "none"


def _other_bridge(row: Row, domain: Domain, known: dict[str, Network], there: Host) -> None:
    """A note: the same LAN may be on bridges of different names, and only a person knows, unless the guest is heard."""
    for nic in domain.nics:
        network = known.get(nic.network) if nic.network else None
        if not (network and network.active and network.bridge and network.bridge != nic.bridge):
            continue
        lan = _lan(there, network.bridge)
        if lan is None or nic.mac not in lan.hears:
            by = f", with its port {', '.join(lan.uplinks)}" if lan and lan.uplinks else ""
            row.note(
                f"network {nic.network} leads to bridge {network.bridge} on {there.name}{by}, and to {nic.bridge} "
                f"here: both are there, and that they are the same LAN is not proven, since {network.bridge} has not "
                f"heard NIC {nic.mac} by such a port",
                "Be sure that both are the same LAN; lockstep.colo.drill does not prove it. Where they are, it is "
                "proven once the guest has said something to all of it, such as an ARP request, within 5 minutes",
            )


def network_filters(domain: Domain, there: Host) -> list[Requirement]:
    """The nwfilters that the domain's NICs refer to."""
    names = ", ".join(domain.network_filters) or "none"
    row, known = Row("network filters", there, names), there.network_filters
    if known is None:
        return row.found(None)
    for name in domain.network_filters:
        if name not in known:
            row.wrong(
                f"{there.name} has no nwfilter {name}, which a NIC refers to",
                "Define the same there (virsh nwfilter-dumpxml here, nwfilter-define there)",
            )
    return row.found(names)


def bridges(domain: Domain, there: Host) -> list[Requirement]:
    """The bridges that the domain's NICs are on, by their names."""
    row = Row("bridges", there, ", ".join(_bridges(domain)) or "none")
    for nic in domain.nics:
        by_network = nic.network is not None and there.networks is not None  # which may lead elsewhere there
        if nic.bridge and not by_network and nic.bridge not in there.bridges:
            row.wrong(f"{there.name} has no bridge {nic.bridge}, which NIC {nic.mac} is on", "Create it there")
    return row.found("there")


def _bridges(domain: Domain) -> list[str]:
    return sorted({nic.bridge for nic in domain.nics if nic.bridge})


def forward_delay(domain: Domain, host: Host) -> list[Requirement]:
    """No long wait of STP before a port forwards, on the bridges that the domain is on."""
    row, used = Row("forward delay", host, "none"), set(_bridges(domain))
    for delay in host.forward_delays:
        if delay.bridge in used and delay.seconds:
            row.note(
                f"bridge {delay.bridge} of {host.name} runs STP with a forward delay of {delay.seconds:g} s: clients "
                f"of a guest that is promoted there wait {2 * delay.seconds:g} s longer",
                f"Turn STP off (ip link set {delay.bridge} type bridge stp_state 0) if the network has no loops",
            )
    known = {delay.bridge for delay in host.forward_delays}
    return row.found("none" if known.issuperset(used & set(host.bridges)) else None)
