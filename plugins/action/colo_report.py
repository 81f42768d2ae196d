# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing the report of a run on the control node: no managed host is asked for anything."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.command import CONFIRMED
from ansible_collections.lockstep.colo.plugins.plugin_utils import answer
from ansible_collections.lockstep.colo.plugins.plugin_utils.report import document, given, page

TASK = {
    "title": {"type": "str"},
    "host": {"type": "str"},
    "started": {"type": "str"},
    "ended": {"type": "str"},
    "result": {"type": "dict"},
}
FENCE = {
    "host": {"type": "str"},
    "ground": {"type": "str"},
    "proof": {"type": "dict"},
    "confirmed": {"type": "str"},
    "method": {"type": "str"},
}
SPEC = {
    "path": {"type": "path", "required": True},
    "mode": {"type": "str", "default": "0600"},
    "runbook": {"type": "str", "required": True},
    "pair": {"type": "str"},
    "before": {"type": "dict"},
    "after": {"type": "dict"},
    "verdict": {"type": "dict"},
    "tasks": {"type": "list", "elements": "dict", "options": TASK},
    "fence": {"type": "dict", "options": FENCE},
    "probe": {"type": "raw"},
    "inventory": {"type": "list", "elements": "str"},
    "fence_tasks": {"type": "str", "default": CONFIRMED},
}
SUFFIXES = (".html", ".json")
MOST_SAID = 300  # characters of why there is no report


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        if refused := answer.refused(self, task_vars):
            return {**result, **refused}
        _validated, options = self.validate_argument_spec(argument_spec=SPEC)
        try:
            return {**result, **self._report(options, task_vars or {})}
        except AnsibleActionFail:
            raise
        except Exception as error:  # a host chose what is in it, and the runbook has to come to its end
            why = " ".join(f"{type(error).__name__}: {error}".split())[:MOST_SAID]
            raise AnsibleActionFail(f"no report can be made of what was handed over: {why}") from error

    def _report(self, options: dict[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
        options = given.plain(options)
        options["pair"] = options["pair"] or str(variables.get("inventory_hostname", ""))
        options["probe"] = _probe(options["probe"])
        if options["inventory"] is None:
            options["inventory"] = given.plain(variables.get("ansible_inventory_sources"))
        mode = _mode(options.pop("mode"))
        if options["tasks"] is None:
            options["tasks"] = _registered(variables)
        made = datetime.now(timezone.utc)  # noqa: UP017 - a control node may have an older Python than the hosts
        try:
            report = document.build(options, made)
            texts = {".html": page.render(report), ".json": json.dumps(report, indent=1, ensure_ascii=False) + "\n"}
        except ValueError as error:
            raise AnsibleActionFail(str(error)) from error
        stem = _stem(options["path"], f"{options['pair']}-{options['runbook']}-{made:%Y%m%dT%H%M%SZ}")
        html, data = (f"{stem}{suffix}" for suffix in SUFFIXES)
        result: dict[str, Any] = {"changed": True, "summary": report["summary"]}
        if self._task.check_mode:
            return {**result, "msg": f"would write {html} and {data}"}
        try:
            for suffix, text in texts.items():
                _write(Path(f"{stem}{suffix}"), text, mode)
        except OSError as error:
            raise AnsibleActionFail(
                f"the report cannot be written: {error}. Give a path that can be written"
            ) from error
        return {**result, "html": html, "json": data, "msg": f"{report['summary']['sentence']} Report: {html}"}


def _registered(variables: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The results of the modules that acted, as they were registered in this play, and in that order; None for none."""
    told = variables.get("ansible_facts") or ()  # by hosts, of which none tells what a module did on another
    # A dict: Ansible's hostvars is a mapping, too, and cannot be asked for what it does not have outside of a template.
    results = [
        value
        for name, value in variables.items()
        if name.removeprefix("ansible_") not in told and isinstance(value, dict) and _acted(value)
    ]
    found = [{"title": one["title"], "host": one.get("host"), "result": one} for one in results]
    return given.plain(found) or None


def _acted(result: Mapping[str, Any]) -> bool:
    return isinstance(result.get("title"), str) and ("steps" in result or bool(result.get("failed")))


def _probe(probe: Any) -> Any:
    """The probe's report, read from its file where a path was given."""
    if not isinstance(probe, str) or not probe.strip():
        return probe or None
    text = probe
    try:
        if not probe.lstrip().startswith("{"):
            text = Path(os.path.expandvars(probe)).expanduser().read_text(encoding="utf-8")
        found = json.loads(text)
    except (OSError, ValueError) as error:
        raise AnsibleActionFail(f"probe: {error}. Give the probe's report, or the path of its JSON file") from error
    if not isinstance(found, dict):
        raise AnsibleActionFail(f"probe: {probe} is not the report of a probe, which is a JSON object")
    return found


def _stem(path: str, name: str) -> str:
    """What the names of both files begin with: ``path``, or a name of its own in ``path`` where that is a directory."""
    if path.endswith("/") or Path(path).is_dir():
        return str(Path(path).absolute() / (re.sub(r"[^A-Za-z0-9_.-]+", "_", name).lstrip("._-") or "report"))
    found = Path(path).absolute()
    return str(found.with_suffix("") if found.suffix in SUFFIXES else found)


def _mode(text: str) -> int:
    """The permissions that octal digits name."""
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise AnsibleActionFail(f"mode: {text!r} are no permissions. Give octal digits in quotes, such as '0640'")
    return int(text, 8)


def _write(path: Path, text: str, mode: int) -> None:
    """Whole or not at all: whoever reads it meanwhile sees the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
