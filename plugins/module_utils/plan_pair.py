# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deciding what has to happen to this host's half of the running pair: the plans of colo_pair. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from . import checks, generation, graph, layers, plan_lockstep, preflight
from . import domain as xml
from .observation import Disk, Migration, Monitor, Node, Observation
from .plan_lockstep import CANCELLING, IDLE, JOB_TIMEOUT, MIGRATING, SWITCH_TIMEOUT
from .standby import standby_of
from .step import Plan, Problem, Refusal, Step, Wanted, qmp, refuse_if, wait
from .vocabulary import Channel, Record

# The primary's half


def primary(wanted: Wanted, seen: Observation, peer: Observation) -> Plan:
    """From a running guest to lockstep, from wherever an earlier run left off."""
    refuse_if(_primary_problems(wanted, seen, peer))
    monitor = seen.monitor
    if monitor.migration.status == "colo":
        # A standby that listens is a new one: the one that was in lockstep has ended, and cannot be promoted.
        kept = peer.monitor.colo == "secondary" and not plan_lockstep.copying_failed(monitor)
        return _keep(seen) if kept else _begin_again(seen)
    if not all(plan_lockstep.consistent(monitor, disk.target) for disk in seen.record.disks) or _stranded(seen):
        return _begin_again(seen)
    steps = [*_listeners(seen), *_quorums(seen), *plan_lockstep.sync(wanted, seen), *plan_lockstep.switch(seen)]
    return Plan(tuple(steps), _in_lockstep(seen, "primary"))


def _begin_again(seen: Observation) -> Plan:
    """Back to an ordinary domain; what follows is planned from there."""
    plan = undo(seen)
    *before, last = plan.steps
    return replace(plan, steps=(*before, replace(last, pivot=True)))


def _primary_problems(wanted: Wanted, seen: Observation, peer: Observation) -> Iterator[Problem]:
    if seen.domain is None or seen.record is None:
        yield from checks.running(seen)
    if seen.domain is None:
        return
    yield from _role_problems(seen, "primary")
    if seen.record is None:
        return
    yield from _unmet(wanted, seen, peer)
    if seen.monitor is None:
        return
    yield from _peer_problems(seen.record, peer)
    if seen.monitor.migration.status == "colo":
        if peer.monitor is None or not (peer.monitor.colo == "secondary" or _listens(peer)):
            yield Problem(
                f"the standby on {peer.host.name} is no longer in lockstep",
                "Until a failover is run the clients are frozen as well: fence that host and run colo_failover here",
            )
    elif peer.monitor is None or peer.monitor.status != layers.INCOMING or not _listens(peer):
        yield Problem(f"no standby listens on {peer.host.name}", "Run colo_pair with role secondary there first")
    for channel in seen.record.channels():
        if channel.listener == "primary" and not any(layers.has(seen.monitor, p) for p in _sockets(seen)):
            yield from _port_free(seen, channel)


def _unmet(wanted: Wanted, primary: Observation, standby: Observation) -> Iterator[Problem]:
    """What the hosts and the domain do not meet (any more), of what the primary's record was written with."""
    rows = preflight.of_pair(preflight.recorded(wanted, primary.record), primary, standby)
    return preflight.problems(rows)


def _role_problems(seen: Observation, role: str) -> Iterator[Problem]:
    if seen.record is None:
        yield Problem("the domain is not prepared: it has no record of a pair", f"Run colo_disk with role {role} first")
    elif seen.record.role != role:
        yield Problem(f"the domain is the {seen.record.role} of its pair, not the {role}", "Check which host is which")


def _peer_problems(record: Record, peer: Observation) -> Iterator[Problem]:
    if peer.record is None:
        yield Problem(f"{peer.host.name} has no record of this pair", "Run colo_disk there first")
    elif peer.record.generation != record.generation or peer.record.first_port != record.first_port:
        yield Problem(
            f"the records differ: generation {record.generation} and ports from {record.first_port} here, "
            f"{peer.record.generation} and {peer.record.first_port} on {peer.host.name}",
            "Run colo_disk on the primary, then on the secondary",
        )


