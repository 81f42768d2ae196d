# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of a playbook as one JSON document, of which the page is only another form. Pure.

    format, version   what this is; the version grows when a key changes its meaning or goes away
    made              when, ISO 8601
    runbook, pair     deploy, failover, ...; the pair's name in the inventory
    summary           sentence, tone (good, warning, bad, unknown), phase, holder, since
    before, after     hosts (by name: state, message, phase, stands_still, problems, notes, unfit, sync, observation),
                      verdict (phase, holder, problems, notes, next, and first and command, as the playbook status has
                      them), channels
    tasks             title, host, outcome, started, ended, seconds, served_after, unheard, changed, message, problems,
                      steps, runs; or null where nobody said what was done
    fence             host, ground, verified (null where a person confirmed it), method; or null
    client            outage_ms, outage_of, acknowledged, checked, lost, boots, kinds, ...; or null

What is not known is null. An observation has no domain XML. Times of steps are seconds since the first observation of
their run; a task that waits for a long sync has several runs.
"""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import Any

from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import to_data
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import fence as fences
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import guest, pair, remarks
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.command import CONFIRMED, command

from . import channels, client, given, observed, summary, tasks, words

FORMAT, VERSION = "lockstep.colo report", 1
UNREACHABLE = "unreachable"
MAX_HOSTS = 2


def build(options: dict[str, Any], made: datetime) -> dict[str, Any]:
    """The document, from the options of ``colo_report`` as plain data."""
    names = _hosts(options)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "made": words.iso(made),
        "runbook": options["runbook"],
        "pair": options["pair"],
        "before": _side(options, names, "before", None),
        "after": _side(options, names, "after", options.get("verdict")),
        "tasks": None if options.get("tasks") is None else tasks.read(options["tasks"]),
        "fence": _fence(options.get("fence")),
        "client": client.read(options.get("probe")),
    }
    document["summary"] = summary.summarise(document)
    return given.harmless(document)


def _hosts(options: dict[str, Any]) -> list[str]:
    """The hosts of the pair, in the order in which they were given."""
    names = list(dict.fromkeys([*(options.get("before") or {}), *(options.get("after") or {})]))
    if len(names) > MAX_HOSTS:
        raise ValueError(f"before and after name {words.listed(names)}: a pair has two hosts")
    return names


def _side(options: dict[str, Any], names: list[str], side: str, judged: Any) -> dict[str, Any] | None:
    """Both hosts at one time; None where nobody looked."""
    results = options.get(side) or {}
    if not results and not judged:
        return None
    read = {name: _host(results.get(name)) for name in names}
    halves = {name: observation for name, (_host, observation) in read.items()}
    seen = [half for half in halves.values() if half]
    verdict = _verdict(judged) or _judge(seen)
    return {
        "hosts": {name: host for name, (host, _observation) in read.items()},
        "verdict": verdict and {**verdict, **_leads_on(options, verdict["next"], halves)},
        "channels": channels.between(seen),
    }


def _leads_on(options: dict[str, Any], playbook: str, halves: dict[str, Observation | None]) -> dict[str, str]:
    """The command that runs the next playbook, and what has to be so before it."""
    inventory, fence_tasks = given.texts(options.get("inventory")), options.get("fence_tasks") or CONFIRMED
    found = command(playbook, options["pair"], halves, inventory, fence_tasks)
    return {"first": found.first, "command": shlex.join(found.words)}


def _judge(seen: list[Observation]) -> dict[str, Any] | None:
    """The verdict over those that answered; where none did, nothing is known."""
    if not seen:
        return None
    judged = to_data(pair.pair(*[*seen, None, None][:MAX_HOSTS]))
    return {**judged, "phase": None} if any(map(_unclear, seen)) else judged


def _unclear(seen: Observation) -> bool:
    """Whether the phase hangs on what QEMU would say, and QEMU was deliberately not asked."""
    record = seen.record
    if record is None or record.role == "alone" or not seen.domain.active:
        return False
    return not seen.asked


def _verdict(judged: Any) -> dict[str, Any] | None:
    judged = given.mapping(judged)
    if not judged.get("phase"):
        return None
    return {
        "phase": str(judged["phase"]),
        "holder": judged.get("holder") or None,
        "problems": given.texts(judged.get("problems")),
        "notes": given.texts(judged.get("notes")),
        "next": str(judged.get("next") or ""),
    }


def _host(result: Any) -> tuple[dict[str, Any], Observation | None]:
    """One host, from the registered result of a module that observed it, and its observation if it has one."""
    host: dict[str, Any] = {
        "state": "not_asked", "message": None, "phase": None, "stands_still": None, "problems": [], "notes": [],
        "unfit": [], "sync": {}, "observation": None,
    }  # fmt: skip
    if result is None:
        return host, None
    if result == UNREACHABLE or given.mapping(result).get(UNREACHABLE):
        return {**host, "state": UNREACHABLE, "message": given.mapping(result).get("msg")}, None
    try:
        seen = observed.read(result)
    except ValueError as error:
        message = given.mapping(result).get("msg") or f"what was returned is not an observation: {error}"
        return {**host, "state": "not_observed", "message": str(message)}, None
    return {
        **host,
        "state": "observed",
        "phase": None if _unclear(seen) else pair.phase(seen),
        "stands_still": guest.still(seen) is not None,
        "problems": remarks.problems(seen),
        "notes": remarks.notes(seen),
        "unfit": given.texts(given.mapping(result).get("unfit")),
        "sync": given.mapping(given.mapping(result).get("sync")),
        "observation": _shown(to_data(seen)),
    }, seen


def _shown(observation: dict[str, Any]) -> dict[str, Any]:
    """XML may hold passwords, and this runs where nothing can take them out of it.

    QEMU's long form of a file name only says again, for each layer, what the layers below it are.
    """
    domain, monitor = observation["domain"], observation["monitor"]
    if domain:
        observation["domain"] = {key: value for key, value in domain.items() if not key.endswith("_xml")}
    for node in monitor["nodes"].values() if monitor else ():
        if (node["file"] or "").startswith("json:"):
            node["file"] = None
    return observation


def _fence(told: Any) -> dict[str, Any] | None:
    """``verified`` is null of what a person confirmed, and of what nobody told."""
    told = given.mapping(told)
    if not told.get("host"):
        return None
    ground = told.get("ground") or (fences.COMMAND if told.get("proof") is not None else None)
    return {
        "host": str(told["host"]),
        "ground": ground,
        "verified": _verified(fences.Fence(str(told["host"]), str(ground), "", given.mapping(told.get("proof")))),
        "method": given.method(str(told.get("method") or "")) or None,
    }


def _verified(fence: fences.Fence) -> bool | None:
    if fence.ground in (fences.ENDED, fences.DRILL):  # without its proof nothing was promoted
        return True
    return fences.holds(fence) if fence.ground == fences.COMMAND else None
