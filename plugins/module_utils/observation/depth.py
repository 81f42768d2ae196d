# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How deep one look at a host goes, and what it is to see besides the domain."""

from __future__ import annotations

from dataclasses import dataclass

SILENT = "silent"  # of the domain its state and record: QEMU, which may be waiting for the dead, is not asked
UNASKED = "unasked"  # the same, and all of the host
GIVEN_UP = "given_up"  # as silent, and of a primary whether its standby lacks writes
BRIEF = "brief"  # what a promotion has to know
QUICK = "quick"  # all of the domain, nothing of the host
FREEING = "freeing"  # as quick, and the rule that keeps a guest's frames back: what frees it takes that down
THOROUGH = "thorough"  # everything
ASKS_QEMU = (BRIEF, QUICK, FREEING, THOROUGH)
WHOLE_DOMAIN = (QUICK, FREEING, THOROUGH)
WHOLE_HOST = (UNASKED, THOROUGH)


@dataclass(frozen=True)
class Sights:
    """What to look at that the domain of this host does not name.

    ``uuid``: of a domain which this host may not have yet. ``images``: (path, format) besides those of the record.
    ``files``: paths to look for. ``peer_address``: how far that is, is measured. ``uncompared``: the operator's choice
    about frames that COLO does not compare, if the guest is to be watched for them where nobody has chosen. ``macs``:
    of the peer's guest, whether this host's bridges have heard them.
    ``user``, ``group``: to whom new images are to be given.
    """

    uuid: str | None = None
    images: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()
    peer_address: str | None = None
    uncompared: str | None = None
    user: str | None = None
    group: str | None = None
    macs: tuple[str, ...] = ()