def _port_free(seen: Observation, channel: Channel) -> Iterator[Problem]:
    if channel.port in seen.host.ports:
        yield Problem(
            f"port {channel.port}, for the {channel.kind} channel, is in use on {seen.host.name}",
            "End what listens there, or give the pair another block with first_port",
        )


def _sockets(seen: Observation) -> list:
    return [part for part in layers.proxy_parts(seen) if not part.object]


def _keep(seen: Observation) -> Plan:
    """Nothing but what drifted, or what an earlier run had still to do, and the proof: a whole checkpoint."""
    steps = [*plan_lockstep.end_copying(seen), *layers.mend_proxies(seen)]
    delay = seen.record.checkpoint_delay
    if seen.monitor.migration.checkpoint_delay != delay:
        steps.append(plan_lockstep.set_delay(delay))
    return Plan((*steps, plan_lockstep.proof(seen.record)), _in_lockstep(seen, "primary"))


def _stranded(seen: Observation) -> bool:
    """A guest that we stopped, and that no migration will resume; parked disks are seen to by sliding in."""
    parked = any(disk.node == graph.park(disk.target) for disk in layers.replicated(seen))
    return layers.stopped_by_us(seen) and seen.monitor.migration.status in IDLE and not parked and not _half_slid(seen)


def _half_slid(seen: Observation) -> bool:
    return any(graph.park(disk.target) in seen.monitor.nodes for disk in seen.record.disks)


def _listeners(seen: Observation) -> list[Step]:
    """The sockets of the packet proxy: early, so that the standby has connected before packets flow."""
    steps = layers.add_iothread(seen.monitor) if seen.record.nics else []
    return steps + [layers.add_part(part) for part in _sockets(seen) if not layers.has(seen.monitor, part)]


def _quorums(seen: Observation) -> list[Step]:
    def quorum(disk: Disk) -> list[dict]:
        return [graph.quorum_layer(disk.target, layers.libvirt_node(seen.monitor, disk))]

    return layers.slide_in(seen, quorum)


def undo(seen: Observation) -> Plan:
    """The guest goes on alone on this host, as an ordinary domain: first what frees it, then what cleans up."""
    monitor = seen.monitor
    steps: list[Step] = []
    if monitor.migration.status in (*MIGRATING, CANCELLING):
        if monitor.migration.status != CANCELLING:
            steps.append(qmp("cancel the migration", "migrate_cancel"))
        ended = ["cancelled", "failed", "completed"]
        steps.append(wait("wait for its end", "migration", SWITCH_TIMEOUT, pivot=True, status=ended))
        return Plan(tuple(steps), _alone(seen))
    steps += _free(seen)
    steps += _clean(seen)
    return Plan(tuple(steps), _alone(seen))


def rescue(before: Observation, seen: Observation) -> Plan:
    """What frees the guest when bringing it into lockstep failed half-way; QEMU may hang on a peer that went silent.

    A pair that was in lockstep before is left alone: its standby may be promoted, so only a fence decides.
    """
    if before.monitor and before.monitor.migration.status == "colo":
        return Plan((), seen)
    return release(seen) if seen.monitor is None else undo(seen)


def release(seen: Observation) -> Plan:
    """Free QEMU from connections to a host that is gone, before it is asked anything: its main loop may hang there."""
    if not seen.peer_sockets:
        refuse_if(
            [Problem(f"QEMU's monitor does not answer: {seen.monitor_problem}", "Look at QEMU's log on this host")]
        )
    return Plan((replace(reset_connections(seen), pivot=True),), replace(seen, peer_sockets=()))


def reset_connections(seen: Observation) -> Step:
    """Over all ports of the pair: a survivor's record has no channels any more, its QEMU may still have them."""
    peer, ports = seen.record.peer.address, list(checks.block(seen.record.first_port))
    return Step(f"reset the connections with {peer}", "release", {"peer": peer, "ports": ports})


