# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the watcher measures, as node_exporter reads it."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import graph, states
from ansible_collections.lockstep.colo.plugins.module_utils.observation.automation import Automation
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Shown
from ansible_collections.lockstep.colo.plugins.module_utils.observation.word import Half
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import PHASES, PKI_DIRECTORY
from ansible_collections.lockstep.colo.plugins.module_utils.run import keeper as keeper_module
from ansible_collections.lockstep.colo.plugins.module_utils.run import metrics
from ansible_collections.lockstep.colo.plugins.module_utils.run.asker import Seen
from ansible_collections.lockstep.colo.plugins.module_utils.run.keeper import Counted
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import copies, pair, vigil
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import NAMES, recorded

HALF = Half("u", "m", 3, "primary", running=True, answers=True, lockstep=True)
RECORD = recorded("protected-primary").record
ENDED = replace(HALF, running=False, answers=False, lockstep=False)
CLOCK = 1795600000.5


def keeper(domain: str = "web1", half: Half | None = HALF, **more: object) -> SimpleNamespace:
    known = {
        "domain": domain, "half": half, "record": RECORD, "seen": Seen(), "counted": Counted(7, 99.5), "guarded": True,
        "theirs": None, "shown": None, "survivor": "failed_over", "degraded": False,
        "told": Automation(hears=True, last_action="serve", last_ms=41),
    }  # fmt: skip
    return SimpleNamespace(**{**known, **more})


def text(*keepers: SimpleNamespace) -> str:
    return metrics.text(keepers, 100.0, CLOCK)


def test_each_value_is_told_once_with_its_kind_and_meaning() -> None:
    lines = text(keeper(), keeper('b"\\')).splitlines()
    assert 'lockstep_colo_half{domain="web1",role="primary",peer="kvm2"} 1' in lines
    assert 'lockstep_colo_generation{domain="b\\"\\\\"} 3' in lines
    assert 'lockstep_colo_checkpoints_total{domain="web1"} 7' in lines
    assert 'lockstep_colo_checkpoint_age_seconds{domain="web1"} 0.5' in lines
    assert 'lockstep_colo_failover_milliseconds{domain="web1"} 41' in lines
    assert 'lockstep_colo_lacks_writes{domain="web1"} 0' in lines
    assert not [line for line in lines if "sync_" in line], "nothing is being copied"
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    for line in lines:
        assert line.startswith("# ") or re.split(r"[{ ]", line)[0] in names


def test_a_copying_is_told_while_it_lasts() -> None:
    said = text(keeper(half=replace(HALF, lockstep=False), seen=Seen(job_done=5, job_total=10)))
    assert 'lockstep_colo_sync_done_bytes{domain="web1"} 5' in said
    assert 'lockstep_colo_sync_total_bytes{domain="web1"} 10' in said
    assert 'lockstep_colo_phase{domain="web1",phase="syncing"} 1' in said


def test_the_end_of_the_certificate_that_a_pair_shows_is_told_in_lockstep() -> None:
    line = 'lockstep_colo_pair_certificate_end_timestamp_seconds{domain="web1"} 1827136000'
    assert line in text(keeper(shown=Shown(1827136000.2, 1.0)))
    assert "certificate" not in text(keeper(half=ENDED, shown=Shown(1827136000.2, 1.0)))


def test_of_what_is_not_known_yet_nothing_is_told() -> None:
    assert "web1" not in text(keeper(half=None), keeper(record=None))
    assert "certificate" not in text()


def test_of_the_host_itself_it_tells_that_the_watcher_is_at_work_and_when_its_certificate_ends() -> None:
    said = metrics.text([], 100.0, CLOCK, 1827136000.0).splitlines()
    assert "lockstep_colo_written_timestamp_seconds 1795600000.5" in said
    assert "lockstep_colo_certificate_end_timestamp_seconds 1827136000" in said


