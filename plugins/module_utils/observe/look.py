# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Seeing a domain on this host. It changes nothing and decides nothing; of its room only ``trial`` starts something."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..domain import editing, reading
from ..domain.described import described
from ..errors import ColoError
from ..host import (
    automation,
    frames,
    half_notes,
    leaving,
    left_images,
    links,
    qemu_process,
    shown,
    sieve,
    sockets,
    until_reboot,
)
from ..host import files as host
from ..host import marker as marker_file
from ..host.hypervisor import Hypervisor
from ..lockstep.uncompared import PASSED, serves, to_watch
from ..observation.depth import ASKS_QEMU, FREEING, QUICK, THOROUGH, WHOLE_HOST, Sights
from ..observation.seen import Announced, Compared, Domain, Host, Nic, Observation
from ..record import images as image_files
from ..record import xml as record_xml
from ..record.half_notes import HalfNote, with_note
from ..record.pair import Record
from ..record.schema import VocabularyError
from . import emulator, equipment, monitor, silence
from .certificates import certificate
from .host_shutdown import libvirt_guests
from .passage import passage
from .start_hook import start_hook
from .surroundings import surroundings

WATCH_SECONDS = 1.0  # in which a guest that serves with frames that COLO does not compare sends one
FREEING_DEADLINE = 3.0  # seconds for libvirt to tell of a domain whose guest may stand still meanwhile
NOTHING_MORE = Sights()


def observe(
    hypervisor: Hypervisor,
    name: str | None,
    directory: str,
    depth: str = THOROUGH,
    sights: Sights = NOTHING_MORE,
    *,
    host_name: str | None = None,
) -> Observation:
    """See domain ``name`` (None: the host alone) on this host, which the inventory calls ``host_name``."""
    domain = _see_domain(hypervisor, name, depth) if name else None
    seen = Observation(Host(host_name or host.name(), host.machine_id()), domain, depth=depth)
    if depth not in WHOLE_HOST:
        return _of_domain(hypervisor, seen, directory, sights)
    # The QEMU is that of the domain, or else the distribution's. It takes as long to start as all the rest to be seen.
    with emulator.asked((domain.emulator if domain else None) or emulator.DEFAULT_EMULATOR) as answer:
        whole = _whole(seen.host, hypervisor, name, sights)
        seen = _of_domain(hypervisor, replace(seen, host=whole), directory, sights)
        seen = _with_equipment(seen, directory, sights)
        return replace(seen, host=replace(seen.host, emulator=answer()))


def _of_domain(hypervisor: Hypervisor, seen: Observation, directory: str, sights: Sights) -> Observation:
    """With this host's copy, and with what QEMU and the guest's frames tell."""
    domain = seen.domain
    seen = _with_copy(seen, directory, domain.uuid if domain else sights.uuid)
    if domain and domain.active:
        seen = monitor.added(hypervisor, seen)
    return _with_frames(seen, sights)


def _see_domain(hypervisor: Hypervisor, name: str, depth: str) -> Domain | None:
    if depth not in ASKS_QEMU:
        return _glimpse(hypervisor.glimpse(name))
    # Behind a call to a QEMU that hangs, libvirt does not answer either; what frees the guest then need not know all.
    found = hypervisor.describe(name, **({"deadline": FREEING_DEADLINE} if depth == FREEING else {}))
    return _domain(found) if found else None


def _with_copy(seen: Observation, directory: str, uuid: str | None) -> Observation:
    """With the marker of this host's copy, and the sockets of the pair."""
    if not uuid:
        return seen
    home = image_files.home(directory, uuid)
    return replace(seen, directory=home, marker=marker_file.read(home), **came_over(seen))


def _with_frames(seen: Observation, sights: Sights) -> Observation:
    """With what keeps frames back, who watches, and the frames that the guest serves with and COLO does not compare."""
    domain, record = seen.domain, seen.record
    if record and (seen.depth in (FREEING, THOROUGH) or (seen.depth == QUICK and record.role == "alone")):
        seen = replace(seen, barrier=frames.barrier(domain.uuid))
    if record and seen.depth in (QUICK, THOROUGH):
        seen = replace(seen, automation=automation.automation(domain.uuid))
        if record.credentials and domain.active:
            seen = replace(seen, shown=shown.noted(domain.uuid))
    if sights.uncompared and domain and domain.active and to_watch(sights.uncompared, record):
        seen = replace(seen, uncompared=_uncompared(domain))
    return seen


