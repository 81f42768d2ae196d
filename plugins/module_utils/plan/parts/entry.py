# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deciding how a guest on its quorums gets into lockstep: the sync, and the entry. Pure functions.

The copying has to go on until lockstep begins, and the layers that follow on it have to come in between. There are
two ways, by what the guest's QEMU can do:

paused  QEMU stops the guest once only the entry into lockstep is left. The copying ends, the replication layers and the
        proxy come in, and the guest goes on in lockstep.
live    QEMU cannot stop there. The replication layers come in before, over connections of their own; until lockstep
        begins they answer with EIO, which their quorums leave at that. The copying ends, and the proxy comes in, once
        lockstep has begun: up to then each write reaches the standby by the copying before the guest is told of it. A
        proxy that came in before would hold the guest's answers back, for a standby that has no guest yet (clients
        waited 1.3 s, our measurement).

The copying is QEMU's mirror in each case. Where the standby has an image that may be right for the most part, it writes
to a process of this host, which sends on only what differs (host/sieve.py).

The standby may be promoted only after a whole checkpoint that follows all this.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ...lockstep import abilities, channels, graph, states
from ...lockstep.states import MIGRATING
from ...observation.seen import Job, Monitor, Observation
from ...record.pair import FULL, WRITTEN, Channel, Record
from ...record.wanted import Wanted
from ...verdict import resync
from ..step import Step, qmp, wait
from . import layers, written

MIGRATION_TIMEOUT = 120.0  # seconds for the guest's whole RAM, once; it runs meanwhile
# Milliseconds to the first checkpoint: until the two have fallen in step most of what the guest sends is held. Left to
# the first difference that is found, it took 30 to 300 ms (our measurement, QEMU 10.0).
FIRST_DELAY = 20
# Seconds for QEMU to come to an understanding with what has just answered this host. Until then it may wait in its main
# loop, and its guest with it.
HELD = 3.0
CHECKPOINT_TIMEOUT = 30.0  # seconds on top of the checkpoint delay
JOB_TIMEOUT = 30.0
STILL_CONNECTED = 2.0
SIEVE_TIMEOUT = 60.0  # seconds for the other host to look how its images are made, and to begin to compare


def ways(wanted: Wanted, seen: Observation, peer: Observation) -> dict[str, resync.Way]:
    """How the sync of each disk begins that has not begun."""
    jobs = {disk.target: seen.monitor.jobs.get(graph.sync_job(disk.target)) for disk in seen.record.disks}
    fresh = [target for target, job in jobs.items() if job is None and not states.attached(seen.monitor, target)]
    return {target: resync.chosen(wanted, seen, peer, target) for target in fresh}


def differing(wanted: Wanted, seen: Observation, peer: Observation) -> list[str]:
    """The disks of which the sync, as far as it has not begun, sends only what differs."""
    return [target for target, one in ways(wanted, seen, peer).items() if one.way != FULL]


def connections(wanted: Wanted, primary: Observation) -> int:
    """How many connections with the standby's export of a disk there are at a time, at most.

    A second one is for a copy that goes on beside the replication layers, or that sends only what differs.
    """
    alone = primary.monitor is not None and abilities.pauses(primary.monitor.version) and wanted.resync == FULL
    return 1 if alone else 2


