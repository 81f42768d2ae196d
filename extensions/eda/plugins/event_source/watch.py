# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the watchers of the KVM hosts measure, as events for Event-Driven Ansible: one whenever a pair has changed."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import math
import re
import time
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

DOCUMENTATION = r"""
---
short_description: Pairs of KVM hosts, as their watchers see them
description:
  - Asks the metrics of each KVM host again and again, and sends an event whenever one of their pairs has changed, and
    once for each at the beginning. It needs nothing but Python.
  - The metrics are those of C(lockstep-colo-watch.service), at C(colo_metrics_listen) of the role
    P(lockstep.colo.host#role), or those of a node_exporter that reads its C(colo_metrics_directory).
  - It decides nothing. What an event leads to is a rule's business, and what can be done then is the playbook's.
  - A host is believed about its own pairs alone. There are events of a pair once two of O(hosts) have told of it, each
    with the other as its peer, and from then on no third host is heard about it; and of one that is in O(names), of
    which any host's word suffices until then. So name a pair there that one host alone may tell of at the beginning.
  - A pair that is not in O(names) has to have a name of letters, digits and C(._-), no pattern, and not C(all). Two
    hosts that were both taken over can still name another host or a group of the inventory. Of what a host tells, no
    other text is in an event.
  - An event has C(pair), the domain's name; C(phase) and C(before), as the host that has the guest tells it now and
    told it before (V("") at first; V(unknown) where no host tells anything, and V(degraded) rather than V(protected)
    where one is silent); C(holder), that host, by its own word, or null; C(generation) of its copy; C(automation),
    whether that host's watcher guards the pair; C(hosts), those of the pair; C(silent), those of them that do not
    answer; C(all_answer), whether there are none; and C(failover_milliseconds) of the watcher's last failover, or null.
    C(meta.hosts) is the inventory's name of the pair, to which a playbook is limited.
options:
  hosts:
    description: The URL of the metrics of each KVM host, by the host's name in the inventory.
    type: dict
    required: true
  interval:
    description: Seconds between two rounds.
    type: float
    default: 5
  silent_after:
    description:
      - Seconds after which a host is silent whose metrics were not written anew. A file that nobody writes any more,
        which node_exporter goes on to show, is no answer.
    type: float
    default: 20
  names:
    description:
      - Names of pairs in the inventory, by the domain's name; where it is not there it is the domain's. Of a pair that
        is there, one host's word suffices.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- lockstep.colo.watch:
    hosts:
      kvm1: http://10.0.0.1:9716/metrics
      kvm2: http://10.0.0.2:9716/metrics
"""

PREFIX = "lockstep_colo_"
WRITTEN = "written_timestamp_seconds"
MOST = 4 << 20  # bytes that are read of one answer
LONGEST = 4096  # characters of one line
PHASES = frozenset(
    ("unprotected", "listening", "syncing", "protected", "stalled", "degraded", "failed_over", "powered_off", "stale")
)
_SAMPLE = re.compile(rf"{PREFIX}(\w+)(?:{{(.*)}})? (\S+)(?: \d+)?")
_LABEL = re.compile(r'(?<!\w)(\w+)="((?:[^"\\]|\\.)*)"')  # it begins at words alone, which are many in a bad line
_NAME = re.compile(r"(?!(?:all|ungrouped)$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # that limits a playbook to what has it
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True)
class Half:
    """What one host tells of its half of a pair."""

    role: str
    peer: str
    phase: str = "unknown"
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def generation(self) -> int:
        """Which copy it is: the higher, the newer."""
        return int(self.values.get("generation", 0))


@dataclass
class Host:
    """What was last heard of one host.

    ``written``: its own stamp of that; ``heard``: time.monotonic() when the stamp was last seen to have changed.
    """

    written: float | None = None
    heard: float | None = None
    halves: Mapping[str, Half] = field(default_factory=dict)

    def hear(self, text: str, now: float) -> None:
        """Take what it answered. The first answer of all may be one that nobody writes any more."""
        written, halves = parse(text)
        if written is not None and self.written is not None and written != self.written:
            self.heard = now
        self.written, self.halves = written, halves

    def answers(self, now: float, silent_after: float) -> bool:
        """Whether its watcher is at work."""
        return self.heard is not None and now - self.heard < silent_after


def samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """(name without our prefix, labels, value) of each of our samples in Prometheus' text format; of no other."""
    for line in text.splitlines():
        found = _SAMPLE.fullmatch(line.strip()) if len(line) <= LONGEST else None
        if found and math.isfinite(number := _number(found[3])):
            labels = {name: _ESCAPED.sub(_unescaped, value) for name, value in _LABEL.findall(found[2] or "")}
            yield found[1], labels, number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _unescaped(found: re.Match[str]) -> str:
    return "\n" if found[1] == "n" else found[1]


def parse(text: str) -> tuple[float | None, dict[str, Half]]:
    """When a host wrote its metrics, by its own clock, and its half of each pair by the domain's name."""
    written, roles, phases, values = None, {}, {}, {}
    for name, labels, value in samples(text):
        domain = labels.get("domain")
        if name == WRITTEN:
            written = value
        elif domain is None:
            continue
        elif name == "half" and value == 1:
            roles[domain] = labels.get("role", ""), labels.get("peer", "")
        elif name == "phase":
            if value == 1 and labels.get("phase") in PHASES:
                phases[domain] = labels["phase"]
        else:
            values.setdefault(domain, {})[name] = value
    halves = {
        domain: Half(role, peer, phases.get(domain, "unknown"), values.get(domain, {}))
        for domain, (role, peer) in roles.items()
    }
    return written, halves


