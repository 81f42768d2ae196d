# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of KVM hosts, made on the control node: no managed host is asked, and none hears of another's key."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.lockstep.colo.plugins.plugin_utils import authority, installing
from ansible_collections.lockstep.colo.plugins.plugin_utils.guarded import GuardedAction

SPEC = {
    "directory": {"type": "path", "required": True},
    "host": {"type": "str", "required": True},
    "address": {"type": "str", "required": True},
    "days": {"type": "int", "default": 730},
    "renew_before": {"type": "int", "default": 60},
    "make": {"type": "bool", "default": True},
    "owner": {"type": "str", "default": "libvirt-qemu"},
    "installed": {"type": "dict", "default": {}},
    "authority": {"type": "str", "default": ""},
    "replace": {"type": "bool", "default": False},
}


class ActionModule(GuardedAction):
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_async = False

    def said(self, module: str, arguments: dict[str, Any], task_vars: dict[str, Any], **how: Any) -> dict[str, Any]:
        _validated, options = self.validate_argument_spec(argument_spec=SPEC)
        make, owner, installed = (options.pop(name) for name in ("make", "owner", "installed"))
        known, replace = options.pop("authority"), options.pop("replace")
        for name, least, words in (("days", 1, "colo_pki_days"), ("renew_before", 0, "renew_before")):
            if not least <= options[name] <= authority.MOST_DAYS:
                raise AnsibleActionFail(
                    f"no certificate was made: {words} is {options[name]}, and has to be from {least} to "
                    f"{authority.MOST_DAYS}"
                )
        try:
            if make and not replace:
                authority.see_same(options["directory"], options["host"], known)
            certify = authority.certify if make else authority.given
            made = certify(**options, dry=self._task.check_mode)
            wanted = installing.files(made.authority, made.certificate, made.key, owner)
            missing = installing.missing(wanted, installed)
        except (ValueError, TypeError, OSError) as error:
            raise AnsibleActionFail(f"no certificate was made: {error}") from error
        return {
            "changed": made.changed,
            "ca": str(made.authority),
            "certificate": str(made.certificate),
            "key": str(made.key),
            "ends": made.ends.isoformat() if made.ends else None,
            "missing": missing,
        }
