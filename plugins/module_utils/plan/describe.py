# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deciding what a domain's XML and images have to become: the plans of colo_disk. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..domain import editing as xml
from ..domain import reading
from ..domain.standby import standby_of
from ..errors import ColoError
from ..lockstep import states, uncompared
from ..lockstep.graph import is_ours
from ..observation.seen import Domain, Marker, Observation
from ..record import images
from ..record.pair import EXCEPT_PROXY, OFF, PKI_DIRECTORY, TLS, Endpoint, NicRecord, Record
from ..record.wanted import Wanted
from ..verdict import copies, guest, originals, preflight, reach, unreplicated, wishes
from ..verdict.problem import Problem, refuse_if
from ..verdict.requirements import encryption
from ..verdict.requirements.link import free_block
from ..verdict.requirements.row import problems
from .parts import fit
from .parts.barrier import let_pass
from .plan import Plan
from .step import Step

LASTING_REMEDY = "Leave it as it is; or run lockstep.colo.unprotect, and deploy with the change"


def primary(wanted: Wanted, seen: Observation, peer: Observation) -> Plan:
    """Make the running domain of this host the primary of a pair: the record, and what libvirt must know around it."""
    left_out = unreplicated.keep_out(seen, peer)
    refuse_if([*guest.cut_off(seen), *left_out, *problems(preflight.of_pair(wanted, seen, peer))])
    domain = _known(seen)
    record = _primary_record(wanted, seen, peer)
    if seen.record and states.is_up(seen):
        refuse_if(_lasting(seen.record, record))
    after = xml.protect(domain.inactive_xml, record)
    settled = reading.read_record(after)
    steps = [*_make_directory(wanted, seen, images.home(wanted.directory, domain.uuid)), *_define(domain, after)]
    # What a QEMU was told of TLS stays written in it until that is taken out.
    if domain.live_record != settled and not (states.is_up(seen) and states.of_other_tls(domain, settled)):
        steps.append(live_record(domain, settled))
    if domain.autostart:
        steps.append(_autostart(domain, on=False))
    marker = _marker(domain.uuid, settled)
    steps += _mark(seen, marker, images.home(wanted.directory, domain.uuid))
    return Plan(tuple(steps), seen)


def _primary_record(wanted: Wanted, seen: Observation, peer: Observation) -> Record:
    domain, old = _known(seen), seen.record
    disks = originals.of_primary(wanted, domain)
    unknown = {want.target for want in wanted.disks} - {disk.target for disk in disks}
    if unknown:
        raise ColoError(f"QEMU did not say the size of disk {', '.join(sorted(unknown))}", remedy="Run again")
    first_port = wanted.first_port or (old.first_port if old else free_block(seen.host, peer.host))
    return Record(
        role="primary",
        generation=copies.generation_when_described(seen),
        complete=None,
        local=Endpoint(seen.host.name, seen.host.machine_id, wanted.address),
        peer=Endpoint(peer.host.name, peer.host.machine_id, wanted.peer_address),
        first_port=first_port,
        disks=disks,
        nics=_nics(seen),
        autostart_before=old.autostart_before if old else domain.autostart,
        checkpoint_delay=wanted.checkpoint_delay,
        uncompared=uncompared.treatment(wanted.uncompared),
        **_encryption(encryption.chosen(wanted, seen, peer)),
    )


def _nics(seen: Observation) -> tuple[NicRecord, ...]:
    """Those that the guest runs with, and what the persistent domain has of them.

    Whether a NIC's bridge has an uplink is written down when the pair is formed, and no more once it is up.
    """
    domain, old = _known(seen), seen.record
    kept = {nic.mac: nic.uplink for nic in old.nics} if old and states.is_up(seen) else None
    found = reach.with_uplink(seen) if kept is None else kept
    persistent = {nic.mac: nic for nic in reading.nics(domain.inactive_xml)}
    nics = [persistent.get(nic.mac, nic) for nic in domain.nics]
    return tuple(NicRecord(nic.mac, nic.driver, nic.driver_element, found.get(nic.mac)) for nic in nics)


