# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of what was observed: each host before and after, its disks and NICs, and the channels. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from . import parts, words
from .markup import Markup, join, tag

UNSEEN = {"unreachable": "unreachable", "not_observed": "not observed", "not_asked": "not asked"}
STATES = {"connected": "connected", "closed": "not connected", "one_sided": "one side only"}


def tables(document: dict[str, Any]) -> Markup | None:
    sides = [document[side] for side in ("before", "after")]
    names = list(dict.fromkeys(name for side in sides if side for name in side["hosts"]))
    channels = (document["after"] or document["before"] or {}).get("channels")
    if not names:
        return None
    return join([_host(name, sides) for name in names], _channels(channels) if channels else None)


def _host(name: str, sides: list[dict[str, Any] | None]) -> Markup:
    before, after = (side and {**side["hosts"][name], "pair": (side["verdict"] or {}).get("phase")} for side in sides)
    rows = [
        tag(
            "tr",
            tag("th", label, scope="row"),
            tag("td", old, data_label="found"),
            tag("td", tag("strong", new) if differs else new, data_label="at the end"),
        )
        for label, old, new, differs in _compared(before, after)
    ]
    head = tag("tr", tag("th", ""), tag("th", "found"), tag("th", "at the end"))
    last = next((host["observation"] for host in (after, before) if host and host["observation"]), None)
    return tag(
        "div",
        tag("h3", name),
        tag("table", tag("thead", head), tag("tbody", rows), class_="facts stacking"),
        join(_disks(last), _nics(last)) if last and last["domain"] else None,
        class_="host-details",
    )


def _compared(before: dict[str, Any] | None, after: dict[str, Any] | None) -> Iterator[tuple[str, str, str, bool]]:
    old, new = (dict(_facts(host)) for host in (before, after))
    for label in dict.fromkeys([*new, *old]):
        values = [facts.get(label, words.NOTHING) for facts in (old, new)]
        yield label, *values, values[0] != values[1] and words.NOTHING not in values


def _facts(host: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    if host is None:
        return
    seen = host["observation"]
    if seen is None:
        yield "guest", UNSEEN[host["state"]]
        return
    domain, monitor = seen["domain"], seen["monitor"]
    record = (domain or {}).get("record")
    yield "guest", parts.state(host, host["pair"])[0]
    yield "phase, by this host alone", words.known(host["phase"])
    if record:
        yield "role", parts.ROLES[record["role"]]
        yield "generation", str(record["generation"])
        if record["role"] == "secondary":
            yield "checkpoint completed", words.yes_no(record["complete"] == record["generation"])
    if domain:
        yield "domain, by libvirt", domain["state"]
        yield (
            "machine, memory",
            f"{domain['machine']}, {words.size(domain['memory'])}, {words.count(domain['vcpus'], 'CPU')}",
        )
        yield "autostart", "on" if domain["autostart"] else "off"
    for target, one in seen["compared"].items():
        copied = f"{words.size(one['moved'])} sent, {words.size(one['saved'])} were on the standby"
        way = "what was written since both were the same" if one.get("way") == "written" else "compared"
        yield f"last copy of {target}", f"{way}: {copied}"
    if monitor:
        yield "QEMU", f"{monitor['status']}, migration {monitor['migration']['status']}, COLO {monitor['colo']}"
    yield from _host_facts(seen)


def _host_facts(seen: dict[str, Any]) -> Iterator[tuple[str, str]]:
    host, marker, watched = seen["host"], seen["marker"], seen["checkpoints"]
    if watched:
        yield "checkpoints", f"{watched['count']} in {words.duration(watched['seconds'])}"
    if marker:
        yield "marker beside the images", f"generation {marker['generation']}, {marker['role']}"
    emulator = host["emulator"]
    versions = [emulator and f"QEMU {emulator['version']}", host["libvirt"] and f"libvirt {host['libvirt']}"]
    yield "versions", ", ".join(filter(None, versions)) or words.NOT_KNOWN
    yield "memory available", words.size(host["memory_available"]) if host["memory_available"] else words.NOT_KNOWN


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Markup:
    columns = list(columns)
    return tag(
        "table",
        tag("thead", tag("tr", [tag("th", column) for column in columns])),
        tag(
            "tbody",
            [
                tag("tr", [tag("td", cell, data_label=column) for column, cell in zip(columns, row, strict=False)])
                for row in rows
            ],
        ),
        class_="facts stacking",
    )


def _disks(seen: dict[str, Any]) -> Markup | None:
    record = seen["domain"]["record"] or {"disks": ()}
    replicated = {disk["target"] for disk in record["disks"]}
    rows = [
        (
            disk["target"],
            words.known(disk["source"]),
            ", ".join(filter(None, [disk["format"], disk["virtual_size"] and words.size(disk["virtual_size"])])),
            words.known(disk["node"]),
            words.yes_no(disk["target"] in replicated),
        )
        for disk in seen["domain"]["disks"]
    ]
    return _table(("disk", "image", "format, size", "node at the device", "replicated"), rows) if rows else None


def _nics(seen: dict[str, Any]) -> Markup | None:
    rows = [
        (
            nic["mac"],
            nic["model"],
            words.known(nic["bridge"]),
            f"{nic['tap']}, {words.known({True: 'up', False: 'down'}.get(nic['tap_up']))}"
            if nic["tap"]
            else words.NOTHING,
        )
        for nic in seen["domain"]["nics"]
    ]
    return _table(("NIC", "model", "bridge", "link"), rows) if rows else None


def _channels(channels: list[dict[str, Any]]) -> Markup:
    rows = [
        (
            channel["kind"],
            channel["nic"] or words.NOTHING,
            f"{channel['address']} port {channel['port']}, on the {parts.ROLES[channel['listener']]}",
            STATES[channel["state"]],
            words.listed(channel["seen_by"]) or words.NOTHING,
        )
        for channel in channels
    ]
    return join(tag("h3", "Channels"), _table(("channel", "NIC", "listens", "state", "seen by"), rows))
