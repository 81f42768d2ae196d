# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deciding what a survivor has to do when its peer is gone: the plans of colo_failover. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..domain import editing as xml
from ..domain import reading
from ..lockstep import graph, states
from ..observation.depth import BRIEF
from ..observation.seen import Monitor, Observation
from ..verdict import copies, current, guest, pair
from ..verdict.fence import SAID, Fence, objections
from ..verdict.problem import Problem, refuse_if
from . import effects
from .parts import barrier, layers
from .parts.undo import LOOK_AT_THE_LOG, free, release, reset_connections, undo
from .plan import Plan
from .step import Step, qmp, wait

COMMIT_TIMEOUT = 120.0  # seconds for active and hidden to be merged into the disk
APPLIES_TO = {
    "primary": ("protected", "stalled", "degraded", "syncing"),
    "secondary": ("protected", "stalled", "degraded"),
    "alone": ("failed_over", "degraded"),
}
ROUNDS = 5  # announcements of the guest's addresses to the switches
ANNOUNCED_WITHIN = 3.0  # seconds; the last of them goes out 0.8 s after the first, and then clients try once more
ANNOUNCE = {"initial": 50, "max": 550, "rounds": ROUNDS, "step": 100}  # milliseconds; QEMU's own defaults


def failover(
    seen: Observation,
    fence: Fence | None,
    unfenced: bool = False,
    peer: Observation | None = None,
    within: float = current.PROMOTE_WITHIN,
) -> Plan:
    """Make the guest of this host serve, alone: promote the standby, or let the primary go on without one.

    ``peer`` is what was seen of the other host, where that proves the fence. ``within``: seconds of silence after which
    a standby may have been left behind.
    """
    refuse_if(doubts(seen, fence, unfenced, peer, within))
    if seen.domain.active and not seen.asked and seen.peer_sockets:  # it may be waiting for the host that is gone
        return release(seen)
    refuse_if(_state_problems(seen))
    if seen.record.role == "secondary":
        return promote(seen)
    plan = _go_on(seen)
    if not plan.steps and (stopped := guest.still(seen)):  # of what is left, nothing has it go on
        refuse_if([stopped])
    return plan


def rescue(_before: Observation, seen: Observation) -> Plan:
    """What a guest needs that was stopped for a change of layers that then failed; nothing if QEMU does not answer."""
    return Plan(tuple(layers.unpark(seen)) if seen.record and seen.monitor else (), seen)


def doubts(
    seen: Observation, fence: Fence | None, unfenced: bool, peer: Observation | None, within: float
) -> Iterator[Problem]:
    """Why this host may not serve alone, as far as is known without asking its QEMU."""
    if seen.domain is None:
        yield guest.missing("Check the name, and the host")
        return
    record = seen.record
    if record is None:
        yield Problem(
            "the domain is not part of a pair: there is nothing to fail over",
            "Check the name; a domain of no pair is started with virsh start",
        )
        return
    if record.role == "alone":
        return  # done already, or to be finished: the fence was asked for then
    if not unfenced:
        yield from objections(seen, fence, peer)
    # A primary that was seen to be given up, with this generation, has not gone on alone.
    said = unfenced or (fence is not None and fence.ground in SAID)
    if record.role == "secondary" and seen.domain.active and copies.completed(seen):
        if within != current.ANY_LENGTH:
            yield from current.lacks(seen)
        if said:
            yield from current.left_behind(seen, within)


def _state_problems(seen: Observation) -> Iterator[Problem]:
    role, state = seen.record.role, pair.phase(seen)
    if seen.domain.active and seen.monitor is None:
        yield guest.mute(seen, LOOK_AT_THE_LOG)
    elif state not in APPLIES_TO[role]:
        pairs = "; ".join(f"{name}: {', '.join(states)}" for name, states in APPLIES_TO.items())
        yield Problem(f"a {role} that is {state} cannot fail over", f"Failover applies to {pairs}")
    elif role == "secondary" and not copies.completed(seen):
        yield Problem(
            "this standby has not completed a checkpoint since its last sync: its disks are not a whole copy",
            f"Bring {seen.record.peer.host} back: it has the only copy",
        )


def become_newest(seen: Observation) -> Plan:
    """Write down, durably and in two places, that this copy is from now on the newest.

    The marker is the one that counts, and has its room. A guest that could serve does not wait for room in /etc, where
    libvirt keeps the other: the plan's end wants it once more.
    """
    record = replace(seen.record, role="alone", generation=seen.record.generation + 1, complete=None, handed_over=False)
    marker = replace(seen.marker, role="alone", generation=record.generation) if seen.marker else None
    steps = []
    if marker:
        title = f"mark the images of this host as generation {record.generation}, the newest"
        steps.append(Step(title, "mark", {"directory": seen.directory, "marker": marker}))
    title = f"record generation {record.generation} in the domain"
    written = {"xml": xml.with_metadata_element(record), "live": seen.domain.active, "marked": marker is not None}
    steps.append(Step(title, "record", written))
    return Plan(tuple(steps), seen)


