# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deciding what a domain's XML and images have to become: the plans of colo_disk. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from . import checks
from . import domain as xml
from .errors import ColoError
from .graph import OVERLAY_FORMAT, is_ours
from .observation import Domain, Image, Marker, Observation
from .step import Plan, Problem, Step, Wanted, refuse_if
from .vocabulary import DiskRecord, Endpoint, NicRecord, Record

FIRST_GENERATION = 1


def primary(wanted: Wanted, seen: Observation, peer: Observation) -> Plan:
    """Make the running domain of this host the primary of a pair: the record, and what libvirt must know around it."""
    refuse_if(_primary_problems(wanted, seen, peer))
    domain = _known(seen)
    record = _primary_record(wanted, seen, peer)
    after = xml.protect(domain.inactive_xml, record)
    settled = xml.read_record(after)
    steps = [*_make_directory(wanted, seen, _home(wanted, domain)), *_define(domain, after)]
    if domain.live_record != settled:
        steps.append(_live_record(domain, settled))
    if domain.autostart:
        steps.append(_autostart(domain, on=False))
    marker = _marker(domain.uuid, settled)
    steps += _mark(seen, marker, _home(wanted, domain))
    became = replace(domain, inactive_xml=after, record=settled, live_record=settled, autostart=False)
    return Plan(tuple(steps), replace(seen, domain=became, marker=marker))


def _primary_problems(wanted: Wanted, seen: Observation, peer: Observation) -> Iterator[Problem]:
    yield from checks.emulator(seen.host)
    yield from checks.emulator(peer.host)
    yield from checks.same_versions(seen.host, peer.host)
    yield from checks.running(seen)
    yield from checks.address(seen.host, wanted.address)
    yield from checks.address(peer.host, wanted.peer_address)
    if seen.host.machine_id == peer.host.machine_id:
        yield Problem("both ends of the pair are the same machine", "Choose two hosts; clones need a machine-id each")
    if seen.domain:
        yield from checks.machine(seen.domain, seen.host)
        yield from checks.disks(seen.domain, wanted)
        yield from checks.nics(seen.domain)
        yield from checks.standby_host(seen.domain, peer)
        yield from _copy_problems(seen, peer)
    if not (seen.record or wanted.first_port):
        if checks.free_block(seen.host, peer.host) is None:
            yield Problem("no block of ports is free on both hosts", "End what listens in the collection's range")
    elif wanted.first_port and (seen.record is None or seen.record.first_port != wanted.first_port):
        yield from checks.port_problems(seen.host, wanted.first_port)
        yield from checks.port_problems(peer.host, wanted.first_port)


def _copy_problems(seen: Observation, peer: Observation) -> Iterator[Problem]:
    """Whether this host's copy may be the primary's: the newest wins."""
    if seen.record and seen.record.role == "secondary":
        yield Problem(
            f"{seen.host.name} has the standby of this domain, not the guest",
            "Protect it from the host that the guest runs on; after the loss of that host, run colo_failover here",
        )
    if peer.record and peer.record.generation > (seen.record.generation if seen.record else 0):
        yield Problem(
            f"{peer.host.name} has a newer copy of this domain (generation {peer.record.generation})",
            "This copy is stale: protect the domain from that host",
        )


def _primary_record(wanted: Wanted, seen: Observation, peer: Observation) -> Record:
    domain, old = _known(seen), seen.record
    disks = {disk.target: disk for disk in domain.disks}
    first_port = wanted.first_port or (old.first_port if old else checks.free_block(seen.host, peer.host))
    return Record(
        role="primary",
        generation=old.generation if old else FIRST_GENERATION,
        complete=None,
        local=Endpoint(seen.host.name, seen.host.machine_id, wanted.address),
        peer=Endpoint(peer.host.name, peer.host.machine_id, wanted.peer_address),
        first_port=first_port,
        disks=tuple(
            DiskRecord(want.target, want.format, disks[want.target].source, disks[want.target].virtual_size)
            for want in wanted.disks
        ),
        nics=tuple(NicRecord(nic.mac, nic.driver, nic.driver_element) for nic in xml.nics(domain.inactive_xml)),
        autostart_before=old.autostart_before if old else domain.autostart,
        checkpoint_delay=wanted.checkpoint_delay,
    )


