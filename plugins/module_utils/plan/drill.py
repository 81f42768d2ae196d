# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deciding how a standby is tried out: promoted where nobody hears it, asked, and ended. Pure functions.

The primary has gone on alone before, with a newer generation, and this standby was written down as one that may not be
promoted. So from the first step on it is an old copy, whatever becomes of the run; the next deploy renews it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..observation.seen import Observation
from ..record import images
from ..verdict import copies
from ..verdict.problem import Problem, refuse_if
from . import effects, survive
from .plan import Plan
from .step import Step, wait

RUN_TIMEOUT = 30.0  # seconds for the guest to run by itself
CHECK_TIMEOUT = 600.0  # seconds for qemu-img to read the tables of an image


@dataclass(frozen=True)
class Questions:
    """``addresses``: the guest's IPv4 addresses, asked with ARP; ``timeout``: seconds to wait for answers."""

    addresses: tuple[str, ...] = ()
    timeout: float = 10.0


def drill(seen: Observation, peer: Observation, questions: Questions) -> Plan:
    """Promote this standby in isolation, ask its guest, end it, and look at its images."""
    refuse_if([*_own_problems(seen), *_peer_problems(seen, peer), *_question_problems(questions)])
    taps = {nic.tap: nic.mac for nic in seen.domain.nics if nic.tap}
    ask = {"devices": taps, "addresses": list(questions.addresses), "seconds": questions.timeout}
    alone = (
        Step(f"take {', '.join(taps) or 'nothing'} out of the network", "isolate", {"devices": list(taps)}),
        *survive.let_run(seen.monitor),
        replace(wait("wait until the guest runs by itself", "alone", RUN_TIMEOUT), serves=True),
    )
    steps = (
        *alone,
        *survive.take_out(effects.fold(seen, alone)),
        Step("ask the guest where nobody else hears it", "ask_guest", ask, questions.timeout),
        Step("end the standby", "destroy"),
        *[
            Step(f"disk {disk.target}: check {disk.path}", "check_image", {"path": disk.path}, CHECK_TIMEOUT)
            for disk in seen.record.disks
            if disk.format == images.OVERLAY_FORMAT  # a raw image has nothing that could be checked
        ],
    )
    return Plan(steps, seen)


def _own_problems(seen: Observation) -> Iterator[Problem]:
    if seen.domain is None or seen.record is None or seen.record.role != "secondary":
        yield Problem("this host does not have the standby of a pair", "Look with lockstep.colo.status which one does")
    elif seen.monitor is None or seen.monitor.colo != "secondary":
        yield Problem("the standby was not in lockstep", "Run lockstep.colo.deploy first")
    elif copies.completed(seen):
        yield Problem(
            "this standby may still be promoted: it would be an old copy after the drill",
            "Run lockstep.colo.drill, which sees to that and lets the primary go on alone first (as a module: "
            "colo_pair with state expendable here)",
        )


def _peer_problems(seen: Observation, peer: Observation) -> Iterator[Problem]:
    if peer.record is None or peer.record.role != "alone" or peer.generation <= seen.generation:
        yield Problem(
            f"the guest on {peer.host.name} has not gone on alone: two guests would run in one pair",
            "Run lockstep.colo.drill, which does that first (as a module: colo_failover there)",
        )


def _question_problems(questions: Questions) -> Iterator[Problem]:
    for address in questions.addresses:
        try:
            ipaddress.IPv4Address(address)
        except ValueError:
            yield Problem(f"{address} is not an IPv4 address", "Only those can be asked, with ARP")
