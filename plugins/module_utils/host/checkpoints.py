# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Watching the checkpoints of a pair."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from ..observation.seen import Checkpoints
from .hypervisor import Hypervisor

EVENT_PATIENCE = 1.0  # seconds


def watch(
    hypervisor: Hypervisor, name: str, seconds: float, enough: int | None = None, patience: float = 0
) -> Checkpoints:
    """Count the whole checkpoints of ``name``: up to ``seconds`` long, or until ``enough`` were seen.

    Where none was, ``patience`` is how many seconds the first is waited for, if that is longer.

    A checkpoint is a STOP and the RESUME that ends it: QEMU has no counter of them, and migration status ``colo`` is
    also what a pair shows whose guest is stopped for ever (our measurement).
    """
    hypervisor.watch(name)
    hypervisor.events(name)  # what came before, as the stop and the resume of the entry, is no checkpoint
    begun, stopped, count, last = time.monotonic(), False, 0, None
    while (left := begun + (seconds if count else max(seconds, patience)) - time.monotonic()) > 0:
        if enough is not None and count >= enough:
            break
        for event in hypervisor.events(name, min(EVENT_PATIENCE, left)):
            if event.name == "STOP":
                stopped = True
            elif event.name == "RESUME" and stopped:
                stopped, count = False, count + 1
                last = datetime.now(UTC).isoformat(timespec="milliseconds")
    return Checkpoints(round(time.monotonic() - begun, 2), count, last)
