# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Taking the running pair apart on this host: the guest goes on alone, a standby is ended. Pure."""

from __future__ import annotations

from dataclasses import replace

from ...lockstep import graph, states
from ...lockstep.states import CANCELLING, MIGRATING
from ...observation.seen import Observation
from ...record import pair
from ...verdict import guest
from ...verdict.hanging import way_out
from ...verdict.problem import Problem, refuse_if
from .. import effects
from ..plan import Plan
from ..step import Step, qmp, wait
from . import barrier, layers, written
from .entry import JOB_TIMEOUT, MIGRATION_TIMEOUT

END_TIMEOUT = 10.0  # seconds for the kernel to end a process that was killed, and for libvirt to see it
LOOK_AT_THE_LOG = "Look at QEMU's log on this host"


def absent(seen: Observation, peer: Observation | None) -> Plan:
    """End this host's half of the running pair. The guest goes on; a standby, which has none, is ended."""
    if seen.domain is None or seen.record is None or not seen.domain.active:
        return Plan(tuple(barrier.let_pass(seen)), seen)
    if seen.record.role != "secondary":
        if seen.monitor is None:
            refuse_if([guest.mute(seen, way_out(seen, peer)[1])])
        refuse_if(guest.cut_off(seen))
        return undo(seen)
    freed = peer and peer.monitor and peer.monitor.migration.status != "colo"
    if not freed and (seen.monitor is None or seen.monitor.colo == "secondary"):
        remedy = "Run lockstep.colo.unprotect, which frees the guest first (as a module: colo_pair with state absent)"
        refuse_if([*guest.unanswered(seen, remedy), Problem("the standby is in lockstep", remedy)][:1])
    return Plan(tuple(end_standby(seen)), seen)


def end_standby(seen: Observation) -> list[Step]:
    """Of a QEMU that does not answer, before libvirt is asked anything for which it would wait."""
    return [Step("end the standby", "destroy")] if seen.monitor else end_at_once(seen)


def end_at_once(seen: Observation) -> list[Step]:
    """End the QEMU of this host without asking it, or libvirt, which waits for one that hangs."""
    end = Step("end the QEMU of this host at once", "end_emulator", {"uuid": seen.domain.uuid}, END_TIMEOUT)
    return [end, wait("see libvirt clear up after it", "off", END_TIMEOUT)]


def undo(seen: Observation) -> Plan:
    """The guest goes on alone on this host, as an ordinary domain: first what frees it, then what cleans up."""
    monitor = seen.monitor
    steps: list[Step] = []
    if monitor.migration.status in (*MIGRATING, CANCELLING):
        if monitor.migration.status != CANCELLING:
            steps.append(qmp("cancel the migration", "migrate_cancel"))
        ended = ["cancelled", "failed", "completed"]
        steps.append(wait("wait for its end", "migration", MIGRATION_TIMEOUT, pivot=True, status=ended))
        return Plan(tuple(steps), seen)
    steps += free(seen)
    # A guest that was seen between two checkpoints, or stalled, runs by now, and must not while its disks change.
    steps += _clean(effects.fold(seen, steps))
    return Plan(tuple(steps), seen)


def rescue_from_entering(before: Observation, seen: Observation) -> Plan:
    """What frees the guest when bringing it into lockstep failed half-way; QEMU may hang on a peer that went silent.

    A pair that was in lockstep before is left alone: its standby may be promoted, so only a fence decides.
    """
    if before.monitor and before.monitor.migration.status == "colo":
        return Plan((), seen)
    return release(seen) if seen.monitor is None else undo(seen)


def rescue_from_undoing(_before: Observation, seen: Observation) -> Plan:
    """What frees a guest that was to go on alone when a step of that failed: the same once more, from where it is.

    Its standby may not be promoted any more. A standby itself has no guest to be freed.
    """
    if seen.domain is None or not seen.domain.active or seen.record is None or seen.record.role == "secondary":
        return Plan((), seen)
    return release(seen) if seen.monitor is None else undo(seen)


def release(seen: Observation) -> Plan:
    """Free QEMU from connections to a host that is gone, before it is asked anything: its main loop may hang there."""
    if not seen.peer_sockets:
        refuse_if([guest.mute(seen, LOOK_AT_THE_LOG)])
    return Plan((replace(reset_connections(seen), pivot=True),), seen)


