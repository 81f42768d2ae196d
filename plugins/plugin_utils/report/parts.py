# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the picture shows of one host: the guest, each disk with its layers, each NIC with its filters. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import graph
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep.states import INCOMING

from . import blocks, words
from .ink import MONO, Panel, arrow, box, line, pill, text
from .markup import Markup, join, tag

NODE, NODE_FILE = 36, 20  # heights of a node, and of the file in its box
COLUMN, ASIDE, GAP = 160, 26, 28  # width of a node, between columns, between ranks
MARGIN, BRACKET = 30, 13  # left of the first column; how far a line that passes a box goes out
DISK_HEAD, DEVICE = 42, 26
CHIP, CHIP_ROW = 19, 24
CHIPS = 24  # filters of a NIC, at most; a pair's have seven
ROLES = {"primary": "primary", "secondary": "standby", "alone": "alone"}


def inner_width(columns: int) -> float:
    return MARGIN + columns * COLUMN + (columns - 1) * ASIDE + 12


def head(name: str, observation: dict[str, Any] | None, width: float, height: float) -> Markup:
    """The host's name, where it is reached, and what runs the guest there."""
    facts, role = "", None
    if observation:
        host, record = observation["host"], _record(observation)
        role = f"{ROLES[record['role']]}, generation {record['generation']}" if record else "not in a pair"
        emulator = host["emulator"]
        facts = " · ".join(
            filter(None, [
                record and record["local"]["address"],
                emulator and f"QEMU {emulator['version']}",
                host["libvirt"] and f"libvirt {host['libvirt']}",
            ])
        )  # fmt: skip
    return join(
        text(14, 26, name, "host-name", size=16, room=width - 170),
        text(14, 44, facts, "muted", size=11, room=width - 28),
        pill(width - 12, 11, role, "role", size=10.5, room=150) if role else None,
    )


# The guest


def guest(host: dict[str, Any], phase: str | None, width: float) -> Panel:
    observation = host["observation"]
    domain, monitor = observation["domain"], observation["monitor"]
    said, tone = state(host, phase)
    facts = []
    if domain:
        facts.append(f"libvirt: {domain['state']}")
    if monitor:
        facts.append(f"QEMU: {monitor['status']}")
    return Panel(
        58,
        join(
            box(0, 0, width, 58, f"guest {tone}"),
            box(0, 0, 5, 58, f"edge {tone}", radius=2),
            text(16, 23, domain["name"] if domain else "no guest", "strong", size=13, room=width - 190),
            text(16, 42, said, "plain", size=11.5, room=width - 24),
            text(width - 10, 22, " · ".join(facts), "muted", size=9.5, room=width - 130, anchor="end"),
        ),
    )


def state(host: dict[str, Any], phase: str | None) -> tuple[str, str]:
    """How the guest is on this host, in words, and whether that is good or bad; ``phase`` is that of the whole pair."""
    observation = host["observation"]
    domain, record, monitor = observation["domain"], _record(observation), observation["monitor"]
    if domain is None:
        return "there is no domain of this name here", "none"
    if domain["state"] in ("shutoff", "crashed"):
        return "does not run", "none"
    if monitor is None:
        problem = observation["monitor_problem"]
        return (f"runs; {problem}", "bad") if problem else ("runs, says libvirt; QEMU was not asked", "none")
    role = record["role"] if record else None
    if role == "secondary":
        said, tone = _standby(monitor, phase)
        whole = record["complete"] == record["generation"]
        return said if whole else f"{said}; not to be promoted yet", tone
    if not monitor["running"]:
        return f"stands still ({monitor['status']})", "bad"
    if role == "alone":
        return "runs here, alone", "warning"
    if host["phase"] == "protected" and phase == "protected":
        return "runs here, in lockstep with its standby", "good"
    if host["phase"] == "protected":
        return "runs here, in lockstep for all it knows", "warning"
    if host["phase"] == "stalled":
        return "runs here, and completes no checkpoint", "bad"
    if host["phase"] == "degraded":
        return "runs here, without its standby", "bad"
    return "runs here, unprotected", "warning"


def _standby(monitor: dict[str, Any], phase: str | None) -> tuple[str, str]:
    if monitor["status"] == INCOMING:
        return "a standby that waits for its guest", "warning"
    if monitor["colo"] == "secondary" and monitor["running"]:
        in_lockstep = phase in ("protected", "stalled")
        return (
            ("a standby in lockstep", "good") if in_lockstep else ("a standby in lockstep, for all it knows", "warning")
        )
    return f"a standby that is not in lockstep ({monitor['status']})", "bad"


# Disks


def disk_graph(observation: dict[str, Any], target: str) -> blocks.Graph:
    monitor, disk = observation["monitor"], disk_of(observation, target)
    return blocks.graph(monitor["nodes"] if monitor else {}, disk["node"] if disk else None, target)


