# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Telling this host's watcher whether to guard a domain."""

from __future__ import annotations

import json
import re
from typing import Any

from ..errors import ColoError
from ..host import automation

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def guard(uuid: str, wanted: dict[str, Any] | None, *, check: bool) -> dict[str, Any]:
    """What a module returns of it. ``wanted``: what the watcher is told; None: it is to do nothing."""
    if not UUID.fullmatch(uuid):  # it is another host's word, and becomes the name of a file
        raise ColoError(f"{uuid[:64]!r} is no UUID of a domain", remedy="Look at the hosts with lockstep.colo.status")
    before, after = automation.told(uuid), "" if wanted is None else json.dumps(wanted, indent=4) + "\n"
    if before != after and not check:
        automation.want(uuid, after)
    return {"changed": before != after, "diff": {"before": before, "after": after}}
