# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which frames of a guest COLO holds back, and what may be done with the others. Pure.

colo-compare holds a packet back until the standby has sent the same one, if it is IPv4 and has no VLAN tag. Whatever it
cannot parse as that it sends at once (QEMU's net/colo-compare.c and net/colo.c; our measurement, 7.2 and 10.0), and
filter-rewriter, which has the TCP connections survive a failover, leaves it as it is. So what a client is told over
IPv6, or in a tagged frame, may not be true of the guest that goes on.
"""

from __future__ import annotations

import struct

from ..observation.seen import Barrier, Observation
from ..record.pair import DROP, REFUSE, Record

ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
VLANS = (0x8100, 0x88A8)
# ARP is not compared either, but it acknowledges nothing, and without it IPv4 has no neighbours.
PASSED = {"ip": IPV4, "arp": ARP}  # by nftables' names

_ETHERNET = struct.Struct("!6s6sH")
_LINK_LOCAL_GROUPS = b"\x01\x80\xc2\x00\x00"  # no bridge forwards them: STP, LLDP, pause, 802.1X
_IPV6_HEADER = 40
_HOP_BY_HOP, _ICMPV6, _UDP = 0, 58, 17
# Discovering neighbours and listeners, as every kernel does that has IPv6 and no use for it.
_CHATTER_ICMPV6 = {130, 131, 132, 143, 133, 135, 136}
_CHATTER_UDP = {546, 547, 1900, 3702, 5353, 5355}  # DHCPv6, SSDP, WS-Discovery, mDNS, LLMNR; to a link-local group
_LINK_LOCAL_GROUP_6 = b"\xff\x02"


def treatment(choice: str) -> str:
    """What is done with the frames that are not compared, where the operator's choice is one of CHOICES."""
    return DROP if choice == REFUSE else choice


def to_watch(choice: str, record: Record | None) -> bool:
    """Whether a guest is to be watched before it is protected: nobody has chosen, nor is it a pair that drops them."""
    return choice == REFUSE and (record is None or record.uncompared != DROP)


def barrier(seen: Observation) -> Barrier | None:
    """The rule that has to be in force on a primary's host in lockstep."""
    if seen.record.uncompared != DROP:
        return None
    return Barrier(tuple(sorted(nic.tap for nic in seen.domain.nics if nic.tap)), tuple(sorted(PASSED)))


def serves(frame: bytes, vlan: int | None = None) -> str | None:
    """What kind of frame that is not compared a guest serves with, if this one shows it: "IPv6", "VLAN 7".

    ``vlan``: the number of the tag that the kernel has taken out of the frame. None for what is compared, and for what
    every guest sends of its own accord.
    """
    if len(frame) < _ETHERNET.size:
        return None
    target, _source, kind = _ETHERNET.unpack_from(frame)
    payload = frame[_ETHERNET.size :]
    if vlan is None and kind in VLANS and len(payload) >= 4:
        tag, kind = struct.unpack_from("!HH", payload)
        vlan, payload = tag & 0xFFF, payload[4:]
    if target[:5] == _LINK_LOCAL_GROUPS or (kind == IPV6 and _is_chatter(payload)):
        return None
    if vlan is not None:
        return f"VLAN {vlan}"
    if kind in PASSED.values():
        return None
    return "IPv6" if kind == IPV6 else f"Ethernet type 0x{kind:04x}"


def _is_chatter(packet: bytes) -> bool:
    if len(packet) < _IPV6_HEADER + 1:
        return True  # of an IPv6 packet as short as that nothing is known
    following, target, at = packet[6], packet[24:40], _IPV6_HEADER
    if following == _HOP_BY_HOP and len(packet) > at + 1:
        following, at = packet[at], at + 8 * (packet[at + 1] + 1)
    if following == _ICMPV6:
        return len(packet) > at and packet[at] in _CHATTER_ICMPV6
    if following == _UDP and target[:2] == _LINK_LOCAL_GROUP_6 and len(packet) >= at + 4:
        return struct.unpack_from("!H", packet, at + 2)[0] in _CHATTER_UDP
    return False