def _encryption(tls: str) -> dict[str, Any]:
    """The fields of a record that say which channels are encrypted."""
    return {"credentials": None if tls == OFF else PKI_DIRECTORY, "clear_proxy": tls == EXCEPT_PROXY}


def secondary(wanted: Wanted, seen: Observation, peer: Observation) -> Plan:
    """Make this host the standby's: the domain from the primary's persistent XML, and its images."""
    refuse_if(_secondary_problems(wanted, seen, peer))
    record = _secondary_record(wanted, seen, peer)
    if seen.domain and seen.domain.active and seen.record:
        refuse_if([*_lasting(seen.record, record), *_lasting_images(seen.record, record)])
    source = _known(peer)
    after = standby_of(source.inactive_xml, record)
    refuse_if(fit.of_standby(wanted, peer, after, record))
    settled = reading.read_record(after)
    directory = images.home(wanted.directory, source.uuid)
    marker = _marker(source.uuid, settled)
    steps = [*_make_directory(wanted, seen, directory), *_mark(seen, marker, directory)]
    steps += [_create(wanted, *image) for image in images.files(settled.disks) if not _exists(seen, image[0])]
    if seen.domain is None:
        steps.append(Step(f"define the standby {source.name}", "define", {"xml": after}))
    else:
        steps += _redefine_standby(seen.domain, after, settled)
    return Plan(tuple(steps), seen)


def _secondary_problems(wanted: Wanted, seen: Observation, peer: Observation) -> Iterator[Problem]:
    record = peer.record
    if peer.domain is None or record is None or record.role != "primary":
        yield from problems(preflight.of_host(seen.host, wanted.directory, dry=wanted.dry))
        yield Problem(
            "the peer is not the primary of a pair",
            "Run lockstep.colo.deploy, which prepares both hosts (as a module: colo_disk with role primary there)",
        )
        return
    yield from _ends(wanted, seen, peer)
    yield from problems(preflight.of_pair(wishes.recorded(wanted, record), peer, seen))


def _ends(wanted: Wanted, seen: Observation, peer: Observation) -> Iterator[Problem]:
    """Where the ends of the pair are not those that the inventory has, whatever the primary's host says of them."""
    record = peer.record
    for whose, said, known in (
        ("this host's address", record.peer.address, wanted.address),
        ("its own address", record.local.address, wanted.peer_address),
        ("this host's name", record.peer.host, seen.host.name),
        ("its own name", record.local.host, peer.host.name),
        ("the pair's first port", record.first_port, wanted.first_port),
    ):
        if known and known != said:
            yield Problem(
                f"the primary's record has {said} as {whose}, not {known}",
                "Correct the inventory and run lockstep.colo.deploy (as a module: colo_disk on the primary's host "
                "with the same addresses and first_port)",
            )
    as_before = seen.record is not None and seen.record.tls == record.tls
    if TLS.index(record.tls) > TLS.index(wanted.tls) and not as_before:
        yield Problem(
            f"the primary's record has tls: {record.tls}, which is less than tls: {wanted.tls}, and this host has no "
            "such pair",
            "Run lockstep.colo.unprotect and then deploy, which forms the pair anew with what is wanted; or set "
            f"colo_tls: {record.tls} (as a module: colo_disk with the same tls on both hosts)",
        )


def _secondary_record(wanted: Wanted, seen: Observation, peer: Observation) -> Record:
    source, old = peer.record, seen.record
    home = images.home(wanted.directory, _known(peer).uuid)
    same = old is not None and old.role == "secondary" and old.generation == source.generation
    return replace(
        source,
        role="secondary",
        complete=old.complete if same else None,
        local=source.peer,
        peer=source.local,
        disks=images.of_standby(wanted, old, home, source.disks),
    )


def _lasting(now: Record, wanted: Record) -> Iterator[Problem]:
    """What QEMU was told when this half of the pair came up, and cannot be told anew."""
    for what, old, new in (
        ("first port", now.first_port, wanted.first_port),
        ("address for replication", now.local.address, wanted.local.address),
        ("peer's address for replication", now.peer.address, wanted.peer.address),
    ):
        if old != new:
            yield Problem(f"the {what} cannot change from {old} to {new} while the pair is up", LASTING_REMEDY)


