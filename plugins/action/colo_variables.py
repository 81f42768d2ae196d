# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refusing variables that a host has chosen, or that name no two hosts: on the control node, which asks no host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.lockstep.colo.plugins.plugin_utils import answer, named

SPEC = {"also": {"type": "list", "elements": "str", "default": []}}


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _validated, options = self.validate_argument_spec(argument_spec=SPEC)
        variables = task_vars or {}
        ends = [self._templar.template(variables.get(end)) for end in named.ENDS]
        refused = answer.refused(self, task_vars, *options["also"]) or _misnamed(variables, ends)
        return {**result, "changed": False, **(refused or {})}


def _misnamed(variables: dict[str, Any], ends: list[Any]) -> dict[str, Any] | None:
    """What is wrong with the hosts of the pair that the task is for; or, where that is a KVM host, of its pairs."""
    hostvars, pairs = variables.get("hostvars") or {}, variables.get("groups", {}).get("colo_pairs") or []
    for pair, hosts in _pairs(variables.get("inventory_hostname", ""), ends, pairs, hostvars):
        if why := named.refusal(pair, hosts, hostvars, pairs):
            return {"failed": True, "msg": why}
    return None


def _pairs(host: str, ends: list[Any], pairs: list[str], hostvars: Any) -> Iterator[tuple[str, list[Any]]]:
    if any(end is not None for end in ends):
        yield host, ends
        return
    for pair in pairs:
        of_pair = [hostvars[pair].get(end) for end in named.ENDS]
        if host in of_pair:
            yield pair, of_pair