def disk_of(observation: dict[str, Any], target: str) -> dict[str, Any] | None:
    disks = (observation["domain"] or {"disks": ()})["disks"]
    return next((disk for disk in disks if disk["target"] == target), None)


def disk(observation: dict[str, Any], target: str, width: float) -> Panel:
    found, layers = disk_of(observation, target), disk_graph(observation, target)
    about = (
        []
        if found is None
        else [found["format"], found["bus"], found["virtual_size"] and words.size(found["virtual_size"])]
    )
    top = DISK_HEAD
    body: list[Markup] = []
    if found is None:
        body.append(text(14, top, "not a disk of this host's domain", "muted", size=11, room=width - 28))
        top += 14
    elif not layers.boxes:
        body += _image_alone(observation, found, top, width)
        top += NODE + NODE_FILE + 12
    else:
        body.append(
            text(MARGIN, top + 8, f"the guest's device, {found['alias'] or target}", "muted", size=9.5, room=width - 60)
        )
        graph_height, ink = _layers(layers, found["node"], top + DEVICE)
        body.append(ink)
        top += DEVICE + graph_height + 14
    return Panel(
        top,
        join(
            text(14, 22, target, "strong", size=13, room=width / 3),
            text(
                14 + 9 * words.width(target) + 8,
                22,
                " · ".join(filter(None, about)),
                "muted",
                size=10.5,
                room=width / 2,
            ),
            _remark(observation, target, width),
            body,
        ),
    )


def _remark(observation: dict[str, Any], target: str, width: float) -> Markup | None:
    """What goes on with the disk: a copy under way, or that it is served to the other host."""
    monitor = observation["monitor"] or {"jobs": {}, "exports": ()}
    job = monitor["jobs"].get(graph.sync_job(target))
    if job:
        percent = 100 * job["done"] / job["total"] if job["total"] else 0.0
        return pill(width - 10, 8, f"copying: {percent:.0f} %, {job['status']}", "warning", room=160)
    if graph.export(target) in monitor["exports"]:
        return pill(width - 10, 8, "served by NBD", "role")
    return None


def _image_alone(observation: dict[str, Any], found: dict[str, Any], top: float, width: float) -> list[Markup]:
    active = (observation["domain"] or {}).get("state") not in ("shutoff", "crashed")
    why = "its layers are not known" if active else "no layers: the domain does not run"
    node = blocks.Box(name=found["format"] or "an image", driver=why, owner="libvirt", attached=active)
    node.path, node.file = found["source"], blocks.file_name(found["source"])
    return [_node(node, MARGIN, top, min(width - 2 * MARGIN, 2 * COLUMN))]


def _layers(layers: blocks.Graph, root: str | None, top: float) -> tuple[float, Markup]:
    """The graph from ``top`` downwards, and how high it is."""
    heights = [0.0] * layers.ranks
    for one in layers.boxes.values():
        heights[one.rank] = max(heights[one.rank], _height(one))
    tops = [top + sum(heights[:rank]) + GAP * rank for rank in range(layers.ranks)]
    places = {
        name: (MARGIN + one.column * (COLUMN + ASIDE), tops[one.rank], _height(one))
        for name, one in layers.boxes.items()
    }
    ink = [join(*_edges(layers, places))]
    if root in places:
        x, y, _height_of_root = places[root]
        ink.append(arrow([(x + COLUMN / 2, y - DEVICE + 12), (x + COLUMN / 2, y)], "wire"))
    ink += [_node(one, *places[name][:2], COLUMN) for name, one in layers.boxes.items()]
    return tops[-1] + heights[-1] - top, join(*ink)


def _height(one: blocks.Box) -> float:
    return NODE + (NODE_FILE if one.file else 0)


def _node(one: blocks.Box, x: float, y: float, width: float) -> Markup:
    loose = "" if one.attached else " loose"
    return join(
        box(x, y, width, _height(one), f"node {one.owner}{loose}"),
        text(x + 8, y + 15, one.name, "plain", size=10.5, room=width - 12, mono=True),
        text(x + 8, y + 29, one.driver or words.NOT_KNOWN, "muted", size=10, room=width - 12),
        _file(one, x, y + NODE, width) if one.file else None,
    )


def _file(one: blocks.Box, x: float, y: float, width: float) -> Markup:
    return join(
        line([(x, y - 1), (x + width, y - 1)], "rule"),
        text(x + 8, y + 13, one.file or "", "file", size=9.5, room=width - 12, mono=True),
    )


