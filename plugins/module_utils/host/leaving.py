# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what a guest sends leaves this host: the bridge that its tap is a port of, and the uplinks of that."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from ..errors import ColoError
from ..observation.seen import Announced
from . import frames
from .command import run
from .uplinks import uplinks_of

NETWORK = Path("/sys/class/net")
LEFT, ANSWERED = "left", "answered"
DEADLINE = 5.0  # seconds; bridge takes some milliseconds


def master_of(device: str) -> Path | None:
    """The device, below /sys/class/net, that a network device is a port of; None where it is of nothing."""
    master = NETWORK / device / "master"
    return master.resolve() if master.exists() else None


def learned(bridge: str) -> dict[str, str]:
    """By MAC address, the port at which a bridge has seen frames from it last; none where it cannot be asked."""
    try:
        entries = json.loads(run("bridge", "-j", "fdb", "show", "br", bridge, deadline=DEADLINE) or "[]")
    except (ColoError, ValueError):  # what cannot be asked is not known
        return {}
    return {entry["mac"]: entry["ifname"] for entry in entries if entry.get("state") != "permanent"}


def places(taps: Mapping[str, str]) -> tuple[Announced, ...]:
    """Where the guest with these taps, by MAC address, is on the network as this host has it now.

    Nothing of a tap that is a port of anything but a bridge of the kernel, as of Open vSwitch.
    """
    found = []
    for mac, tap in taps.items():
        master = master_of(tap)
        if master is None:
            found.append(Announced(mac, tap))
        elif (master / "bridge").exists():
            found.append(Announced(mac, tap, master.name, learned(master.name).get(mac), uplinks_of(master.name)))
    return tuple(found)


def watch(taps: Mapping[str, str], seconds: float) -> tuple[Announced, ...]:
    """As ``places``, and of each whether a frame of it has gone out by an uplink of its bridge, and one to it come in.

    Returns once both is so of each NIC, or after ``seconds``. ColoError where the uplinks cannot be watched.
    """
    listeners: dict[socket.socket, tuple[str, str]] = {}
    heard: set[tuple[str, str]] = set()
    try:
        for place in places(taps):
            for port in place.uplinks:
                listeners[frames.sent_by(place.mac, port)] = place.mac, LEFT
                listeners[frames.sent_to(place.mac, port)] = place.mac, ANSWERED
        deadline = time.monotonic() + seconds
        while heard != set(listeners.values()) and (patience := deadline - time.monotonic()) > 0:
            for ready in select.select(list(listeners), [], [], patience)[0]:
                ready.recv(frames.SNAPLEN)
                heard.add(listeners[ready])
        found = places(taps)
    except OSError as error:
        raise ColoError(f"the uplinks of the guest's bridge cannot be watched: {error}") from error
    finally:
        for listener in listeners:
            listener.close()
    return tuple(place.watched((place.mac, LEFT) in heard, (place.mac, ANSWERED) in heard) for place in found)
