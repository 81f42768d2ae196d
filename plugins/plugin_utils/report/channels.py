# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The channels between the hosts of a pair, and whether each was connected, as the hosts that answered saw it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.record.address import endpoint
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import copies


def between(seen: Iterable[Observation]) -> list[dict[str, Any]]:
    """Every channel that the newest record names, with the hosts that see a connection and those that do not.

    ``from`` and ``to`` are the roles between which it carries something, ``listener`` is the role that listens.
    ``state``: ``connected`` where every host that answered sees it, ``closed`` where none does, else ``one_sided``.
    """
    seen = [one for one in seen if one.record is not None]
    newest = copies.newest(seen)
    if newest is None:
        return []
    found, ends = [], {one.host.name: _ends(one) for one in seen}
    for channel in newest.record.channels():
        end = endpoint(channel.address, channel.port)
        counts = {name: known[end] for name, known in ends.items()}
        yes = sorted(name for name, number in counts.items() if number)
        no = sorted(name for name, number in counts.items() if not number)
        found.append(
            {
                "kind": channel.kind,
                "nic": channel.nic,
                "address": channel.address,
                "port": channel.port,
                "listener": channel.listener,
                "from": "secondary" if channel.kind == "compare" else "primary",
                "to": "primary" if channel.kind == "compare" else "secondary",
                "state": "one_sided" if yes and no else "connected" if yes else "closed",
                "connections": max(counts.values()),
                "seen_by": yes,
                "not_seen_by": no,
            }
        )
    return found


def _ends(seen: Observation) -> Counter[str]:
    """In how many connections each end is, by how it is written."""
    return Counter(end for socket in seen.peer_sockets for end in set(socket.split(None, 2)[:2]))
