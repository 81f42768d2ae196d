# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether clients can find a guest that runs: it may serve, and nobody hears it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ..observation.seen import Observation


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
        elif place.uplinks and place.left is False:
            yield (
                f"nothing that {nic} sends leaves this host by {', '.join(place.uplinks)}: clients do not reach it; "
                f"look at the filters (nft, ebtables, nwfilter), the STP and the VLANs of bridge {place.bridge}"
            )


def confined(seen: Observation) -> Iterator[str]:
    """A note: right for a network of this host alone, and for no other."""
    for place in seen.announced:
        if place.left is not None and place.bridge and not place.uplinks:
            yield (
                f"bridge {place.bridge}, on which NIC {place.mac} of the guest is, has no port but those of guests: "
                "only they and this host reach it"
            )
