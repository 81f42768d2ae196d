# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""colo_failover, of whose answer only what is known goes on to the play, also where it is heard later.

The survivor hears of a fence what counts: the commands of others may have the password of a fencing device.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.lockstep.colo.plugins.module_utils.verdict import fence as fences
from ansible_collections.lockstep.colo.plugins.plugin_utils.guarded import GuardedAction
from ansible_collections.lockstep.colo.plugins.plugin_utils.report import given


class ActionModule(GuardedAction):
    def said(self, module: str, arguments: dict[str, Any], task_vars: dict[str, Any], **how: Any) -> dict[str, Any]:
        job = arguments.get("job")
        if not job:
            return super().said(module, _told_of_the_fence(arguments), task_vars, **how)
        # ansible.builtin.async_status as a task would bring back whatever the host says.
        directory = self._remote_expand_user(self.get_shell_option("async_dir", default="~/.ansible_async"))
        asked = {"jid": job, "mode": "status", "_async_dir": directory}
        return super().said("ansible.builtin.async_status", asked, task_vars, **how)


def _told_of_the_fence(arguments: dict[str, Any]) -> dict[str, Any]:
    fence = arguments.get("fence")
    if not isinstance(fence, Mapping):
        return arguments
    told = dict(fence)
    if isinstance(told.get("proof"), Mapping):
        told["proof"] = fences.shown(told["proof"])
    if isinstance(told.get("method"), str):
        told["method"] = given.method(told["method"])
    return {**arguments, "fence": told}
