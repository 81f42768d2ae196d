# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a guest's frames shows that it serves with what COLO does not compare."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import uncompared
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Barrier
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import CHOICES
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.a_record import record
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import dropping, recorded

CLIENT, GUEST = b"\x52\x54\x00\x00\x00\x01", b"\x52\x54\x00\x00\x00\x02"
ALL_NODES = bytes.fromhex("ff02" + "00" * 13 + "01")
UNICAST = bytes.fromhex("fd77" + "00" * 12 + "0100")
TCP, UDP, ICMPV6 = 6, 17, 58


def frame(kind: int, payload: bytes = bytes(46), target: bytes = CLIENT) -> bytes:
    return target + GUEST + struct.pack("!H", kind) + payload


def ipv6(following: int, payload: bytes, target: bytes = UNICAST) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(payload), following, 64) + UNICAST + target + payload


def icmpv6(kind: int) -> bytes:
    return bytes([kind, 0, 0, 0]) + bytes(20)


def udp(port: int) -> bytes:
    return struct.pack("!HHHH", 40000, port, 24, 0) + bytes(16)


MLD = ipv6(0, struct.pack("!BBBBHBB", ICMPV6, 0, 5, 2, 0, 1, 0) + icmpv6(143), ALL_NODES)


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (frame(uncompared.IPV4), None),
        (frame(uncompared.ARP), None),
        (frame(uncompared.IPV6, ipv6(TCP, bytes(20))), "IPv6"),
        (frame(uncompared.IPV6, ipv6(UDP, udp(7777))), "IPv6"),
        (frame(uncompared.IPV6, ipv6(UDP, udp(5353))), "IPv6"),  # an answer to one client
        (frame(uncompared.IPV6, ipv6(UDP, udp(5353), ALL_NODES)), None),
        (frame(uncompared.IPV6, ipv6(UDP, udp(547), ALL_NODES)), None),
        (frame(uncompared.IPV6, ipv6(UDP, udp(7777), ALL_NODES)), "IPv6"),
        (frame(uncompared.IPV6, ipv6(ICMPV6, icmpv6(129))), "IPv6"),  # it answers a ping
        (frame(uncompared.IPV6, ipv6(ICMPV6, icmpv6(134), ALL_NODES)), "IPv6"),  # it is a router
        (frame(uncompared.IPV6, ipv6(ICMPV6, icmpv6(133), ALL_NODES)), None),
        (frame(uncompared.IPV6, ipv6(ICMPV6, icmpv6(135), ALL_NODES)), None),
        (frame(uncompared.IPV6, ipv6(ICMPV6, icmpv6(136))), None),
        (frame(uncompared.IPV6, MLD, b"\x33\x33\x00\x00\x00\x16"), None),
        (frame(uncompared.IPV6, ipv6(0, struct.pack("!BBBBHBB", TCP, 0, 5, 2, 0, 1, 0) + bytes(20))), "IPv6"),
        (frame(uncompared.IPV6, b"`"), None),
        (frame(0x88CC, target=b"\x01\x80\xc2\x00\x00\x0e"), None),  # LLDP
        (frame(0x88CC), "Ethernet type 0x88cc"),
        (frame(0x8100, struct.pack("!HH", 0x2007, uncompared.IPV4) + bytes(46)), "VLAN 7"),
        (frame(0x88A8, struct.pack("!HH", 9, uncompared.IPV4) + bytes(46)), "VLAN 9"),
        (frame(0x8100, struct.pack("!HH", 7, uncompared.IPV6) + MLD), None),
        (b"\x00" * 13, None),
    ],
)
def test_what_a_frame_shows(sent: bytes, kind: str | None) -> None:
    assert uncompared.serves(sent) == kind


def test_the_kernel_takes_the_tag_out_of_a_frame() -> None:
    assert uncompared.serves(frame(uncompared.IPV4), 7) == "VLAN 7"
    assert uncompared.serves(frame(uncompared.ARP), 0) == "VLAN 0"
    assert uncompared.serves(frame(uncompared.IPV6, MLD), 7) is None


@pytest.mark.parametrize(("choice", "treatment"), [("refuse", "drop"), ("drop", "drop"), ("allow", "allow")])
def test_what_nobody_has_chosen_is_dropped(choice: str, treatment: str) -> None:
    assert uncompared.treatment(choice) == treatment


def test_a_guest_is_watched_until_somebody_has_chosen_or_it_has_been_dropped_already() -> None:
    assert [uncompared.to_watch(choice, None) for choice in CHOICES] == [True, False, False]
    known = {None: True, "allow": True, "drop": False}
    assert {kept: uncompared.to_watch("refuse", record(uncompared=kept)) for kept in known} == known


def test_the_rule_is_for_every_tap_of_a_guest_whose_record_says_so() -> None:
    seen = dropping(recorded("protected-primary"))
    taps = [nic.tap for nic in seen.domain.nics]
    assert len(taps) == 2
    assert uncompared.barrier(seen) == Barrier(tuple(sorted(taps)), ("arp", "ip"))
    allowed = replace(seen.domain, record=replace(seen.record, uncompared="allow"))
    assert uncompared.barrier(replace(seen, domain=allowed)) is None
    without = replace(seen.domain, record=replace(seen.record, uncompared=None))
    assert uncompared.barrier(replace(seen, domain=without)) is None, "one that an earlier version wrote"
