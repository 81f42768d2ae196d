# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each step brings about. What a plan comes to is the fold of its steps' effects, and is said nowhere else. Pure.

An effect is what can be seen after a step that succeeded. Whether QEMU would refuse it is no question here; the tests
ask that of every plan (tests/unit/plugins/module_utils/rules.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ..domain.described import described
from ..domain.editing import with_aliases, with_record, without_vhost
from ..domain.reading import name, read_record, uuid
from ..lockstep import states
from ..observation.seen import Barrier, Disk, Domain, Image, Job, Marker, Migration, Monitor, Nic, Observation, Shown
from ..record import xml as record_xml
from ..record.address import endpoint
from ..record.half_notes import HalfNote, as_given_up
from ..record.pair import block
from .effects_in_qemu import COMMANDS, end_mirrors
from .step import Step

LIBVIRTS = ("events",)  # capabilities of a migration that libvirt turns on in each QEMU that it starts


def fold(seen: Observation, steps: Iterable[Step]) -> Observation:
    """What will be seen once all ``steps`` are carried out."""
    for step in steps:
        seen = after(seen, step)
    return seen


def after(seen: Observation, step: Step) -> Observation:
    """What will be seen once ``step`` is carried out."""
    return ACTIONS[step.action](seen, **step.arguments, **step.foreseen)


def _nothing(seen: Observation, **_arguments: Any) -> Observation:
    return seen


def _of_domain(seen: Observation, **changes: Any) -> Observation:
    return replace(seen, domain=replace(seen.domain, **changes)) if seen.domain else seen


# The domain


def _record(seen: Observation, xml: str | None, live: bool, marked: bool = False) -> Observation:
    """``marked``: there may have been no room for it where libvirt keeps the XML, so that the plan writes it again."""
    record, domain = record_xml.from_xml(xml) if xml else None, seen.domain
    changes = {"record": record}
    if marked:
        return _of_domain(seen, **changes)
    if domain.inactive_xml:
        changes["inactive_xml"] = with_record(domain.inactive_xml, record)
    if live:
        changes["live_record"] = record
        changes["live_xml"] = with_record(domain.live_xml, record) if domain.live_xml else None
    return _of_domain(seen, **changes)


def _define(seen: Observation, xml: str) -> Observation:
    if seen.domain is None:
        told = described(xml, None)
        new = Domain(name(xml), uuid(xml), "shutoff", persistent=True, autostart=False, inactive_xml=xml, **told)
        return replace(seen, domain=new)
    told = {"record": read_record(xml)} if seen.domain.active else described(xml, None)
    return _of_domain(seen, inactive_xml=xml, **told)


def _undefine(seen: Observation) -> Observation:
    return replace(seen, domain=None, images={})


def _autostart(seen: Observation, on: bool) -> Observation:
    return _of_domain(seen, autostart=on)


def _start_paused(seen: Observation, uuid: str, xml: str, as_left: bool, aliases: Mapping[str, str]) -> Observation:
    """``aliases``: those of the primary's devices, which libvirt gives anew in the same way; the rest it fills in."""
    sizes = {disk.target: disk.virtual_size for disk in seen.record.disks}
    told = described(seen.domain.inactive_xml, with_aliases(xml, aliases))

    def disk(one: Disk) -> Disk:
        return replace(one, node=f"(the node of {one.target})", virtual_size=sizes.get(one.target))

    def nic(one: Nic) -> Nic:
        return replace(one, tap=f"(the tap of {one.mac})", tap_up=True)

    told |= {"disks": tuple(map(disk, told["disks"])), "nics": tuple(map(nic, told["nics"]))}
    version = seen.host.emulator.version if seen.host.emulator else ""
    monitor = Monitor(states.INCOMING, False, version, "none", Migration(capabilities=LIBVIRTS))
    live = with_aliases(xml, aliases)
    started = _of_domain(seen, state="paused", live_xml=live, **told)
    return replace(started, monitor=monitor, left=seen.left if as_left else None)


def _start(seen: Observation, uuid: str) -> Observation:
    """Of its saved state, where there is one. QEMU is a new one, of which nothing is known yet."""
    domain = seen.domain
    live = domain.saved_xml or domain.inactive_xml
    without = bool(domain.saved_xml) and without_vhost(live) == live
    left = {"live_xml": live, "live_record": domain.record, "saved_xml": None, "ended_by": None, "last_words": ()}
    return _of_domain(seen, state="running", vhost=domain.vhost and not without, **left)


def _managed_save(seen: Observation, uuid: str) -> Observation:
    off = {"state": "shutoff", "saved_xml": seen.domain.live_xml, "saved_by_us": True, "ended_by": "saved"}
    return replace(_of_domain(seen, **off), monitor=None)


def _define_saved(seen: Observation, xml: str) -> Observation:
    return _of_domain(seen, saved_xml=xml)


def _forget_save(seen: Observation, uuid: str) -> Observation:
    return _of_domain(seen, saved_by_us=False)


def ended(seen: Observation) -> Observation:
    """What is seen of a domain once its QEMU is gone: its ports and images are free, removed files gone."""
    if seen.domain is None or not seen.domain.active:
        return seen
    ours = set(block(seen.record.first_port)) if seen.record else set()
    host = replace(seen.host, ports=tuple(port for port in seen.host.ports if port not in ours))
    images = {path: replace(image, in_use=False) for path, image in seen.images.items()}
    disks = tuple(replace(disk, alias=None, node=None, virtual_size=None) for disk in seen.domain.disks)
    nics = tuple(replace(nic, alias=None, tap=None, tap_up=None) for nic in seen.domain.nics)
    off = {
        "state": "shutoff",
        "live_xml": None,
        "live_record": None,
        "live_incoming": False,
        "deleted": (),
        "vhost": False,
    }
    seen = _of_domain(seen, **off, disks=disks, nics=nics, tainted=())
    return replace(seen, host=host, images=images, monitor=None, peer_sockets=(), stuck_sockets=(), connections=None)


def _end(seen: Observation, **_arguments: Any) -> Observation:
    return ended(seen)


def _give_way(seen: Observation, note: HalfNote) -> Observation:
    """No QEMU any more, and the record given up: whoever looks next reads the note with it."""
    return _of_domain(ended(seen), record=as_given_up(seen.record))


def _add_iothread(seen: Observation, number: int) -> Observation:
    return _of_qemu(seen, iothreads=(*seen.monitor.iothreads, f"iothread{number}"))


def _del_iothread(seen: Observation, number: int) -> Observation:
    return _of_qemu(seen, iothreads=tuple(one for one in seen.monitor.iothreads if one != f"iothread{number}"))


# The host


def _link(seen: Observation, device: str, up: bool) -> Observation:
    nics = tuple(replace(nic, tap_up=up) if nic.tap == device else nic for nic in seen.domain.nics)
    return _of_domain(seen, nics=nics)


def _bar(seen: Observation, uuid: str, taps: list[str], passed: list[str]) -> Observation:
    return replace(seen, barrier=Barrier(tuple(taps), tuple(passed)))


def _unbar(seen: Observation, uuid: str) -> Observation:
    return replace(seen, barrier=None)


def _mark(seen: Observation, directory: str, marker: Marker) -> Observation:
    return replace(seen, marker=marker, directory=directory)


def _remove_home(seen: Observation, directory: str) -> Observation:
    return replace(seen, marker=None)


def _create_image(seen: Observation, path: str, format: str, size: int, owner: str, group: str) -> Observation:
    return replace(seen, images={**seen.images, path: Image(path, True, format, size)})


def _remove(seen: Observation, path: str) -> Observation:
    return replace(seen, images={**seen.images, path: Image(path, False)})


def _release(seen: Observation, peer: str, ports: list[int]) -> Observation:
    """Those of other ports stay: a standby keeps what a primary whose host lost its power has left it."""

    def others(found: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(one for one in found if {int(end.rpartition(":")[2]) for end in one.split()}.isdisjoint(ports))

    return replace(seen, peer_sockets=others(seen.peer_sockets), stuck_sockets=others(seen.stuck_sockets))


# QEMU


def _of_qemu(seen: Observation, **changes: Any) -> Observation:
    return replace(seen, monitor=replace(seen.monitor, **changes))


def _runs(seen: Observation, **changes: Any) -> Observation:
    return _of_domain(_of_qemu(seen, running=True, status="running", **changes), state="running")


def _qmp(seen: Observation, command: str, arguments: dict[str, Any]) -> Observation:
    if seen.monitor is None:  # it was not asked before, so that nothing is known of it afterwards
        return seen
    return COMMANDS[command](seen, seen.monitor, arguments)


def _wait(seen: Observation, until: str, **arguments: Any) -> Observation:
    if seen.monitor is None and until != "off":
        return seen
    return WAITS[until](seen, **arguments)


def _off(seen: Observation) -> Observation:
    """After the end of its QEMU libvirt sees it; where a run is saving the guest, that is what ends it."""
    if seen.domain and seen.domain.active and seen.domain.saved_by_us:
        return _managed_save(seen, seen.domain.uuid)
    return ended(seen)


def _jobs_are(status: str) -> Callable[..., Observation]:
    def reached(seen: Observation, jobs: list[str], **_how: Any) -> Observation:
        known = {job: seen.monitor.jobs.get(job, Job("mirror", status)) for job in jobs}
        seen = _of_qemu(
            seen, jobs={**seen.monitor.jobs, **{job: replace(one, status=status) for job, one in known.items()}}
        )
        return end_mirrors(seen, jobs) if status == "concluded" else seen

    return reached


def _migration(seen: Observation, status: list[str]) -> Observation:
    """The first of ``status`` is what is waited for; the others are as good."""
    reached = status[0]
    migration = replace(seen.monitor.migration, status=reached)
    if reached == "pre-switchover":
        seen = _of_domain(seen, state="paused")
        return _of_qemu(seen, migration=migration, running=False, status="finish-migrate")
    seen = _runs(seen, migration=migration)
    if reached != "colo":
        return seen
    seen = _of_qemu(seen, colo="primary")
    if set(seen.peer_sockets) - set(seen.closed_sockets):
        return seen
    # Those of a standby before this one may still be there, closed.
    connections = (endpoint(channel.address, channel.port) for channel in seen.record.channels())
    return replace(seen, peer_sockets=(*seen.peer_sockets, *connections))


def _begin_sums(seen: Observation, port: int, **_arguments: Any) -> Observation:
    return replace(seen, host=replace(seen.host, ports=tuple(sorted({*seen.host.ports, port}))))


def _note_shown(seen: Observation, uuid: str, certificate: Shown) -> Observation:
    return replace(seen, shown=certificate)


def _forget_compared(seen: Observation, uuid: str, target: str) -> Observation:
    return replace(seen, compared={other: one for other, one in seen.compared.items() if other != target})


def _committed(seen: Observation, layers: dict[str, str]) -> Observation:
    """The commit of active and hidden takes both out from between the replication layer and libvirt's node."""
    nodes = dict(seen.monitor.nodes)
    for layer, overlay in layers.items():
        if layer in nodes and overlay in nodes[layer].children.values():
            hidden = nodes[overlay].children["backing"]
            nodes[layer] = replace(nodes[layer], children={"file": nodes[hidden].children["backing"]})
    return _of_qemu(seen, nodes=nodes)


def _alone(seen: Observation) -> Observation:
    return _runs(seen)


WAITS: Mapping[str, Callable[..., Observation]] = MappingProxyType(
    {
        "off": _off, "listening": _nothing, "migration": _migration, "alone": _alone, "ready": _jobs_are("ready"),
        "connected": _nothing, "concluded": _jobs_are("concluded"), "committed": _committed, "checkpoint": _nothing,
        "sent": _nothing, "sending": _nothing,
    }
)  # fmt: skip
ACTIONS: Mapping[str, Callable[..., Observation]] = MappingProxyType(
    {
        "qmp": _qmp, "wait": _wait, "define": _define, "undefine": _undefine, "record": _record,
        "autostart": _autostart, "start_paused": _start_paused, "start": _start, "managed_save": _managed_save,
        "define_saved": _define_saved, "forget_save": _forget_save, "destroy": _end, "end_emulator": _end,
        "hand_over": _end, "give_way": _give_way,
        "add_iothread": _add_iothread, "del_iothread": _del_iothread, "link": _link, "bar": _bar,
        "unbar": _unbar, "mark": _mark, "remove_home": _remove_home, "create_image": _create_image,
        "remove": _remove, "release": _release, "see_answer": _nothing, "see_ended": _nothing,
        "see_announced": _nothing, "receive_handover": _nothing, "make_directory": _nothing, "isolate": _nothing,
        "ask_guest": _nothing, "check_image": _nothing,
        "begin_sums": _begin_sums, "begin_sieve": _nothing, "end_sieve": _nothing,
        "forget_compared": _forget_compared, "note_shown": _note_shown, "note_left": _nothing, "note_writes": _nothing,
    }
)  # fmt: skip