def _with_equipment(seen: Observation, directory: str, sights: Sights) -> Observation:
    """With what a failover has no time for: images, files and space, and how far the peer is."""
    domain, address = seen.domain, sights.peer_address
    if domain and domain.live_xml and (store := reading.nvram_file(domain.live_xml)):
        domain = replace(domain, nvram_digest=host.digest(store))
    wanted = dict([*_recorded_images(seen.record), *sights.images])
    return replace(
        seen,
        domain=domain,
        images={path: host.image(path, kind) for path, kind in wanted.items()},
        files=equipment.files(sights.files),
        accounts=equipment.accounts(sights.user, sights.group),
        space={where: equipment.space(where) for where in {directory, *map(os.path.dirname, wanted)}},
        latency=equipment.latency(address) if address else None,
        passage=passage(address) if address else None,
        heard=silence.heard(seen.record) if _is_standby(seen) else None,
        quiet=silence.quiet(seen.record) if _sends_packets(seen) else {},
        announced=_places(seen),
        compared=dict(_compared(seen)),
        left=left_images.left(domain.uuid) if domain and seen.record else None,
    )


def _compared(seen: Observation) -> Iterable[tuple[str, Compared]]:
    """By disk, what the last copy that compared it has compared and sent, as the process noted that sent it; of the
    primary's host alone, where that runs."""
    if seen.record is None or seen.record.role != "primary":
        return
    for disk in seen.record.disks:
        if found := sieve.noted(seen.domain.uuid, disk.target):
            yield disk.target, found


def _is_standby(seen: Observation) -> bool:
    return seen.record is not None and seen.record.role == "secondary" and seen.domain.active


def _sends_packets(seen: Observation) -> bool:
    return seen.record is not None and seen.record.role == "primary" and seen.domain.active


def _places(seen: Observation) -> tuple[Announced, ...]:
    """Where this host's bridges have each NIC of a pair's guest that clients are to reach here; empty for a standby."""
    if seen.record is None or not seen.domain.active or _is_standby(seen):
        return ()
    return leaving.places({nic.mac: nic.tap for nic in seen.domain.nics if nic.tap})


def _whole(here: Host, hypervisor: Hypervisor, name: str | None, sights: Sights) -> Host:
    """With what it has, for whatever domain."""
    devices = links.devices()
    return replace(
        here,
        libvirt=hypervisor.version(),
        memory_available=host.memory_available(),
        addresses=tuple(devices),
        ports=sockets.ports_in_use(),
        reserved=tuple(sorted(_first_ports(hypervisor, name))),
        bridges=links.bridges(),
        forward_delays=equipment.forward_delays(),
        links=equipment.links(devices),
        clock=round(time.time(), 3),
        cpu=equipment.cpu(),
        processors=equipment.online("cpu"),
        numa_nodes=equipment.online("node"),
        kvm=equipment.has_kvm(),
        huge_pages=equipment.huge_pages(),
        nftables=frames.can_keep_back(),
        start_hook=start_hook(),
        certificate=certificate(),
        libvirt_guests=libvirt_guests(),
        apparmor=equipment.apparmor(),
        apparmor_rules=equipment.apparmor_rules(),
        **surroundings(hypervisor, sights.macs),
    )


def _first_ports(hypervisor: Hypervisor, name: str | None) -> Iterable[int]:
    for other, text in hypervisor.records().items():
        if other != name:
            try:
                yield record_xml.from_xml(text).first_port
            except VocabularyError as error:
                raise ColoError(
                    f"the record of another pair of this host, that of domain {other}, is damaged: {error}",
                    remedy=f"Correct it (virsh edit {other}), or take it out of that domain's metadata, and run again",
                    domain=other,
                ) from None


def _glimpse(found: dict[str, Any] | None) -> Domain | None:
    """The domain as libvirt tells it without asking its QEMU: what it is, and its record; the rest is not known."""
    if found is None:
        return None
    record, told = recorded(found), {key: value for key, value in found.items() if key != "record"}
    unknown = {"autostart": False, "machine": "", "memory": 0, "vcpus": 0, "emulator": None, "inactive_xml": ""}
    return Domain(**told, **unknown, record=record)


def recorded(found: dict[str, Any]) -> Record | None:
    """The record in what ``Hypervisor.glimpse`` found of a domain, with what is noted beside it."""
    return _record(found, record_xml.from_xml(found["record"]) if found["record"] else None)


