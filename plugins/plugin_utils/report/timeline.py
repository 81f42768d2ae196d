# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done, as bars: all tasks on the clock, and the steps of each within their run. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from . import client, summary, tasks, words
from .markup import Markup, join, tag

GAP = 0.04  # part of a run without a step from which on that is shown, as time in which the host was observed
COLOURS = {
    "silence": "clients without an answer",
    "task": "a task, with Ansible's way to the host",
    "core": "the module at work there",
}
OUTCOMES = {
    "done": ("done", "good"),
    "nothing_to_do": ("nothing to do", "good"),
    "planned": ("planned, not carried out", "warning"),
    "unfinished": ("not finished", "warning"),
    "failed": ("failed", "bad"),
    "unreachable": ("host unreachable", "bad"),
    "skipped": ("skipped", "none"),
    None: (words.NOT_KNOWN, "none"),
}


@dataclass(frozen=True)
class Bar:
    """A stretch of time; ``core`` is the part of it in which the module itself was at work."""

    label: str
    began: datetime
    ended: datetime | None
    class_: str
    core: tuple[datetime, datetime] | None = None


def overview(document: dict[str, Any]) -> Markup | None:
    """Every task on the clock, with what the clients saw; None where it is not known how long one took."""
    bars = [*_client_bars(document["client"]), *_task_bars(document["tasks"])]
    if not any(span.class_ != "silence" and span.ended for span in bars):
        return None
    marks = list(_marks(document))
    moments = (
        [span.began for span in bars]
        + [span.ended for span in bars if span.ended]
        + [when for _label, when, _c in marks]
    )
    begin, end = min(moments), max(moments)
    span = max((end - begin).total_seconds(), 0.001)

    def share(when: datetime) -> float:
        return 100 * (when - begin).total_seconds() / span

    lanes = [_lane(span, share, marks) for span in bars]
    scale = tag(
        "div",
        tag("span", words.clock(begin)),
        tag("span", words.duration(span), class_="muted"),
        tag("span", words.clock(end, "%H:%M:%S")),
        class_="scale",
    )
    return tag("div", lanes, scale, _keys(bars, marks), class_="overview")


def _task_bars(done: list[dict[str, Any]]) -> Iterator[Bar]:
    for task in done:
        began, ended = words.moment(task["started"]), words.moment(task["ended"])
        first, seconds = summary.first_observation(task), task["seconds"]
        if began and ended:
            over = words.later(first, seconds) if first and seconds is not None else None
            yield Bar(_title(task), began, ended, "task", (first, over) if first and over else None)
        elif began:
            yield Bar(_title(task), began, None if seconds is None else words.later(began, seconds), "core")


def _client_bars(seen: dict[str, Any] | None) -> Iterator[Bar]:
    for name, kind in ((seen or {}).get("kinds") or {}).items():
        began, ended = words.moment(kind["last_before"]), words.moment(kind["first_after"])
        if began and ended:
            yield Bar(f"clients: no {client.name(name)}", began, ended, "silence")


def _marks(document: dict[str, Any]) -> Iterator[tuple[str, datetime, str]]:
    event = words.moment((document["client"] or {}).get("event"))
    if event:
        yield "the loss, at", event, "bad"
    for task in document["tasks"]:
        served = summary.served_at(task)
        if served:
            yield f"the guest is free to serve, {summary.about(task)}at", served, "good"


def _lane(span: Bar, share: Any, marks: list[tuple[str, datetime, str]]) -> Markup:
    spent = (span.ended - span.began).total_seconds() if span.ended else None
    return tag(
        "div",
        tag("div", span.label, class_="lane-name"),
        tag(
            "div",
            _stretch(share(span.began), share(span.ended or span.began), f"bar {span.class_}"),
            _stretch(share(span.core[0]), share(span.core[1]), "bar core") if span.core else None,
            [tag("i", class_=f"mark {class_}", style=f"left:{share(when):.2f}%") for _label, when, class_ in marks],
            class_="track",
        ),
        tag("div", words.duration(spent) if spent is not None else "", class_="lane-time"),
        class_="lane",
    )


def _keys(bars: list[Bar], marks: list[tuple[str, datetime, str]]) -> Markup:
    """What the colours and the marks mean."""
    shown = [(f"dot {class_}", f"{label} {words.clock(when, '%H:%M:%S')}") for label, when, class_ in marks]
    used = {span.class_ for span in bars} | {"core" for span in bars if span.core}
    shown += [(f"patch bar {class_}", text) for class_, text in COLOURS.items() if class_ in used]
    return tag(
        "p", [tag("span", tag("i", class_=class_), f" {text}", class_="key") for class_, text in shown], class_="keys"
    )


