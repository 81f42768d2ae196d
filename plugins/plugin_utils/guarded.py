# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How every module of the collection is run: what its host answers is data, and no more than that."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleAction, AnsibleActionSkip, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

from . import answer

UNBELIEVABLE = (
    "{host} answered what no module of this collection says: {why}. The host may be compromised, or its Python "
    "is not what it should be. Look at it; nothing of this answer was believed"
)

PASSWORD = "passwd="  # of VNC and SPICE in a domain's XML, which crosses whole to where a standby is made
DISPLAY = "a password of this guest's display"
LEFT = (
    "{secret} went to {host} in a file of Ansible's temporary directory there, which a run "
    "that is killed leaves behind: its connection does not pipeline. Do without ANSIBLE_KEEP_REMOTE_FILES, su, and a "
    "terminal for ssh (SECURITY.md)"
)

SIGKILL = 128 + 9  # as a shell tells it
KILLED = (
    "this run was ended while it worked on domain {}, most likely by a failover that was fenced: that ends other runs. "
    "See with lockstep.colo.status how the pair and its guest are now: a run that is ended so frees nothing, and the "
    "next one goes on from what it finds"
)
UNFINISHED = "Work on domain {}"  # of a run that could not say itself what it was for


def killed(said: dict[str, Any]) -> bool:
    """Whether the module said nothing and its process was killed: Ansible then only tells that it cannot read it."""
    words = "".join(str(said.get(key, "")) for key in ("module_stdout", "module_stderr"))
    return bool(said.get("failed")) and (said.get("rc") == SIGKILL or "Killed" in words.split())


def host_told_of(said: dict[str, Any]) -> Any:
    """The name of the host that an answer has an observation of, as it says itself; None without one."""
    told: Any = said.get("observation")
    for key in ("host", "name"):
        told = told.get(key) if isinstance(told, dict) else None
    return told


def keep_interpreter(action: ActionBase, said: dict[str, Any]) -> None:
    """The one fact that an answer may have: this control node's own finding, for the connection alone."""
    if action._discovered_interpreter_key:
        said["ansible_facts"] = {action._discovered_interpreter_key: action._discovered_interpreter}


def hear_harmlessly(action: ActionBase) -> None:
    """Have it hear nothing that a terminal obeys: Ansible warns of what it finds odd in an answer, in its host's words.

    Of the answer as it came, and as it was read, since JSON has escapes.
    """
    for name in ("_low_level_execute_command", "_parse_returned_data"):
        setattr(action, name, _harmless(getattr(action, name)))


def _harmless(hear: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def heard(*arguments: Any, **options: Any) -> dict[str, Any]:
        try:
            said = hear(*arguments, **options)
        except RecursionError:
            raise answer.Unbelievable("nested deeper than can be read") from None
        return answer.harmless(said)

    return heard


def forget_facts(said: dict[str, Any]) -> None:
    for key in ("ansible_facts", "ansible_stats"):
        said.pop(key, None)


def ended(error: AnsibleError) -> dict[str, Any]:
    """The result of a task that ends with this error, which may be in its host's words and bring along its answer."""
    said = {"msg": str(error), **(error.result if isinstance(error, AnsibleAction) else {})}
    if not isinstance(error, AnsibleActionSkip):
        said["unreachable" if isinstance(error, AnsibleConnectionFailure) else "failed"] = True
    forget_facts(said)
    return answer.harmless(said)


class GuardedAction(ActionBase):
    """Runs the module of the same name, and keeps of its answer what ``answer.accepted`` does."""

    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        if refused := answer.refused(self, task_vars, self._task.delegate_to):
            return {**result, **refused}
        hear_harmlessly(self)
        wrap_async = bool(self._task.async_val) and not self._connection.has_native_async
        try:
            said = self.said(self._task.action, dict(self._task.args), task_vars or {}, wrap_async=wrap_async)
        except AnsibleAction:  # in words of this control node
            raise
        except AnsibleError as error:
            said = ended(error)
        result.update(said)
        if not wrap_async:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def said(
        self, module: str, arguments: dict[str, Any], task_vars: dict[str, Any], *, wrap_async: bool = False
    ) -> dict[str, Any]:
        """What the module answers on its host, as far as it is believed."""
        filed = self._by_file(wrap_async) and self.secret(arguments)
        try:
            said = self._execute_module(
                module_name=module, module_args=arguments, task_vars=task_vars, wrap_async=wrap_async
            )
            kept = answer.accepted(said)
        except answer.Unbelievable as why:
            return self._unbelievable(why, task_vars)
        # The names of a pair's hosts are the inventory's: its certificates have them.
        asked, told = self._task.args.get("host"), host_told_of(kept)
        if asked and told is not None and told != asked:
            return self._unbelievable(f"what it saw is of a host {str(told)[:64]!r}, and asked was {asked}", task_vars)
        if asked:
            kept["host"] = asked
        domain = arguments.get("name", arguments.get("domain"))
        if domain and killed(kept):
            kept["msg"] = KILLED.format(domain)
            kept["title"] = UNFINISHED.format(domain)
        if filed:
            host = self._task.delegate_to or task_vars.get("inventory_hostname", "the host")
            kept["warnings"] = [*kept.get("warnings", ()), LEFT.format(secret=filed, host=host)]
        keep_interpreter(self, kept)
        return kept

    def secret(self, arguments: dict[str, Any]) -> str:
        """What of them is to be in no file of the host, in words; empty: nothing."""
        return DISPLAY if PASSWORD in str(arguments) else ""

    def _unbelievable(self, why: object, task_vars: dict[str, Any]) -> dict[str, Any]:
        host = self._task.delegate_to or task_vars.get("inventory_hostname", "the host")
        return {"failed": True, "finished": True, "msg": UNBELIEVABLE.format(host=host, why=why)}

    def _by_file(self, wrap_async: bool) -> bool:
        """Whether the module's options go to its host in a file, and not through its Python's standard input.

        They do not where that can be helped, whatever the operator chose for his other tasks.
        """
        with contextlib.suppress(AnsibleError, KeyError):  # of a connection that has no such option
            self._connection.set_option("pipelining", True)
        return not self._is_pipelining_enabled("new", wrap_async)