def _free(seen: Observation) -> list[Step]:
    """Cut the standby off, and let go of the guest.

    The lockstep ends before its filters go: a checkpoint for which some of them were gone stood still for ever, and
    QEMU's main loop with it (our measurement, QEMU 10.0, 2 of 7 times).
    """
    monitor = seen.monitor
    steps = []
    for disk in seen.record.disks:
        if child := layers.attached(monitor, disk.target):
            names = {"parent": graph.quorum(disk.target), "child": child}
            steps.append(qmp(f"disk {disk.target}: end the replication", "x-blockdev-change", names))
    if monitor.migration.status == "colo":
        steps.append(qmp("end the lockstep", "x-colo-lost-heartbeat"))
        steps.append(wait("wait until the guest runs by itself", "alone", JOB_TIMEOUT))
    steps += layers.remove_objects(monitor)
    if steps:
        steps[-1] = replace(steps[-1], serves=True)
    return steps


def _clean(seen: Observation) -> list[Step]:
    monitor, record = seen.monitor, seen.record
    steps = []
    for disk in record.disks:
        steps += _end_job(monitor, graph.sync_job(disk.target))
    steps += layers.remove_sockets(monitor)
    return [*steps, *layers.migrate_ordinarily(monitor), *layers.slide_out(seen), *layers.remove_iothread(monitor)]


def _end_job(monitor: Monitor, name: str) -> list[Step]:
    job = monitor.jobs.get(name)
    if job is None:
        return []
    steps = []
    if job.status != "concluded":
        steps.append(qmp(f"cancel {name}", "block-job-cancel", {"device": name, "force": True}))
        steps.append(wait(f"wait for the end of {name}", "concluded", JOB_TIMEOUT, jobs=[name], failed=True))
    return [*steps, qmp(f"forget {name}", "job-dismiss", {"id": name})]


# The secondary's half


def secondary(wanted: Wanted, seen: Observation, peer: Observation) -> Plan:
    """A standby that listens, or is in lockstep; whatever is neither is started afresh: it has no guest to lose."""
    refuse_if(_secondary_problems(wanted, seen, peer))
    whole = not seen.removed_images
    if seen.domain.active and seen.monitor and seen.monitor.colo == "secondary" and whole and not _left_behind(peer):
        return _completed(seen, peer)
    if seen.domain.active and seen.monitor and _listens(seen) and whole:
        return Plan((), seen)
    if seen.domain.active and not (_just_started(seen) and whole):
        end = Step("end the standby that is no use", "destroy", pivot=True)
        rest = _after_its_end(wanted, seen, peer)
        return Plan((end, *rest.steps), rest.after)
    steps = []
    if not seen.domain.active:
        steps += _unfinished(seen)
        # As the guest runs now, which the persistent XML need not say.
        now = {
            "uuid": seen.domain.uuid,
            "xml": standby_of(peer.domain.live_xml, replace(seen.record, complete=None)),
        }
        steps.append(Step("start the standby, paused, waiting for the guest", "start_paused", now, pivot=True))
        seen = _started(seen, peer)
    steps += _standby_steps(seen)
    return Plan(tuple(steps), _listening(seen))


def _after_its_end(wanted: Wanted, seen: Observation, peer: Observation) -> Plan:
    """What follows the end of a standby. What is against it now, as its memory, may go with it: that is asked again."""
    ended = layers.ended(seen)
    try:
        return secondary(wanted, ended, peer)
    except Refusal:
        return Plan((), ended)


def _left_behind(peer: Observation) -> bool:
    """Whether the guest runs on its host without a standby, as when it powered itself off and was started again."""
    return peer.domain.active and peer.monitor is not None and peer.monitor.migration.status in IDLE


def _secondary_problems(wanted: Wanted, seen: Observation, peer: Observation) -> Iterator[Problem]:
    if seen.domain is None:
        yield Problem("there is no such domain on this host", "Run colo_disk with role secondary here first")
        return
    yield from _role_problems(seen, "secondary")
    if seen.record is None:
        return
    yield from _peer_problems(seen.record, peer)
    if seen.domain.active and seen.monitor is None:
        yield Problem(
            f"the standby's monitor does not answer: {seen.monitor_problem}",
            "If its primary's host is lost, run colo_failover here",
        )
    if not seen.domain.active:
        yield from _source_problems(seen, peer)
        if peer.domain and peer.record:
            yield from _unmet(wanted, peer, seen)
        for channel in seen.record.channels():
            if channel.listener == "secondary":
                yield from _port_free(seen, channel)


