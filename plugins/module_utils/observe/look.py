# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Seeing a domain on this host. The only code that reads; it changes nothing and decides nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ..domain import asks, needs, reading
from ..domain.devices import NicElement
from ..domain.unsupported import unsupported_in, untried_in
from ..errors import ColoError, LibvirtError, QmpError, Timeout
from ..host import files as host
from ..host import frames, leaving, links, notes, qemu_process, sockets
from ..host import marker as marker_file
from ..host.hypervisor import Hypervisor
from ..lockstep.frames import PASSED, serves, to_watch
from ..lockstep.proxy import SETTINGS
from ..observation.seen import Announced, Domain, Host, Job, Migration, Monitor, Nic, Node, Observation
from ..record import images as image_files
from ..record import xml as record_xml
from ..record.pair import Record
from ..record.schema import VocabularyError
from . import emulator, equipment, silence
from .host_shutdown import libvirt_guests
from .passage import passage
from .start_hook import start_hook
from .surroundings import surroundings

# Every QMP command an observation sends. None of them changes anything; the no-change test holds libvirtd's log
# against this list.
PURE_QUERIES = (
    "qom-get",
    "qom-list",
    "query-block-exports",
    "query-blockstats",
    "query-chardev",
    "query-colo-status",
    "query-iothreads",
    "query-jobs",
    "query-migrate",
    "query-migrate-capabilities",
    "query-migrate-parameters",
    "query-named-block-nodes",
    "query-status",
    "query-version",
    "query-xen-replication-status",
    "x-debug-query-block-graph",
)
MONITOR_DEADLINE = 3.0  # seconds; a healthy QEMU answers a query in milliseconds, under checkpoints in tenths
GIVEN_UP_DEADLINE = 1.0  # seconds; the clients wait, and the other host may serve them
STATUS_POLL = 0.02  # seconds
IN_CHECKPOINT = "colo"  # the run state between a checkpoint's stop and its resume, and of a pair that is stalled
CHECKPOINT_PATIENCE = 3.0  # seconds
WATCH_SECONDS = 1.0


def observe(
    hypervisor: Hypervisor,
    name: str | None,
    directory: str,
    *,
    thorough: bool = True,
    monitor: bool = True,
    brief: bool = False,
    standby: bool = False,
    images: Iterable[tuple[str, str]] = (),
    files: Iterable[str] = (),
    uuid: str | None = None,
    host_name: str | None = None,
    peer_address: str | None = None,
    uncompared: str | None = None,
) -> Observation:
    """See domain ``name`` (None: the host alone) on this host.

    ``thorough`` adds what a failover has no time for: the emulator's abilities, ports, memory and image headers.
    ``monitor`` asks QEMU itself, and with ``brief`` only what a promotion has to know; without it, only the domain's
    state and record are seen, and with ``standby`` whether a primary's standby lacks writes. ``images`` are (path,
    format) to look at besides those of the record, and ``files`` paths to look for. ``uuid`` is that of a domain which
    this host may not have yet. ``host_name`` is the host's name in the inventory. ``peer_address``: measure how far
    that is. ``uncompared``: the operator's choice about frames that COLO does not compare, if the guest is to be
    watched for them where nobody has chosen.
    """
    domain = None
    if name and monitor:
        found = hypervisor.describe(name)
        domain = _domain(found) if found else None
    elif name:
        domain = _glimpse(hypervisor.glimpse(name))
    here = Host(host_name or host.name(), host.machine_id())
    seen = Observation(_host(hypervisor, here, domain, name) if thorough else here, domain)
    uuid = domain.uuid if domain else uuid
    if uuid:
        home = image_files.home(directory, uuid)
        seen = replace(seen, directory=home, marker=marker_file.read(home), **_sockets(seen.record))
    if standby and domain and domain.active and domain.record and domain.record.role == "primary":
        seen = replace(seen, standby_lacks=_standby_lacks(hypervisor, domain))
    if monitor and brief and domain and domain.active:
        seen = replace(seen, **_brief_monitor(hypervisor, domain))
    elif monitor and domain and domain.active:
        seen = _with_monitor(hypervisor, seen, domain, CHECKPOINT_PATIENCE if thorough else 0)
    if monitor and not brief and domain and domain.record and (thorough or domain.record.role == "alone"):
        seen = replace(seen, barrier=frames.barrier(domain.uuid))
    if uncompared and domain and domain.active and to_watch(uncompared, domain.record):
        seen = replace(seen, uncompared=_uncompared(domain))
    if thorough:
        if domain and domain.live_xml and (store := reading.nvram_file(domain.live_xml)):
            seen = replace(seen, domain=replace(seen.domain, nvram_digest=host.digest(store)))
        wanted = dict([*_recorded_images(seen.record), *images])
        seen = replace(
            seen,
            images={path: host.image(path, kind) for path, kind in wanted.items()},
            files=equipment.files(files),
            space={where: equipment.space(where) for where in {directory, *map(os.path.dirname, wanted)}},
            latency=equipment.latency(peer_address) if peer_address else None,
            passage=passage(peer_address) if peer_address else None,
            heard=silence.heard(seen.record) if _is_standby(seen) else None,
            announced=_places(seen),
        )
    return seen


