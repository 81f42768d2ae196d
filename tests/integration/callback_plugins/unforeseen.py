# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes one JSON line for each run of a goal that was carried out: what it was for, and what it left unforeseen."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: unforeseen
type: notification
short_description: What each run left otherwise than the effects of its steps said
description:
  - Appends to the file that the environment variable LOCKSTEP_UNFORESEEN names.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "unforeseen"
    CALLBACK_NEEDS_ENABLED = True

    def v2_runner_on_ok(self, result: Any) -> None:
        said = result._result
        if said.get("title") and said.get("done"):
            entry = {
                "case": os.environ.get("PYTEST_CURRENT_TEST"),
                "title": said["title"],
                "host": said.get("host"),
                "unforeseen": said.get("unforeseen", []),
            }
            with Path(os.environ["LOCKSTEP_UNFORESEEN"]).open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