def _source_problems(seen: Observation, peer: Observation) -> Iterator[Problem]:
    """Whether a standby can be started from what is known of the primary's running domain."""
    live = peer.domain.live_xml if peer.domain else None
    persistent = seen.domain.inactive_xml
    if live is None:
        yield Problem(f"the domain does not run on {peer.host.name}", "Start it there first")
    elif xml.has_passwords(persistent) and not xml.has_passwords(live):
        yield Problem(
            "the domain has passwords, and peer came without them",
            "Give as peer the registered result of colo_info with secrets",
        )


def _listens(seen: Observation) -> bool:
    monitor = seen.monitor
    return (
        monitor.status == layers.INCOMING
        and monitor.migration.status != "none"
        and generation.X_COLO in monitor.migration.capabilities
        and all(graph.export(disk.target) in monitor.exports for disk in seen.record.disks)
        and all(disk.node == graph.quorum(disk.target) for disk in layers.replicated(seen))
        and all(layers.has(monitor, part) for part in layers.proxy_parts(seen))
    )


def _just_started(seen: Observation) -> bool:
    """Whether nothing has been done to this QEMU since it was started."""
    monitor = seen.monitor
    return (
        monitor is not None
        and monitor.status == layers.INCOMING
        and monitor.migration.status == "none"
        and not any(map(graph.is_ours, [*monitor.nodes, *monitor.objects, *monitor.chardevs]))
    )


def _unfinished(seen: Observation) -> list[Step]:
    """What this standby had completed before counts no more: written down before the sync overwrites it, or the primary
    leaves it behind."""
    if seen.record.complete is None:
        return []
    return [_record("write that the standby may not be promoted", seen, replace(seen.record, complete=None))]


def _record(title: str, seen: Observation, record: Record) -> Step:
    return Step(title, "record", {"xml": xml.with_metadata_element(record), "live": seen.domain.active})


def _started(seen: Observation, peer: Observation) -> Observation:
    """What is known of the standby before it runs: the device names are the primary's, the rest is filled in later."""
    names = {disk.target: disk.alias for disk in peer.domain.disks}
    aliases = {nic.mac: nic.alias for nic in peer.domain.nics}
    disks = tuple(
        replace(disk, alias=names.get(disk.target), node=f"(the node of {disk.target})", virtual_size=_size(seen, disk))
        for disk in seen.domain.disks
    )
    nics = tuple(
        replace(nic, alias=aliases.get(nic.mac), tap=f"(the tap of {nic.mac})", tap_up=True) for nic in seen.domain.nics
    )
    monitor = Monitor(layers.INCOMING, False, "", "none", Migration())
    return replace(seen, domain=replace(seen.domain, state="paused", disks=disks, nics=nics), monitor=monitor)


def _size(seen: Observation, disk: Disk) -> int | None:
    return next((known.virtual_size for known in seen.record.disks if known.target == disk.target), None)


def _standby_steps(seen: Observation) -> list[Step]:
    nbd, migration = plan_lockstep.channel(seen.record, "nbd"), plan_lockstep.channel(seen.record, "migration")
    by_target = {disk.target: disk for disk in seen.record.disks}
    monitor = seen.monitor

    def stack(disk: Disk) -> list[dict]:
        below = graph.hidden_layers(by_target[disk.target], layers.libvirt_node(monitor, disk))
        return [*below, graph.quorum_layer(disk.target, graph.replication(disk.target))]

    steps = [*_links_down(seen), *layers.slide_in(seen, stack)]
    steps += [layers.add_part(part) for part in layers.proxy_parts(seen) if not layers.has(monitor, part)]
    steps.append(layers.migrate_by_colo(generation.standby_capabilities(seen)))
    steps.append(qmp(f"serve the disks on {nbd.address} port {nbd.port}", "nbd-server-start", {"addr": _inet(nbd)}))
    for disk in layers.replicated(seen):
        export = {
            "type": "nbd",
            "id": graph.export(disk.target),
            "name": graph.export(disk.target),
            "node-name": layers.libvirt_node(monitor, disk),
            "writable": True,
        }
        steps.append(qmp(f"disk {disk.target}: export it to the primary", "block-export-add", export))
    uri = f"tcp:{migration.address}:{migration.port}"
    steps.append(
        qmp(f"wait for the guest on {migration.address} port {migration.port}", "migrate-incoming", {"uri": uri})
    )
    return steps


