# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a long copy moves at all."""

from __future__ import annotations

from ..errors import ColoError

STILL = 20.0  # seconds without a byte; less than one run on the host waits, so that a run finds it out
AT_ONCE = 16 << 20  # bytes that QEMU mirrors at once, before it pauses for its speed (block/mirror.c)


class Moving:
    """Is told again and again how far a copy is, in words that change with each byte."""

    def __init__(self) -> None:
        self._state: str | None = None
        self._since = 0.0

    def see(self, state: str, now: float, speed: int = 0) -> None:
        """Look at a copy that may move ``speed`` bytes per second (0: no limit); ``now`` is time.monotonic().

        ColoError where it has not moved for STILL seconds, beyond what its speed explains.
        """
        patience = STILL + (AT_ONCE / speed if speed else 0)
        if state != self._state:
            self._state, self._since = state, now
        elif now - self._since >= patience:
            raise ColoError(
                f"the copying stands still for {patience:g} s ({state})",
                remedy="The other host does not take what is sent: see that it runs, and that the network between the "
                "replication addresses is not cut and lets large packets pass (the same MTU all the way)",
            )
