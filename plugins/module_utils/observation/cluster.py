# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cluster manager (Pacemaker) says of itself on this host, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """A node of the cluster: whether it is a member now, and whether the cluster does not know what runs there."""

    name: str
    online: bool
    unclean: bool = False


@dataclass(frozen=True)
class Fencing:
    """A fencing action on a ``node`` that succeeded, and how many seconds ago, by this host's clock."""

    node: str
    action: str
    seconds: float


@dataclass(frozen=True)
class Cluster:
    """``quorate``: this side has quorum. ``fences``: stonith-enabled. ``fencings``: those that the fencer knows of."""

    quorate: bool
    fences: bool
    nodes: tuple[Node, ...] = ()
    fencings: tuple[Fencing, ...] = ()

    def node(self, name: str) -> Node | None:
        """The node of this name; None where the cluster has none."""
        return next((one for one in self.nodes if one.name == name), None)

    def fenced(self, name: str) -> Fencing | None:
        """The last fencing of this node that succeeded; None where the cluster knows of none."""
        return min((one for one in self.fencings if one.node == name), key=lambda one: one.seconds, default=None)
