# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""colo_credentials, which is given what the files have only here: no variable, task or result has a key."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.lockstep.colo.plugins.plugin_utils.guarded import GuardedAction

SPEC = {
    "files": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "src": {"type": "path", "required": True},
            "owner": {"type": "str", "required": True},
            "mode": {"type": "str", "required": True},
            "content": {"type": "str", "no_log": True},
        },
    },
    "place": {"type": "path"},
}


class ActionModule(GuardedAction):
    _supports_async = False  # Ansible would have the keys wait in a file there

    def said(self, module: str, arguments: dict[str, Any], task_vars: dict[str, Any], **how: Any) -> dict[str, Any]:
        _validated, options = self.validate_argument_spec(argument_spec=SPEC)
        files = [{**file, "content": self._content(Path(file["src"]))} for file in options["files"]]
        return super().said(module, {**arguments, "files": files}, task_vars, **how)

    def secret(self, arguments: dict[str, Any]) -> str:
        crosses = any(file["content"] for file in arguments["files"] if file["name"].endswith("-key.pem"))
        return "the key of this host's certificate" if crosses else ""

    def _content(self, path: Path) -> str | None:
        """What it has, in base64; None of one that a check mode has not made."""
        try:
            return base64.b64encode(path.read_bytes()).decode("ascii")
        except OSError as error:
            if self._task.check_mode and isinstance(error, FileNotFoundError):
                return None
            raise AnsibleActionFail(f"nothing was installed: {error}") from error
