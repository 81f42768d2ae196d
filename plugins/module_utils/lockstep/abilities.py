# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What differs between versions of QEMU, in one place. Pure.

Where query-qmp-schema tells, it decides; where it does not, the versions below do, each with its evidence. What counts
is the QEMU that runs: after an upgrade of the package it is older than the binary.
"""

from __future__ import annotations

import re
from typing import Any

from ..observation.seen import Emulator, Monitor, Observation

Version = tuple[int, ...]

# COLO begins in the migration state "active", and asking for a pause before the entry leads past that state: the
# primary ends as "completed", and its standby runs alone (our measurement, 7.2.22). In 10.0.0 the state "device" came
# between the two for every migration, so that COLO never began (QEMU's commit 4881411136); since it begins in "device"
# (0b5bf4ea76, in 10.0.7, 10.1.3 and 10.2.0) it can be paused for (our measurement, 10.0.13).
PAUSES_FROM: Version = (10, 0, 7)
NEVER_BEGINS: tuple[tuple[Version, Version], ...] = (((10, 0), (10, 0, 7)), ((10, 1), (10, 1, 3)))  # from, up to
# A standby of q35 aborts at its first checkpoint, where a state is loaded over an older one: "Assertion
# '!subregion->container' failed" (our measurement, 7.2.22 and 10.0.13, TCG and KVM). With 11.1.3 checkpoints go on,
# through a reset of the guest as well (our measurement). No release between these was tried.
Q35_FROM: Version = (11, 1, 3)
# What came in one TLS record is read in pieces of 4 KiB, and what is left of it waits for the next record: a packet of
# 5,000 or 60,000 bytes came out of a filter-redirector when others followed, and not before (our measurement, 7.2.22;
# 10.0.13 hands them on within 0.5 ms). QEMU's io/channel-tls looks for what is left since 8.0.
HANDS_ON_FROM: Version = (8, 0)
# TCG goes on executing what it has translated of code that a checkpoint replaced in the standby's memory: 8 of 8 times
# with 11.1.3, 0 of 8 with 10.0.13 (our measurement). QEMU's commit 8414218489, in 10.2.0, left out COLO's run state.
STALE_CODE_FROM: Version = (10, 2)
X_COLO = "x-colo"
PAUSE = "pause-before-switchover"
RETURN_PATH = "return-path"
CAPABILITIES = (X_COLO, PAUSE, RETURN_PATH)  # of a migration: those that we may have turned on
RECONNECT_MS = "reconnect-ms"  # in the schema since 9.2, where "reconnect", in seconds, became deprecated
OPTIONS = (RECONNECT_MS,)  # of a socket: those that some builds have and that COLO can do without


def parsed(version: str) -> Version:
    """The first three numbers of a version: ``7.2.22 (Debian 1:7.2+dfsg-7)`` is (7, 2, 22)."""
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


def never_begins(version: str) -> bool:
    """Whether COLO cannot begin with this version, whatever it is asked for."""
    return any(first <= parsed(version) < mended for first, mended in NEVER_BEGINS)


def pauses(version: str) -> bool:
    """Whether the guest can be stopped by QEMU just before it enters lockstep, for the layers to be changed."""
    return parsed(version) >= PAUSES_FROM


def aborts_q35(version: str) -> bool:
    """Whether a standby of machine type q35 ends at its first checkpoint."""
    return parsed(version) < Q35_FROM


def executes_stale_code(version: str) -> bool:
    """Whether the standby of an emulated guest executes code that a checkpoint has replaced."""
    return parsed(version) >= STALE_CODE_FROM


def withholds_encrypted(version: str) -> bool:
    """Whether parts of a packet that came over an encrypted socket wait for the next one."""
    return () < parsed(version) < HANDS_ON_FROM


def running(seen: Observation) -> str:
    """The version of the QEMU that runs the domain here, or would run it."""
    if seen.monitor and seen.monitor.version:
        return seen.monitor.version
    return seen.host.emulator.version if seen.host.emulator else ""


def upgraded(seen: Observation) -> str | None:
    """The version of the binary on this host, where the QEMU that runs the domain was started from another."""
    binary = seen.host.emulator
    return binary.version if binary and running(seen) != binary.version else None


def _binary(seen: Observation) -> Emulator | None:
    """What is known of the QEMU that runs the domain here, or would run it: nothing, if it was upgraded since."""
    binary = seen.host.emulator
    return binary if binary and running(seen) == binary.version else None


def options(seen: Observation) -> tuple[str, ...]:
    """Which of the options that builds differ in a socket of this domain's QEMU has; none where it is not known."""
    binary = _binary(seen)
    return binary.options if binary else ()


def standby_capabilities(seen: Observation) -> tuple[str, ...]:
    """The migration capabilities that a standby's QEMU is to have on, by the names of QMP.

    QEMU 11.1 refuses x-colo without a return path, older ones open it by themselves.
    """
    binary = _binary(seen)
    return (*(binary.requires if binary else ()), X_COLO)


def primary_capabilities(seen: Observation) -> tuple[str, ...]:
    """The migration capabilities that a primary's QEMU is to have on, by the names of QMP."""
    return (*standby_capabilities(seen), *((PAUSE,) if pauses(running(seen)) else ()))


def left_on(monitor: Monitor) -> list[str]:
    """The capabilities that COLO has left on; libvirt turns on by itself what a migration of its own needs."""
    on = monitor.migration.capabilities
    return [name for name in CAPABILITIES if name in on] if X_COLO in on else []


def reconnect(known: tuple[str, ...], seconds: int) -> dict[str, Any]:
    """The option that has a socket connect again after ``seconds``: in milliseconds since QEMU 9.2, of ``known``."""
    return {RECONNECT_MS: seconds * 1000} if RECONNECT_MS in known else {"reconnect": seconds}