def _lasting_images(now: Record, wanted: Record) -> Iterator[Problem]:
    """The running standby's own files; a disk that it does not have yet may have any."""
    known = {disk.target: disk for disk in now.disks}
    for disk in wanted.disks:
        old = known.get(disk.target, disk)
        for before, after in ((old.path, disk.path), (old.active, disk.active), (old.hidden, disk.hidden)):
            if before != after:
                what = f"the standby's image {before} cannot become {after} while the standby runs"
                yield Problem(what, LASTING_REMEDY, disk.target)


def plain(role: str, seen: Observation, peer: Observation | None) -> Plan:
    """Take back what was done to the domain of this host; a standby goes altogether, with its images.

    With role secondary a copy that is older than the peer's goes as well: nobody shall ever start it.
    """
    if seen.domain is None or seen.record is None:
        return Plan((), seen)
    if role == "primary" and seen.record.role != "secondary":
        return _plain_primary(seen)
    refuse_if(_kept_problems(role, seen, peer))
    return _plain_secondary(seen)


def _kept_problems(role: str, seen: Observation, peer: Observation | None) -> Iterator[Problem]:
    """Why this host's copy may not go."""
    if role == "primary":
        yield Problem("this host has the standby, not the guest", "State role secondary for this host")
    elif seen.domain.active:
        yield Problem(
            f"the {seen.record.role} is running",
            "Run lockstep.colo.unprotect, which ends that first (as a module: colo_pair with state absent)",
        )
    elif seen.record.role != "secondary" and (peer is None or peer.generation <= seen.generation):
        yield Problem(
            "this host has had the guest, and it is not certain that the other host has a newer copy",
            "Bring the other host back, and give its observation as peer",
        )


def _plain_primary(seen: Observation) -> Plan:
    domain, record = _known(seen), seen.record
    refuse_if(guest.unanswered(seen))
    if seen.monitor and any(map(is_ours, seen.monitor.nodes)):
        refuse_if(
            [
                Problem(
                    "the pair's layers are under the running guest's disks",
                    "Run lockstep.colo.unprotect, which takes them out (as a module: colo_pair with state absent)",
                )
            ]
        )
    after = xml.unprotect(domain.inactive_xml)
    steps = [*let_pass(seen), *_define(domain, after)]
    if domain.live_record:
        steps.append(live_record(domain, None))
    if record.autostart_before and not domain.autostart:
        steps.append(_autostart(domain, on=True))
    steps += _remove_home(seen, ())
    return Plan(tuple(steps), seen)


def _plain_secondary(seen: Observation) -> Plan:
    steps = [*let_pass(seen), Step(f"undefine {seen.domain.name} on this host", "undefine")]
    steps += _remove_home(seen, tuple(path for path, _kind, _size in images.files(seen.record.disks)))
    return Plan(tuple(steps), seen)


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


def _define(domain: Domain, after: str) -> list[Step]:
    if reading.canonical(after) == reading.canonical(domain.inactive_xml):
        return []
    return [Step(f"define {domain.name} with the changed XML", "define", {"xml": after})]


def _redefine_standby(domain: Domain, after: str, settled: Record) -> list[Step]:
    steps = _define(domain, after)
    # What a QEMU was told of TLS stays written in it: it is of no use once another is wanted.
    if domain.active and domain.live_record != settled and not states.of_other_tls(domain, settled):
        steps.append(live_record(domain, settled))
    if domain.autostart:
        steps.append(_autostart(domain, on=False))
    return steps


def live_record(domain: Domain, record: Record | None) -> Step:
    """Write the record in the running domain, or remove it there."""
    text = xml.with_metadata_element(record) if record else None
    title = f"{'write' if record else 'remove'} the record in the running domain {domain.name}"
    return Step(title, "record", {"xml": text, "live": True})


def _autostart(domain: Domain, *, on: bool) -> Step:
    return Step(f"turn autostart of {domain.name} {'on' if on else 'off'}", "autostart", {"on": on})


def _marker(uuid: str, record: Record) -> Marker:
    paths = tuple(path for path, _kind, _size in images.files(record.disks))
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
