# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the two halves of a running pair ask of each other. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ..observation.seen import Observation
from ..record.pair import Record
from ..record.wanted import Wanted
from . import preflight, wishes
from .problem import Problem
from .requirements.row import problems


def unmet(wanted: Wanted, holder: Observation, standby: Observation) -> Iterator[Problem]:
    """What the hosts and the domain do not meet (any more), of what the holder's record was written with."""
    rows = preflight.of_pair(wishes.recorded(wanted, holder.record), holder, standby)
    return problems(rows)


def role_problems(seen: Observation, role: str) -> Iterator[Problem]:
    """Why this domain cannot take the part of ``role`` (primary, secondary) in a pair."""
    if seen.record is None:
        yield Problem(
            "the domain is not prepared: it has no record of a pair",
            f"Run lockstep.colo.deploy, which prepares it (as a module: colo_disk with role {role})",
        )
    elif seen.record.role != role:
        yield Problem(
            f"the domain is the {seen.record.role} of its pair, not the {role}",
            "See with lockstep.colo.status which host is which",
        )


def peer_problems(record: Record, peer: Observation) -> Iterator[Problem]:
    """Why the peer is not the other half of the pair of ``record``."""
    if peer.record is None:
        yield Problem(
            f"{peer.host.name} has no record of this pair",
            "Run lockstep.colo.deploy, which writes it (as a module: colo_disk there)",
        )
    elif peer.record.generation != record.generation or peer.record.first_port != record.first_port:
        yield Problem(
            f"the records differ: generation {record.generation} and ports from {record.first_port} here, "
            f"{peer.record.generation} and {peer.record.first_port} on {peer.host.name}",
            "Run lockstep.colo.deploy, which writes both (as a module: colo_disk on the primary, then on the "
            "secondary)",
        )
