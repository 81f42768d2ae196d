# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The event source hears what the watchers' own code tells, and sends an event for each change and no more."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.lockstep.colo.plugins.module_utils.host import scrape
from ansible_collections.lockstep.colo.plugins.module_utils.observation.automation import Automation
from ansible_collections.lockstep.colo.plugins.module_utils.observation.word import Half
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import PHASES
from ansible_collections.lockstep.colo.plugins.module_utils.run import metrics
from ansible_collections.lockstep.colo.plugins.module_utils.run.asker import Seen
from ansible_collections.lockstep.colo.plugins.module_utils.run.keeper import Counted
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

EDA = Path(__file__).resolve().parents[4] / "extensions" / "eda"
SOURCE = EDA / "plugins" / "event_source" / "watch.py"
if not SOURCE.exists():
    pytest.skip("ansible-test's copy has plugins and unit tests alone", allow_module_level=True)
SPEC = importlib.util.spec_from_file_location("lockstep_colo_watch", SOURCE)  # by its path, as ansible-rulebook does
watch = sys.modules[SPEC.name] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(watch)

RUNS = {"running": True, "answers": True}
PRIMARY = recorded("protected-primary").record, Half("u", "m", 1, "primary", lockstep=True, **RUNS)
STANDBY = recorded("protected-secondary").record, Half("u", "n", 1, "secondary", lockstep=True, complete=True, **RUNS)
ALONE = recorded("failed-over-secondary").record, Half("u", "n", 2, "alone", **RUNS)
BACK = PRIMARY[0], Half("u", "m", 1, "primary")
URLS = {"kvm1": "http://kvm1/metrics", "kvm2": "http://kvm2/metrics"}


def told(record: Any, half: Half, clock: float, domain: str = "web1", theirs: Half | None = None) -> str:
    """What that host's watcher tells at ``clock``."""
    known = Automation(hears=True, last_action="serve" if half.role == "alone" else "", last_ms=41)
    keeper = SimpleNamespace(
        domain=domain,
        half=half,
        record=record,
        seen=Seen(),
        survivor="failed_over",
        degraded=False,
        counted=Counted(7),
        guarded=True,
        told=known,
        theirs=theirs,
        shown=None,
    )
    return metrics.text([keeper], clock, 1795600000 + clock, 1827136000.0)


def claimed(domain: str, peer: str, phase: str = "failed_over", generation: object = 1) -> Callable[[float], str]:
    """What a host may say, at some moment, that is not what it should be."""
    return lambda clock: (
        f"lockstep_colo_written_timestamp_seconds {clock}\n"
        f'lockstep_colo_half{{domain="{domain}",role="alone",peer="{peer}"}} 1\n'
        f'lockstep_colo_phase{{domain="{domain}",phase="{phase}"}} 1\n'
        f'lockstep_colo_holder{{domain="{domain}"}} 1\n'
        f'lockstep_colo_generation{{domain="{domain}"}} {generation}\n'
    )


class Pair:
    """Two hosts that are asked once a second.

    A host is what it tells, None for none, or a text of its own, which may be made of the time.
    """

    def __init__(self, **args: Any) -> None:
        self.watch, self.now = watch.Watch({"hosts": URLS, "interval": 1, "silent_after": 4, **args}), 100.0

    def seconds(self, count: int, one: Any, other: Any) -> list[dict[str, Any]]:
        found = []
        for _second in range(count):
            self.now += 1
            for name, half in (("kvm1", one), ("kvm2", other)):
                if callable(half):
                    self.watch.hear(name, half(self.now), self.now)
                elif half is not None:
                    text = half if isinstance(half, str) else told(*half, clock=self.now)
                    self.watch.hear(name, text, self.now)
            found += self.watch.events(self.now)
        return found


def test_a_loss_and_the_return_of_the_lost_host_are_one_event_each() -> None:
    pair = Pair()
    pair.seconds(1, PRIMARY, STANDBY)
    (first,) = pair.seconds(5, PRIMARY, STANDBY)
    assert first == {
        "pair": "web1", "phase": "protected", "before": first["before"], "holder": "kvm1", "generation": 1,
        "automation": True, "hosts": ["kvm1", "kvm2"], "silent": [], "all_answer": True, "failover_milliseconds": None,
        "meta": {"hosts": ["web1"]},
    }  # fmt: skip
    (silent,) = pair.seconds(8, None, STANDBY)
    assert (silent["phase"], silent["silent"], silent["holder"]) == ("degraded", ["kvm1"], None)
    (alone,) = pair.seconds(8, None, ALONE)
    assert (alone["phase"], alone["before"], alone["holder"]) == ("failed_over", "degraded", "kvm2")
    assert (alone["all_answer"], alone["failover_milliseconds"], alone["generation"]) == (False, 41, 2)
    (back,) = pair.seconds(8, BACK, ALONE)
    assert (back["phase"], back["holder"], back["all_answer"]) == ("failed_over", "kvm2", True)
    json.dumps(back)