def _is_standby(seen: Observation) -> bool:
    return seen.record is not None and seen.record.role == "secondary" and seen.domain.active


def _places(seen: Observation) -> tuple[Announced, ...]:
    """Of a pair's guest that clients are to reach here."""
    if seen.record is None or not seen.domain.active or _is_standby(seen):
        return ()
    return leaving.places({nic.mac: nic.tap for nic in seen.domain.nics if nic.tap})


def _host(hypervisor: Hypervisor, here: Host, domain: Domain | None, name: str | None) -> Host:
    path = (domain.emulator if domain else None) or emulator.DEFAULT_EMULATOR
    devices = links.devices()
    return replace(
        here,
        libvirt=hypervisor.version(),
        emulator=emulator.probe(path),
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
        libvirt_guests=libvirt_guests(),
        apparmor=equipment.apparmor(),
        apparmor_rules=equipment.apparmor_rules(),
        **surroundings(hypervisor),
    )


def _first_ports(hypervisor: Hypervisor, name: str | None) -> Iterable[int]:
    for other, text in hypervisor.records().items():
        if other != name:
            try:
                yield record_xml.from_xml(text).first_port
            except VocabularyError as error:
                raise ColoError(f"the record of domain {other} is damaged: {error}", domain=other) from None


def _glimpse(found: dict[str, Any] | None) -> Domain | None:
    """Of a domain whose QEMU is left alone: what it is, and its record."""
    if found is None:
        return None
    text = found.pop("record")
    unknown = {"autostart": False, "machine": "", "memory": 0, "vcpus": 0, "emulator": None, "inactive_xml": ""}
    return Domain(**found, **unknown, record=record_xml.from_xml(text) if text else None)


def _domain(found: dict[str, Any]) -> Domain:
    current = found["live_xml"] or found["inactive_xml"]
    files = qemu_process.open_files(found["name"]) if found["live_xml"] else ()
    return Domain(
        name=found["name"],
        uuid=found["uuid"],
        state=found["state"],
        ended_by=_ended_by(found),
        last_words=qemu_process.last_words(found["name"]) if not found["live_xml"] else (),
        saved_xml=found["saved_xml"],
        saved_by_us=notes.is_noted(found["uuid"]),
        persistent=found["persistent"],
        autostart=found["autostart"],
        machine=reading.machine(current),
        memory=reading.memory_bytes(current),
        vcpus=reading.vcpus(current),
        emulator=reading.emulator(current),
        inactive_xml=found["inactive_xml"],
        live_xml=found["live_xml"],
        type=reading.virt_type(current),
        cpu_mode=reading.cpu_mode(current),
        huge_page=reading.huge_page(current),
        nvram=reading.nvram(current),
        files=tuple(needs.files(current)),
        processors=tuple(needs.processors(current)),
        numa_nodes=tuple(needs.numa_nodes(current)),
        partition=needs.partition(current),
        record=reading.read_record(found["inactive_xml"]),
        live_record=reading.read_record(found["live_xml"]) if found["live_xml"] else None,
        live_incoming=bool(found["live_xml"]) and reading.has_incoming(found["live_xml"]),
        disks=tuple(reading.disks(current)),
        nics=tuple(_nic(element) for element in reading.nics(current)),
        unsupported=tuple(unsupported_in(current)),
        untried=untried_in(current),
        listens=tuple(asks.listens(current)),
        network_filters=tuple(asks.network_filters(current)),
        snapshots=tuple(found["snapshots"]),
        tainted=tuple(found["tainted"]),
        vhost=qemu_process.VHOST_DEVICE in files,
        deleted=tuple(
            sorted({file.removesuffix(qemu_process.DELETED) for file in files if file.endswith(qemu_process.DELETED)})
        ),
    )


def _ended_by(found: dict[str, Any]) -> str | None:
    """libvirt takes a start that was refused, as by our hook, for the reason why it is off: that hides the real one."""
    hidden = found["ended_by"] == "failed"
    return (qemu_process.logged_end(found["name"]) if hidden else None) or found["ended_by"]