def secondary(wanted: Wanted, seen: Observation, peer: Observation) -> Plan:
    """Make this host the standby's: the domain from the primary's persistent XML, and its images."""
    refuse_if(_secondary_problems(wanted, seen, peer))
    record = _secondary_record(wanted, seen, peer)
    source = _known(peer)
    after = xml.standby(source.inactive_xml, record)
    settled = xml.read_record(after)
    directory = _home(wanted, source)
    marker = _marker(source.uuid, settled)
    steps = [*_make_directory(wanted, seen, directory), *_mark(seen, marker, directory)]
    steps += [_create(wanted, *image) for image in _images(settled) if not _exists(seen, image[0])]
    if seen.domain is None:
        steps.append(Step(f"define the standby {source.name}", "define", {"xml": after}))
    else:
        steps += _redefine_standby(seen.domain, after, settled)
    images = {path: Image(path, True, kind, size) for path, kind, size in _images(settled)}
    became = replace(
        seen.domain or replace(source, state="shutoff", live_xml=None),
        inactive_xml=after,
        record=settled,
        autostart=False,
    )
    return Plan(tuple(steps), replace(seen, domain=became, marker=marker, directory=directory, images=images))


def standby_images(wanted: Wanted, peer: Observation) -> list[tuple[str, str]]:
    """The images (path, format) that a standby of the peer's domain would have: what to look at before planning."""
    if peer.domain is None or peer.record is None:
        return []
    home = _home(wanted, peer.domain)
    found = []
    for disk in peer.record.disks:
        path = _standby_path(wanted, None, home, disk)
        found += [(path, disk.format), *((overlay, OVERLAY_FORMAT) for overlay in _overlay_paths(home, disk.target))]
    return found


def _secondary_problems(wanted: Wanted, seen: Observation, peer: Observation) -> Iterator[Problem]:
    yield from checks.emulator(seen.host)
    yield from checks.same_versions(seen.host, peer.host)
    if peer.domain is None or peer.record is None or peer.record.role != "primary":
        yield Problem("the peer is not the primary of a pair", "Run colo_disk with role primary there first")
        return
    if wanted.address and wanted.address != peer.record.peer.address:
        yield Problem(
            f"the primary's record has {peer.record.peer.address} as this host's address, not {wanted.address}",
            "Run colo_disk on the primary again, with the right peer_address",
        )
    yield from checks.address(seen.host, peer.record.peer.address)
    yield from checks.standby_host(peer.domain, seen)
    yield from _existing_domain(seen, peer)
    if seen.domain is None or not seen.domain.active:
        record = _secondary_record(wanted, seen, peer)
        yield from _marker_problems(seen, peer.record)
        for disk, ours in zip(record.disks, peer.record.disks, strict=True):
            yield from _image_problems(seen, peer, disk, ours)


def _existing_domain(seen: Observation, peer: Observation) -> Iterator[Problem]:
    domain = seen.domain
    if domain is None:
        return
    if domain.uuid != peer.domain.uuid:
        yield Problem(
            f"{seen.host.name} has another domain of this name (UUID {domain.uuid})", "Rename or undefine that one"
        )
    elif domain.record is None:
        yield Problem(
            f"{seen.host.name} has this domain already, and not from a pair", "Undefine it there if it is not needed"
        )
    elif domain.record.role != "secondary" and domain.active:
        yield Problem(
            f"the domain runs on {seen.host.name} as {domain.record.role}",
            "Two guests must not run: find the right one",
        )
    elif domain.record.generation > peer.record.generation:
        yield Problem(
            f"the copy on {seen.host.name} is newer (generation {domain.record.generation})",
            "Protect the domain from that host",
        )


def _marker_problems(seen: Observation, primary_record: Record) -> Iterator[Problem]:
    marker = seen.marker
    if marker is None:
        return
    if marker.machine_id != seen.host.machine_id:
        yield Problem(
            f"{seen.directory} was written by another machine: it is on shared storage",
            "Give each host a directory of its own with directory",
        )
    elif marker.role != "secondary" and marker.generation >= primary_record.generation:
        yield Problem(
            f"the images in {seen.directory} are of generation {marker.generation}, not older than the primary's",
            "Find out which copy is the newest before anything is overwritten",
        )


