# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layer graph of one disk as QEMU showed it, laid out in ranks and columns. Pure; what it draws is in ``picture``.

A rank is below everything that refers to it. The way of the data, from the guest's device downwards, stays in the
first column; what goes aside gets a column of its own. The node of a plain file is part of the box above it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.lockstep.colo.plugins.module_utils.lockstep.graph import PREFIX
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep.own_node import LIBVIRT_PREFIX

from . import words

OURS, LIBVIRTS = PREFIX, LIBVIRT_PREFIX
BOXES, EDGES = 512, 1024  # of one disk, at most; a pair's has a dozen
FILE_DRIVERS = ("file", "host_device", "null-co")
ASIDE = ("hidden disk", "secondary disk", "target")  # references beside the way of the data


@dataclass
class Box:
    """A block node. ``owner``: colo, libvirt or qemu (which names nodes with a ``#``)."""

    name: str
    driver: str | None
    owner: str
    file: str | None = None  # the file's name, where the box holds the node of a file
    path: str | None = None
    attached: bool = True
    rank: int = 0
    column: int = 0


@dataclass(frozen=True)
class Edge:
    parent: str
    child: str
    label: str

    @property
    def aside(self) -> bool:
        return self.label in ASIDE


@dataclass
class Graph:
    boxes: dict[str, Box] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)

    @property
    def columns(self) -> int:
        return 1 + max((box.column for box in self.boxes.values()), default=0)

    @property
    def ranks(self) -> int:
        return 1 + max((box.rank for box in self.boxes.values()), default=-1)


def graph(nodes: dict[str, Any], root: str | None, target: str) -> Graph:
    """Everything below ``root``, then what else there is of the collection's for this disk."""
    found = Graph()
    parents = _parents(nodes)
    if root is not None:
        _walk(found, nodes, parents, root, attached=True)
    for name in sorted(nodes):
        ours = name == f"{OURS}{target}" or name.startswith(f"{OURS}{target}-")
        if ours and not parents.get(name):
            _walk(found, nodes, parents, name, attached=False)
    found.edges = [edge for edge in found.edges if edge.parent in found.boxes and edge.child in found.boxes]
    _rank(found)
    _place(found)
    return found


def _parents(nodes: dict[str, Any]) -> dict[str, list[str]]:
    parents: dict[str, list[str]] = {}
    for name, node in nodes.items():
        for child in node["children"].values():
            parents.setdefault(child, []).append(name)
    return parents


def _walk(found: Graph, nodes: dict[str, Any], parents: dict[str, list[str]], root: str, *, attached: bool) -> None:
    """Add what is below a node, the way of the data first. A reference back up, which QEMU has none of, is left out."""
    todo: list[tuple[str, tuple[str, ...]]] = [(root, ())]
    while todo and len(found.boxes) < BOXES and len(found.edges) < EDGES:
        name, above = todo.pop()
        if name in found.boxes:
            continue
        node = nodes.get(name)
        found.boxes[name] = box = Box(name, node and node["driver"], _owner(name), attached=attached)
        below = []
        children = islice((node or {"children": {}})["children"].items(), EDGES)
        for label, child in sorted(children, key=_first_the_data):
            if _is_file(nodes.get(child)) and len(parents[child]) == 1:
                box.path = nodes[child]["file"]
                box.file = _of_file(nodes[child])
            elif child not in above and child != name:
                found.edges.append(Edge(name, child, label))
                below.append((child, (*above, name)))
        todo += reversed(below)
        if node and _is_file(node):
            box.path, box.file = node["file"], _of_file(node)


def _owner(name: str) -> str:
    return "colo" if name.startswith(OURS) else "libvirt" if name.startswith(LIBVIRTS) else "qemu"


def _is_file(node: dict[str, Any] | None) -> bool:
    return node is not None and node["driver"] in FILE_DRIVERS and not node["children"]


def _of_file(node: dict[str, Any]) -> str:
    return "nothing behind it" if node["driver"] == "null-co" else file_name(node["file"])


def file_name(path: str | None) -> str:
    """A path's last part; a device's two, which is what it goes by."""
    if not path:
        return words.NOT_KNOWN
    return path.removeprefix("/dev/") if path.startswith("/dev/") else PurePosixPath(path).name or path


def _first_the_data(child: tuple[str, str]) -> tuple[bool, bool, str]:
    """A node's children: of an overlay what it lies on, then the others, then those beside the way."""
    label = child[0]
    return label in ASIDE, label != "backing", label


def _rank(found: Graph) -> None:
    """The longest way from a root: each box once all that refer to it have their rank."""
    below: dict[str, list[str]] = {}
    for edge in found.edges:
        below.setdefault(edge.parent, []).append(edge.child)
    waiting = Counter(edge.child for edge in found.edges)
    ready = [name for name in found.boxes if not waiting[name]]
    while ready:
        name = ready.pop()
        for child in below.get(name, ()):
            found.boxes[child].rank = max(found.boxes[child].rank, found.boxes[name].rank + 1)
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)


def _place(found: Graph) -> None:
    """Each box under the first that refers to it, or in the next free column of its rank."""
    above: dict[str, str] = {}
    for edge in found.edges:
        above.setdefault(edge.child, edge.parent)
    taken: set[tuple[int, int]] = set()
    for box in sorted(found.boxes.values(), key=lambda one: one.rank):
        column = found.boxes[above[box.name]].column if box.name in above else 0
        while (box.rank, column) in taken:
            column += 1
        box.column = column
        taken.add((box.rank, column))