def test_a_file_that_nobody_writes_any_more_is_no_answer() -> None:
    left = told(*PRIMARY, clock=50.0)
    pair = Pair()
    found = pair.seconds(9, left, ALONE)
    assert all(event["silent"] == ["kvm1"] for event in found[-1:])
    assert (found[-1]["phase"], found[-1]["all_answer"]) == ("failed_over", False)
    assert not pair.seconds(9, left, ALONE)
    (back,) = pair.seconds(9, BACK, ALONE)
    assert back["all_answer"]


def test_a_host_that_was_never_heard_is_known_by_its_peer() -> None:
    found = Pair(names={"web1": "web1"}).seconds(3, None, STANDBY)[-1]
    assert (found["hosts"], found["silent"]) == (["kvm1", "kvm2"], ["kvm1"])


def test_of_what_one_host_alone_tells_there_is_no_event() -> None:
    pair = Pair()
    assert pair.seconds(3, None, ALONE) == []
    assert pair.seconds(3, claimed("web1", peer="nobody"), ALONE) == []
    assert pair.seconds(3, claimed("web1", peer="kvm1"), None) == [], "a host is not its own peer"
    assert [event["all_answer"] for event in pair.seconds(9, BACK, ALONE)] == [True]


def test_of_a_pair_no_third_host_is_heard() -> None:
    pair, third = Pair(hosts={**URLS, "kvm9": "http://kvm9/metrics"}), claimed("web1", "kvm1", generation=9)
    pair.seconds(3, PRIMARY, STANDBY)
    for _second in range(9):
        pair.watch.hear("kvm9", third(pair.now), pair.now)
        assert pair.seconds(1, PRIMARY, STANDBY) == []


def test_a_host_that_names_no_peer_is_no_pair_that_answers() -> None:
    found = Pair(names={"web1": "web1"}).seconds(3, None, claimed("web1", peer=""))[-1]
    assert (found["phase"], found["hosts"], found["silent"]) == ("failed_over", ["kvm2"], [])
    assert found["all_answer"] is False


@pytest.mark.parametrize(
    "domain", ["all", "ungrouped", "*", "~.*", "@/etc/shadow", "!web1", "kvm1,web2", "web[12]", "-v", ""]
)
def test_a_limit_is_one_name(domain: str) -> None:
    both = [claimed(domain, peer) for peer in ("kvm2", "kvm1")]
    assert Pair().seconds(3, *both) == []
    assert Pair(names={domain: "web1"}).seconds(3, *both)[-1]["meta"] == {"hosts": ["web1"]}


def test_no_text_of_a_hosts_is_in_an_event() -> None:
    hostile = [claimed("web1", peer, phase="{{ lookup('pipe', 'id') }}") for peer in ("kvm2", "kvm1")]
    found = Pair().seconds(3, *hostile)[-1]
    assert (found["phase"], found["holder"]) == ("unknown", "kvm1")
    assert set(PHASES) == watch.PHASES


@pytest.mark.parametrize("number", ["NaN", "inf", "-Infinity", "1e999", "x"])
def test_what_is_no_number_is_not_taken(number: str) -> None:
    long = f'lockstep_colo_x{{a="{"b" * watch.LONGEST}"}} 1'
    lines = f"lockstep_colo_generation {number}\n{long}\nlockstep_colo_holder 1"
    assert list(watch.samples(lines)) == [("holder", {}, 1.0)]
    found = Pair().seconds(3, claimed("web1", "kvm2", generation=number), claimed("web1", "kvm1", generation=number))[
        -1
    ]
    assert (found["holder"], found["generation"]) == ("kvm1", 0)


@pytest.mark.parametrize("line", ["x{%s} 1", 'x{%s="} 1', 'x{a="%s} 1'])
@pytest.mark.parametrize("filled", ["a", 'a="', '\\"', "} "])
def test_a_bad_answer_is_soon_read(line: str, filled: str) -> None:
    long, many = (f"lockstep_colo_{line % (filled * count)}\n" for count in (1_000_000, 1200))
    began = time.monotonic()
    list(watch.samples(long + many * 1000))
    assert time.monotonic() - began < 5


def test_of_a_host_without_a_watcher_nothing_is_taken() -> None:
    other = '# TYPE node_load1 gauge\nnode_load1 0.5\nlockstep_colo_generation 3\nlockstep_colo_x{a="b" 1\n\xff{}\n'
    assert Pair().seconds(3, other, "<html>") == []
    assert watch.parse(other) == (None, {})


