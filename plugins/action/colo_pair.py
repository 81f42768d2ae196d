# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a long sync by short runs of the module, and showing how far it is: a cut connection costs nothing."""

from __future__ import annotations

import time
from typing import Any

from ansible.utils.display import Display
from ansible_collections.lockstep.colo.plugins.plugin_utils.guarded import GuardedAction

MEBIBYTE = 1 << 20

display = Display()


def _bytes(job: Any, key: str) -> int:
    """Of a disk's job as its host tells it; 0 for what is no number."""
    value = job.get(key) if isinstance(job, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


class ActionModule(GuardedAction):
    _supports_async = False

    def said(self, module: str, arguments: dict[str, Any], task_vars: dict[str, Any], **how: Any) -> dict[str, Any]:
        result: dict[str, Any] = {}
        limit = float(arguments.get("sync_timeout") or 0)
        began, last, changed, steps, done = time.monotonic(), None, False, [], []
        first: str | None = None
        while True:
            once = super().said(module, arguments, task_vars, **how)
            changed = changed or once.get("changed", False)
            steps, done = steps + once.get("steps", []), done + once.get("done", [])
            if once.get("failed") or self._task.check_mode or once.get("finished", True):
                break
            first = first or once.get("began")
            last = self._show(once.get("sync", {}), last, once.get("compared", {}))
            if limit and time.monotonic() - began > limit:
                once.update(failed=True, msg=f"the sync was not over within {limit:g} s; it goes on, run again to wait")
                break
        result.update(once)
        if not once.get("failed"):
            result.update(changed=changed, steps=steps, done=done, began=first or once.get("began"))
        return result

    def _show(
        self, sync: dict[str, dict[str, Any]], last: tuple[float, int, int] | None, compared: dict[str, Any]
    ) -> tuple[float, int, int]:
        """One line for each run of the module: percent, rate and time left, over all disks, and of those that are
        compared how much of it was sent.

        Where what is left becomes no less under a limit, the guest writes as fast: that copying would never end.
        """
        done, total = (sum(_bytes(job, key) for job in sync.values()) for key in ("done", "total"))
        now = time.monotonic()
        percent = 100 * done / total if total else 0
        text = f"{self._task.args.get('name')}: {percent:.1f} % of {total // MEBIBYTE} MiB "
        text += "compared" if compared else "copied"
        if compared:
            text += f", {sum(_bytes(one, 'moved') for one in compared.values()) // MEBIBYTE} MiB sent"
        if last and now > last[0] and done > last[1]:
            rate = (done - last[1]) / (now - last[0])
            text += f", {rate / MEBIBYTE:.1f} MiB/s, {(total - done) / rate:.0f} s left"
        limit = self._task.args.get("sync_speed")
        if last and limit and total - done >= last[2]:
            text += f"; the guest writes as fast as sync_speed ({limit} bytes per second) lets it be copied: raise that"
        display.display(text)
        return now, done, total - done
