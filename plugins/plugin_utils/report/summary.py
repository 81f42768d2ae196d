# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run in one sentence, and in the few numbers that are asked for first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ansible_collections.lockstep.colo.plugins.module_utils.verdict.fence import CONFIRMED

from . import client, tasks, words

BY_A_PERSON = "confirmed by a person"

STATES = {
    "unprotected": ("{pair} {runs}unprotected", "warning"),
    "listening": ("{pair} is unprotected; its standby waits for it", "warning"),
    "syncing": ("{pair} runs{on}, still unprotected; its disks are being copied", "warning"),
    "protected": ("{pair} is protected: it serves{from_}, in lockstep with its standby", "good"),
    "stalled": ("{pair} stands still{on}: it waits for a checkpoint with its standby", "bad"),
    "degraded": ("{pair}{on} is not in lockstep with its other half; its clients may be frozen", "bad"),
    "failed_over": ("{pair} serves{from_}, unprotected", "warning"),
    "powered_off": ("{pair} does not run{last}", "bad"),
    "stale": ("{pair} has only an old copy here; the other host has a newer one", "bad"),
}

UNHEARD = "unheard"  # failed over, and what the guest sends was not seen to leave its host
STILL = "still"  # in no lockstep, and its guest was seen not to run
FORMS = {
    **STATES,
    UNHEARD: ("{pair} {runs}unprotected, and clients do not reach it", "bad"),
    STILL: ("{pair} stands still{on}, unprotected", "bad"),
}


def summarise(document: dict[str, Any]) -> dict[str, Any]:
    """The sentence, how good or bad it is, and what it is drawn from."""
    judged = (document["after"] or {}).get("verdict") or {}
    phase, holder = judged.get("phase"), judged.get("holder")
    task = _served(document) if phase == "failed_over" else None
    since = served_at(task) if task else None
    still = _stands_still_on(document, holder)
    if phase == "unprotected":
        holder = holder or still or _runs_on(document)
    form = STILL if still else UNHEARD if _unheard(document, phase) else phase
    state, tone = _state(document["pair"], form, holder)
    if since:
        state += f", since {about(task)}{words.clock(since, '%Y-%m-%d %H:%M')}"
    parts = [state, *_client(document["client"])]
    failure = next((task for task in document["tasks"] or [] if task["outcome"] in ("failed", "unreachable")), None)
    if failure:
        tone = "bad"
        host, title = failure["host"], words.known(failure["title"])
        on = f" on {host}" if host and host not in title else ""
        parts.insert(0, f"{document['runbook']} did not come to its end: '{title}' failed{on}")
    if (document["client"] or {}).get("lost"):
        tone = "bad"
    sentence = "; ".join(parts)
    return {
        "sentence": f"{sentence[:1].upper()}{sentence[1:]}." if failure or phase is None else f"{sentence}.",
        "tone": tone,
        "phase": phase,
        "holder": judged.get("holder"),
        "since": words.iso(since),
    }


def _state(pair: str, phase: str | None, holder: str | None) -> tuple[str, str]:
    if phase is None:
        return f"it is not known how {pair} is now", "unknown"
    if phase not in FORMS:
        return f"{pair} is {phase}", "unknown"
    form, tone = FORMS[phase]
    on, from_ = (f" on {holder}", f" from {holder}") if holder else ("", "")
    runs = f"runs on {holder}, " if holder else "is "
    last = f"; the newest copy is on {holder}" if holder else ""
    return form.format(pair=pair, on=on, from_=from_, runs=runs, last=last), tone


def _unheard(document: dict[str, Any], phase: str | None) -> bool:
    return phase == "failed_over" and any(task["unheard"] for task in document["tasks"] or [])


def _runs_on(document: dict[str, Any]) -> str | None:
    """The one host on which the domain runs, where no record says who holds the guest."""
    hosts = (document["after"] or {"hosts": {}})["hosts"]
    running = [name for name, host in hosts.items() if _domain(host).get("state") == "running" and _answers(host)]
    return running[0] if len(running) == 1 else None


def _answers(host: dict[str, Any]) -> bool:
    return not (host["observation"] or {}).get("monitor_problem")


def _stands_still_on(document: dict[str, Any], holder: str | None) -> str | None:
    """The host that has the guest, or may, where that was seen to stand still in no lockstep."""
    hosts = (document["after"] or {"hosts": {}})["hosts"]
    still = [name for name, host in hosts.items() if host.get("stands_still")]
    if holder:
        return holder if holder in still else None
    return still[0] if len(still) == 1 else None


def _domain(host: dict[str, Any]) -> dict[str, Any]:
    return (host["observation"] or {}).get("domain") or {}


def _served(document: dict[str, Any]) -> dict[str, Any] | None:
    """The task that let the guest go on the survivor."""
    return next((task for task in document["tasks"] or [] if task["served_after"] is not None), None)


def served_at(task: dict[str, Any]) -> datetime | None:
    """When the guest was let go: so many seconds after the module's first observation."""
    began = first_observation(task)
    return words.later(began, task["served_after"]) if began and task["served_after"] is not None else None


def first_observation(task: dict[str, Any]) -> datetime | None:
    """When the module's last run began to count: ``seconds`` before the task's end, or else at its start, about."""
    ended = words.moment(task["ended"])
    if ended and task["seconds"] is not None:
        return words.later(ended, -task["seconds"])
    return words.moment(task["started"])


