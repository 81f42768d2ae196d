# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run comes to, as every front end tells it: plain data, without passwords."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..domain.reading import canonical, redacted, without_passwords
from ..lockstep import graph
from ..observation.codec import to_data
from ..observation.seen import Job, Observation
from ..plan.step import Step
from ..verdict import guest, pair, reach, remarks
from ..verdict.problem import Refusal
from . import failures
from .converge import Result

FAILURES = failures.FAILURES


def returned(result: Result) -> dict[str, Any]:
    """A run as every module that changes something returns it."""
    return {
        "changed": result.changed,
        "finished": result.outcome.finished,
        "steps": [step.title for step in result.steps],
        "done": [asdict(step) for step in result.outcome.done],
        "seconds": result.seconds,
        "unforeseen": result.unforeseen,
        "diff": _diff(result),
        **seen(result.after),
    }


def seen(observation: Observation, *, secrets: bool = False) -> dict[str, Any]:
    """An observation as modules return it: without passwords, unless they are asked for to make a standby."""
    data = to_data(observation)
    if data["domain"] and not secrets:
        _redact(data["domain"])
    return {
        "phase": pair.phase(observation),
        "problems": remarks.problems(observation),
        "notes": remarks.notes(observation),
        "sync": {name: progress(job) for name, job in _jobs(observation).items() if graph.is_sync(name)},
        "compared": {target: asdict(one) for target, one in observation.compared.items()},
        "observation": data,
    }


def _redact(domain: dict[str, Any]) -> None:
    """Take the passwords out of what is returned of a domain, and say so where there were any."""
    for key in ("inactive_xml", "live_xml", "saved_xml"):
        if domain.get(key):
            domain[key], had_some = without_passwords(domain[key])
            domain["redacted"] = domain["redacted"] or had_some


def unheard(result: Result) -> list[str]:
    """Why clients do not reach the guest that a run has left here, as far as it was looked at."""
    stopped = guest.still(result.after)
    return [*([stopped.in_a_line] if stopped else []), *reach.unheard(result.after)]


def unsure(result: Result) -> list[str]:
    """What is not known of the way of clients to the guest, of a run that has announced it here."""
    return list(reach.unsure(result.after, result.outcome.unwatched)) if result.outcome.watched else []


def _jobs(observation: Observation) -> dict[str, Job]:
    return observation.monitor.jobs if observation.monitor else {}


def progress(job: Job) -> dict[str, Any]:
    """How far a disk's sync has come: ``done`` of ``total`` bytes, and ``percent``."""
    percent = round(100 * job.done / job.total, 1) if job.total else 0.0
    return {"status": job.status, "done": job.done, "total": job.total, "percent": percent}


def _diff(result: Result) -> list[dict[str, Any]]:
    before, after = (one.domain.inactive_xml if one.domain else "" for one in (result.before, result.after))
    shown = [{"prepared": "".join(f"  {_line(step)}\n" for step in result.steps)}] if result.steps else []
    if before != after:
        shown.insert(
            0,
            {
                "before_header": "domain XML",
                "after_header": "domain XML",
                "before": canonical(redacted(before)) + "\n" if before else "",
                "after": canonical(redacted(after)) + "\n" if after else "",
            },
        )
    return shown


def _line(step: Step) -> str:
    return f"{'step' if step.changes else 'wait'}: {step.title}"


def drilled(result: Result, addresses: tuple[str, ...]) -> dict[str, Any]:
    """What a drill came to: proven by answers of all ``addresses`` (of none given, by a NIC that was heard)."""
    answers, damaged = result.outcome.answers, result.outcome.damaged
    silent = [address for address in addresses if address not in answers.answered]
    answered = not silent if addresses else bool(answers.heard)
    return {
        "proven": answered and not damaged,
        "heard": list(answers.heard),
        "answered": list(answers.answered),
        "silent": silent,
        "damaged": damaged,
    }


def failure(error: Exception, domain: str | None, host: str | None) -> dict[str, Any]:
    """One of FAILURES in words for an operator, ``msg``; of a refusal also its ``problems``, each with its remedy."""
    problems = {"problems": [asdict(one) for one in error.problems]} if isinstance(error, Refusal) else {}
    return {"msg": str(failures.with_remedy(error).at(host=host, domain=domain)), **problems}


def where(domain: str, host: str | None) -> str:
    """The domain, and the host where that is known, as they stand before a message."""
    return ", ".join(f"{kind} {value}" for kind, value in (("host", host), ("domain", domain)) if value)
