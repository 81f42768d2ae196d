# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What passes the taps of a guest on this host: a rule that lets but a few kinds of frames pass, and a watch.

The rule is a table of nftables for each domain. It names a tap by its index, not its name: what is left of it after the
guest's end is in force for nothing, whoever gets the name of the tap then.
"""

from __future__ import annotations

import ctypes
import json
import select
import shutil
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import ColoError
from ..observation.seen import Barrier
from .command import run

FAMILY = "bridge"
HOOK = {"type": "filter", "hook": "prerouting", "prio": -300}  # before whatever others do in their chains
CHAIN = "from-guest"
DEADLINE = 5.0  # seconds; nft takes some milliseconds

ETH_P_ALL = 0x0003
SOL_PACKET, PACKET_AUXDATA, SO_ATTACH_FILTER = 263, 8, 26  # linux/if_packet.h, asm-generic/socket.h
TP_STATUS_VLAN_VALID = 1 << 4
AUXDATA = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata: status, len, snaplen, mac, net, vlan_tci, vlan_tpid
PACKET_OUTGOING = 4  # what the host sends, into the guest
AD_OFFSET, AD_PKTTYPE, AD_VLAN_PRESENT = 0xFFFFF000, 4, 48  # SKF_AD_*, linux/filter.h
LOAD_WORD, LOAD_HALF, EQUAL, LEAVE = 0x20, 0x28, 0x15, 0x06  # of BPF, linux/bpf_common.h
SNAPLEN = 128  # bytes of a frame, enough to tell what it is


def can_keep_back() -> bool:
    """Whether this host has nftables, without which no barrier can be raised."""
    return shutil.which("nft") is not None


def table(uuid: str) -> str:
    """The name of the nftables table that has the barrier of this domain."""
    return f"lockstep-colo-{uuid}"


def raise_barrier(uuid: str, taps: Iterable[str], passed: Iterable[str]) -> None:
    """Let nothing pass from the guest on these taps but frames of the Ethernet types ``passed``, in nftables' words.

    A frame with a VLAN tag has the type of the tag. The rule is in force at once, whatever was there before.
    """
    name, allowed = table(uuid), ", ".join(passed)
    rules = "".join(f"    iif {json.dumps(tap)} ether type != {{ {allowed} }} counter drop\n" for tap in taps)
    chain = f"  chain {CHAIN} {{\n    type filter hook prerouting priority {HOOK['prio']};\n{rules}  }}\n"
    # Of one that is not there yet the deletion would fail.
    _nft(f"table {FAMILY} {name} {{}}\ndelete table {FAMILY} {name}\ntable {FAMILY} {name} {{\n{chain}}}\n")


def lower_barrier(uuid: str) -> None:
    """Let everything of this domain's guest pass again; nothing where no barrier is up."""
    _nft(f"table {FAMILY} {table(uuid)} {{}}\ndelete table {FAMILY} {table(uuid)}\n")


def _nft(commands: str) -> None:
    """One transaction: all of it is in force at once, or nothing."""
    run("nft", "-f", "-", deadline=DEADLINE, stdin=commands)


def barrier(uuid: str) -> Barrier | None:
    """The rule that is there for a domain; None also where this host's nftables cannot be asked."""
    try:
        said = run("nft", "-j", "list", "ruleset", FAMILY, deadline=DEADLINE)
    except ColoError:  # an observation, which a failover begins with, does not fail for it
        return None
    return parse(json.loads(said)["nftables"], table(uuid))


def parse(ruleset: list[dict[str, Any]], name: str) -> Barrier | None:
    """What a ruleset of nft -j (libnftables-json(5)) has in the table of that name.

    Of a table in which there is anything but our rules nothing is known to be barred.
    """
    if not any(item.get("table", {}).get("name") == name for item in ruleset):
        return None
    chains, rules = (
        [item[kind] for item in ruleset if kind in item and item[kind]["table"] == name] for kind in ("chain", "rule")
    )
    barred = [_barred(rule["expr"]) for rule in rules]
    passed = {rule[1] for rule in barred if rule}
    if [{key: chain.get(key) for key in HOOK} for chain in chains] != [HOOK] or None in barred or len(passed) != 1:
        return Barrier()
    return Barrier(tuple(sorted(rule[0] for rule in barred if rule)), passed.pop())