@pytest.mark.parametrize(
    ("half", "age", "phase"),
    [
        (HALF, 0.5, "protected"),
        (HALF, 4.1, "stalled"),
        (replace(HALF, lacks=True), 0.5, "degraded"),
        (replace(HALF, answers=False), 0.5, "degraded"),
        (replace(HALF, lockstep=False), 0.5, "unprotected"),
        (ENDED, 0.5, "powered_off"),
        (replace(ENDED, gave_way=True), 0.5, "stale"),
        (replace(HALF, role="secondary"), 0.5, "protected"),
        (replace(HALF, role="secondary", lockstep=False), 0.5, "listening"),
        (replace(HALF, role="alone", lockstep=False), 0.5, "failed_over"),
        (replace(HALF, role="alone", lockstep=False, answers=False), 0.5, "degraded"),
    ],
)
def test_the_phase_is_one_of_all_and_what_the_half_alone_can_tell(half: Half, age: float, phase: str) -> None:
    said = text(keeper(half=half, counted=Counted(7, 100.0 - age)))
    told = dict(re.findall(r'^lockstep_colo_phase{domain="web1",phase="(\w+)"} (\d)$', said, re.MULTILINE))
    assert set(told) == set(PHASES)
    assert [one for one, value in told.items() if value == "1"] == [phase]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_phase_that_the_verdict_has_of_the_same_half(name: str) -> None:
    """What is connected and attached only the close look tells, which is at a primary."""
    seen = recorded(name)
    if seen.record is None or seen.monitor is None:
        return
    half = Half(
        "u", "m", seen.generation, seen.record.role, running=True, answers=True,
        lockstep=seen.monitor.colo == seen.record.role,
    )  # fmt: skip
    copying = any(map(graph.is_sync, seen.monitor.jobs)) or seen.monitor.migration.status in states.MIGRATING
    known = pair.phase(seen)
    still, degraded = known == "stalled", known == "degraded"
    told = vigil.phase(half, copying=copying, still=still, survivor=known, degraded=degraded)
    assert told == known or (known == "degraded" and half.role == "secondary")


@pytest.mark.parametrize(("age", "phase"), [(3.9, "protected"), (4.1, "stalled")])
def test_a_lockstep_in_which_no_checkpoint_was_seen_stands_still_once_one_was_due(age: float, phase: str) -> None:
    said = text(keeper(counted=Counted(0, None, 100.0 - age)))
    assert f'lockstep_colo_phase{{domain="web1",phase="{phase}"}} 1' in said
    assert "checkpoint_age_seconds" not in said


THERE = replace(HALF, role="alone", generation=4)


@pytest.mark.parametrize(
    ("half", "theirs", "handed_over", "holds"),
    [
        (HALF, None, False, 1),
        (HALF, replace(HALF, role="secondary"), False, 1),
        (replace(HALF, role="secondary"), None, False, 0),
        (THERE, ENDED, False, 1),
        (ENDED, THERE, False, 0),
        (ENDED, replace(THERE, gave_way=True), False, 1),
        (ENDED, replace(THERE, generation=3), False, 1),
        (replace(ENDED, gave_way=True), None, True, 0),
        (ENDED, None, True, 0),
        (HALF, None, True, 1),
    ],
)
def test_whose_copy_is_the_guests(half: Half, theirs: Half | None, handed_over: bool, holds: int) -> None:
    record = replace(RECORD, handed_over=handed_over)
    assert f'lockstep_colo_holder{{domain="web1"}} {holds}' in text(keeper(half=half, theirs=theirs, record=record))


@pytest.mark.parametrize("one", NAMES)
@pytest.mark.parametrize("other", ["protected-primary", "protected-secondary", "failed-over-secondary"])
def test_the_holder_is_that_of_the_verdict_over_the_same_copies(one: str, other: str) -> None:
    seen = [recorded(one), recorded(other)]
    claims = [half.record and half.record.role != "secondary" and half.record.generation for half in seen]
    if seen[0].record is None or claims[0] == claims[1]:  # no two halves of one pair
        return
    halves = [Half("u", "m", half.record.generation, half.record.role, running=half.domain.active) for half in seen]
    told = [copies.holds(halves[at], halves[1 - at], seen[at].record.handed_over) for at in (0, 1)]
    assert [half for half, holds in zip(seen, told, strict=True) if holds] == [copies.holder(seen)]


def test_a_pair_without_credentials_shows_no_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module.shown, "noted", lambda uuid: Shown(2.0, 1.0) if uuid == "u" else None)
    shown = keeper_module.Keeper.shown.fget
    assert shown(SimpleNamespace(uuid="u", record=replace(RECORD, credentials=PKI_DIRECTORY))) == Shown(2.0, 1.0)
    assert shown(SimpleNamespace(uuid="u", record=replace(RECORD, credentials=None, clear_proxy=False))) is None
    assert shown(SimpleNamespace(uuid="u", record=None)) is None