def _halves(hosts: Mapping[str, Host]) -> dict[str, dict[str, Half]]:
    """What each host tells of a pair, by the domain's name."""
    found: dict[str, dict[str, Half]] = {}
    for name, host in hosts.items():
        for domain, half in host.halves.items():
            found.setdefault(domain, {})[name] = half
    return found


def _mutual(told: Mapping[str, Half]) -> list[tuple[str, ...]]:
    """Two hosts each that tell of each other as the peer."""
    found = {
        tuple(sorted((name, half.peer)))
        for name, half in told.items()
        if half.peer != name and half.peer in told and told[half.peer].peer == name
    }
    return sorted(found)


def _pair(
    domain: str, members: tuple[str, ...], known: Mapping[str, Half], answers: Mapping[str, bool]
) -> dict[str, Any]:
    """A pair of these hosts as it stands: what an event tells, but for what was before."""
    answering = {name: half for name, half in known.items() if answers[name]}
    silent = [name for name in members if not answers[name]]
    # That the other has a newer copy a host knows from the other's watcher; until it has heard that, both may say so.
    holders = [name for name, half in answering.items() if half.values.get("holder")]
    holder = max(holders, key=lambda name: answering[name].generation, default=None)
    teller = answering[holder] if holder else next(iter(answering.values()), None)
    return {
        "pair": domain,
        "phase": _phase(teller, silent),
        "holder": holder,
        "generation": teller.generation if teller else None,
        "automation": bool(teller and teller.values.get("automation")),
        "hosts": list(members),
        "silent": silent,
        "all_answer": len(members) > 1 and not silent,
        "failover_milliseconds": teller.values.get("failover_milliseconds") if teller else None,
    }


def _phase(teller: Half | None, silent: list[str]) -> str:
    """Lockstep that only one of the hosts tells of protects from nothing, as far as anybody knows."""
    if teller is None:
        return "unknown"
    return "degraded" if silent and teller.phase == "protected" else teller.phase


class Watch:
    """All that was heard so far, and what was last sent of it."""

    def __init__(self, args: Mapping[str, Any]) -> None:
        self.urls = {str(name): str(url) for name, url in args["hosts"].items()}
        self.interval, self.silent_after = float(args.get("interval", 5)), float(args.get("silent_after", 20))
        self._names = args.get("names") or {}
        self._hosts = {name: Host() for name in self.urls}
        self._members: dict[str, tuple[str, ...]] = {}  # by the domain's name, the two that have told of each other
        self._sent: dict[str, dict[str, Any]] = {}

    def hear(self, name: str, text: str, now: float) -> None:
        """Take what a host answered; ``now`` is time.monotonic()."""
        self._hosts[name].hear(text, now)

    def events(self, now: float) -> list[dict[str, Any]]:
        """What has changed since this was last asked. Until each host was asked twice it says nothing of a pair."""
        found = []
        for domain, known in self._pairs(now):
            before = self._sent.get(domain)
            if known != before:
                self._sent[domain] = known
                meta = {"hosts": [self._names.get(domain, domain)]}
                found.append({**known, "before": before["phase"] if before else "", "meta": meta})
        return found

    def _pairs(self, now: float) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each pair as it stands, by the domain's name."""
        answers = {name: host.answers(now, self.silent_after) for name, host in self._hosts.items()}
        for domain, told in sorted(_halves(self._hosts).items()):
            members = self._believed(domain, told)
            known = {name: told[name] for name in members if name in told}
            if known:
                yield domain, _pair(domain, members, known, answers)

    def _believed(self, domain: str, told: Mapping[str, Half]) -> tuple[str, ...]:
        """The hosts of a pair, of which no other is heard about it; none of what is no pair as far as anybody knows."""
        if domain not in self._names and not _NAME.fullmatch(domain):
            return ()
        mutual = _mutual(told)
        if mutual and self._members.get(domain) not in mutual:
            self._members[domain] = mutual[0]
        if domain in self._members or domain not in self._names:
            return self._members.get(domain, ())
        return tuple(sorted({*told, *(half.peer for half in told.values() if half.peer in self._hosts)}))


class _Straight(urllib.request.HTTPRedirectHandler):
    """A host is asked at its own URL, and does not choose another."""

    def redirect_request(self, *_asked: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_Straight)


def fetch(url: str, timeout: float) -> str:
    """The text at this URL; OSError (of which urllib's errors are some) or ValueError where there is none."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url} is no http:// or https://")
    with _OPENER.open(url, timeout=timeout) as answer:
        return answer.read(MOST).decode("utf-8", "replace")


async def main(queue: asyncio.Queue, args: dict[str, Any]) -> None:
    """Ask all hosts in each round, and send what has changed.

    Each has a thread of its own, in which its answer is read as well: one that takes its time keeps no other waiting.
    """
    watch = Watch(args)

    def ask(name: str) -> None:
        # That it does not answer is what it tells.
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            watch.hear(name, fetch(watch.urls[name], watch.interval), time.monotonic())

    threads, asked = ThreadPoolExecutor(len(watch.urls)), {}
    rounds = 0
    while True:
        began = time.monotonic()
        for name in watch.urls:
            if name not in asked or asked[name].done():
                asked[name] = asyncio.get_running_loop().run_in_executor(threads, ask, name)
        await asyncio.wait(asked.values(), timeout=watch.interval)
        rounds += 1
        if rounds > 1:
            for event in watch.events(time.monotonic()):
                await queue.put(event)
        await asyncio.sleep(max(0.1, began + watch.interval - time.monotonic()))


if __name__ == "__main__":

    class Printed(asyncio.Queue):
        """A queue that shows each event, to try the source by itself."""

        async def put(self, item: dict[str, Any]) -> None:
            print(item, flush=True)

    import sys

    asyncio.run(main(Printed(), {"hosts": dict(word.split("=", 1) for word in sys.argv[1:])}))
