# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Telling this host's watcher whether to guard a domain."""

from __future__ import annotations

import json
from typing import Any

from ..errors import ColoError
from ..host import automation
from ..host.hypervisor import Hypervisor


def guard(hypervisor: Hypervisor, name: str, wanted: dict[str, Any] | None, *, check: bool) -> dict[str, Any]:
    """What a module returns of it. ``wanted``: what the watcher is told; None: it is to do nothing.

    Which file that is follows from the domain of this ``name`` as libvirt has it here, and from no other host's word.
    """
    found = hypervisor.glimpse(name)
    if found is None and wanted is not None and not check:  # in check mode a deploy has not defined it yet
        raise ColoError(
            f"there is no domain {name} to guard", remedy="Run lockstep.colo.deploy, which makes its standby"
        )
    before, after = automation.told(found["uuid"]) if found else "", _text(wanted)
    if before != after and not check:
        automation.want(found["uuid"], after)
    return {"changed": before != after, "diff": {"before": before, "after": after}}


def _text(wanted: dict[str, Any] | None) -> str:
    return "" if wanted is None else json.dumps(wanted, indent=4) + "\n"