def _links_down(seen: Observation) -> list[Step]:
    """A standby's packets stay off the network."""
    return [layers.set_link(nic.tap, up=False) for nic in seen.domain.nics if nic.tap and nic.tap_up]


def _inet(channel: Channel) -> dict:
    return {"type": "inet", "data": {"host": channel.address, "port": str(channel.port)}}


def _completed(seen: Observation, peer: Observation) -> Plan:
    """Write down, durably, that this standby has completed a checkpoint: only then may it ever be promoted."""
    record = seen.record
    steps = [*_links_down(seen), *layers.mend_proxies(seen)]
    proven = peer.checkpoints is not None and peer.checkpoints.count > 0
    if proven and record.complete != record.generation:
        record = replace(record, complete=record.generation)
        steps.append(_record("write that the standby has completed a checkpoint", seen, record))
    return Plan(tuple(steps), replace(seen, domain=replace(seen.domain, record=record)))


def expendable(seen: Observation) -> Plan:
    """Write down, durably, that this standby may no longer be promoted: its primary is about to go on without it.

    What the primary writes from then on a promotion of this standby would lose.
    """
    if seen.domain is None or seen.record is None or not seen.domain.active:
        return Plan((), seen)
    refuse_if(_role_problems(seen, "secondary"))
    after = replace(seen, domain=replace(seen.domain, record=replace(seen.record, complete=None)))
    return Plan(tuple(_unfinished(seen)), after)


def absent(seen: Observation, peer: Observation | None) -> Plan:
    """End this host's half of the running pair. The guest goes on; a standby, which has none, is ended."""
    if seen.domain is None or seen.record is None or not seen.domain.active:
        return Plan((), seen)
    refuse_if([*checks.monitor(seen), *checks.taken_over(seen)])
    if seen.record.role != "secondary":
        return undo(seen)
    if seen.monitor.colo == "secondary" and not (peer and peer.monitor and peer.monitor.migration.status != "colo"):
        refuse_if([Problem("the standby is in lockstep", "Run colo_pair with state absent on the primary first")])
    return Plan((Step("end the standby", "destroy"),), layers.ended(seen))


# What should follow


def _in_lockstep(seen: Observation, colo: str) -> Observation:
    delay, on = seen.record.checkpoint_delay, tuple(sorted(generation.primary_capabilities(seen)))
    migration = replace(seen.monitor.migration, status="colo", capabilities=on, checkpoint_delay=delay)
    layered = {
        graph.quorum(disk.target): Node("quorum", children={"children.1": graph.replication(disk.target)})
        for disk in seen.record.disks
    }
    before = layers.with_proxies(seen)
    monitor = replace(before, colo=colo, migration=migration, nodes={**before.nodes, **layered}, jobs={})
    channels = tuple(f"{channel.address}:{channel.port}" for channel in seen.record.channels())
    return replace(seen, monitor=monitor, peer_sockets=seen.peer_sockets or channels)


def _listening(seen: Observation) -> Observation:
    exports = tuple(graph.export(disk.target) for disk in seen.record.disks)
    on = tuple(sorted(generation.standby_capabilities(seen)))
    migration = replace(seen.monitor.migration, status="setup", capabilities=on)
    monitor = replace(layers.with_proxies(seen), exports=exports, migration=migration)
    chosen = {disk.target for disk in seen.record.disks}
    disks = tuple(
        replace(disk, node=graph.quorum(disk.target)) if disk.target in chosen else disk for disk in seen.domain.disks
    )
    return replace(seen, monitor=monitor, domain=replace(seen.domain, disks=disks))


def _alone(seen: Observation) -> Observation:
    monitor = seen.monitor
    migration = replace(monitor.migration, status="completed", capabilities=())
    kept = {name: node for name, node in monitor.nodes.items() if not graph.is_ours(name)}
    after = replace(monitor, status="running", running=True, colo="none", migration=migration, nodes=kept, jobs={})
    return replace(seen, monitor=after)
