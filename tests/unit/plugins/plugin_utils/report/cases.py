# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What playbooks hand over to a report, made from the recorded observations."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from ansible_collections.lockstep.colo.plugins.plugin_utils.report import document
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import FIXTURES

MADE = datetime(2026, 11, 23, 2, 30, tzinfo=timezone.utc)  # noqa: UP017
STARTED, ENDED = "2026-11-23T02:14:00+00:00", "2026-11-23T02:14:16.5Z"
HOSTILE = "</text></title><script>alert(1)</script>\"'&\u202e\x1b[31m"


def result(name: str, **more: Any) -> dict[str, Any]:
    """The registered result of a module that made this recorded observation."""
    text = (FIXTURES / "observations" / f"{name}.json").read_text(encoding="utf-8")
    return {"changed": False, "observation": json.loads(text), **more}


def side(primary: str | None, secondary: str | None) -> dict[str, Any]:
    """Both hosts; None for one that is unreachable."""
    names = {"kvm1": primary, "kvm2": secondary}
    return {host: result(name) if name else "unreachable" for host, name in names.items()}


def step(title: str, began: float, ended: float) -> dict[str, Any]:
    return {"title": title, "began": began, "ended": ended}


def task(title: str = "Serve from kvm2", host: str | None = "kvm2", **given: Any) -> dict[str, Any]:
    """A task that let the guest go, one second into two."""
    done = [step("let the guest of this host take over", 0.5, 1.0), step("remove layer colo-vda", 1.2, 1.3)]
    said = {"changed": True, "steps": [one["title"] for one in done], "done": done, "seconds": 2.0, "served_after": 1.0}
    return {"title": title, "host": host, "started": STARTED, "ended": ENDED, "result": {**said, **given}}


PROBE = {
    "clock": "wall",
    "event": 1795400040.0,
    "acks": {
        "count": 5556, "last_before": 1795400039.9, "first_after": 1795400056.1, "outage_ms": 16200.0,
        "longest_gap_ms": 16200.0,
    },
    "pings": {"count": 900, "last_before": 1795400039.9, "first_after": 1795400055.0, "outage_ms": 15100.0},
    "disks": {"0": {"distinct": 5556}},
    "boots": 1,
    "boot_ids": ["b7"],
    "checked": 5556,
    "lost_count": 0,
    "lost": [],
}  # fmt: skip
FAILOVER = {
    "runbook": "failover",
    "pair": "web1",
    "before": side(None, "degraded-unasked-secondary"),
    "after": side(None, "failed-over-secondary"),
    "tasks": [task()],
    "fence": {"host": "kvm1", "proof": {"rc": 0, "cmd": ["power", "status"]}, "method": "power off kvm1"},
    "probe": PROBE,
}
DEPLOY = {
    "runbook": "deploy",
    "pair": "web1",
    "before": side("unprotected-primary", "unprotected-secondary"),
    "after": side("protected-primary", "protected-secondary"),
    "tasks": [task("Bring the guest into lockstep", "kvm1", served_after=None)],
}


def built(**options: Any) -> dict[str, Any]:
    return document.build({"runbook": "status", "pair": "web1", **options}, MADE)
