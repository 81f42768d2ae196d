# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A standby that listens, or is in lockstep: the secondary's half of the running pair. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..domain import editing as xml
from ..domain.standby import standby_to_start
from ..lockstep import abilities, channels, graph, own_node, received, states
from ..lockstep.states import IDLE
from ..observation.seen import Disk, Observation
from ..record.pair import CHANGED, Record
from ..record.wanted import Wanted
from ..verdict import copies, current, guest, halves, resync, shown
from ..verdict.problem import Problem, Refusal, refuse_if
from . import effects
from .parts import entry, fit, layers
from .parts.barrier import let_pass
from .parts.undo import absent, end_standby
from .plan import Plan
from .step import Step, qmp


def secondary(wanted: Wanted, seen: Observation, peer: Observation) -> Plan:
    """A standby that listens, or is in lockstep; whatever is neither is started afresh: it has no guest to lose."""
    refuse_if(_secondary_problems(wanted, seen, peer))
    whole = not seen.removed_images
    follows = seen.domain.active and seen.monitor is not None and seen.monitor.colo == "secondary"
    kept = follows and whole and not _left_behind(peer) and not any(current.lacks(seen))
    if kept and not states.unanswered(seen):
        return _completed(seen, peer)
    # A QEMU that could not flush an image once says so of each flush from then on (block/file-posix.c).
    writable = not (seen.received and seen.received.failed)
    # A primary that connects from now on shows, and looks for, what is installed by now.
    known = shown.under_way(peer) or not shown.outdated(seen)
    of_use = whole and writable and known and not _to_be_compared(wanted, seen, peer) and not _holds_on(seen, peer)
    if seen.domain.active and seen.monitor and states.listens(seen) and of_use:
        return Plan((), seen)
    if seen.domain.active and not (_just_started(seen) and whole):
        end = Step("end the standby that is no use", "destroy", pivot=True)
        rest = _after_its_end(wanted, seen, peer)
        return Plan((end, *rest.steps), seen)
    steps, started = [], seen
    if not seen.domain.active:
        steps += _unfinished(seen)
        # As the guest runs now, which the persistent XML need not say.
        live = standby_to_start(peer.domain.live_xml, replace(seen.record, complete=None))
        refuse_if(fit.of_standby(wanted, peer, live, seen.record))
        # A full copy has no use for what is known of them, and its standby takes no more connections than it needs.
        now = {"uuid": seen.domain.uuid, "xml": live, "as_left": wanted.resync == CHANGED}
        title = "start the standby, paused, waiting for the guest"
        steps.append(Step(title, "start_paused", now, pivot=True, foreseen={"aliases": _aliases(peer)}))
        started = effects.fold(seen, steps)
    steps += [*_standby_steps(wanted, started, peer), *_sums(wanted, started, peer)]
    return Plan(tuple(steps), seen)


def _aliases(peer: Observation) -> dict[str, str]:
    """libvirt's names of the primary's disks and NICs; it gives the standby's the same."""
    domain = peer.domain
    named = {**{disk.target: disk.alias for disk in domain.disks}, **{nic.mac: nic.alias for nic in domain.nics}}
    return {key: alias for key, alias in named.items() if alias}


def _after_its_end(wanted: Wanted, seen: Observation, peer: Observation) -> Plan:
    """What follows the end of a standby. What is against it now, as its memory, may go with it: that is asked again."""
    ended = effects.ended(seen)
    try:
        return secondary(wanted, ended, peer)
    except Refusal:
        return Plan((), ended)


def _left_behind(peer: Observation) -> bool:
    """Whether the guest runs on its host without this standby, as when it powered itself off and was started again, or
    has written what this standby lacks."""
    lacking = peer.monitor is not None and peer.monitor.lost_writes
    return _alone(peer) or (_runs(peer) and bool(lacking))


def _alone(peer: Observation) -> bool:
    """Whether the guest ran without lockstep when its host was looked at."""
    return _runs(peer) and peer.monitor is not None and peer.monitor.migration.status in IDLE


def _runs(peer: Observation) -> bool:
    return peer.domain is not None and peer.domain.active


