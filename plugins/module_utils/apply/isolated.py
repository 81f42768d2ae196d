# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A place where a standby can be tried out: its taps in a network namespace that has nothing else, not even addresses.

The namespace belongs to a process of this run and ends with it, however it ends. Its taps end with it too, so that a
guest that was tried out never reaches a network afterwards.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection

from ..errors import ColoError, Timeout
from ..host.command import run

CLONE_NEWNET = 0x40000000  # sched.h
ETH_P_ALL, ETH_P_ARP, ETH_P_IP = 0x0003, 0x0806, 0x0800
ETHERNET, ARP = struct.Struct("!6s6sH"), struct.Struct("!HHBBH6s4s6s4s")
BROADCAST, NOBODY, NO_ADDRESS = b"\xff" * 6, b"\0" * 6, b"\0" * 4
ASKER = bytes.fromhex("025143474f00")  # locally administered, as the one who asks
REQUEST, REPLY = 1, 2
PATIENCE = 5.0  # seconds for the namespace to be made
AGAIN = 0.5  # seconds between two questions


@dataclass(frozen=True)
class Answers:
    """``heard``: MAC addresses that sent anything of their own accord; ``answered``: IPv4 addresses that were asked."""

    heard: tuple[str, ...] = ()
    answered: tuple[str, ...] = ()


class Isolated:
    """A namespace, and a process in it."""

    def __init__(self) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self._pid = os.fork()
        if self._pid == 0:
            self._pipe.close()
            _live(theirs)
        theirs.close()
        self._hear(PATIENCE)

    def close(self) -> None:
        """End the process, with it the namespace, and with that the taps in it."""
        self._pipe.close()
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def take(self, device: str) -> None:
        """Take a tap off its bridge and out of the host's network."""
        run("ip", "link", "set", "dev", device, "netns", str(self._pid))

    def ask(self, devices: dict[str, str], addresses: Iterable[str], seconds: float) -> Answers:
        """Listen on the taps, by device their MAC address, and ask for IPv4 ``addresses`` with ARP.

        Returns when every address has answered and every MAC address was heard, or after ``seconds``.
        """
        self._pipe.send((devices, tuple(addresses), seconds))
        return self._hear(seconds + PATIENCE)

    def _hear(self, seconds: float) -> Answers:
        if not self._pipe.poll(seconds):
            raise Timeout(f"the isolated network did not come about within {seconds:g} s")
        try:
            outcome = self._pipe.recv()
        except EOFError:
            raise ColoError("the process in the isolated network has ended") from None
        if isinstance(outcome, Exception):
            raise ColoError(f"the isolated network: {outcome}")
        return outcome


def _live(pipe: Connection) -> None:
    """The life of the process in the namespace. Never returns, never runs the parent's exit handlers."""
    try:
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        pipe.send(Answers())
        while True:
            pipe.send(_ask(*pipe.recv()))
    except (EOFError, BrokenPipeError):
        pass
    except Exception as error:  # whatever it is, the run has to hear of it
        pipe.send(error)
    finally:
        os._exit(0)


def _ask(devices: dict[str, str], addresses: tuple[str, ...], seconds: float) -> Answers:
    wanted = {socket.inet_aton(address): address for address in addresses}
    taps = {}
    for device, mac in devices.items():
        run("ip", "link", "set", "dev", device, "up")
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        tap.bind((device, 0))
        taps[tap] = bytes.fromhex(mac.replace(":", ""))
    heard: set[str] = set()
    answered: set[str] = set()
    deadline, due = time.monotonic() + seconds, 0.0
    while (now := time.monotonic()) < deadline and not (len(answered) == len(wanted) and len(heard) == len(taps)):
        if now >= due:
            due = now + AGAIN
            _send(taps, wanted)
        for tap in select.select(list(taps), [], [], min(due, deadline) - now)[0]:
            source, address = _read(tap.recv(2048))
            if source == taps[tap]:
                heard.add(source.hex(":"))
                answered |= {wanted[address]} if address in wanted else set()
    return Answers(tuple(sorted(heard)), tuple(sorted(answered)))


def _send(taps: Iterable[socket.socket], wanted: Iterable[bytes]) -> None:
    """ARP probes (RFC 5227): from no address, so that the guest learns nothing from them."""
    for tap in taps:
        for address in wanted:
            question = ARP.pack(1, ETH_P_IP, 6, 4, REQUEST, ASKER, NO_ADDRESS, NOBODY, address)
            tap.send(ETHERNET.pack(BROADCAST, ASKER, ETH_P_ARP) + question)


def _read(frame: bytes) -> tuple[bytes, bytes | None]:
    """Who sent a frame, and if it is an answer to a question of ours, for which address."""
    if len(frame) < ETHERNET.size:
        return b"", None
    _target, source, kind = ETHERNET.unpack_from(frame)
    if kind != ETH_P_ARP or len(frame) < ETHERNET.size + ARP.size:
        return source, None
    _hardware, _protocol, _hlen, _plen, operation, _sender, address, _asker, _asked = ARP.unpack_from(
        frame, ETHERNET.size
    )
    return source, address if operation == REPLY else None