def _record(found: dict[str, Any], record: Record | None) -> Record | None:
    """What is written in the domain, and beside it."""
    note = half_notes.noted(half_notes.GAVE_WAY, found["name"]) if record else None
    return with_note(record, found["uuid"], note)


def _xml_with_note(found: dict[str, Any]) -> str:
    """The inactive XML, in which the record is what is written in the domain, and beside it."""
    xml = found["inactive_xml"]
    record = reading.read_record(xml)
    noted = _record(found, record)
    return xml if noted == record else editing.with_record(xml, noted)


def _domain(found: dict[str, Any]) -> Domain:
    files = qemu_process.open_files(found["name"]) if found["live_xml"] else ()
    inactive = _xml_with_note(found)
    told = described(inactive, found["live_xml"])
    return Domain(
        name=found["name"],
        uuid=found["uuid"],
        state=found["state"],
        ended_by=_ended_by(found),
        last_words=qemu_process.last_words(found["name"]) if not found["live_xml"] else (),
        saved_xml=found["saved_xml"],
        saved_by_us=until_reboot.is_noted(found["uuid"]),
        persistent=found["persistent"],
        autostart=found["autostart"],
        inactive_xml=inactive,
        live_xml=found["live_xml"],
        began=qemu_process.began(found["name"]) if found["live_xml"] else None,
        **{**told, "nics": tuple(replace(nic, tap_up=_is_up(nic)) for nic in told["nics"])},
        snapshots=tuple(found["snapshots"]),
        tainted=tuple(found["tainted"]),
        vhost=qemu_process.VHOST_DEVICE in files,
        deleted=tuple(
            sorted({file.removesuffix(qemu_process.DELETED) for file in files if file.endswith(qemu_process.DELETED)})
        ),
    )


def _is_up(nic: Nic) -> bool | None:
    return links.link_up(nic.tap) if nic.tap else None


def _ended_by(found: dict[str, Any]) -> str | None:
    """libvirt takes a start that was refused, as by our hook, for the reason why it is off: that hides the real one."""
    hidden = found["ended_by"] == "failed"
    return (qemu_process.logged_end(found["name"]) if hidden else None) or found["ended_by"]


def _uncompared(domain: Domain) -> tuple[str, ...]:
    taps = [nic.tap for nic in domain.nics if nic.tap]
    found = {serves(frame, vlan) for frame, vlan in frames.watch(taps, PASSED.values(), WATCH_SECONDS)}
    return tuple(sorted(kind for kind in found if kind))


def came_over(seen: Observation) -> dict[str, Any]:
    """What an observation has of the connections of this pair, as they are now, and of what came over them."""
    domain, record = seen.domain, seen.record
    if record is None:
        return {}
    if record.role != "secondary" or not domain.active:
        return _sockets(record)
    about = HalfNote(domain.uuid, record.generation, record.role)
    return {
        **_sockets(record),
        "received": silence.received(record, domain.name),
        "known_to_lack": half_notes.noted(half_notes.LACKING, domain.name) == about,
    }


def connected(record: Record) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """An observation's ``peer_sockets``, ``stuck_sockets`` and ``closed_sockets`` as they are now, and nothing else."""
    peer, ports = record.peer.address, [channel.port for channel in record.channels()]
    kinds = sockets.peer_sockets, sockets.stuck_sockets, sockets.closed_sockets
    established, stuck, closed = (kind(peer, ports) for kind in kinds)
    return established, stuck, closed


def _sockets(record: Record) -> dict[str, Any]:
    peer, kinds = record.peer.address, {channel.port: channel.kind for channel in record.channels()}
    counts = dict.fromkeys(("migration", "nbd", *kinds.values()), 0)
    for port, count in sockets.connections(peer, kinds).items():
        counts[kinds[port]] += count
    # A command, for which a promotion has no time unless it matters.
    asked = record.role == "secondary" and counts["migration"] > 0 and counts["nbd"] < len(record.disks)
    established, stuck, closed = connected(record)
    return {
        "peer_sockets": established,
        "stuck_sockets": stuck,
        "closed_sockets": closed,
        "connections": counts,
        "without_writes": silence.without_writes(record) if asked else None,
    }


def _recorded_images(record: Record | None) -> Iterable[tuple[str, str]]:
    for disk in record.disks if record else ():
        yield disk.path, disk.format
        for overlay in (disk.active, disk.hidden):
            if overlay:
                yield overlay, image_files.OVERLAY_FORMAT
