# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that an observation has of a domain from its XML, read in one place: on its own host, and anew on the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..errors import ColoError
from ..observation.seen import Nic, Observation
from . import asks, needs, reading
from .devices import NicElement
from .foreign import foreign_in
from .otherwise import otherwise
from .unsupported import unsupported_in, untried_in


def described(inactive_xml: str, live_xml: str | None) -> dict[str, Any]:
    """The fields of Domain that follow from its XML; as the guest runs now, where it does."""
    current = live_xml or inactive_xml
    return {
        "machine": reading.machine(current),
        "memory": reading.memory_bytes(current),
        "vcpus": reading.vcpus(current),
        "emulator": reading.emulator(current),
        "type": reading.virt_type(current),
        "cpu_mode": reading.cpu_mode(current),
        "huge_page": reading.huge_page(current),
        "nvram": reading.nvram(current),
        "files": tuple(needs.files(current)),
        "processors": tuple(needs.processors(current)),
        "numa_nodes": tuple(needs.numa_nodes(current)),
        "partition": needs.partition(current),
        "record": reading.read_record(inactive_xml),
        "live_record": reading.read_record(live_xml) if live_xml else None,
        "live_incoming": bool(live_xml) and reading.has_incoming(live_xml),
        "disks": tuple(reading.disks(current)),
        "nics": tuple(_nic(element) for element in reading.nics(current)),
        "unsupported": tuple(unsupported_in(current)),
        "untried": untried_in(current),
        "foreign": {name: words for xml in (inactive_xml, live_xml) if xml for name, words in foreign_in(xml).items()},
        "otherwise": tuple(otherwise(inactive_xml, live_xml)) if live_xml else (),
        "listens": tuple(asks.listens(current)),
        "network_filters": tuple(asks.network_filters(current)),
    }


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
        network=element.network,
        vlans=element.vlans,
    )


def read_anew(seen: Observation, name: str) -> Observation:
    """What another host has seen of its domain ``name``, with all that its XML tells read from that XML here.

    Of the rest, only what no XML tells is believed. ColoError where the XML is that of another domain.
    """
    domain = seen.domain
    if domain is None:
        return replace(seen, monitor=None)
    _is_of(domain.name, domain.uuid, name, domain.uuid)
    if not domain.inactive_xml:  # of which only its state and record were looked at: there is nothing else to start
        return replace(seen, domain=replace(domain, live_xml=None, saved_xml=None))
    for xml in (domain.inactive_xml, domain.live_xml):
        if xml:
            _is_of(reading.name(xml), reading.uuid(xml), name, domain.uuid)
    told = described(domain.inactive_xml, domain.live_xml)
    disks = {disk.target: disk for disk in domain.disks}
    taps = {nic.mac: nic for nic in domain.nics}
    told["disks"] = tuple(
        replace(disk, node=now.node, virtual_size=now.virtual_size, failed_writes=now.failed_writes)
        if (now := disks.get(disk.target))
        else disk
        for disk in told["disks"]
    )
    told["nics"] = tuple(replace(nic, tap_up=now.tap_up) if (now := taps.get(nic.mac)) else nic for nic in told["nics"])
    return replace(seen, domain=replace(domain, **told))


def _is_of(name: str, uuid: str, wanted: str, known: str) -> None:
    if (name, uuid) != (wanted, known):
        raise ColoError(
            f"the other host spoke of the domain {name[:60]!r} (UUID {uuid[:60]!r}), not of {wanted!r} ({known})",
            remedy="Look at that host, which may be compromised; nothing was made of what it said",
        )