def sync(wanted: Wanted, seen: Observation, peer: Observation) -> list[Step]:
    """Copy every disk that is not replicated yet to the standby, as far as that has not begun, and wait for it."""
    nbd = channels.first(seen.record, "nbd")
    monitor = seen.monitor
    steps: list[Step] = []
    known = {disk.target: monitor.jobs.get(graph.sync_job(disk.target)) for disk in seen.record.disks}
    unsynced = [target for target, job in known.items() if job or not states.attached(monitor, target)]
    fresh = [target for target in unsynced if known[target] is None]
    if fresh:
        steps.append(_see_answer(nbd, graph.export(fresh[0])))
    chosen, sieved = ways(wanted, seen, peer), differing(wanted, seen, peer)
    steps += written.forgotten(seen, [target for target, one in chosen.items() if one.way != WRITTEN])
    for target in fresh:
        if target in seen.compared and target not in sieved:
            where = {"uuid": seen.domain.uuid, "target": target}
            steps.append(Step(f"disk {target}: forget what was compared before", "forget_compared", where))
        layer = graph.nbd_layer(graph.nbd(target), target, nbd)
        steps.append(qmp(f"disk {target}: connect to the standby", "blockdev-add", layer, timeout=HELD))
        copy = states.copy_target(monitor, target)
        if target in sieved:
            steps += _sieve(wanted, seen, target, chosen[target])
        elif copy != graph.nbd(target):
            layer = graph.nbd_layer(copy, target, nbd)
            title = f"disk {target}: connect to the standby for the copying"
            steps.append(qmp(title, "blockdev-add", layer, timeout=HELD))
        begin = _differing(wanted, monitor, target, chosen[target]) if target in sieved else None
        steps.append(begin or _mirror(wanted, monitor, target))
    sending = [target for target, one in chosen.items() if one.way == WRITTEN] + list(written.under_way(seen))
    steps += written.read(seen, sending)
    steps += [_at_speed(wanted, target) for target, job in known.items() if job and _other_speed(wanted, job)]
    running = [graph.sync_job(target) for target in unsynced if known[target] is None or not _ready(known[target])]
    if running:
        what = "wait for the sync of what differs" if sieved else "wait for the full sync"
        steps.append(wait(what, "ready", wanted.sync_wait, jobs=running, speed=wanted.sync_speed))
    return [*steps, *written.sent(wanted, seen, sending)]


def _sieve(wanted: Wanted, seen: Observation, target: str, chosen: resync.Way) -> list[Step]:
    """What the mirror writes to where only what differs is to be sent."""
    record, channel = seen.record, channels.first(seen.record, "nbd")
    path = f"{seen.monitor.socket_directory or states.UNKNOWN_DIRECTORY}/{graph.copy(target)}.sock"
    arguments = {
        "uuid": seen.domain.uuid,
        "target": target,
        "socket": path,
        "address": channel.address,
        "port": channel.port,
        "sums": resync.port(record),
        "export": graph.export(target),
        "credentials": channel.credentials,
        "size": next(disk.virtual_size for disk in record.disks if disk.target == target),
    }
    title = f"disk {target}: compare it with what the standby has"
    if chosen.way == WRITTEN:
        title = f"disk {target}: send what was written alone: {chosen.why}"
        arguments["written"] = written.source(wanted, seen, target, chosen.generation)
    begin = Step(title, "begin_sieve", arguments, SIEVE_TIMEOUT)
    layer = graph.sieve_layer(target, path)
    return [begin, qmp(f"disk {target}: connect to what sends only what differs", "blockdev-add", layer)]


def _differing(wanted: Wanted, monitor: Monitor, target: str, chosen: resync.Way) -> Step:
    step = _mirror(wanted, monitor, target)
    arguments = {**step.arguments["arguments"], "target": graph.copy(target), "granularity": written.GRANULARITY}
    if chosen.way == WRITTEN:
        arguments["sync"] = "none"
        return qmp(f"disk {target}: copy what is written from now on to the standby", "blockdev-mirror", arguments)
    return qmp(f"disk {target}: copy what differs to the standby", "blockdev-mirror", arguments)


def _mirror(wanted: Wanted, monitor: Monitor, target: str) -> Step:
    limit = {"speed": wanted.sync_speed} if wanted.sync_speed else {}
    # The guest is told that it has written when the standby has it; QEMU cannot change to that later on.
    at_once = {} if abilities.pauses(monitor.version) else {"copy-mode": "write-blocking"}
    arguments = {
        "job-id": graph.sync_job(target),
        "device": graph.quorum(target),
        "target": states.copy_target(monitor, target),
        "sync": "full",
        "auto-dismiss": False,  # a job that ended stays to be asked how
        **at_once,
        **limit,
    }
    return qmp(f"disk {target}: copy everything to the standby", "blockdev-mirror", arguments)