def promote(seen: Observation) -> Plan:
    """Make a standby the guest, where it is certain that the primary has ended."""
    steps = [*become_newest(seen).steps, *_serve(seen)]
    if seen.depth == BRIEF:  # the clients come first; what is to be tidied up is looked at afterwards
        *before, last = steps
        return Plan((*before, replace(last, pivot=True)), seen)
    return Plan((*steps, *_tidy(effects.fold(seen, steps))), seen)


def let_run(monitor: Monitor) -> list[Step]:
    """Cut a standby off from its primary, so that its guest runs by itself."""
    steps = []
    if monitor.exports:
        steps.append(qmp("stop serving the disks to the peer", "nbd-server-stop"))
    if monitor.colo == "secondary":
        steps.append(qmp("let the guest of this host take over", "x-colo-lost-heartbeat"))
    return [*steps, *layers.remove_objects(monitor)]


def _serve(seen: Observation) -> list[Step]:
    steps = let_run(seen.monitor)
    steps += [layers.set_link(nic.tap, up=True) for nic in seen.domain.nics if nic.tap and not nic.tap_up]
    if steps:
        steps[-1] = replace(steps[-1], serves=True)
        steps += _announce(seen)
    return steps


def _announce(seen: Observation) -> list[Step]:
    """Tell the switches, and look whether what the guest sends leaves this host."""
    taps = {nic.mac: nic.tap for nic in seen.domain.nics if nic.tap}
    told = qmp("tell the switches where the guest is", "announce-self", ANNOUNCE)
    return [told, Step("see the guest's frames leave", "see_announced", {"taps": taps}, ANNOUNCED_WITHIN)]


def _tidy(seen: Observation) -> list[Step]:
    """Everything of the pair out of the running QEMU, then the overlays' files, then out of the persistent XML."""
    return [*take_out(seen), *_settle(seen)]


def take_out(seen: Observation) -> list[Step]:
    """Everything of the pair out of a running QEMU that has taken over; the standby's writes go into its disks."""
    monitor = seen.monitor
    steps = layers.remove_sockets(monitor)
    if steps:  # those that were connecting do so in threads that outlive them
        steps.append(reset_connections(seen))
    steps += layers.migrate_ordinarily(monitor)
    overlays = [disk.target for disk in seen.record.disks if graph.active(disk.target) in monitor.nodes]
    if overlays:
        merging = {graph.replication(target): graph.active(target) for target in overlays}
        steps.append(
            wait("see the standby's own writes merged into its disks", "committed", COMMIT_TIMEOUT, layers=merging)
        )
    return [*steps, *layers.slide_out(seen), *layers.remove_iothread(monitor)]


def _settle(seen: Observation) -> list[Step]:
    """The persistent XML of an ordinary domain, with the record of what it has been through."""
    record = replace(seen.record, disks=tuple(replace(d, active=None, hidden=None) for d in seen.record.disks))
    after = xml.protect(seen.domain.inactive_xml, record)
    settled = reading.read_record(after)
    # Before the record forgets them: files that no record names are nobody's, and the next standby refuses to start.
    overlays = [path for disk in seen.record.disks for path in (disk.active, disk.hidden) if path]
    steps = [Step(f"remove {path}", "remove", {"path": path}) for path in overlays]
    if reading.canonical(after) != reading.canonical(seen.domain.inactive_xml):
        steps.append(Step("define the domain as an ordinary one", "define", {"xml": after}))
    if seen.domain.live_record != settled:
        text = xml.with_metadata_element(settled)
        steps.append(Step("write the record in the running domain", "record", {"xml": text, "live": True}))
    return steps


def _go_on(seen: Observation) -> Plan:
    """The plan by which a primary serves without its standby, or a survivor ends a clean-up that was cut off."""
    if seen.record.role == "primary" and seen.depth == BRIEF:  # the clients come first, as in a promotion
        *before, last = [*become_newest(seen).steps, *free(seen), *_announce(seen)]
        return Plan((*before, replace(last, pivot=True)), seen)
    if seen.record.role == "primary":
        steps = [*become_newest(seen).steps, *_without_peer(barrier.supposed(seen))]
        return Plan((*steps, *_settle(effects.fold(seen, steps)), *_announce(seen)), seen)
    if seen.monitor.colo == "primary" or seen.monitor.jobs:
        return Plan((*_without_peer(seen), *_settle(seen)), seen)
    steps = _serve_again(seen)
    return Plan((*steps, *_tidy(effects.fold(seen, steps)), *barrier.let_pass(seen)), seen)


def _without_peer(seen: Observation) -> list[Step]:
    """The primary's own undoing, and what QEMU began meanwhile.

    A write may have had its NBD client call the lost host once more, in a thread that outlives the node. Such a thread
    holds its socket for the two minutes of TCP (our measurement, QEMU 10.0).
    """
    return [*undo(seen).steps, reset_connections(seen)]


def _serve_again(seen: Observation) -> list[Step]:
    return _serve(seen) if states.held_back(seen) or seen.monitor.colo != "none" else []