def _image_problems(seen: Observation, peer: Observation, disk: DiskRecord, source: DiskRecord) -> Iterator[Problem]:
    for path, kind, size in _images_of(disk):
        image = seen.images.get(path)
        if image is None or not image.exists:
            continue
        if _is_primarys(image, peer.images.get(source.path)):
            yield Problem(
                f"{path} is the primary's very file, on shared storage",
                "A standby needs a copy of its own: state another path",
                disk.target,
            )
        elif seen.marker is None or path not in seen.marker.paths:
            yield Problem(f"{path} exists and is not ours", "Move it away, or state another path", disk.target)
        elif image.in_use:
            yield Problem(f"{path} is in use by another process", "End what uses it", disk.target)
        elif (image.format, image.virtual_size) != (kind, size):
            yield Problem(
                f"{path} is {image.format} of {image.virtual_size} bytes, and {kind} of {size} bytes is needed",
                "Remove it, so that it is made anew",
                disk.target,
            )


def _is_primarys(image: Image, other: Image | None) -> bool:
    """The same path and inode: two hosts see one file. Copies have inodes of their own, save by rare chance."""
    return other is not None and other.exists and (image.path, image.inode) == (other.path, other.inode)


def _secondary_record(wanted: Wanted, seen: Observation, peer: Observation) -> Record:
    source, old = peer.record, seen.record
    home = _home(wanted, _known(peer))
    disks = []
    for disk in source.disks:
        path = _standby_path(wanted, old, home, disk)
        active, hidden = _overlay_paths(home, disk.target)
        disks.append(replace(disk, path=path, active=active, hidden=hidden))
    same = old is not None and old.role == "secondary" and old.generation == source.generation
    return replace(
        source,
        role="secondary",
        complete=old.complete if same else None,
        local=source.peer,
        peer=source.local,
        disks=tuple(disks),
    )


def _standby_path(wanted: Wanted, old: Record | None, home: str, disk: DiskRecord) -> str:
    """The stated path; else where this host had the disk before; else in the domain's directory."""
    stated = next((want.path for want in wanted.disks if want.target == disk.target), None)
    before = next((known.path for known in old.disks if known.target == disk.target), None) if old else None
    return stated or before or f"{home}/{disk.target}.{disk.format}"


def _overlay_paths(home: str, target: str) -> tuple[str, str]:
    return f"{home}/{target}.active.qcow2", f"{home}/{target}.hidden.qcow2"


def absent(role: str, seen: Observation, peer: Observation | None) -> Plan:
    """Take back what was done to the domain of this host; a standby goes altogether, with its images.

    With role secondary a copy that is older than the peer's goes as well: nobody shall ever start it.
    """
    if seen.domain is None or seen.record is None:
        return Plan((), seen)
    if role == "primary" and seen.record.role != "secondary":
        return _absent_primary(seen)
    refuse_if(_kept_problems(role, seen, peer))
    return _absent_secondary(seen)


def _kept_problems(role: str, seen: Observation, peer: Observation | None) -> Iterator[Problem]:
    """Why this host's copy may not go."""
    if role == "primary":
        yield Problem("this host has the standby, not the guest", "State role secondary for this host")
    elif seen.domain.active:
        yield Problem(f"the {seen.record.role} is running", "Run colo_pair with state absent first")
    elif seen.record.role != "secondary" and (peer is None or peer.generation <= seen.generation):
        yield Problem(
            "this host has had the guest, and it is not certain that the other host has a newer copy",
            "Bring the other host back, and give its observation as peer",
        )


def _absent_primary(seen: Observation) -> Plan:
    domain, record = _known(seen), seen.record
    if seen.monitor and any(map(is_ours, seen.monitor.nodes)):
        refuse_if(
            [Problem("the pair's layers are under the running guest's disks", "Run colo_pair state=absent first")]
        )
    after = xml.unprotect(domain.inactive_xml)
    steps = _define(domain, after)
    if domain.live_record:
        steps.append(_live_record(domain, None))
    if record.autostart_before and not domain.autostart:
        steps.append(_autostart(domain, on=True))
    steps += _remove_home(seen, ())
    became = replace(domain, inactive_xml=after, record=None, live_record=None, autostart=record.autostart_before)
    return Plan(tuple(steps), replace(seen, domain=became, marker=None))