def _other_speed(wanted: Wanted, job: Job) -> bool:
    return job.status != "concluded" and job.speed != wanted.sync_speed


def _at_speed(wanted: Wanted, target: str) -> Step:
    limit = f"at most {wanted.sync_speed} bytes per second" if wanted.sync_speed else "as fast as it goes"
    arguments = {"device": graph.sync_job(target), "speed": wanted.sync_speed}
    return qmp(f"disk {target}: copy {limit}", "block-job-set-speed", arguments)


def _ready(job: Job) -> bool:
    return job.status in ("ready", "concluded")


def enter(seen: Observation, differing: Collection[str] = ()) -> list[Step]:
    """From a copy that follows to lockstep. The guest stands still once, up to QEMU's first vm_start in lockstep.

    ``differing``: the disks for which the sync, that comes before, has connected with what sends only what differs.
    """
    way = _paused(seen, differing) if abilities.pauses(seen.monitor.version) else _live(seen)
    # One that was lost meanwhile is not made anew, and the guest's answers would be held back for it.
    still = layers.see_connected(seen, states.sockets(seen), STILL_CONNECTED)
    return [*way, *still, whole_checkpoint(seen.record), set_delay(seen.record.checkpoint_delay)]


def releasable(seen: Observation) -> list[Step]:
    """What lets go of the standby at once when it is lost, as far as it is not there."""
    monitor, steps = seen.monitor, []
    for disk in states.replicated(seen):
        job = monitor.jobs.get(graph.release_job(disk.target))
        if job and job.status != "concluded":
            continue
        if job:
            steps.append(layers.forget_job(graph.release_job(disk.target)))
        if graph.idle(disk.target) not in monitor.nodes:
            layer = graph.idle_layer(disk.target, disk.virtual_size)
            steps.append(qmp(f"disk {disk.target}: add a node with nothing to copy", "blockdev-add", layer))
        title = f"disk {disk.target}: be ready to let go of the standby"
        steps.append(qmp(title, "blockdev-backup", graph.release_job_of(disk.target)))
    return steps


def _paused(seen: Observation, differing: Collection[str]) -> list[Step]:
    monitor, record = seen.monitor, seen.record
    steps = []
    if monitor.migration.status not in MIGRATING:
        steps += [_by_colo(seen), _checkpoint_soon(), *_migrate(seen)]
    if monitor.migration.status != "pre-switchover":
        steps.append(
            wait(
                "wait until only the entry into lockstep is left",
                "migration",
                MIGRATION_TIMEOUT,
                status=["pre-switchover"],
            )
        )
    for disk in record.disks:
        job, attached = monitor.jobs.get(graph.sync_job(disk.target)), states.attached(monitor, disk.target)
        if not attached:
            steps += [*_end_copy(disk.target, job), *_replicate(monitor, disk.target)]
        if job or not attached:
            steps.append(_forget(disk.target))
    steps += _filters(seen)
    steps.append(qmp("let the guest go on in lockstep", "migrate-continue", {"state": "pre-switchover"}))
    steps.append(_lockstep())
    for copy in (graph.copy(disk.target) for disk in record.disks):
        if copy in monitor.nodes or copy in map(graph.copy, differing):
            steps.append(layers.delete_node(copy))
    return [*steps, *releasable(seen)]


