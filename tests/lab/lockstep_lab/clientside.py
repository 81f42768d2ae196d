# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs in the client's network namespace: `wait ADDRESS SECONDS`, `get URL SECONDS`, `record ADDRESS PORT DIR
[STOREADDRESS STOREPORT]`.

It is a program of its own, since a namespace belongs to a process.
"""

from __future__ import annotations

import asyncio
import ctypes
import ipaddress
import json
import os
import signal
import socket
import struct
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, TextIO

PING_INTERVAL = 0.02
HTTP_INTERVAL = 0.1
HTTP_TIMEOUT = 1.0
FLUSH_INTERVAL = 0.05
MAX_OPEN_REQUESTS = 20
STORE_INTERVAL = 0.01
STORE_TIMEOUT = 1.0
ACKNOWLEDGEMENT = struct.Struct("<QQ")  # number, disk: as in guest/writer.c


class Journal:
    """A JSON-lines file; only whole lines ever reach it, so it can be read while it grows."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("a", encoding="utf-8", buffering=1 << 16)
        self._lines: list[str] = []

    def add(self, monotonic: float, **fields: Any) -> None:
        """Note something that happened at a monotonic time; the wall time is worked out from it."""
        wall = time.time() - (time.monotonic() - monotonic)
        self._lines.append(json.dumps({"m": round(monotonic, 6), "w": round(wall, 6), **fields}, separators=(",", ":")))

    def flush(self) -> None:
        if self._lines:
            os.write(self._file.fileno(), ("\n".join(self._lines) + "\n").encode())
            self._lines.clear()


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def _echo_request(identifier: int, sequence: int) -> bytes:
    payload = struct.pack("!d", time.monotonic()) + b"lockstep"
    header = struct.pack("!BBHHH", 8, 0, 0, identifier, sequence & 0xFFFF)
    return struct.pack("!BBHHH", 8, 0, _checksum(header + payload), identifier, sequence & 0xFFFF) + payload


def _echo_reply(packet: bytes, identifier: int) -> tuple[int, float] | None:
    """Sequence number and time of sending, out of a reply to one of ours."""
    offset = (packet[0] & 15) * 4
    if len(packet) < offset + 24:
        return None
    kind, _, _, number, sequence = struct.unpack_from("!BBHHH", packet, offset)
    if kind != 0 or number != identifier or packet[offset + 16 : offset + 24] != b"lockstep":
        return None
    return sequence, struct.unpack_from("!d", packet, offset + 8)[0]


def wait(address: str, seconds: float) -> int:
    """Until a guest answers ping and http."""
    deadline = time.monotonic() + seconds
    identifier = os.getpid() & 0xFFFF
    pinged, reason = False, "no answer to ping"
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.settimeout(0.2)
        sequence = 0
        while time.monotonic() < deadline:
            if not pinged:
                sequence += 1
                try:
                    raw.sendto(_echo_request(identifier, sequence), (address, 0))
                    packet, (sender, _) = raw.recvfrom(2048)
                    pinged = sender == address and _echo_reply(packet, identifier) is not None
                except OSError:
                    time.sleep(0.05)
                continue
            try:
                print(get(f"http://{address}/boot_id", 2).strip())
                return 0
            except OSError as error:
                reason = f"ping is answered, http is not: {error}"
                time.sleep(0.1)
    print(f"{address} did not answer within {seconds:g} s: {reason}", file=sys.stderr)
    return 1


def get(url: str, seconds: float) -> str:
    """Fetch a page."""
    with urllib.request.urlopen(url, timeout=seconds) as answer:
        return str(answer.read().decode("utf-8", "replace"))


def _udp_socket(family: socket.AddressFamily, port: int) -> socket.socket:
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
    if family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    udp.bind(("", port))
    return udp


def _tagged_socket() -> socket.socket:
    """A socket that gets the frames that came with a VLAN tag: the machine's kernel may have no VLAN devices."""
    # BPF: A = whether there is a tag (SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT); none of the frame without, all of it with.
    words = (0x20, 0, 0, 0xFFFFF000 + 48), (0x15, 1, 0, 0), (0x6, 0, 0, 0xFFFF), (0x6, 0, 0, 0)
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *word) for word in words))
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    raw.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HL", len(words), ctypes.addressof(program)))  # SO_ATTACH_FILTER
    raw.bind(("lan0", 3))  # ETH_P_ALL
    return raw


def _udp_in(packet: bytes, port: int) -> tuple[bytes, str]:
    """What an IPv4 packet carries to a port by UDP (nothing, when it is another one), and its sender."""
    offset = (packet[0] & 15) * 4
    if packet[0] >> 4 != 4 or packet[9] != 17 or len(packet) < offset + 8:
        return b"", ""
    _, to, length = struct.unpack_from("!HHH", packet, offset)
    return (packet[offset + 8 : offset + length] if to == port else b""), str(ipaddress.IPv4Address(packet[12:16]))


class Recorder:
    """Records what the client hears: pings, http replies, acknowledgements."""

    def __init__(self, address: str, port: int, out: Path, store: tuple[str, int] | None = None) -> None:
        self.address, self.port, self.out, self.store = address, port, out, store
        self.web = store[0] if store else address
        self.journals = {name: Journal(out / f"{name}.jsonl") for name in ("pings", "http", "acks")}
        self.identifier = os.getpid() & 0xFFFF
        self.requests: set[asyncio.Task[None]] = set()
        self.raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.heard = {
            "ipv4": _udp_socket(socket.AF_INET, port),
            "ipv6": _udp_socket(socket.AF_INET6, port),
            "vlan": _tagged_socket(),
        }
        for sock in (self.raw, *self.heard.values()):
            sock.setblocking(False)

    def on_raw(self) -> None:
        """All echo replies that are there."""
        while True:
            try:
                packet, (sender, _) = self.raw.recvfrom(2048)
            except OSError:
                return
            now = time.monotonic()
            reply = _echo_reply(packet, self.identifier) if sender == self.address else None
            if reply:
                self.journals["pings"].add(now, seq=reply[0], rtt=round(now - reply[1], 6))

    def on_acknowledgement(self, way: str) -> None:
        """All acknowledgements that are there, of those that come this way."""
        for _ in range(500):
            try:
                packet, (sender, *_) = self.heard[way].recvfrom(2048)
            except OSError:
                return
            if way == "vlan":
                packet, sender = _udp_in(packet, self.port)
            if len(packet) == ACKNOWLEDGEMENT.size:
                self.acknowledged(packet, way, sender)

    def acknowledged(self, packet: bytes, way: str, sender: str) -> None:
        """Note an acknowledgement."""
        number, disk = ACKNOWLEDGEMENT.unpack(packet)
        self.journals["acks"].add(time.monotonic(), seq=number, disk=disk, src=sender, way=way)

    async def ask_to_store(self, address: str, port: int) -> None:
        """Ask for one record after the other over TCP; what is not answered is asked again, on a new connection."""
        way = f"tcp{ipaddress.ip_address(address).version}"
        number, writer = 1, None
        while True:
            try:
                async with asyncio.timeout(STORE_TIMEOUT):
                    if writer is None:
                        reader, writer = await asyncio.open_connection(address, port)
                    asked = ACKNOWLEDGEMENT.pack(number, 0)
                    writer.write(asked)
                    if await reader.readexactly(len(asked)) == asked:
                        self.acknowledged(asked, way, address)
                        number += 1
            except (OSError, EOFError):  # a TimeoutError is an OSError
                if writer:
                    writer.transport.abort()
                writer = None
            await asyncio.sleep(STORE_INTERVAL)

    async def ping(self) -> None:
        """An echo request every PING_INTERVAL."""
        sequence, due = 0, time.monotonic()
        while True:
            sequence += 1
            try:
                self.raw.sendto(_echo_request(self.identifier, sequence), (self.address, 0))
            except OSError:
                pass  # no neighbour, no room: it is an unanswered ping
            due = max(due + PING_INTERVAL, time.monotonic() - 1)
            await asyncio.sleep(max(0, due - time.monotonic()))

    async def http(self) -> None:
        """A request on a new connection every HTTP_INTERVAL, whatever became of those before."""
        due = time.monotonic()
        while True:
            if len(self.requests) < MAX_OPEN_REQUESTS:
                task = asyncio.create_task(self.request())
                self.requests.add(task)
                task.add_done_callback(self.requests.discard)
            due = max(due + HTTP_INTERVAL, time.monotonic() - 1)
            await asyncio.sleep(max(0, due - time.monotonic()))

    async def request(self) -> None:
        """One request for the guest's boot id."""
        began = time.monotonic()
        writer = None
        try:
            async with asyncio.timeout(HTTP_TIMEOUT):
                reader, writer = await asyncio.open_connection(self.web, 80)
                writer.write(f"GET /boot_id HTTP/1.0\r\nHost: {self.address}\r\n\r\n".encode())
                answer = await reader.read(-1)
            head, _, body = answer.partition(b"\r\n\r\n")
            fine = b" 200 " in head.split(b"\r\n", 1)[0] + b" "
            now = time.monotonic()
            self.journals["http"].add(
                now, ok=fine, took=round(now - began, 6), boot_id=body.decode("ascii", "replace").strip()
            )
        except (OSError, TimeoutError) as error:
            now = time.monotonic()
            self.journals["http"].add(now, ok=False, took=round(now - began, 6), error=type(error).__name__)
        finally:
            if writer:
                writer.transport.abort()

    async def main(self) -> None:
        """Record until a signal comes."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        loop.add_reader(self.raw, self.on_raw)
        for way, sock in self.heard.items():
            loop.add_reader(sock, self.on_acknowledgement, way)
        tasks = [asyncio.create_task(self.ping()), asyncio.create_task(self.http())]
        if self.store:
            tasks.append(asyncio.create_task(self.ask_to_store(*self.store)))
        began = {"m": time.monotonic(), "w": time.time(), "address": self.address, "pid": os.getpid()}
        (self.out / "probe.json").write_text(json.dumps(began) + "\n", encoding="utf-8")
        while not ended.is_set():
            try:
                await asyncio.wait_for(ended.wait(), FLUSH_INTERVAL)
            except TimeoutError:
                pass
            for journal in self.journals.values():
                journal.flush()
            for task in tasks:
                if task.done():
                    task.result()
        (self.out / "probe.json").write_text(
            json.dumps({**began, "end_m": time.monotonic(), "end_w": time.time()}) + "\n", encoding="utf-8"
        )


def main() -> int:
    """Choose what to do."""
    verb, *words = sys.argv[1:]
    if verb == "wait":
        return wait(words[0], float(words[1]))
    if verb == "get":
        print(get(words[0], float(words[1])), end="")
        return 0
    if verb == "record":
        store = (words[3], int(words[4])) if words[3:] else None
        asyncio.run(Recorder(words[0], int(words[1]), Path(words[2]), store).main())
        return 0
    return 2


if __name__ == "__main__":
    sys.exit(main())
