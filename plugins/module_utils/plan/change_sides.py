# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deciding how a healthy pair changes sides: the primary ends its guest and tells the standby, which takes over. Pure.

QEMU has no command for it. The primary's QEMU is ended as a loss of power would end it, so nothing that a client was
told is lost; that it has ended is told over a connection of the hosts, with a token that both got from the control
node, so that the standby is promoted at once and never beside a running primary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..domain import editing as xml
from ..lockstep import bitmaps
from ..observation.seen import Observation
from ..record.pair import HANDOVER_PORT, OFF, Record
from ..verdict import copies, pair
from ..verdict.problem import Problem, refuse_if
from ..verdict.requirements import encryption
from . import survive
from .parts.barrier import let_pass
from .plan import Plan
from .step import Step, wait

HAND_OVER_TIMEOUT = 30.0  # for QEMU to end


@dataclass(frozen=True)
class Handover:
    """``token`` is known to the two runs alone; ``timeout`` is how long they wait for each other, in seconds.

    ``note``: both note what the next copy may be spared for that, for which the guest stands still before it is ended.
    """

    token: str
    timeout: float = 60.0
    note: bool = False


def hand_over(seen: Observation, peer: Observation, handover: Handover) -> Plan:
    """The primary's side: end the guest here, once the standby waits for it."""
    if seen.record and seen.record.handed_over and seen.domain and not seen.domain.active:
        return Plan((), seen)
    refuse_if(_primary_problems(seen, peer))
    record = replace(seen.record, handed_over=True)
    where = _where(record)
    place = f"{where['address']} port {where['port']}"
    text = xml.with_metadata_element(record)
    uuid, images = seen.domain.uuid, [disk.path for disk in record.disks] if handover.note else []
    hand = {**where, "uuid": uuid, "token": handover.token, "images": images, "credentials": record.credentials}
    left = Step(
        "note that the images are as the guest left them", "note_left", {"uuid": uuid, "generation": record.generation}
    )
    steps = (
        wait(f"see that the standby waits on {place}", "listening", handover.timeout, **where),
        Step("write that this copy is handed over", "record", {"xml": text, "live": True}),
        Step("end the guest here, and tell the standby", "hand_over", hand, HAND_OVER_TIMEOUT),
        wait("see libvirt clear up after it", "off", HAND_OVER_TIMEOUT),
        *let_pass(seen),
        *([left] if images else []),
    )
    return Plan(steps, seen)


def keep(_before: Observation, seen: Observation) -> Plan:
    """Have a primary go on whose standby could not be told; its copy is the guest's as before."""
    if seen.domain is None or not seen.domain.active or seen.record is None:
        return Plan((), seen)
    return take_back(seen)


def take_back(seen: Observation) -> Plan:
    """Write that the copy is the guest's again, where it was handed over to a standby that never took it."""
    if not seen.record.handed_over:
        return Plan((), seen)
    record = replace(seen.record, handed_over=False)
    arguments = {"xml": xml.with_metadata_element(record), "live": seen.domain.active}
    step = Step("write that this copy is the guest's", "record", arguments)
    return Plan((step,), seen)


def take_over(seen: Observation, handover: Handover) -> Plan:
    """The standby's side: wait until the primary has ended, then be promoted."""
    refuse_if(_secondary_problems(seen))
    proof = {"token": handover.token, "credentials": seen.record.credentials}
    arguments = {**_where(seen.record), "peer": seen.record.peer.address, "host": seen.record.peer.host, **proof}
    receive = Step("wait until the primary has ended its guest", "receive_handover", arguments, handover.timeout)
    # Before the promotion, which writes what the two copies differ in.
    name = bitmaps.since(seen.record.generation)
    note = Step("have QEMU note what is written from now on", "note_writes", {"name": name})
    plan = survive.promote(seen)
    return replace(plan, steps=(receive, *([note] if handover.note else []), *plan.steps))


def _where(record: Record) -> dict[str, str | int]:
    standby = record.local if record.role == "secondary" else record.peer
    return {"address": standby.address, "port": record.first_port + HANDOVER_PORT}


def _primary_problems(seen: Observation, peer: Observation) -> Iterator[Problem]:
    phase = pair.pair(seen, peer).phase
    if seen.domain is None or seen.record is None or seen.record.role != "primary":
        yield Problem("this host is not the primary of a pair", "Look with lockstep.colo.status which one is")
    elif phase != "protected":
        yield Problem(
            f"the pair is {phase}, not protected",
            "Run lockstep.colo.deploy first: only a healthy pair changes sides",
        )
    else:  # the word of the guest's end is said with them
        yield from encryption.keeps_apart(seen, peer, needed=seen.record.tls != OFF)


def _secondary_problems(seen: Observation) -> Iterator[Problem]:
    if seen.domain is None or seen.record is None or seen.record.role != "secondary":
        yield Problem("this host is not the secondary of a pair", "Look with lockstep.colo.status which one is")
    elif seen.monitor is None or seen.monitor.colo != "secondary":
        yield Problem("the standby is not in lockstep", "Run lockstep.colo.deploy first")
    elif not copies.completed(seen):
        yield Problem(
            "the standby has not completed a checkpoint since its last sync", "Run lockstep.colo.deploy first"
        )
