# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the domain that a standby is to be may be defined, or started, on this host. Pure.

It is made from the other host's XML. What that host says of it counts for nothing; here it is read as it would be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ...domain.described import described
from ...observation.seen import Observation
from ...record.pair import Record
from ...record.wanted import Wanted
from ...verdict import preflight
from ...verdict.problem import Problem
from ...verdict.requirements.row import problems


def of_standby(wanted: Wanted, peer: Observation, xml: str, record: Record) -> Iterator[Problem]:
    """What is against ``xml``, made from the domain of ``peer``, with the images of ``record``."""
    domain = replace(peer.domain, **described(xml, None))
    yield from problems(preflight.of_xml(wanted, domain, peer))
    if peer.domain.redacted and not wanted.dry:
        yield Problem(
            "the domain has passwords, and peer came without them: the standby's display would be open to everybody",
            "Run lockstep.colo.deploy, which reads them (as a module: peer is what colo_info with secrets returns)",
        )
    own = {disk.target: disk.path for disk in record.disks}
    for disk in domain.disks:
        if disk.written and disk.source != own.get(disk.target):
            yield Problem(
                f"the guest can write to it, and it is not to be replicated: it is {disk.source} of the standby's host",
                "Add the disk to colo_disks, or make it read-only, also in the domain's persistent XML",
                disk.target,
            )
