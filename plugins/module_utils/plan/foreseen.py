# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a run came out as the effects of its steps foresaw: what check mode says is worth as much as this."""

from __future__ import annotations

from typing import Any

from ..lockstep import graph
from ..observation.depth import WHOLE_DOMAIN, WHOLE_HOST
from ..observation.seen import Monitor, Observation

UNKNOWN_NODE = "(the node of "  # effects: libvirt names it when the standby starts
DELAY = "QEMU's checkpoint delay"
OF_A_PAIR = ("barrier", "images", "QEMU's connected")  # looked at only where the domain has a record


def differences(before: Observation, foreseen: Observation, seen: Observation) -> list[str]:
    """What plans decide on and a run left otherwise than was foreseen, in words; as far as both looks went.

    ``foreseen`` is what the effects make of ``before``; ``seen`` is what the run has left. A look that left QEMU and
    the host out, since clients wait for what follows or QEMU has ended, shows nothing that could be compared.
    """
    looks = before.depth, seen.depth
    if not all(depth in WHOLE_DOMAIN for depth in looks):
        return []
    whole_host = all(depth in WHOLE_HOST for depth in looks)
    expected, found = _outline(foreseen, whole_host), _outline(seen, whole_host)
    if (before.record is None) != (seen.record is None):
        _leave_out_what_was_there(expected, found)
    if foreseen.monitor is None or seen.monitor is None:  # a QEMU that is new, or does not answer
        expected, found = ({k: v for k, v in one.items() if not k.startswith("QEMU")} for one in (expected, found))
    keys = dict.fromkeys([*expected, *found])
    return [
        f"{key}: {found.get(key)!r}, foreseen was {expected.get(key)!r}"
        for key in keys
        if expected.get(key) != found.get(key) and not _is_unknown(key, expected.get(key))
    ]


def _is_unknown(key: str, expected: Any) -> bool:
    """Whether it was not foreseen what it would be: of a QEMU that a step before has started."""
    return UNKNOWN_NODE in str(expected) or (key == DELAY and expected is None)


def _leave_out_what_was_there(expected: dict[str, Any], found: dict[str, Any]) -> None:
    """With a record it comes into view, and without one it goes out of it: only what was made counts."""
    made, left = expected.get("images", set()), found.get("images", set())
    for key in OF_A_PAIR:
        expected.pop(key, None)
        found.pop(key, None)
    if found.get("record") is not None:
        expected["images"], found["images"] = made, left & made


def _outline(seen: Observation, whole_host: bool) -> dict[str, Any]:
    domain, marker = seen.domain, seen.marker
    outline: dict[str, Any] = {"domain": domain is not None, "marker": marker and (marker.generation, marker.role)}
    if domain is not None:
        outline |= {
            "active": domain.active,
            "record": domain.record,
            "live record": domain.live_record,
            "autostart": domain.autostart,
            "saved": domain.saved_xml is not None,
            "saved by us": domain.saved_by_us,
        }
    if seen.monitor is not None:
        outline |= {f"QEMU's {name}": value for name, value in _of_qemu(seen, seen.monitor).items()}
    if whole_host:
        outline["barrier"] = seen.barrier
        outline["images"] = {path for path, image in seen.images.items() if image.exists}
        ports = {channel.port for channel in seen.record.channels()} if seen.record else set()
        outline["ports"] = sorted(ports & set(seen.host.ports))
    return outline


def _of_qemu(seen: Observation, monitor: Monitor) -> dict[str, Any]:
    ours = {name: node for name, node in monitor.nodes.items() if graph.is_ours(name)}
    return {
        "run state": monitor.running or monitor.status,
        "lockstep": monitor.colo,
        "migration": monitor.migration.status,
        "checkpoint delay": monitor.migration.checkpoint_delay,
        "capabilities": sorted(monitor.migration.capabilities),
        "disks": {disk.target: disk.node for disk in seen.domain.disks},
        "links": {nic.mac: nic.tap_up for nic in seen.domain.nics},
        "nodes": {name: node.driver for name, node in ours.items()},
        "children": {name: sorted(node.children.values()) for name, node in ours.items() if node.driver == "quorum"},
        "jobs": {name: job.status for name, job in monitor.jobs.items() if graph.is_ours(name)},
        "exports": sorted(monitor.exports),
        "bitmaps": {node: sorted(known) for node, known in monitor.bitmaps.items()},
        "objects": sorted(filter(graph.is_ours, monitor.objects)),
        "sockets": sorted(filter(graph.is_ours, monitor.chardevs)),
        "I/O threads": sorted(monitor.iothreads),
        "connected": bool(set(seen.peer_sockets) - set(seen.closed_sockets)),
    }