def _live(seen: Observation) -> list[Step]:
    monitor, record = seen.monitor, seen.record
    steps = []
    if monitor.migration.status not in MIGRATING:
        for disk in record.disks:
            if not states.attached(monitor, disk.target):
                steps += _replicate(monitor, disk.target)
        steps += [_by_colo(seen), set_delay(record.checkpoint_delay), *_migrate(seen)]
    steps.append(_lockstep())
    for disk in record.disks:
        steps += [*_end_copy(disk.target), _forget(disk.target), layers.delete_node(graph.copy(disk.target))]
    # Soon, and not before: a checkpoint for which filters were missing stood still for ever (see undo._free).
    return [*steps, *releasable(seen), *_filters(seen), _checkpoint_soon()]


def end_copying(seen: Observation) -> list[Step]:
    """What a run that was cut off just after lockstep began had still to do."""
    steps = []
    for disk in seen.record.disks:
        job = seen.monitor.jobs.get(graph.sync_job(disk.target))
        if job:
            steps += [*_end_copy(disk.target, job), _forget(disk.target)]
        if graph.copy(disk.target) in seen.monitor.nodes:
            steps.append(layers.delete_node(graph.copy(disk.target)))
    return steps


def _by_colo(seen: Observation) -> Step:
    return layers.migrate_by_colo(abilities.primary_capabilities(seen))


def _checkpoint_soon() -> Step:
    return replace(set_delay(FIRST_DELAY), title="have the first checkpoint soon")


def _migrate(seen: Observation) -> list[Step]:
    channel = channels.first(seen.record, "migration")
    steps = layers.encrypt_migration(channels.connecting(channel))
    if channel.credentials:  # in clear, the first connection is the one that QEMU takes for its primary's
        steps.append(_see_answer(channel))
    steps.append(qmp("send the guest's memory to the standby", "migrate", {"uri": channels.uri(channel)}))
    return [*steps, wait("see it begin", "sending", MIGRATION_TIMEOUT, patience=HELD)]


def _see_answer(channel: Channel, export: str | None = None) -> Step:
    where = {"address": channel.address, "port": channel.port, "credentials": channel.credentials, "export": export}
    return Step(f"see that {channel.address} port {channel.port} answers", "see_answer", where)


def _lockstep() -> Step:
    return wait("wait for lockstep", "migration", MIGRATION_TIMEOUT, status=["colo"])


def _end_copy(target: str, job: Job | None = None) -> list[Step]:
    """``job``: as it was seen; None where it is still to come."""
    if job and job.status == "concluded":
        return []
    name = graph.sync_job(target)
    return [
        qmp(f"disk {target}: end the copying", "block-job-cancel", {"device": name}),
        wait(f"disk {target}: wait for the end of it", "concluded", JOB_TIMEOUT, jobs=[name]),
    ]


def _forget(target: str) -> Step:
    return qmp(f"disk {target}: forget the copying", "job-dismiss", {"id": graph.sync_job(target)})


def _replicate(monitor: Monitor, target: str) -> list[Step]:
    steps = []
    if graph.replication(target) not in monitor.nodes:
        layer = graph.primary_replication_layer(target)
        steps.append(qmp(f"disk {target}: add the replication layer", "blockdev-add", layer))
    names = {"parent": graph.remote(target), "node": graph.replication(target)}
    return [*steps, qmp(f"disk {target}: replicate every write", "x-blockdev-change", names)]


def _filters(seen: Observation) -> list[Step]:
    parts = states.proxy_parts(seen)
    return [layers.add_part(part) for part in parts if not part.early and not states.has(seen.monitor, part)]


def whole_checkpoint(record: Record) -> Step:
    """Wait for one checkpoint from its stop to its resume: before it nothing proves that the standby follows."""
    limit = record.checkpoint_delay / 1000 + CHECKPOINT_TIMEOUT
    return wait("see a whole checkpoint", "checkpoint", limit)


def set_delay(delay: int) -> Step:
    """Have QEMU make a checkpoint after ``delay`` milliseconds, when no packet that differs asked for one."""
    return qmp(f"checkpoint at least every {delay} ms", "migrate-set-parameters", {"x-checkpoint-delay": delay})