def _secondary_problems(wanted: Wanted, seen: Observation, peer: Observation) -> Iterator[Problem]:
    if seen.domain is None:
        yield guest.missing(
            "Run lockstep.colo.deploy, which defines it (as a module: colo_disk with role secondary here)"
        )
        return
    yield from halves.role_problems(seen, "secondary")
    if seen.record is None:
        return
    yield from halves.peer_problems(seen.record, peer)
    if seen.domain.active and seen.monitor is None:
        remedy = (
            "Run again: where no checkpoint is completed with it, lockstep.colo.deploy frees the guest, and renews it. "
            f"If {peer.host.name} is lost, run lockstep.colo.failover"
        )
        yield guest.mute(seen, remedy, "the standby")
    elif seen.domain.active and _alone(peer) and current.alive(seen):
        yield Problem(
            f"this standby is in lockstep: another run has brought the pair there since {peer.host.name} was looked at",
            "Run again, once that run has ended",
        )
    if not seen.domain.active:
        yield from _source_problems(peer)
        if peer.domain and peer.record:
            yield from halves.unmet(wanted, peer, seen)


def _source_problems(peer: Observation) -> Iterator[Problem]:
    """Whether a standby can be started from what is known of the primary's running domain."""
    if peer.domain is None or peer.domain.live_xml is None:
        yield guest.off(peer.host.name, "Start it there first")


