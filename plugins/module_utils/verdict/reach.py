# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether clients can find a guest that runs: it may serve, and nobody hears it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ..observation.seen import Announced, Observation


def with_uplink(seen: Observation) -> dict[str, bool]:
    """Of each NIC, whether its bridge on this host has an uplink; nothing of a bridge that was not looked at."""
    lans = {lan.bridge: lan for lan in seen.host.lans}
    return {nic.mac: bool(lans[nic.bridge].uplinks) for nic in seen.domain.nics if nic.bridge in lans}


def unheard(seen: Observation) -> Iterator[str]:
    """What is wrong with the way from the guest to the network, in plain words."""
    for place in seen.announced:
        nic = f"NIC {place.mac} of the guest"
        if place.bridge is None:
            yield f"{nic} is not reached: its tap {place.tap} is a port of no bridge; attach it to the clients' bridge"
        elif place.learned not in (None, place.tap):
            yield (
                f"bridge {place.bridge} hears the address of {nic} from its port {place.learned}, not from the guest's "
                f"tap {place.tap}: another guest with this address answers, on another host; end the one to be given up"
            )
        elif not place.uplinks and _had_uplink(seen, place):
            yield (
                f"nothing that {nic} sends leaves this host: bridge {place.bridge} has no port that leads out of it, "
                "as the guest's had when the pair was formed: clients do not reach it; give it its port back "
                f"(ip link set ... master {place.bridge})"
            )
        elif place.uplinks and place.left is False:
            yield (
                f"nothing that {nic} sends leaves this host by {', '.join(place.uplinks)}: clients do not reach it; "
                f"look at the filters (nft, ebtables, nwfilter), the STP and the VLANs of bridge {place.bridge}"
            )


def confined(seen: Observation) -> Iterator[str]:
    """A note: right for a network of this host alone, and for no other."""
    for place in seen.announced:
        if place.left is not None and place.bridge and not place.uplinks and not _had_uplink(seen, place):
            yield (
                f"bridge {place.bridge}, on which NIC {place.mac} of the guest is, has no port that leads out of this "
                "host: only its guests and this host reach it"
            )


def unsure(seen: Observation, why: str | None) -> Iterator[str]:
    """After a guest was announced: what of its way to the network was not watched, or not heard to work.

    ``why``: what kept the host from watching, in its words.
    """
    places, words = {place.mac: place for place in seen.announced}, f": {why}" if why else ""
    for nic in seen.domain.nics if seen.domain else ():
        place, which = places.get(nic.mac), f"NIC {nic.mac} of the guest"
        if place is None and nic.tap:
            otherwise = f": its tap {nic.tap} is a port of a switch that is no bridge of the kernel"
            yield f"it was not watched whether what {which} sends leaves this host{words or otherwise}"
        elif place and place.uplinks and place.left is None:
            yield f"it was not watched whether what {which} sends leaves this host by {_by(place)}{words}"
        elif place and place.bridge and not place.uplinks and _knows_uplink(seen, place) is None:
            yield (
                f"nothing that {which} sends leaves this host: bridge {place.bridge} has no port that leads out of it, "
                "and whether the other host's had one, this pair's record does not say"
            )
        elif place and place.left and place.answered is False:
            yield (
                f"what {which} sends leaves this host by {_by(place)}, and nobody was heard to send it anything: they "
                "may be silent, or on another LAN"
            )


def _by(place: Announced) -> str:
    return ", ".join(place.uplinks)


def _had_uplink(seen: Observation, place: Announced) -> bool:
    return _knows_uplink(seen, place) is True


def _knows_uplink(seen: Observation, place: Announced) -> bool | None:
    """Whether the NIC's bridge had an uplink when the pair was formed, where the guest was then."""
    return next((nic.uplink for nic in seen.record.nics if nic.mac == place.mac), None) if seen.record else None
