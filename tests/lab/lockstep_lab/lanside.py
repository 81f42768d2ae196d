# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs in the LAN's network namespace: `MAC DIR` notes each frame of a guest that the bridge gives the client.

Each is a line of DIR/frames.jsonl: when, what, and the port of the bridge (the host) that it came in by. A frame that
comes in and is not passed on, as from a host that is cut off, is not there. It ends when its standard input does.
"""

from __future__ import annotations

import ctypes
import select
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .clientside import FLUSH_INTERVAL, Journal
from .common import ACK_PORT, HOSTS

CLIENT_PORT = "client"
ETH_P_ALL, ETH_P_IP, ETH_P_ARP, ETH_P_RARP, ETH_P_IPV6 = 3, 0x0800, 0x0806, 0x8035, 0x86DD
ECHO_REPLY, ADVERTISEMENT = 129, 136  # ICMPv6, RFC 4443 and 4861
ATTACH_FILTER = 26  # SO_ATTACH_FILTER of asm-generic/socket.h
RECEIVE_BUFFER = 33  # SO_RCVBUFFORCE
PASSED_ON_WITHIN = 0.05  # seconds: the bridge does it at once, in the same interrupt


def described(frame: bytes) -> dict[str, Any]:
    """What a frame of the guest is: `kind` is ack, ping, tcp, arp (a reply, or IPv6's), announce (its place) or other.

    An acknowledgement has its number, its disk and the version of IP that it came by (`ip`), and its `body` where that
    says more than they do (guest/writer.c).
    """
    kind = int.from_bytes(frame[12:14], "big")
    if kind == ETH_P_RARP:
        return {"kind": "announce"}
    if kind == ETH_P_ARP:
        return {"kind": "arp" if frame[20:22] == b"\0\2" else "other"}
    if kind == ETH_P_IP and len(frame) >= 34:
        body, protocol, version = frame[14 + 4 * (frame[14] & 15) :], frame[23], 4
    elif kind == ETH_P_IPV6 and len(frame) >= 54:
        body, protocol, version = frame[54:], frame[20], 6
    else:
        return {"kind": "other"}
    if protocol == socket.IPPROTO_TCP:
        return {"kind": "tcp"}
    if protocol == socket.IPPROTO_ICMP and body[:1] == b"\0":
        return {"kind": "ping"}
    if protocol == socket.IPPROTO_ICMPV6 and body[:1]:
        return {"kind": {ECHO_REPLY: "ping", ADVERTISEMENT: "arp"}.get(body[0], "other")}
    if protocol == socket.IPPROTO_UDP and len(body) >= 8:
        _source, port, length, _sum = struct.unpack_from("!HHHH", body)
        payload = body[8:length]
        if port == ACK_PORT and len(payload) >= 16:
            number, disk = struct.unpack_from("<QQ", payload)
            more = {"body": payload[16:].hex()} if payload[16:] else {}
            return {"kind": "ack", "seq": number, "disk": disk, "ip": version, **more}
    return {"kind": "other"}


@dataclass
class Passage:
    """Finds out by which port the frames came in that go out to the client, from what is seen of both in order."""

    note: Callable[[float, str, bytes], None]
    _waiting: dict[bytes, list[tuple[float, str]]] = field(default_factory=dict)
    _swept: float = 0.0

    def seen(self, now: float, port: str, frame: bytes, *, outgoing: bool) -> None:
        """A frame at a port of the bridge; ``outgoing``: as the bridge sends it there."""
        if not outgoing and port in HOSTS:
            self._waiting.setdefault(frame, []).append((now, port))
        elif outgoing and port == CLIENT_PORT:
            # Of equal frames the last that came in: those before it may have been dropped at a port that is cut off.
            came = self._waiting.get(frame)
            if came and now - came[-1][0] <= PASSED_ON_WITHIN:
                self.note(now, came.pop()[1], frame)
        if now - self._swept > 1:
            self._swept = now
            self._waiting = {
                frame: left
                for frame, came in self._waiting.items()
                if (left := [one for one in came if now - one[0] <= PASSED_ON_WITHIN])
            }


def _frames_from(mac: bytes) -> tuple[Any, bytes]:
    """A filter of the kernel (classic BPF) for frames from an address; keep both until it is attached."""
    load, half, equal, give = 0x20, 0x28, 0x15, 0x06
    high, low = int.from_bytes(mac[:4], "big"), int.from_bytes(mac[4:], "big")
    code = [(load, 0, 0, 6), (equal, 0, 3, high), (half, 0, 0, 10), (equal, 0, 1, low), (give, 0, 0, 65535)]
    code.append((give, 0, 0, 0))
    text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in code))
    return text, struct.pack("HP", len(code), ctypes.addressof(text))


def record(mac: str, out: Path) -> None:
    """Note frames until standard input ends. One socket hears all ports, those of hosts that boot later as well."""
    journal = Journal(out / "frames.jsonl")
    passage = Passage(lambda now, port, frame: journal.add(now, port=port, **described(frame)))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as heard:
        _text, program = _frames_from(bytes.fromhex(mac.replace(":", "")))
        heard.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, program)
        heard.setsockopt(socket.SOL_SOCKET, RECEIVE_BUFFER, 1 << 24)
        wanted, flushed = bytes.fromhex(mac.replace(":", "")), 0.0
        print("recording", flush=True)
        while True:
            ready, _, _ = select.select([heard, sys.stdin], [], [], FLUSH_INTERVAL)
            now = time.monotonic()
            if heard in ready:
                frame, (port, _protocol, kind, *_) = heard.recvfrom(65535)
                if frame[6:12] == wanted:  # some may have come before the filter
                    passage.seen(now, port, frame, outgoing=kind == socket.PACKET_OUTGOING)
            if now - flushed > FLUSH_INTERVAL:
                flushed = now
                journal.flush()
            if sys.stdin in ready and heard not in ready:
                journal.flush()
                return


if __name__ == "__main__":
    record(sys.argv[1], Path(sys.argv[2]))
