# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a plan is made of: what is wanted, the steps, and the refusal that takes their place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..errors import ColoError
from ..observation.seen import Observation


@dataclass(frozen=True)
class WantedDisk:
    """A disk to replicate. ``path`` is the image on the standby; None: in the collection's directory."""

    target: str
    format: str
    path: str | None = None


@dataclass(frozen=True)
class Wanted:
    """What the variables say. Sizes and rates are bytes (per second), delays milliseconds."""

    disks: tuple[WantedDisk, ...] = ()
    address: str | None = None
    peer_address: str | None = None
    first_port: int | None = None
    checkpoint_delay: int = 2000
    sync_speed: int = 0  # 0: no limit
    sync_wait: float = 30.0  # seconds one run waits for a sync
    directory: str = "/var/lib/libvirt/images/colo"
    image_owner: str = "libvirt-qemu"
    image_group: str = "kvm"


@dataclass(frozen=True)
class Step:
    """One change (or wait), with the time it may take in seconds.

    ``pivot``: what follows depends on what this step brings about, so observe and plan anew after it.
    ``serves``: after this step the guest is free to serve; a failover's time is measured up to it.
    """

    title: str
    action: str
    arguments: dict[str, Any] = field(default_factory=dict)
    timeout: float = 10.0
    pivot: bool = False
    serves: bool = False

    @property
    def changes(self) -> bool:
        return self.action not in ("wait", "reach")


@dataclass(frozen=True)
class Plan:
    """The steps, in order, and the observation that should follow from them."""

    steps: tuple[Step, ...]
    after: Observation

    @property
    def changes(self) -> bool:
        return any(step.changes for step in self.steps)


@dataclass(frozen=True)
class Problem:
    """One reason to refuse, and what to do about it."""

    what: str
    remedy: str
    disk: str | None = None

    def __str__(self) -> str:
        place = f"disk {self.disk}: " if self.disk else ""
        return f"{place}{self.what}. {self.remedy}"


class Refusal(ColoError):
    """Nothing was changed, for these reasons: all of them at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(" | ".join(map(str, self.problems)))


def refuse_if(problems: Iterable[Problem]) -> None:
    """Raise one Refusal that tells all problems, when there are any."""
    found = tuple(problems)
    if found:
        raise Refusal(found)


def qmp(title: str, command: str, arguments: dict[str, Any] | None = None, *, timeout: float = 10.0) -> Step:
    """A step that is one QMP command."""
    return Step(title, "qmp", {"command": command, "arguments": arguments or {}}, timeout)


def wait(title: str, until: str, timeout: float, /, pivot: bool = False, **arguments: Any) -> Step:
    """A step that waits for the condition ``until``, one of those that apply knows."""
    return Step(title, "wait", {"until": until, **arguments}, timeout, pivot)