@pytest.mark.parametrize("domain", ["web1", 'a"b', "a\\b", "a}b,c=", "web 1", "a\\nb"])
def test_a_name_comes_back_as_it_was(domain: str) -> None:
    written, halves = watch.parse(told(*PRIMARY, clock=50.0, domain=domain))
    assert (written, list(halves)) == (1795600050.0, [domain])
    assert (halves[domain].role, halves[domain].peer, halves[domain].phase) == ("primary", "kvm2", "protected")


def test_the_name_of_the_inventory_is_the_playbooks_limit() -> None:
    pair = Pair(names={"web1": "web1.example.com"})
    assert pair.seconds(3, PRIMARY, STANDBY)[-1]["meta"] == {"hosts": ["web1.example.com"]}


def test_it_asks_over_http_and_says_nothing_before_it_has_heard_twice() -> None:
    servers = []
    for half in (BACK, ALONE):
        clock = iter(range(1000))
        server = scrape.server(("127.0.0.1", 0), lambda half=half, clock=clock: told(*half, clock=float(next(clock))))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
    urls = [f"http://127.0.0.1:{server.server_address[1]}/metrics" for server in servers]
    queue: asyncio.Queue = asyncio.Queue()

    async def go() -> dict[str, Any]:
        source = asyncio.create_task(watch.main(queue, {"hosts": dict(zip(URLS, urls, strict=True)), "interval": 0.2}))
        event = await asyncio.wait_for(queue.get(), 20)
        source.cancel()
        return event

    try:
        event = asyncio.run(go())
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
    assert (event["before"], event["phase"], event["all_answer"]) == ("", "failed_over", True)


def served(answer: Callable[[socket.socket], None]) -> tuple[str, socket.socket]:
    """The URL of a host that answers each connection so."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = listening.accept()
                with connection:
                    connection.recv(4096)
                    answer(connection)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listening.getsockname()[1]}/metrics", listening


def test_what_one_host_answers_ends_no_other() -> None:
    """Garbage, another URL, and an answer that never comes to its end, beside a pair that goes on."""
    ended, clock, asked_elsewhere = threading.Event(), iter(range(1000)), []

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        while not ended.wait(0.05):
            connection.sendall(b"x")

    def sound(half: Any) -> Callable[[socket.socket], None]:
        return lambda connection: connection.sendall(
            b"HTTP/1.0 200 OK\r\n\r\n" + told(*half, clock=float(next(clock))).encode()
        )

    elsewhere, *others = served(lambda _connection: asked_elsewhere.append(True))
    hosts = {
        "kvm1": served(sound(BACK)),
        "kvm2": served(sound(ALONE)),
        "garbage": served(lambda connection: connection.sendall(b"\0garbage\n\n")),
        "sends on": served(
            lambda connection: connection.sendall(f"HTTP/1.0 302 Found\r\nLocation: {elsewhere}\r\n\r\n".encode())
        ),
        "drips": served(drip),
    }
    queue: asyncio.Queue = asyncio.Queue()

    async def go() -> dict[str, Any]:
        urls = {name: url for name, (url, _listening) in hosts.items()}
        source = asyncio.create_task(watch.main(queue, {"hosts": urls, "interval": 0.2}))
        while not (event := await asyncio.wait_for(queue.get(), 20))["all_answer"]:
            pass
        source.cancel()
        return event

    try:
        event = asyncio.run(go())
    finally:
        ended.set()
        for listening in [*others, *(listening for _url, listening in hosts.values())]:
            listening.close()
    assert (event["phase"], event["hosts"], asked_elsewhere) == ("failed_over", ["kvm1", "kvm2"], [])


def test_it_takes_no_other_url() -> None:
    with pytest.raises(ValueError, match="no http"):
        watch.fetch("file:///etc/passwd", 1)


def test_the_examples_name_what_an_event_has() -> None:
    event = Pair().seconds(3, PRIMARY, STANDBY)[-1]
    for rulebook in (EDA / "rulebooks").glob("*.yml"):
        for ruleset in yaml.safe_load(rulebook.read_text(encoding="utf-8")):
            (source,) = ruleset["sources"]
            watch.Watch(source["lockstep.colo.watch"])
            for rule in ruleset["rules"]:
                names = {word.split(".")[1] for word in rule["condition"].split() if word.startswith("event.")}
                assert names <= set(event), rule["name"]
                for phase in (word.strip('"') for word in rule["condition"].split() if word.startswith('"')):
                    assert phase in PHASES
