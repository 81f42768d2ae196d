# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deploy costs that finds nothing to do, beside a ping of both hosts by Ansible, and where its time goes.

With pipelining, as the README has it in its inventory, and over connections that are open: the same for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scenario import Play, Scenario

BARS = {"whole": 8.0, "limited": 5.0}  # times the ping
CALLS = {"whole": (), "limited": ("--limit", "web1")}
TITLES = {"whole": "deploy with nothing to do", "limited": "  the same with --limit web1"}
COLLECTION = "lockstep.colo."
BUILTIN = f"{COLLECTION}colo_builtin"  # it runs a module of Ansible
PARTS = {
    "start": "Ansible starts, until its first task",
    "tasks": "tasks of Ansible's own modules",
    "way": "modules of the collection: sent, Python, imports",
    "looks": "  and from there to their answer, the looks",
    "between": "between tasks, with those that are skipped",
}

Span = tuple[float, float]


def case(scenario: Scenario, clock: float) -> dict[str, Any]:
    """One ping before and one after both; ``clock``: seconds from the monotonic clock's zero to the epoch."""
    pings = [scenario.ping()]
    plays = {
        which: scenario.needed(scenario.playbook("lockstep.colo.deploy", *words, pipelining=True), TITLES[which])
        for which, words in CALLS.items()
    }
    pings.append(scenario.ping())
    ping = sum(pings) / len(pings)
    found: dict[str, Any] = {"ping_ms": round(1000 * ping, 1)}
    for which, play in plays.items():
        found[f"{which}_ms"] = round(1000 * play.seconds, 1)
        found[f"{which}_to_ping"] = round(play.seconds / ping, 2)
        found[f"{which}_changed"] = play.changed
        found[f"{which}_tasks"] = len(play.tasks)
        found |= {f"{which}_{part}_ms": round(1000 * spent, 1) for part, spent in spent_on(play, clock).items()}
    return found


def spent_on(play: Play, clock: float) -> dict[str, float]:
    """Seconds of each part. What two hosts do at the same time counts once, and for the first part that it is in."""
    looks, way, tasks = [], [], []
    for task in play.tasks:
        span = task["began"], task["ended"]
        if task["action"] == BUILTIN or not task["action"].startswith(COLLECTION):
            tasks.append(span)
        elif began := task["result"].get("began"):
            at = min(max(datetime.fromisoformat(began).timestamp() - clock, span[0]), span[1])
            way.append((span[0], at))
            looks.append((at, span[1]))
        else:  # on the control node
            way.append(span)
    everything = [*looks, *way, *tasks]
    first = min((began for began, _ended in everything), default=play.ended)
    ours = length([*looks, *way])
    return {
        "start": first - play.began,
        "looks": length(looks),
        "way": ours - length(looks),
        "tasks": length(everything) - ours,
        "between": play.ended - first - length(everything),
    }


def length(spans: Iterable[Span]) -> float:
    """Of all together, what overlaps once."""
    total, until = 0.0, float("-inf")
    for began, ended in sorted(spans):
        total += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return total


def summary(of: Callable[[str], float | None]) -> dict[str, Any]:
    """``of``: the median of a key over all cases; None where no case has it."""
    keys = ["ping_ms"] + [f"{which}_{key}" for which in CALLS for key in ("ms", "to_ping", "changed", "tasks")]
    keys += [f"{which}_{part}_ms" for which in CALLS for part in PARTS]
    found = {key: of(key) for key in keys}
    ratios = {which: found[f"{which}_to_ping"] for which in CALLS}
    passed = all(ratio is not None and ratio <= BARS[which] for which, ratio in ratios.items())
    return {**found, "bars": BARS, "passed": passed and not any(found[f"{which}_changed"] for which in CALLS)}


def rows(found: dict[str, Any], milliseconds: Callable[[float | None], str]) -> Iterator[tuple[str, str]]:
    yield "", f"{'':>10}  {'tasks':>10}  {'to ping':>7}"
    yield "ansible -m ping, both hosts", f"{milliseconds(found['ping_ms']):>10}"
    for which, title in TITLES.items():
        tasks, ratio = (found[f"{which}_{key}"] for key in ("tasks", "to_ping"))
        spent = milliseconds(found[f"{which}_ms"])
        yield f"{title} (bar: {BARS[which]:g})", f"{spent:>10}  {tasks!s:>10}  {ratio!s:>7}"
    yield "", f"{'deploy':>10}  {'--limit':>10}"
    for part, title in PARTS.items():
        spent = [milliseconds(found[f"{which}_{part}_ms"]) for which in CALLS]
        yield title, f"{spent[0]:>10}  {spent[1]:>10}"
