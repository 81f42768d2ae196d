# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bringing a running guest into lockstep, and keeping it there: the primary's half of the running pair. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..lockstep import channels, graph, own_node, states
from ..lockstep.states import IDLE
from ..observation.seen import DISCONNECTED, Disk, Observation
from ..record.wanted import Wanted
from ..verdict import halves, shown
from ..verdict.problem import Problem, refuse_if
from ..verdict.requirements.domain import running
from ..verdict.requirements.link import channels_in_use
from ..verdict.requirements.row import problems
from .describe import live_record
from .parts import barrier, entry, layers
from .parts.undo import undo
from .plan import Plan
from .step import Step


def primary(wanted: Wanted, seen: Observation, peer: Observation) -> Plan:
    """From a running guest to lockstep, from wherever an earlier run left off."""
    refuse_if(_primary_problems(wanted, seen, peer))
    monitor = seen.monitor
    if monitor.migration.status == "colo":
        # A standby that listens is a new one: the one that was in lockstep has ended, and cannot be promoted.
        whole = not states.copying_failed(monitor) and not monitor.lost_writes
        kept = peer.monitor.colo == "secondary" and whole
        return _keep(seen) if kept else _begin_again(seen)
    if not all(states.consistent(monitor, disk.target) for disk in seen.record.disks) or _stranded(seen):
        return _begin_again(seen)
    if _is_secured_otherwise(seen) and not shown.under_way(seen):  # as are the sockets that were made with it
        return _begin_again(seen)
    steps = [*_noted_tls(seen), *_listeners(seen), *_connected(seen), *_quorums(seen), *entry.sync(wanted, seen, peer)]
    # What is said in lockstep has to be held back, so what cannot be is no longer said when that begins.
    steps += [*barrier.keep_back(seen), *entry.enter(seen, entry.differing(wanted, seen, peer))]
    return Plan(tuple(steps), seen)


def _begin_again(seen: Observation) -> Plan:
    """Back to an ordinary domain; what follows is planned from there."""
    plan = undo(seen)
    *before, last = plan.steps
    return replace(plan, steps=(*before, replace(last, pivot=True)))


def _is_secured_otherwise(seen: Observation) -> bool:
    """Whether what is in this QEMU has another certificate than it would be given now, or other TLS."""
    return shown.outdated(seen) or (states.is_up(seen) and states.of_other_tls(seen.domain, seen.record))


def _noted_tls(seen: Observation) -> list[Step]:
    """Write down which TLS this QEMU is told of from now on."""
    return [live_record(seen.domain, seen.record)] if states.of_other_tls(seen.domain, seen.record) else []


def _primary_problems(wanted: Wanted, seen: Observation, peer: Observation) -> Iterator[Problem]:
    if seen.domain is None or seen.record is None:
        yield from problems(running(seen))
    if seen.domain is None:
        return
    yield from halves.role_problems(seen, "primary")
    if seen.record is None:
        return
    yield from halves.unmet(wanted, seen, peer)
    if seen.monitor is None:
        return
    yield from halves.peer_problems(seen.record, peer)
    if peer.record is None or seen.record.role != "primary":  # a survivor's record has no channels
        return
    yield from _standby_problems(seen, peer)
    if not any(name in seen.monitor.chardevs for name in states.sockets(seen)):
        yield from channels_in_use(seen.host, seen.record, "primary")


def _standby_problems(seen: Observation, peer: Observation) -> Iterator[Problem]:
    """Why there is no standby over there that this primary could be, or stay, in lockstep with."""
    if seen.monitor.migration.status == "colo":
        if peer.monitor is None or not (peer.monitor.colo == "secondary" or states.listens(peer)):
            yield Problem(
                f"the standby on {peer.host.name} is no longer in lockstep",
                "Clients may be frozen for it: lockstep.colo.unprotect frees the guest. Is that host lost? Fence it, "
                "and run lockstep.colo.failover",
            )
    elif peer.monitor is None or peer.monitor.status != states.INCOMING or not states.listens(peer):
        yield Problem(
            f"no standby listens on {peer.host.name}",
            "Run lockstep.colo.deploy, which has it listen first (as a module: colo_pair with role secondary there)",
        )


def _keep(seen: Observation) -> Plan:
    """Nothing but what drifted, or what an earlier run had still to do, and the proof: a whole checkpoint."""
    steps = [*entry.end_copying(seen), *barrier.keep_back(seen), *layers.mend_proxies(seen), *_connected(seen)]
    delay = seen.record.checkpoint_delay
    steps += entry.releasable(seen)
    if seen.monitor.migration.checkpoint_delay != delay:
        steps.append(entry.set_delay(delay))
    return Plan((*steps, entry.whole_checkpoint(seen.record)), seen)


def _stranded(seen: Observation) -> bool:
    """A guest that we stopped, and that no migration will resume; parked disks are seen to by sliding in."""
    parked = any(disk.node == graph.park(disk.target) for disk in states.replicated(seen))
    return states.stopped_by_us(seen) and seen.monitor.migration.status in IDLE and not parked and not _half_slid(seen)


def _half_slid(seen: Observation) -> bool:
    return any(graph.park(disk.target) in seen.monitor.nodes for disk in seen.record.disks)


def _listeners(seen: Observation) -> list[Step]:
    """The sockets of the packet proxy: early, so that the standby has connected before packets flow."""
    steps = layers.add_iothread(seen.monitor) if seen.record.nics else []
    parts = [part for part in states.proxy_parts(seen) if part.early and not states.has(seen.monitor, part)]
    if any(part.name in channels.CREDENTIALS for part in parts):
        steps += layers.note_shown(seen)
    return [*steps, *layers.admit_peer(seen), *(layers.add_part(part) for part in parts)]


def _connected(seen: Observation) -> list[Step]:
    """Before anything is put under a disk, and for a pair to count as protected: packets have a way to be compared.

    A socket that listens is no proof, where a firewall takes away what is sent to it.
    """
    known = seen.monitor.chardevs
    names = [name for name in states.sockets(seen) if known.get(name, DISCONNECTED).startswith(DISCONNECTED)]
    return layers.see_connected(seen, names)


def _quorums(seen: Observation) -> list[Step]:
    def stack(disk: Disk) -> list[dict]:
        return graph.primary_layers(disk.target, own_node.libvirt_node(seen.monitor, disk), disk.virtual_size)

    return layers.slide_in(seen, stack)
