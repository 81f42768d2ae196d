# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes one JSON line for each task that ended: when, where, and what its module says of its own work."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: journal
type: notification
short_description: One JSON line for each task of a playbook
description:
  - Writes to the file that the environment variable LOCKSTEP_JOURNAL names. Times are of CLOCK_MONOTONIC.
"""

# Nothing that could hold a password: domain XMLs and observations stay out.
KEPT = (
    "changed", "failed", "unreachable", "msg", "phase", "began", "seconds", "served_after", "done", "steps", "problems",
)  # fmt: skip


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "journal"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._path = Path(os.environ["LOCKSTEP_JOURNAL"])
        self._began: dict[tuple[str, str], float] = {}

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self._began[host.get_name(), task._uuid] = time.monotonic()

    def _ended(self, result: Any) -> None:
        ended = time.monotonic()
        host, task, said = result._host.get_name(), result._task, result._result
        entry = {
            "task": task.get_name(),
            "action": task.action,
            "host": host,
            "began": self._began.get((host, task._uuid), ended),
            "ended": ended,
            "result": {key: said[key] for key in KEPT if key in said},
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, default=str) + "\n")

    def v2_runner_on_ok(self, result: Any) -> None:
        self._ended(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._ended(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._ended(result)