def _just_started(seen: Observation) -> bool:
    """Whether nothing has been done to this QEMU since it was started."""
    monitor = seen.monitor
    return (
        monitor is not None
        and monitor.status == states.INCOMING
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


def _standby_steps(wanted: Wanted, seen: Observation, peer: Observation) -> list[Step]:
    nbd, migration = channels.first(seen.record, "nbd"), channels.first(seen.record, "migration")
    by_target = {disk.target: disk for disk in seen.record.disks}
    monitor = seen.monitor

    def stack(disk: Disk) -> list[dict]:
        below = graph.hidden_layers(by_target[disk.target], own_node.libvirt_node(monitor, disk))
        return [*below, graph.quorum_layer(graph.quorum(disk.target), graph.replication(disk.target))]

    # The rule of a primary that was here before it.
    steps = [*let_pass(seen), *_links_down(seen), *layers.slide_in(seen, stack)]
    steps += [*layers.note_shown(seen), *layers.admit_peer(seen)]
    steps += [layers.add_part(part) for part in states.proxy_parts(seen) if not states.has(monitor, part)]
    steps.append(layers.migrate_by_colo(abilities.standby_capabilities(seen)))
    steps += [_log(event) for event in received.TRACED]
    # Whoever comes once the primary has them all is not taken before one of them ends.
    most = entry.connections(wanted, peer) * len(states.replicated(seen))
    serving = {"addr": channels.socket(nbd), "max-connections": most, **channels.listening(nbd)}
    steps.append(qmp(f"serve the disks on {nbd.address} port {nbd.port}", "nbd-server-start", serving))
    for disk in states.replicated(seen):
        export = {
            "type": "nbd",
            "id": graph.export(disk.target),
            "name": graph.export(disk.target),
            "node-name": own_node.libvirt_node(monitor, disk),
            "writable": True,
        }
        steps.append(qmp(f"disk {disk.target}: export it to the primary", "block-export-add", export))
    steps += layers.encrypt_migration(channels.listening(migration))
    where = {"uri": channels.uri(migration)}
    steps.append(qmp(f"wait for the guest on {migration.address} port {migration.port}", "migrate-incoming", where))
    return steps


def _to_be_compared(wanted: Wanted, seen: Observation, peer: Observation) -> bool:
    """Whether a copy that compares is still to begin.

    What an earlier one has sent may reach this QEMU late, after its disks were compared: so it begins with another.
    """
    copying = peer.monitor is not None and any(map(graph.is_sync, peer.monitor.jobs))
    return bool(resync.to_compare(wanted, peer, seen)) and not copying


def _sums(wanted: Wanted, seen: Observation, peer: Observation) -> list[Step]:
    """Have this host say what is on the standby's disks, where a copy may be spared some of it."""
    record, targets = seen.record, resync.to_tell(wanted, peer, seen)
    if not targets:
        return []
    arguments = {
        "uuid": seen.domain.uuid,
        "address": record.local.address,
        "port": resync.port(record),
        "peer": record.peer.address,
        "host": record.peer.host,
        "credentials": record.credentials,
        "images": {
            one.target: {"path": one.path, "format": one.format} for one in record.disks if one.target in targets
        },
    }
    return [Step(f"say what is on disk {', '.join(targets)} already, to a copy that asks", "begin_sums", arguments)]


def _log(event: str) -> Step:
    arguments = {"name": event, "enable": True, "ignore-unavailable": True}
    return qmp(f"have QEMU log {event}", "trace-event-set-state", arguments)


def _holds_on(seen: Observation, peer: Observation) -> bool:
    """Whether a standby that listens takes for connected what its primary has not (any more).

    As when the primary's host lost its power: nothing comes over these connections, nor is anything sent before there
    is a guest, so that this QEMU would never connect with the one that listens there now. Where they are reset it does,
    and reads them no more (``states.deaf``).
    """
    here, there = seen.connections or {}, peer.connections
    kinds = {channel.kind for channel in seen.record.channels() if channel.listener == "primary"}
    return there is not None and any(here.get(kind, 0) > there.get(kind, 0) for kind in kinds)


def _links_down(seen: Observation) -> list[Step]:
    """A standby's packets stay off the network."""
    return [layers.set_link(nic.tap, up=False) for nic in seen.domain.nics if nic.tap and nic.tap_up]


def _completed(seen: Observation, peer: Observation) -> Plan:
    """Write down, durably, that this standby has completed a checkpoint: only then may it ever be promoted."""
    record = seen.record
    proven = peer.checkpoints is not None and peer.checkpoints.count > 0
    first = proven and record.complete != record.generation
    steps = [*_links_down(seen), *(_for_lockstep(seen) if first else layers.mend_proxies(seen))]
    made = [step.arguments["arguments"]["id"] for step in steps if step.arguments.get("command") == "chardev-add"]
    steps += layers.see_connected(seen, made)
    if first:
        record = replace(record, complete=record.generation)
        steps.append(_record("write that the standby has completed a checkpoint", seen, record))
    return Plan(tuple(steps), seen)


def _for_lockstep(seen: Observation) -> list[Step]:
    """Sockets in the place of those that waited for the primary, and what else is to be put right of the proxies."""
    steps = [step for part, socket in states.connecting(seen) for step in layers.connect_anew(seen, part, socket)]
    return [*steps, *layers.mend_proxies(effects.fold(seen, steps))]


def expendable(seen: Observation, peer: Observation | None) -> Plan:
    """Write down, durably, that this standby may no longer be promoted: its primary is about to go on without it.

    What the primary writes from then on a promotion of this standby would lose. One that has the guest as it ran last
    stays the one to be promoted, and so does that of a primary which cannot be freed: it may be the only way out. One
    that does not answer is ended first, for which libvirt waits otherwise.
    """
    if seen.domain is None or seen.record is None or not seen.domain.active:
        return Plan((), seen)
    refuse_if([*halves.role_problems(seen, "secondary"), *_last_copy_problems(seen, peer)])
    if peer is None or not copies.runs_a_guest(peer) or peer.record is None or peer.record.role != "primary":
        return Plan(tuple(_unfinished(seen)), seen)
    absent(seen=peer, peer=seen)  # refuses what would keep the guest from being freed
    end = [] if seen.monitor else end_standby(seen)
    return Plan((*end, *_unfinished(effects.fold(seen, end))), seen)


def _last_copy_problems(seen: Observation, peer: Observation | None) -> Iterator[Problem]:
    if peer and peer.domain and peer.record and copies.outlived(peer, seen):
        yield Problem(
            "this standby has the guest as it ran last",
            "Serve from it with lockstep.colo.failover; or destroy it, if what only it has is to be given up",
        )