def reset_connections(seen: Observation) -> Step:
    """Reset all connections with the peer over any port of the pair.

    Not over the record's channels: a survivor's record has none any more, its QEMU may still have them.
    """
    peer, ports = seen.record.peer.address, list(pair.block(seen.record.first_port))
    return Step(f"reset the connections with {peer}", "release", {"peer": peer, "ports": ports})


def free(seen: Observation) -> list[Step]:
    """Cut the standby off, and let go of the guest.

    The lockstep ends before its filters go: a checkpoint for which some of them were gone stood still for ever, and
    QEMU's main loop with it (our measurement, QEMU 10.0, 2 of 7 times).
    """
    monitor = seen.monitor
    steps = _let_go(seen)
    for disk in seen.record.disks:
        if place := states.attached(monitor, disk.target):
            names = dict(zip(("parent", "child"), place, strict=True))
            steps.append(qmp(f"disk {disk.target}: end the replication", "x-blockdev-change", names))
    if monitor.migration.status == "colo":
        steps.append(qmp("end the lockstep", "x-colo-lost-heartbeat"))
        steps.append(wait("wait until the guest runs by itself", "alone", JOB_TIMEOUT))
    steps += layers.remove_objects(monitor)
    if steps:
        steps[-1] = replace(steps[-1], serves=True)
    return steps


def _let_go(seen: Observation) -> list[Step]:
    """Nothing waits for the standby any more, which may be lost.

    First the connection is ended for good: without the job that could wait for ever, and with the job alone the removal
    of a layer that writes nothing before would find the loss only then, and wait (QEMU 7.2, our measurement).
    """
    steps = []
    for target in (disk.target for disk in seen.record.disks):
        name = graph.release_job(target)
        job = seen.monitor.jobs.get(name)
        if job and job.status != "concluded":
            connection = {"type": "block-node", "node-name": graph.nbd(target)}
            steps.append(qmp(f"disk {target}: end the connection", "yank", {"instances": [connection]}))
            steps.append(
                qmp(f"disk {target}: let go of the standby", "block-job-cancel", {"device": name, "force": True})
            )
    return steps


def _end_connections(seen: Observation, jobs: list[str]) -> Step:
    """End those of ``jobs`` for good: a job waits for what the other host does not take until they have ended.

    One that is merely reset is made anew (graph.RECONNECT_SECONDS), and what was under way is sent once more over it: a
    job whose link loses that was at work 10 s later; this ends it in 0.01 s. After the cancelling: it would end the
    job as a failure, which cannot be cancelled any more (our measurements, QEMU 10.0).
    """
    targets = [disk.target for disk in seen.record.disks if graph.sync_job(disk.target) in jobs]
    names = [kind(target) for target in targets for kind in (graph.nbd, graph.copy)]
    nodes = [{"type": "block-node", "node-name": name} for name in names if name in seen.monitor.nodes]
    return qmp("end the connections of the copying", "yank", {"instances": nodes})


def _clean(seen: Observation) -> list[Step]:
    monitor = seen.monitor
    jobs = [name for disk in seen.record.disks if (name := graph.sync_job(disk.target)) in monitor.jobs]
    running = [name for name in jobs if monitor.jobs[name].status != "concluded"]
    let_go = [name for disk in seen.record.disks if (name := graph.release_job(disk.target)) in monitor.jobs]
    sockets = layers.remove_sockets(monitor)
    steps = [qmp(f"cancel {name}", "block-job-cancel", {"device": name, "force": True}) for name in running]
    if running:
        steps.append(_end_connections(seen, running))
        if any(graph.copy(disk.target) in monitor.nodes for disk in seen.record.disks):
            title = "end what compares and sends, as far as it is there"
            steps.append(Step(title, "end_sieve", {"uuid": seen.domain.uuid}))
    if running or sockets:
        # A standby that only writes to a socket does not see it closed, but for a reset, and would not connect with the
        # one that takes its place: so what is reset goes at once, before it is connected anew.
        steps.append(reset_connections(seen))
    steps += sockets
    for name in [*running, *let_go]:
        steps.append(wait(f"wait for the end of {name}", "concluded", JOB_TIMEOUT, jobs=[name], failed=True))
    steps += [layers.forget_job(name) for name in [*jobs, *let_go]]
    steps += written.forgotten(seen, [disk.target for disk in seen.record.disks])
    steps += layers.migrate_ordinarily(monitor)
    return [*steps, *layers.slide_out(seen), *layers.remove_iothread(monitor), *barrier.let_pass(seen)]
