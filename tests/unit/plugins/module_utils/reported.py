# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report makes of a result that a host made up: one that can be written, and that has an end."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import to_data
from ansible_collections.lockstep.colo.plugins.plugin_utils import answer
from ansible_collections.lockstep.colo.plugins.plugin_utils.report import document, given, page
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

MADE = datetime(2026, 11, 23, 2, 30, tzinfo=timezone.utc)  # noqa: UP017
MOST = 1 << 20  # bytes of the page, or of the document, of a usual observation of which some values are others
# What a module returns beside the observation.
RAN: dict[str, Any] = {
    "changed": True,
    "title": "Serve from kvm2",
    "host": "kvm2",
    "began": "2026-11-23T02:14:15.123+00:00",
    "msg": "kvm2 did not answer",
    "failed": False,
    "finished": True,
    "phase": "failed_over",
    "steps": ["let the guest of this host take over"],
    "done": [
        {"title": "let the guest of this host take over", "began": 0.5, "ended": 1.0},
        {"title": "remove layer colo-vda", "began": 1.2, "ended": 1.3},
    ],
    "seconds": 2.0,
    "served_after": 1.0,
    "unheard": ["its watcher was not told"],
    "notes": ["an address was announced"],
    "problems": [{"what": "disk vda has no copy", "remedy": "Run deploy", "disk": "vda"}],
    "unfit": ["QEMU is too old"],
    "sync": {"vda": {"done": 1, "total": 2}},
}


def complaint(here: str, said: dict[str, Any]) -> str | None:
    """What came of it that may not; ``here``: the recording of the host that tells the truth."""
    try:
        told = answer.accepted(said)
    except answer.Unbelievable:
        return None
    hosts = {"kvm1": {"observation": to_data(recorded(here))}, "kvm2": told}
    ran = {"title": told.get("title"), "host": told.get("host"), "result": told}
    options = {"runbook": "failover", "pair": "web1", "before": hosts, "after": hosts, "tasks": [ran], "fence": None}
    try:
        built = document.build(given.plain(options), MADE)
        texts = {"page": page.render(built), "document": json.dumps(built, ensure_ascii=False)}
        sizes = {name: len(text.encode("utf-8")) for name, text in texts.items()}
    except Exception as error:
        return f"a report: {type(error).__name__}: {error}"
    return next((f"a {name} of {size} bytes" for name, size in sizes.items() if size > MOST), None)