def _stretch(begin: float, end: float, class_: str) -> Markup:
    begin, end = (min(100.0, max(0.0, part)) for part in (begin, end))
    return tag("i", class_=class_, style=f"left:{begin:.2f}%;width:{max(0.0, end - begin):.2f}%")


# The steps of one task


def task(done: dict[str, Any], *, shown: bool) -> Markup:
    """One task and its steps; ``shown`` says whether these are seen without a click. On paper they always are."""
    said, tone = OUTCOMES[done["outcome"]]
    title = [tag("h3", _title(done), " "), tag("span", said, class_=f"badge {tone}")]
    facts = tag("p", " · ".join(filter(None, _task_facts(done))), class_="muted small")
    told = [
        tag("p", done["message"], class_=f"message {tone}") if done["message"] else None,
        _problems(done["problems"]),
    ]
    steps = [*(_run(done, number) for number in range(len(done["runs"]))), _planned(done)]
    if not any(steps):
        return tag("section", title, facts, told, class_="task-steps")
    opened = "open" if shown or tone == "bad" else None
    return tag("details", tag("summary", title, facts), told, steps, class_="task-steps", open=opened)


def _problems(problems: list[str]) -> Markup | None:
    """Each reason for a refusal by itself; a single one is the message already."""
    return tag("ul", [tag("li", problem) for problem in problems], class_="findings bad") if len(problems) > 1 else None


def _title(done: dict[str, Any]) -> str:
    """The title, and the host where the title does not name it."""
    title, host = words.known(done["title"]), done["host"]
    return f"{title} ({host})" if host and host not in title else title


def _task_facts(done: dict[str, Any]) -> Iterator[str | None]:
    started, spent = words.moment(done["started"]), tasks.took(done)
    yield words.clock(started) if started else None
    yield f"{words.duration(spent)} in the module" if spent is not None else None
    yield words.count(_steps(done), "step") if done["runs"] else None
    steps = [step for run in done["runs"] for step in run]
    if len(steps) > 1:
        longest = max(steps, key=lambda step: step["ended"] - step["began"])
        yield f"the longest: {words.known(longest['title'])}, {words.duration(longest['ended'] - longest['began'])}"


def _steps(done: dict[str, Any]) -> int:
    return sum(map(len, done["runs"]))


def _planned(done: dict[str, Any]) -> Markup | None:
    """What was to be done and was not: a plan in check mode, or what a failure or a long sync left over."""
    left = done["steps"][_steps(done) :] if done["outcome"] in ("planned", "unfinished") else []
    if not left:
        return None
    return join(
        tag("p", "Not carried out:", class_="muted small"), tag("ol", [tag("li", step) for step in left], class_="plan")
    )


def _run(done: dict[str, Any], number: int) -> Markup:
    steps, last = done["runs"][number], number == len(done["runs"]) - 1
    end = steps[-1]["ended"]
    span = max(done["seconds"] or end, end) if last else end
    served = done["served_after"] if last else None
    rows = list(_rows(steps, span, served))
    title = (
        tag("p", f"Run {number + 1} of {len(done['runs'])}", class_="muted small") if len(done["runs"]) > 1 else None
    )
    head = tag(
        "thead",
        tag(
            "tr",
            tag("th", "step"),
            tag("th", class_="track-cell"),
            tag("th", "at", class_="number"),
            tag("th", "took", class_="number"),
        ),
    )
    return join(title, tag("table", head, tag("tbody", rows), class_="steps"))


def _rows(steps: list[dict[str, Any]], span: float, served: float | None) -> Iterator[Markup]:
    before, told = 0.0, served is None
    for step in steps:
        if step["began"] - before > GAP * span:
            yield _row("observing", before, step["began"], span, served, "idle")
        yield _row(step["title"], step["began"], step["ended"], span, served, "step")
        before = step["ended"]
        if not told and served <= before:
            yield _served(served)
            told = True
    if span - before > GAP * span:
        yield _row("observing", before, span, span, served, "idle")


def _row(title: str | None, began: float, ended: float, span: float, served: float | None, class_: str) -> Markup:
    def share(moment: float) -> float:
        return 100 * moment / span if span else 0.0

    mark = tag("i", class_="mark good", style=f"left:{share(served):.2f}%") if served is not None else None
    track = tag("div", _stretch(share(began), share(ended), f"bar {class_}"), mark, class_="track")
    return tag(
        "tr",
        tag("td", words.known(title), class_="what"),
        tag("td", track, class_="track-cell"),
        tag("td", words.duration(began), class_="number muted"),
        tag("td", words.duration(ended - began), class_="number"),
        class_=class_,
    )


def _served(served: float) -> Markup:
    text = f"the guest is free to serve, {words.duration(served)} after the first observation"
    return tag("tr", tag("td", text, colspan=4), class_="served")
