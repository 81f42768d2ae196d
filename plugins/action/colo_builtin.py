# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running one of Ansible's own modules on a host whose facts are not to be variables."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.lockstep.colo.plugins.plugin_utils import answer, guarded

SPEC = {"module": {"type": "str", "required": True}, "options": {"type": "dict", "default": {}}}
COLLECTION = "ansible.builtin."
NORMAL = "ansible.legacy.normal"  # of a module that has no action of its own


class ActionModule(ActionBase):
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validated, wanted = self.validate_argument_spec(argument_spec=SPEC)
        if not wanted["module"].startswith(COLLECTION):
            raise AnsibleActionFail(f"{wanted['module']} is no module of {COLLECTION}*")
        action = self._action_of(wanted["module"], self._task.args.get("options") or {})
        guarded.hear_harmlessly(action)
        try:
            said = action.run(task_vars=task_vars)
            guarded.forget_facts(said)
            said = answer.harmless(said)
        except AnsibleError as error:
            return guarded.ended(error)
        except answer.Unbelievable as why:
            raise AnsibleActionFail(f"{wanted['module']} was answered what cannot be believed: {why}") from None
        except Exception as error:  # of an action of Ansible's, which takes for granted what its module says
            raise AnsibleActionFail(
                f"{wanted['module']} was answered what it does not understand: {type(error).__name__}"
            ) from None
        guarded.keep_interpreter(action, said)
        return said

    def _action_of(self, module: str, options: dict[str, Any]) -> ActionBase:
        """What carries out a task of that module on this connection."""
        task = self._task.copy()
        task.action, task.args = module, options
        loader = self._shared_loader_obj.action_loader
        return loader.get(
            module if loader.has_plugin(module) else NORMAL,
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
