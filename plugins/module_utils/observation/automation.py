# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a host's watcher was set, and what it last said of a pair, as data."""

from __future__ import annotations

from dataclasses import dataclass

from ..record.pair import DIRECTORY, PKI_DIRECTORY


@dataclass(frozen=True)
class Settings:
    """What the role host has written for the watcher of this host.

    ``addresses``: this host's, at which other hosts' watchers reach it; empty: all. ``metrics``: a directory for the
    file with them; ``listen``: address and port at which they are told. Empty: none.
    """

    uri: str = "qemu:///system"
    directory: str = DIRECTORY
    addresses: tuple[str, ...] = ()
    port: int = 21599
    pki: str = PKI_DIRECTORY
    metrics: str = ""
    listen: str = ""


@dataclass(frozen=True)
class Automation:
    """How it stands with the watcher of this host and one pair. ``wanted``: the operator wants the pair guarded.

    ``awake``: this host's watcher is at work. ``hears``: it hears the other host's. ``says``: what it does, or would
    do, in plain words. ``last_action`` and ``last_ms``: what it did last, and in how many milliseconds.
    """

    wanted: bool = False
    awake: bool = False
    hears: bool = False
    says: str = ""
    last_action: str = ""
    last_ms: int = 0