def _barred(rule: list[dict[str, Any]]) -> tuple[str, tuple[str, ...]] | None:
    """The tap that one of our rules is about, and the Ethernet types that may pass; None where it is not one of ours.

    ``rule``: the expressions of a rule, as nftables' JSON has them.
    """
    kinds = [next(iter(part)) for part in rule]
    if kinds != ["match", "match", "counter", "drop"]:
        return None
    tap, kind = (part["match"] for part in rule[:2])
    if (tap["op"], tap["left"]) != ("==", {"meta": {"key": "iif"}}):
        return None
    if (kind["op"], kind["left"]) != ("!=", {"payload": {"protocol": "ether", "field": "type"}}):
        return None
    if not isinstance(kind["right"], dict):
        return None
    return str(tap["right"]), tuple(sorted(kind["right"].get("set", ())))


def watch(taps: Iterable[str], passed: Iterable[int], seconds: float) -> Iterator[tuple[bytes, int | None]]:
    """The frames that a guest sends on these taps in that time, but those of the Ethernet types ``passed``.

    The beginning of each, and the number of the VLAN of one that had a tag.
    """
    listeners: list[socket.socket] = []
    types = list(passed)
    try:
        for tap in taps:
            listeners.append(_listener(tap, types))
        deadline = time.monotonic() + seconds
        while listeners and (left := deadline - time.monotonic()) > 0:
            for ready in select.select(listeners, [], [], left)[0]:
                yield _receive(ready)
    except OSError as error:
        raise ColoError(f"the guest's taps cannot be watched: {error}", remedy="Run again as root") from error
    finally:
        for listener in listeners:
            listener.close()


def _listener(tap: str, passed: list[int]) -> socket.socket:
    """A socket with what the guest of a tap sends, without the rest: that may be much, and the kernel leaves it out."""
    listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # hears nothing before it is bound
    leave_out(listener, passed)
    listener.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    listener.bind((tap, ETH_P_ALL))
    return listener


def leave_out(listener: socket.socket, passed: list[int]) -> None:
    """Have a socket not hear what goes to the guest, nor frames without a tag of these Ethernet types."""
    words = [
        (LOAD_WORD, 0, 0, AD_OFFSET + AD_PKTTYPE),
        (EQUAL, 4 + len(passed), 0, PACKET_OUTGOING),
        (LOAD_WORD, 0, 0, AD_OFFSET + AD_VLAN_PRESENT),
        (EQUAL, 0, 1 + len(passed), 0),
        (LOAD_HALF, 0, 0, 12),  # the Ethernet type
        *((EQUAL, len(passed) - at, 0, kind) for at, kind in enumerate(passed)),
        (LEAVE, 0, 0, SNAPLEN),
        (LEAVE, 0, 0, 0),
    ]
    _attach(listener, words)


def _attach(listener: socket.socket, words: list[tuple[int, int, int, int]]) -> None:
    """Have the kernel hand a socket only what this program of BPF, in the words of linux/filter.h, lets pass."""
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *word) for word in words))
    listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(words), ctypes.addressof(program)))


def sent_by(mac: str, port: str) -> socket.socket:
    """A socket that hears the frames from this address which the host sends out by a port, and nothing else."""
    return _of_address(mac, port, len(_bytes(mac)), outgoing=True)  # behind the destination


def sent_to(mac: str, port: str) -> socket.socket:
    """A socket that hears the frames to this address which come in by a port, and nothing else."""
    return _of_address(mac, port, 0, outgoing=False)


def _of_address(mac: str, port: str, place: int, *, outgoing: bool) -> socket.socket:
    """Frames that have this address at that place."""
    address, (when_out, when_in) = _bytes(mac), (0, 5) if outgoing else (5, 0)
    words = [
        (LOAD_WORD, 0, 0, AD_OFFSET + AD_PKTTYPE),
        (EQUAL, when_out, when_in, PACKET_OUTGOING),
        (LOAD_WORD, 0, 0, place),
        (EQUAL, 0, 3, int.from_bytes(address[:4], "big")),
        (LOAD_HALF, 0, 0, place + 4),
        (EQUAL, 0, 1, int.from_bytes(address[4:], "big")),
        (LEAVE, 0, 0, SNAPLEN),
        (LEAVE, 0, 0, 0),
    ]
    listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # hears nothing before it is bound
    _attach(listener, words)
    listener.bind((port, ETH_P_ALL))
    return listener


def _bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _receive(listener: socket.socket) -> tuple[bytes, int | None]:
    """A frame, and the number of the VLAN whose tag the kernel has taken out of it."""
    frame, messages, _flags, _sender = listener.recvmsg(SNAPLEN, socket.CMSG_SPACE(AUXDATA.size))
    for level, kind, data in messages:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _len, _snaplen, _mac, _net, tag, _protocol = AUXDATA.unpack(data)
            if status & TP_STATUS_VLAN_VALID:
                return frame, tag & 0xFFF
    return frame, None