def _nic(element: NicElement) -> Nic:
    return Nic(
        mac=element.mac,
        model=element.model,
        type=element.type,
        bridge=element.source if element.type in ("bridge", "network") else None,
        driver=element.driver,
        driver_element=element.driver_element,
        queues=element.queues,
        alias=element.alias,
        tap=element.tap,
        tap_up=links.link_up(element.tap) if element.tap else None,
        network=element.network,
    )


def _uncompared(domain: Domain) -> tuple[str, ...]:
    taps = [nic.tap for nic in domain.nics if nic.tap]
    found = {serves(frame, vlan) for frame, vlan in frames.watch(taps, PASSED.values(), WATCH_SECONDS)}
    return tuple(sorted(kind for kind in found if kind))


def _sockets(record: Record | None) -> dict[str, Any]:
    if record is None:
        return {}
    peer, kinds = record.peer.address, {channel.port: channel.kind for channel in record.channels()}
    counts: dict[str, int] = dict.fromkeys(kinds.values(), 0)
    for port, count in sockets.connections(peer, kinds).items():
        counts[kinds[port]] += count
    return {
        "peer_sockets": sockets.peer_sockets(peer, kinds),
        "stuck_sockets": sockets.stuck_sockets(peer, kinds),
        "connections": counts,
    }


def _recorded_images(record: Record | None) -> Iterable[tuple[str, str]]:
    for disk in record.disks if record else ():
        yield disk.path, disk.format
        for overlay in (disk.active, disk.hidden):
            if overlay:
                yield overlay, image_files.OVERLAY_FORMAT


def _asker(hypervisor: Hypervisor, domain: Domain, deadline: float = MONITOR_DEADLINE) -> Callable[..., Any]:
    """How QEMU is asked here: a query's name and arguments to what it returns, with one deadline for all."""

    def ask(command: str, **arguments: Any) -> Any:
        return hypervisor.qmp(domain.name, command, arguments, deadline=deadline)

    return ask


def _brief_monitor(hypervisor: Hypervisor, domain: Domain) -> dict[str, Any]:
    ask = _asker(hypervisor, domain)
    try:
        status = ask("query-status")
        monitor = Monitor(
            status=status["status"],
            running=status["running"],
            version="",
            colo=ask("query-colo-status")["mode"],
            exports=_exports(ask("query-block-exports")),
            objects=_objects(ask("qom-list", path="/objects")),
            brief=True,
        )
    except (Timeout, LibvirtError) as error:
        return {"monitor_problem": error.what}
    return {"monitor": monitor}