def _absent_secondary(seen: Observation) -> Plan:
    steps = [Step(f"undefine {seen.domain.name} on this host", "undefine")]
    steps += _remove_home(seen, tuple(path for path, _kind, _size in _images(seen.record)))
    return Plan(tuple(steps), replace(seen, domain=None, marker=None, images={}))


def _remove_home(seen: Observation, paths: tuple[str, ...]) -> list[Step]:
    """Remove ``paths`` that were made in our directory, the marker, and the directory if nothing else is in it.

    An image elsewhere stays: a host that has had the guest has the user's own.
    """
    if seen.marker is None:
        return []
    made = [path for path in paths if path in seen.marker.paths and path.startswith(f"{seen.directory}/")]
    ours = [path for path in made if seen.images[path].exists]
    steps = [Step(f"remove {path}", "remove", {"path": path}) for path in ours]
    return [*steps, Step(f"remove the marker in {seen.directory}", "remove_home", {"directory": seen.directory})]


# Parts of plans


def _known(seen: Observation) -> Domain:
    """The domain, where the problems have been asked first."""
    if seen.domain is None:
        raise ColoError("there is no such domain", host=seen.host.name)
    return seen.domain


def _home(wanted: Wanted, domain: Domain) -> str:
    return f"{wanted.directory}/{domain.uuid}"


def _define(domain: Domain, after: str) -> list[Step]:
    if xml.canonical(after) == xml.canonical(domain.inactive_xml):
        return []
    return [Step(f"define {domain.name} with the changed XML", "define", {"xml": after})]


def _redefine_standby(domain: Domain, after: str, settled: Record) -> list[Step]:
    steps = _define(domain, after)
    if domain.active and domain.live_record != settled:
        steps.append(_live_record(domain, settled))
    if domain.autostart:
        steps.append(_autostart(domain, on=False))
    return steps


def _live_record(domain: Domain, record: Record | None) -> Step:
    text = xml.with_metadata_element(record) if record else None
    title = f"{'write' if record else 'remove'} the record in the running domain {domain.name}"
    return Step(title, "record", {"xml": text, "live": True})


def _autostart(domain: Domain, *, on: bool) -> Step:
    return Step(f"turn autostart of {domain.name} {'on' if on else 'off'}", "autostart", {"on": on})


def _marker(uuid: str, record: Record) -> Marker:
    paths = tuple(path for path, _kind, _size in _images(record))
    return Marker(record.local.machine_id, uuid, record.generation, record.role, paths)


def _mark(seen: Observation, marker: Marker, directory: str) -> list[Step]:
    if seen.marker == marker:
        return []
    title = f"mark the images of this host as generation {marker.generation}, {marker.role}"
    return [Step(title, "mark", {"directory": directory, "marker": marker})]


def _make_directory(wanted: Wanted, seen: Observation, directory: str) -> list[Step]:
    if seen.marker is not None:  # it is in there
        return []
    owner = {"owner": wanted.image_owner, "group": wanted.image_group}
    return [Step(f"make the directory {directory}", "make_directory", {"path": directory, **owner})]


def _exists(seen: Observation, path: str) -> bool:
    return path in seen.images and seen.images[path].exists


def _create(wanted: Wanted, path: str, kind: str, size: int) -> Step:
    arguments = {"path": path, "format": kind, "size": size, "owner": wanted.image_owner, "group": wanted.image_group}
    return Step(f"create {path}, {kind}, {size} bytes", "create_image", arguments)


def _images_of(disk: DiskRecord) -> Iterator[tuple[str, str, int]]:
    yield disk.path, disk.format, disk.virtual_size
    for overlay in (disk.active, disk.hidden):
        if overlay:
            yield overlay, OVERLAY_FORMAT, disk.virtual_size


def _images(record: Record) -> list[tuple[str, str, int]]:
    return [image for disk in record.disks for image in _images_of(disk)]
