# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as one HTML file: made from the JSON document and the style sheet alone, with nothing to fetch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from . import client, details, picture, summary, timeline, words
from .markup import Markup, join, tag

STYLE = Path(__file__).with_name("report.css")
# Even if a tag were to slip through, it could not run or fetch anything.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
WHOLE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d UTC|(?<![\d.])[\d.]+ (?:ms|s|min|h)\b)")
BADGES = {"good": "in order", "warning": "needs attention", "bad": "trouble", "unknown": words.NOT_KNOWN}
HOST_WORDS = {
    "unreachable": "could not be reached",
    "not_observed": "could not be observed",
    "not_asked": "was not asked",
}


def render(document: dict[str, Any]) -> str:
    title = f"{document['pair']}: {document['runbook']} report"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(STYLE.read_text(encoding="utf-8"))),
    )
    main = tag(
        "main",
        _top(document),
        _numbers(document),
        _section("What was done", _done(document), "done"),
        _section("What was found", _found(document), "found"),
        _section("What the clients saw", _client(document), "client"),
        _section("The pair", _pictures(document), "pair"),
        _section("Details", details.tables(document), "details"),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', main, _foot(document)), lang='en')}\n"


def _section(title: str, body: Markup | None, name: str) -> Markup | None:
    return tag("section", tag("h2", title), body, id=name) if body else None


def _top(document: dict[str, Any]) -> Markup:
    said = document["summary"]
    return tag(
        "header",
        tag(
            "p",
            tag("span", document["runbook"], class_="runbook"),
            f" report of {document['pair']}, made {words.clock(words.moment(document['made']))}",
            class_="kicker",
        ),
        tag("h1", _unbroken(said["sentence"])),
        tag("p", tag("span", BADGES[said["tone"]], class_=f"badge {said['tone']}")),
        _next(document["after"] or document["before"]),
        class_=f"top {said['tone']}",
    )


def _next(latest: dict[str, Any] | None) -> Markup | None:
    """What leads on from where the pair is now."""
    judged = latest["verdict"] if latest else None
    if not judged or not judged["command"]:
        return None
    first = f"{judged['first']} " if judged["first"] else ""
    return tag("p", f"Next: {first}", tag("code", judged["command"]), class_="next")


def _unbroken(sentence: str) -> list[Any]:
    """The sentence, in which no line ends within a time or a duration."""
    parts = WHOLE.split(sentence)
    return [tag("span", part, class_="whole") if number % 2 else part for number, part in enumerate(parts)]


def _numbers(document: dict[str, Any]) -> Markup:
    return tag(
        "dl",
        [
            tag(
                "div",
                tag("dt", number["label"]),
                tag("dd", number["value"], class_=f"value {number['tone']}"),
                tag("dd", number["note"], class_="note") if number["note"] else None,
            )
            for number in summary.numbers(document)
        ],
        class_="numbers",
    )


def _titles(document: dict[str, Any]) -> dict[str, str]:
    return {"before": "As it was found", "after": "At the end" if document["tasks"] else "As it is"}


def _done(document: dict[str, Any]) -> Markup | None:
    if document["tasks"] is None:
        return None
    if not document["tasks"]:
        return tag("p", "Nothing was done to the pair.", class_="muted")
    overview = timeline.overview(document)
    # The task that brought the guest back is what a report of a failover is read for.
    shown = [len(document["tasks"]) == 1 or task["served_after"] is not None for task in document["tasks"]]
    steps = [timeline.task(task, shown=show) for task, show in zip(document["tasks"], shown, strict=True)]
    return join(overview, steps)


# What was found


def _found(document: dict[str, Any]) -> Markup:
    titles = _titles(document)
    if not document["tasks"] and not (document["before"] and document["after"]):
        side = "after" if document["after"] else "before"
        return _findings(document[side], titles[side])
    return tag("div", [_findings(document[side], titles[side]) for side in titles], class_="two")


def _findings(side: dict[str, Any] | None, title: str) -> Markup:
    if side is None:
        return tag(
            "div", tag("h3", title), tag("p", "Nothing was given to this report.", class_="muted"), class_="card"
        )
    judged = side["verdict"] or {"phase": None, "holder": None, "problems": [], "notes": []}
    holder = f", the guest is on {judged['holder']}" if judged["holder"] else ""
    return tag(
        "div",
        tag("h3", title),
        tag("p", tag("strong", words.known(judged["phase"])), holder),
        _list(_problems(side, judged)),
        _notes(side, judged),
        class_="card",
    )


def _notes(side: dict[str, Any], judged: dict[str, Any]) -> Markup | None:
    """What is harmless, apart from what is to be acted on."""
    found = dict.fromkeys([*judged["notes"], *(one for host in side["hosts"].values() for one in host["notes"])])
    return tag("p", "Harmless: ", "; ".join(found), class_="muted") if found else None


def _problems(side: dict[str, Any], judged: dict[str, Any]) -> list[str]:
    """The verdict's problems, which name those of the hosts, and what no verdict says."""
    found = []
    for name, host in side["hosts"].items():
        if host["state"] != "observed":
            message = f": {host['message']}" if host["message"] else ""
            found.append(f"{name} {HOST_WORDS[host['state']]}{message}")
        elif host["phase"] is None:
            found.append(f"{name}: QEMU was deliberately not asked, since it may have been waiting for the other host")
        found += host["unfit"]
    return list(
        dict.fromkeys([*found, *judged["problems"], *(one for h in side["hosts"].values() for one in h["problems"])])
    )


def _list(items: list[str]) -> Markup:
    if not items:
        return tag("p", "No problems.", class_="muted")
    return tag("ul", [tag("li", item) for item in items], class_="findings")


# What the clients saw


def _client(document: dict[str, Any]) -> Markup | None:
    seen = document["client"]
    if seen is None:
        return None
    event = words.moment(seen["event"])
    told = (
        tag("p", f"Outages are those around the event at {words.clock(event)}.", class_="muted small")
        if event
        else None
    )
    if not seen["kinds"]:
        return told or tag("p", "The probe said nothing but the numbers above.", class_="muted")
    columns = ("", "answers", "outage", "event to answer", "longest silence", "round trip", "failed")
    rows = [
        tag(
            "tr",
            tag("th", client.name(name), scope="row"),
            [
                tag("td", value, class_="number", data_label=label)
                for label, value in zip(columns[1:], _kind(kind), strict=False)
            ],
        )
        for name, kind in seen["kinds"].items()
    ]
    head = tag("thead", tag("tr", [tag("th", column, class_="number" if column else None) for column in columns]))
    return join(told, tag("div", tag("table", head, tag("tbody", rows), class_="facts stacking"), class_="scroll"))


def _kind(kind: dict[str, Any]) -> list[str]:
    def milliseconds(key: str) -> str:
        return words.NOTHING if kind[key] is None else words.duration(kind[key] / 1000)

    rtt = (
        f"{milliseconds('rtt_median_ms')}, at most {milliseconds('rtt_max_ms')}"
        if kind["rtt_median_ms"] is not None
        else words.NOTHING
    )
    count, failed = (words.NOTHING if kind[key] is None else str(kind[key]) for key in ("count", "failed"))
    return [count, *map(milliseconds, ("outage_ms", "event_to_first_ms", "longest_gap_ms")), rtt, failed]


# The picture


def _pictures(document: dict[str, Any]) -> Markup | None:
    sides = [side for side in ("after", "before") if document[side] and document[side]["hosts"]]
    if len(sides) == 2 and document["after"]["hosts"] == document["before"]["hosts"]:
        sides = ["after"]
    if not sides:
        return None
    fences = {"before": None, "after": document["fence"]}
    return join([_figure(document[side], _titles(document)[side], fences[side]) for side in sides], _legend())


def _figure(side: dict[str, Any], title: str, fence: dict[str, Any] | None) -> Markup:
    phase = (side["verdict"] or {}).get("phase")
    label = f"{title}: {words.listed(side['hosts'])}, {words.known(phase)}"
    return tag(
        "figure",
        tag("figcaption", tag("strong", title), f": {words.known(phase)}", _left_out(side)),
        picture.wide(side, label, fence),
        picture.narrow(side, label, fence),
    )


def _left_out(side: dict[str, Any]) -> str | None:
    drawn = f". Of its disks and NICs the first {picture.DRAWN} are drawn; the tables below have all"
    return drawn if picture.left_out(side) else None


def _legend() -> Markup:
    keys = (
        ("swatch colo", "layer or filter of the collection"),
        ("swatch libvirt", "node that libvirt made"),
        ("swatch colo loose", "one that the guest's disk is not on"),
        ("swatch qemu", "node that QEMU made for itself"),
        ("stroke", "way of the data"),
        ("stroke aside", "reference beside it"),
    )
    return tag(
        "p", [tag("span", tag("i", class_=class_), f" {text}", class_="key") for class_, text in keys], class_="keys"
    )


def _foot(document: dict[str, Any]) -> Markup:
    return tag(
        "footer",
        f"{document['format']}, version {document['version']}. What is not known is said to be. Times are UTC. "
        "The JSON file beside this one says the same, and all of what was observed but the domain's XML.",
    )