def _exports(reply: list[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(item["id"] for item in reply)


def _objects(reply: list[dict[str, Any]]) -> dict[str, str]:
    return {item["name"]: item["type"].removeprefix("child<").rstrip(">") for item in reply}


def _settings(ask: Callable[..., Any], objects: dict[str, str]) -> dict[str, dict[str, Any]]:
    """What was set of each part of a packet proxy that can be changed while it is at work."""
    return {
        name: {key: ask("qom-get", path=f"/objects/{name}", property=key) for key in SETTINGS[kind]}
        for name, kind in objects.items()
        if kind in SETTINGS
    }


def _with_monitor(hypervisor: Hypervisor, seen: Observation, domain: Domain, patience: float) -> Observation:
    try:
        monitor, nodes = read_monitor(hypervisor, domain, patience)
        failed = _failed_writes(_asker(hypervisor, domain)("query-blockstats"))
    except (Timeout, LibvirtError) as error:
        return replace(seen, monitor_problem=error.what)
    disks = tuple(
        replace(
            disk,
            node=nodes.get(disk.target),
            virtual_size=_size(monitor, nodes.get(disk.target)),
            failed_writes=failed.get(disk.alias, 0),
        )
        for disk in domain.disks
    )
    return replace(seen, monitor=monitor, domain=replace(domain, disks=disks))


def _failed_writes(stats: list[dict[str, Any]]) -> dict[str, int]:
    """By the device's alias; QEMU names a device by its path, /machine/peripheral/ALIAS/... (query-blockstats)."""
    found = {}
    for device in stats:
        alias = device.get("qdev", "").removeprefix("/machine/peripheral/").partition("/")[0]
        kinds = ("failed_wr_operations", "failed_flush_operations")
        found[alias] = sum(device["stats"].get(kind, 0) for kind in kinds)
    return found


def _size(monitor: Monitor, node: str | None) -> int | None:
    return monitor.nodes[node].virtual_size if node in monitor.nodes else None


def read_monitor(hypervisor: Hypervisor, domain: Domain, patience: float) -> tuple[Monitor, dict[str, str]]:
    """QEMU's own view, and the block node under each disk's device: QOM is the only truth about that.

    ``patience``: seconds to wait for a guest that stands still to go on, as it does after each checkpoint.
    """
    ask = _asker(hypervisor, domain)
    status = _status(ask, patience)
    version = ask("query-version")["qemu"]
    colo = ask("query-colo-status")["mode"]
    objects = _objects(ask("qom-list", path="/objects"))
    block_graph = ask("x-debug-query-block-graph")
    monitor = Monitor(
        status=status["status"],
        running=status["running"],
        version=f"{version['major']}.{version['minor']}.{version['micro']}",
        colo=colo,
        lost_writes=_lost_writes(ask) if colo == "primary" else None,
        migration=migration(ask),
        nodes=_nodes(ask("query-named-block-nodes", flat=True), block_graph),
        writers=_writers(block_graph),
        jobs={job["id"]: _job(job) for job in ask("query-jobs")},
        exports=_exports(ask("query-block-exports")),
        objects=objects,
        settings=_settings(ask, objects),
        chardevs={item["label"]: item["filename"] for item in ask("query-chardev")},
        iothreads=tuple(item["id"] for item in ask("query-iothreads")),
    )
    nodes = {}
    for disk in domain.disks:
        if disk.alias:
            try:
                nodes[disk.target] = ask("qom-get", path=f"/machine/peripheral/{disk.alias}", property="drive")
            except QmpError:  # a floppy's device has another path; it is never replicated
                continue
    return monitor, nodes


def _lost_writes(ask: Callable[..., Any]) -> str | None:
    """Why a write of this primary did not reach the standby, or None.

    QEMU's replication layer keeps the error of its child and tells the guest nothing; checkpoints go on all the same,
    though the standby's disk then lacks what its memory has (our measurement: 7.2, 10.0). This is where it can be seen
    later on, and the only command for it.
    """
    state = ask("query-xen-replication-status")
    return (state.get("desc") or "QEMU gives no reason") if state["error"] else None


def _standby_lacks(hypervisor: Hypervisor, domain: Domain) -> str | None:
    """The same of a primary that is about to be given up; None too where its QEMU does not answer at once."""
    try:
        return _lost_writes(_asker(hypervisor, domain, GIVEN_UP_DEADLINE))
    except (Timeout, LibvirtError, QmpError):
        return None


def _status(ask: Callable[..., Any], patience: float) -> dict[str, Any]:
    deadline = time.monotonic() + patience
    while True:
        status = ask("query-status")
        if status["status"] != IN_CHECKPOINT or time.monotonic() >= deadline:
            return status
        time.sleep(STATUS_POLL)


def migration(ask: Callable[..., Any]) -> Migration:
    """What QEMU says of its migration."""
    state = ask("query-migrate")
    # 7.2 has no state for one that waits for the guest, only where it listens; later ones say "setup" as well.
    waits = "setup" if "socket-address" in state else "none"
    return Migration(
        status=state.get("status", waits),
        error=state.get("error-desc"),
        capabilities=tuple(item["capability"] for item in ask("query-migrate-capabilities") if item["state"]),
        checkpoint_delay=ask("query-migrate-parameters").get("x-checkpoint-delay"),
        blocked=tuple(state.get("blocked-reasons", ())),
    )


def _job(job: dict[str, Any]) -> Job:
    return Job(job["type"], job["status"], job["current-progress"], job["total-progress"], job.get("error"))


def _nodes(named: list[dict[str, Any]], block_graph: dict[str, Any]) -> dict[str, Node]:
    names = {item["id"]: item["name"] for item in block_graph["nodes"] if item["type"] == "block-driver"}
    children: dict[str, dict[str, str]] = {}
    for edge in block_graph["edges"]:
        if edge["parent"] in names and edge["child"] in names:
            children.setdefault(names[edge["parent"]], {})[edge["name"]] = names[edge["child"]]
    return {
        item["node-name"]: Node(
            item["drv"], item["file"], item["image"]["virtual-size"], children.get(item["node-name"], {})
        )
        for item in named
    }


def _writers(block_graph: dict[str, Any]) -> dict[str, str]:
    """Each device that may write, by its id or path in QEMU, to the node below it; jobs and exports have no name."""
    named = {item["id"]: item for item in block_graph["nodes"]}
    return {
        named[edge["parent"]]["name"]: named[edge["child"]]["name"]
        for edge in block_graph["edges"]
        if "write" in edge["perm"]
        and named[edge["parent"]]["type"] == "block-backend"
        and named[edge["parent"]]["name"]
    }
