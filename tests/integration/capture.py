# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody who hears the replication link: how often markers pass in clear, by port. JSON out when the input ends.

capture.py INTERFACE FIRST_PORT LAST_PORT MARKER...      markers in hexadecimal
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys

ETH_P_IP, TCP = 0x0800, 6
RECEIVE_BUFFER = 33  # SO_RCVBUFFORCE (asm-generic/socket.h), which the limit of the host does not bound


def tcp(frame: bytes) -> tuple[int, int, bytes] | None:
    """Both ports and what is carried, of a frame that is TCP over IPv4."""
    if len(frame) < 54 or struct.unpack_from(">H", frame, 12)[0] != ETH_P_IP or frame[23] != TCP:
        return None
    at = 14 + 4 * (frame[14] & 15)
    source, destination = struct.unpack_from(">HH", frame, at)
    return source, destination, frame[at + 4 * (frame[at + 12] >> 4) :]


def main() -> None:
    interface, first, last, *markers = sys.argv[1:]
    wanted, ports = [bytes.fromhex(one) for one in markers], range(int(first), int(last) + 1)
    heard: dict[int, dict[str, int]] = {}
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as link:
        link.setsockopt(socket.SOL_SOCKET, RECEIVE_BUFFER, 1 << 26)
        link.bind((interface, 3))
        print("recording", flush=True)
        while True:
            ready, _, _ = select.select([link, sys.stdin], [], [])
            if link not in ready:
                break
            known = tcp(link.recv(1 << 17))
            port = next((one for one in known[:2] if one in ports), None) if known else None
            if port is not None and known[2]:
                one = heard.setdefault(port, {"packets": 0, "marked": 0})
                one["packets"] += 1
                one["marked"] += any(marker in known[2] for marker in wanted)
    print(json.dumps(heard))


if __name__ == "__main__":
    main()
