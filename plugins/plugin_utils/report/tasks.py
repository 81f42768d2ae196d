# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done: the tasks that acted, from their registered results."""

from __future__ import annotations

from typing import Any

from . import given, words

SLACK = 0.001  # seconds; times of steps are rounded


def read(tasks: list[Any]) -> list[dict[str, Any]]:
    """Each task with how it came out, and its steps by runs of its module."""
    return [_task(given.mapping(task)) for task in tasks]


def _task(task: dict[str, Any]) -> dict[str, Any]:
    result = given.mapping(task.get("result"))
    done = [step for step in map(_step, _list(result.get("done"))) if step]
    failed = bool(result.get("failed") or result.get("unreachable"))
    return {
        "title": _text(task.get("title")),
        "host": _text(task.get("host")),
        "outcome": _outcome(result, done),
        "started": words.iso(words.moment(task.get("started") or result.get("began"))),
        "ended": words.iso(words.moment(task.get("ended"))),
        "seconds": given.number(result.get("seconds")),
        "served_after": given.number(result.get("served_after")),
        "unheard": given.texts(result.get("unheard")),
        "changed": result.get("changed") if isinstance(result.get("changed"), bool) else None,
        "message": _text(result.get("msg")) if failed or result.get("skipped") else None,
        "problems": given.texts(result.get("problems")) if failed else [],
        "steps": given.texts(result.get("steps")),
        "runs": _runs(done),
    }


def _outcome(result: dict[str, Any], done: list[dict[str, Any]]) -> str | None:
    """``done``, ``nothing_to_do``, ``planned``, ``unfinished``, ``failed``, ``unreachable``, ``skipped``, or None."""
    for said in ("unreachable", "failed", "skipped"):
        if result.get(said):
            return said
    if result.get("finished") is False:
        return "unfinished"
    if done:
        return "done"
    if not isinstance(result.get("steps"), list):
        return None
    return "planned" if result["steps"] else "nothing_to_do"


def _step(step: Any) -> dict[str, Any] | None:
    step = given.mapping(step)
    began, ended = given.number(step.get("began")), given.number(step.get("ended"))
    if began is None or ended is None or ended < began:
        return None
    return {"title": _text(step.get("title")), "began": began, "ended": ended}


def _runs(done: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The steps by runs of the module: where time goes back, the next run began to count."""
    runs: list[list[dict[str, Any]]] = []
    for step in done:
        if not runs or step["began"] < runs[-1][-1]["ended"] - SLACK:
            runs.append([])
        runs[-1].append(step)
    return runs


def took(task: dict[str, Any]) -> float | None:
    """Seconds in the module over all its runs. Of the earlier ones only their steps are known."""
    earlier = sum(run[-1]["ended"] for run in task["runs"][:-1])
    last = task["seconds"]
    if last is None and task["runs"]:
        last = task["runs"][-1][-1]["ended"]
    return None if last is None else earlier + last


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)