def about(task: dict[str, Any]) -> str:
    """What is said of times that leave out Ansible's way to the host."""
    return "" if task["ended"] else "about "


def _client(seen: dict[str, Any] | None) -> Iterator[str]:
    if seen is None:
        return
    if seen["outage_ms"] is not None:
        yield f"clients were without an answer for {words.duration(seen['outage_ms'] / 1000)}"
    checked = seen["acknowledged"] if seen["checked"] is None else seen["checked"]
    if seen["lost"] is None:
        if seen["acknowledged"] is not None:
            yield "whether acknowledged writes were lost was not checked"
    elif seen["lost"]:
        were = "was" if seen["lost"] == 1 else "were"
        yield f"{words.count(seen['lost'], 'acknowledged write')} {were} lost ({words.known(checked)} checked)"
    elif not checked:
        yield "no write was acknowledged, so that nothing can be said of losses"
    else:
        yield f"no acknowledged write was lost ({checked} checked)"


# The numbers


def numbers(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Label, value, note and tone of each number, the most wanted first."""
    found = [*_outage(document), *_pair(document), *_work(document), *_fence(document)]
    return [{"label": label, "value": value, "note": note, "tone": tone} for label, value, note, tone in found]


def _outage(document: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    seen = document["client"]
    served = [task for task in document["tasks"] or [] if task["served_after"] is not None]
    if served:
        note = "the guest, from the module's first observation"
        yield "free to serve after", words.duration(served[-1]["served_after"]), note, ""
    if seen is None:
        if document["runbook"] in ("failover", "switchover"):
            yield "outage for clients", words.NOT_KNOWN, "no probe was given", ""
        return
    if seen["outage_ms"] is not None:
        of = (
            f"{client.name(seen['outage_of'])}, the longest"
            if seen["outage_of"]
            else "from the last answer to the next"
        )
        yield "outage for clients", words.duration(seen["outage_ms"] / 1000), of, ""
    acknowledged, lost = seen["acknowledged"], seen["lost"]
    tone = "" if lost is None else "bad" if lost else "good"
    note = "acknowledged to the client" if seen["checked"] is None else f"{seen['checked']} looked for on the disk"
    yield "writes acknowledged", words.known(acknowledged), note, ""
    yield "of these lost", words.known(lost), "" if lost is not None else "not checked", tone
    if seen["boots"] is not None:
        restarted = seen["boots"] > 1
        note = "the guest restarted" if restarted else "the guest did not restart"
        yield "boots seen", str(seen["boots"]), note, "bad" if restarted else "good"


def _pair(document: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    before, after = (((document[side] or {}).get("verdict") or {}).get("phase") for side in ("before", "after"))
    note = f"before: {before}" if before else "before: not known" if document["before"] else ""
    yield "phase", words.known(after), note, document["summary"]["tone"] if after else ""
    records = [record for record in map(_record, _observations(document)) if record]
    if records:
        yield "generation", str(max(record["generation"] for record in records)), "of the newest copy", ""
    watched = [seen["checkpoints"] for seen in _observations(document) if seen["checkpoints"]]
    if watched:
        per_minute = 60 * watched[0]["count"] / watched[0]["seconds"] if watched[0]["seconds"] else 0.0
        last = words.moment(watched[0]["last"])
        note = f"the last one {words.clock(last, '%H:%M:%S')}" if last else "none was seen"
        yield "checkpoints a minute", f"{per_minute:.0f}", note, "" if watched[0]["count"] else "bad"


def _observations(document: dict[str, Any]) -> list[dict[str, Any]]:
    hosts = (document["after"] or {"hosts": {}})["hosts"].values()
    return [host["observation"] for host in hosts if host["observation"]]


def _record(observation: dict[str, Any]) -> dict[str, Any] | None:
    return (observation["domain"] or {}).get("record")


def _work(document: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    if not document["tasks"]:
        return
    steps = sum(len(run) for task in document["tasks"] for run in task["runs"])
    failed = sum(task["outcome"] in ("failed", "unreachable") for task in document["tasks"])
    note = f"in {words.count(len(document['tasks']), 'task')}"
    if failed:
        note += f", {failed} of which failed"
    value = str(steps)
    if any(task["outcome"] in ("failed", "unreachable") and not task["runs"] for task in document["tasks"]):
        value = f"at least {steps}" if steps else words.NOT_KNOWN  # what failed does not say how far it came
    yield "steps carried out", value, note, "bad" if failed else ""
    spent = [tasks.took(task) for task in document["tasks"]]
    if any(one is not None for one in spent):
        total = words.duration(sum(one for one in spent if one is not None))
        yield "time in the modules", total, "without Ansible's way to the hosts", ""


def _fence(document: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    fence = document["fence"]
    if fence:
        confirmed = fence["ground"] == CONFIRMED
        sure = {True: "verified", False: "not verified", None: BY_A_PERSON if confirmed else words.NOT_KNOWN}[
            fence["verified"]
        ]
        tone = {True: "good", False: "bad", None: "warning" if confirmed else ""}[fence["verified"]]
        yield f"fence of {fence['host']}", sure, fence["method"] or "", tone
