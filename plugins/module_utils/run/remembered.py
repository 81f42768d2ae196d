# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What libvirt said of a domain a moment ago, for a run that has no time to ask it again.

Good for as long as no other run has begun to work on the domain since: only a run changes what counts of it.
"""

from __future__ import annotations

from typing import Any

from ..host.hypervisor import Hypervisor


class Remembered(Hypervisor):
    """The libvirt of ``asked``, but that its first words about the domain are those that are remembered."""

    def __init__(self, asked: Hypervisor, glimpse: dict[str, Any] | None, describe: dict[str, Any] | None) -> None:
        super().__init__()
        self._asked, self._glimpse, self._describe = asked, glimpse, describe

    def _call(self, method: str, *arguments: Any, **how: Any) -> Any:
        return self._asked._call(method, *arguments, **how)

    def close(self) -> None:
        """Nothing: the connection is another's."""

    def glimpse(self, domain: str) -> dict[str, Any] | None:
        return dict(self._glimpse) if self._glimpse else super().glimpse(domain)

    def describe(self, domain: str, secrets: bool = True) -> dict[str, Any] | None:
        known, self._describe = self._describe, None
        return known or super().describe(domain, secrets)
