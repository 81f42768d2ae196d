# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a managed host may say to the control node: known keys, of known types, of bounded sizes.

A host may be compromised. Ansible makes variables of whatever its modules return as ``ansible_facts``, above the
inventory and the roles' defaults, for the host that the task was for: here that is the pair. So nothing but what is
named here goes on to the play, and no text that a terminal would obey.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ansible.plugins.action import ActionBase

KNOWN: dict[str, tuple[type, ...]] = {
    "advice": (list,),
    "ansible_job_id": (str,),
    "began": (str,),
    "changed": (bool,),
    "compared": (dict,),
    "deprecations": (list,),
    "diff": (list, dict),
    "done": (list,),
    "drill": (dict,),
    "encryption": (dict,),
    "failed": (bool,),
    "finished": (bool, int),
    "heard": (dict,),
    "host": (str, type(None)),
    "invocation": (dict,),
    "missing_libraries": (list,),
    "module_stderr": (str,),
    "module_stdout": (str,),
    "msg": (str,),
    "notes": (list,),
    "observation": (dict,),
    "pending": (list, type(None)),
    "phase": (str,),
    "preflight": (list,),
    "problems": (list,),
    "rc": (int,),
    "results_file": (str,),
    "seconds": (int, float),
    "served_after": (int, float, type(None)),
    "skipped": (bool,),
    "started": (bool, int),
    "steps": (list,),
    "sync": (dict,),
    "title": (str,),
    "unfit": (list,),
    "unforeseen": (list,),
    "unheard": (list,),
    "unsure": (list,),
    "verdict": (dict,),
    "vhost": (dict,),
    "warnings": (list,),
}
WARNED = ("warnings", "deprecations")
# What a terminal obeys: it clears a screen, or writes over a line. Of a domain's XML nothing is lost: it can have no
# escape, and libvirt writes &#13; for a carriage return.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
DEEPEST = 24  # levels
LONGEST = 1 << 20  # characters of one text; a domain's XML is some 10,000
MOST = 200_000  # values in all
LARGEST = 16 << 20  # characters in all
BIGGEST = 1 << 64  # what a number is below; sizes are counted in bytes of 64 bits

# What names begin with: the collection's variables, the inventory's own, and options of those plugins of Ansible that
# connect and become, of which it takes no fact by another name.
OWN = (
    "colo_", "inventory_", "control_path", "doas_", "dzdo_", "ksu_", "lookup_url_", "machinectl_", "paramiko_",
    "pbrun_", "pfexec_", "pmrun_", "private_key", "runas_", "scp_", "sesu_", "sftp_", "sshpass_", "su_", "sudo_",
)  # fmt: skip
# Further names that the roles read, or that Jinja or Ansible itself would take from a variable: a host's fact is one.
# Ansible has cut off their ``ansible_``.
ANSIBLES = frozenset((
    "admin_users", "async_dir", "common_remote_group", "cycler", "deprecation_warnings", "dict", "environment",
    "facts_modules", "failed_result", "finalize", "group_names", "groups", "host_key_checking", "hostvars",
    "interpreter_python_fallback", "item", "joiner", "lipsum", "lookup", "managed", "namespace", "no_target_syslog",
    "now", "omit", "play_hosts", "playbook_dir", "python_module_rlimit_nofile", "q", "query", "range", "remote_tmp",
    "role_name", "role_names", "role_path", "shell_allow_world_readable_temp", "ssh_host_key_checking",
    "system_tmpdirs", "target_log_info", "undef", "vars", "win_async_startup_timeout", "world_readable_temp",
))  # fmt: skip
PLANTED = (
    "{host} has facts that are variables of this collection, or of Ansible itself: {names}. No module "
    "does that; a KVM host may be compromised, or a play of yours keeps such facts. Nothing more is done. Look at the "
    "KVM hosts, then run again with --flush-cache, and without what gathers facts from them"
)


class Unbelievable(ValueError):
    """An answer that no module of the collection gives."""