def _edges(layers: blocks.Graph, places: dict[str, tuple[float, float, float]]) -> Iterator[Markup]:
    starts: dict[str, int] = {}
    for edge in layers.edges:
        (x, y, height), (to_x, to_y, to_height) = places[edge.parent], places[edge.child]
        parent, child = layers.boxes[edge.parent], layers.boxes[edge.child]
        middle, bottom = x + COLUMN / 2, y + height
        class_ = "wire aside" if edge.aside else "wire"
        if child.column < parent.column:  # down, and into the side of a box that stands further left
            middle += 16 * starts.get(edge.parent, 0)
            starts[edge.parent] = starts.get(edge.parent, 0) + 1
            level = to_y + to_height / 2
            yield arrow([(middle, bottom), (middle, level), (to_x + COLUMN, level)], class_)
            yield _label(to_x + COLUMN + 11, level - 5, edge)
        elif child.column > parent.column:
            target, level = to_x + COLUMN / 2, bottom + GAP / 2 - 4
            yield arrow([(middle, bottom), (middle, level), (target, level), (target, to_y)], class_)
            yield _label(target + 6, to_y - 8, edge)
        elif child.rank == parent.rank + 1:
            yield arrow([(middle, bottom), (middle, to_y)], class_)
            yield _label(middle + 6, to_y - 8, edge)
        else:  # past the boxes between
            left, begin, end = x - BRACKET, y + height / 2, to_y + to_height / 2
            yield arrow([(x, begin), (left, begin), (left, end), (to_x, end)], class_)
            yield _turned(left - 4, (begin + end) / 2, edge)


def _label(x: float, y: float, edge: blocks.Edge) -> Markup:
    return text(x, y, edge.label, "muted", size=9, room=COLUMN / 2 + ASIDE)


def _turned(x: float, y: float, edge: blocks.Edge) -> Markup:
    return tag(
        "g",
        text(0, 0, edge.label, "muted", size=9, room=120, anchor="middle"),
        transform=f"translate({x:.1f} {y:.1f}) rotate(-90)",
    )


# NICs


def nic(observation: dict[str, Any], mac: str, width: float, at_least: float = 0) -> Panel:
    nics = (observation["domain"] or {"nics": ()})["nics"]
    found = next((one for one in nics if one["mac"] == mac), None)
    filters = _filters(observation, found)
    per_row = max(1, int((width - 20) // 175))
    rows = -(-len(filters) // per_row)
    height = max(at_least, 56 + rows * CHIP_ROW + (4 if rows else 0))
    chip_width = (width - 28 - 6 * (per_row - 1)) / per_row
    chips = [
        _chip(14 + (number % per_row) * (chip_width + 6), 52 + (number // per_row) * CHIP_ROW, chip_width, words_)
        for number, words_ in enumerate(filters)
    ]
    return Panel(
        height,
        join(
            text(14, 22, (found and found["alias"]) or "NIC", "strong", size=13, room=80),
            text(
                70, 22, " · ".join(filter(None, [mac, found and found["model"]])), "muted", size=10.5, room=width - 80
            ),
            text(14, 41, *_link(observation, found), size=11, room=width - 28),
            chips,
        ),
    )


def _link(observation: dict[str, Any], found: dict[str, Any] | None) -> tuple[str, str]:
    """Where the NIC leads, in words, and their class: a standby's link must be down."""
    if found is None:
        return "not a NIC of this host's domain", "muted"
    bridge = f", bridge {found['bridge']}" if found["bridge"] else ""
    if not found["tap"]:
        return f"no link: the domain does not run{bridge}", "muted"
    up, record = found["tap_up"], _record(observation)
    wrong = up and record and record["role"] == "secondary"
    known = words.NOT_KNOWN if up is None else "up" if up else "down"
    return f"link {found['tap']} is {known}{bridge}", "bad-text" if wrong else "plain"


def _filters(observation: dict[str, Any], found: dict[str, Any] | None) -> list[tuple[str, str]]:
    """The objects of QEMU that see this NIC's packets: (name within the NIC, type)."""
    monitor = observation["monitor"]
    if not monitor or not found or not found["alias"]:
        return []
    alias = found["alias"]
    objects = sorted(monitor["objects"].items())
    own = f"{graph.PREFIX}{alias}-"
    ours = [(name.removeprefix(own), kind) for name, kind in objects if name.startswith(own)]
    return [*ours, *(("rewriter", kind) for name, kind in objects if name == f"rewriter-{alias}")][:CHIPS]


def _chip(x: float, y: float, width: float, words_: tuple[str, str]) -> Markup:
    name, kind = words_
    beside = 9 + (words.width(name) + 1) * 9.5 * MONO
    return join(
        box(x, y, width, CHIP, "node colo", radius=9),
        text(x + 9, y + 13, name, "plain", size=9.5, room=width - 14, mono=True),
        text(x + beside, y + 13, kind, "muted", size=9.5, room=width - beside - 4, mono=True),
    )


def _record(observation: dict[str, Any]) -> dict[str, Any] | None:
    return (observation["domain"] or {}).get("record")
