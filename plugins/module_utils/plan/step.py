# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a plan is made of: changes, and waits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Step:
    """One change (or wait), with the time it may take in seconds.

    ``foreseen``: what its effect has to know besides the arguments that carry it out. ``pivot``: what follows depends
    on what this step brings about, so observe and plan anew after it. ``serves``: after this step the guest is free to
    serve; a failover's time is measured up to it.
    """

    title: str
    action: str
    arguments: dict[str, Any] = field(default_factory=dict)
    timeout: float = 10.0
    pivot: bool = False
    serves: bool = False
    foreseen: dict[str, Any] = field(default_factory=dict)

    @property
    def changes(self) -> bool:
        """Whether it changes anything, rather than wait for it or look."""
        return self.action not in ("wait", "see_answer", "see_ended", "see_announced")


def qmp(title: str, command: str, arguments: dict[str, Any] | None = None, *, timeout: float = 10.0) -> Step:
    """A step that is one QMP command."""
    return Step(title, "qmp", {"command": command, "arguments": arguments or {}}, timeout)


def wait(title: str, until: str, timeout: float, /, pivot: bool = False, **arguments: Any) -> Step:
    """A step that waits for the condition ``until``, one of those that apply knows."""
    return Step(title, "wait", {"until": until, **arguments}, timeout, pivot)