def accepted(said: dict[str, Any]) -> dict[str, Any]:
    """Of what a module returned, what the play may see; ``Unbelievable`` where that is of another type or size."""
    kept = {key: value for key, value in said.items() if key in KNOWN}
    for key, value in kept.items():
        if not _is(value, KNOWN[key]):
            raise Unbelievable(f"{key} is of type {type(value).__name__}")
    # Ansible has made objects of its own of what a module warns of, from ansible-core 2.19 on.
    _measure({key: [str(one) for one in value] if key in WARNED else value for key, value in kept.items()})
    return harmless(kept)


def harmless(said: dict[str, Any]) -> dict[str, Any]:
    """The same, without anything that a terminal obeys: whoever reads it would see what the host wants.

    ``Unbelievable`` where it is nested deeper than can be read, as what Ansible makes objects of may be.
    """
    try:
        return _harmless(said)
    except RecursionError:
        raise Unbelievable("nested deeper than can be read") from None


def _harmless(value: Any) -> Any:
    if isinstance(value, str):
        return _OBEYED.sub("\ufffd", value.replace("\r\n", "\n")) if _OBEYED.search(value) else value
    if isinstance(value, dict):
        return {_harmless(key): _harmless(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_harmless(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value) if field.init]
        return dataclasses.replace(value, **{name: _harmless_part(getattr(value, name)) for name in fields})
    return value


def _harmless_part(value: Any) -> Any:
    """Of an object of Ansible's, which wants its tuples as they are."""
    return tuple(map(_harmless, value)) if isinstance(value, tuple) else _harmless(value)


def _is(value: Any, kinds: tuple[Any, ...]) -> bool:
    return isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)


def _measure(whole: Any) -> None:
    """Whether it is data of a size that a module returns; no recursion, whose depth the host would choose."""
    values = characters = 0
    level: list[Any] = [whole]
    for _depth in range(DEEPEST):
        below: list[Any] = []
        for value in level:
            values += 1
            if isinstance(value, str):
                characters += len(value)
                if len(value) > LONGEST:
                    raise Unbelievable(f"a text of {len(value)} characters")
            elif isinstance(value, dict):
                below += [*value, *value.values()]
            elif isinstance(value, (list, tuple)):
                below += value
            elif value is not None and not isinstance(value, (bool, int, float)):
                raise Unbelievable(f"a value of type {type(value).__name__}")
            elif isinstance(value, (int, float)) and not -BIGGEST < value < BIGGEST:  # nor NaN
                raise Unbelievable("a number that is none, or beyond 64 bits")
            if values + len(below) > MOST or characters > LARGEST:
                raise Unbelievable("more than any module returns")
        if not below:
            return
        level = below
    raise Unbelievable(f"nested deeper than {DEEPEST} levels")


def planted(facts: Iterable[str]) -> list[str]:
    """Of the names of a host's facts, those that no host is to set: they would be in force above the inventory."""
    return sorted(name for name in map(str, facts) if name.startswith(OWN) or name in ANSIBLES)


def refusal(hostvars: Mapping[str, Mapping[str, Any]], hosts: Iterable[Any]) -> str | None:
    """Why nothing may be done: a fact of one of the hosts has the name of a variable that matters, and may be in force.

    Whatever module brought it, in this run or, by a fact cache, in an earlier one. None: there is no such fact.
    """
    for host in dict.fromkeys(host for host in hosts if isinstance(host, str)):
        facts = hostvars[host].get("ansible_facts") if host in hostvars else None
        if names := planted(facts or ()):
            return PLANTED.format(host=host, names=", ".join(names))
    return None


def refused(action: ActionBase, task_vars: Mapping[str, Any] | None, *others: Any) -> dict[str, Any] | None:
    """That as a task's result: of the host that the task is for, the two hosts of a pair, and ``others``.

    An inventory may name the pair's hosts by a template, which a task's variables have as it is written there.
    """
    variables = task_vars or {}
    names = ("inventory_hostname", "colo_primary", "colo_secondary")
    named = [action._templar.template(variables.get(name)) for name in names]
    why = refusal(variables.get("hostvars") or {}, [*named, *others])
    return {"failed": True, "msg": why} if why else None
