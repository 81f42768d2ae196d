# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a keeper says of its half, and since when all is quiet; the rest of it is tried in verdict/test_vigil."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain import editing
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError, Timeout
from ansible_collections.lockstep.colo.plugins.module_utils.host import half_notes, lock, processes
from ansible_collections.lockstep.colo.plugins.module_utils.observation.automation import Settings
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.observation.word import Half
from ansible_collections.lockstep.colo.plugins.module_utils.observe import look
from ansible_collections.lockstep.colo.plugins.module_utils.record.half_notes import HalfNote, as_given_up
from ansible_collections.lockstep.colo.plugins.module_utils.run import keeper
from ansible_collections.lockstep.colo.plugins.module_utils.run.converge import Result
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import pair, vigil
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

SEEN = recorded("protected-secondary")


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> keeper.Keeper:
    """One that has looked at nothing yet, and does not run."""
    monkeypatch.setattr(keeper.files, "machine_id", lambda: SEEN.host.machine_id)
    return keeper.Keeper(SEEN.domain.uuid, SEEN.domain.name, Settings(), lambda: None, lambda _words: None)


def test_an_end_is_said_no_more_once_there_is_a_qemu_again(
    kept: keeper.Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.half = Half(kept.uuid, SEEN.host.machine_id, 1, "secondary", gave_way=True)
    monkeypatch.setattr(processes, "emulators", lambda _uuid: ())
    assert kept.now() == kept.half
    monkeypatch.setattr(processes, "emulators", lambda _uuid: (4711,))
    assert kept.now() is None
    kept.half = Half(kept.uuid, SEEN.host.machine_id, 1, "secondary", running=True)
    assert kept.now() == kept.half


def test_quiet_begins_anew_with_each_run(kept: keeper.Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, clock = iter([0, 0, None, None, 5, 5]), iter([10.0, 11.0, 12.0, 13.0])
    monkeypatch.setattr(lock, "last_run", lambda _domain: next(runs))
    monkeypatch.setattr(keeper.time, "monotonic", lambda: next(clock))
    since = []
    for _look in range(6):
        kept._last_run()
        since.append(kept._quiet[1])
    assert since == [10.0, 10.0, 11.0, 12.0, 13.0, 13.0]


def test_the_age_of_a_checkpoint_is_one_of_this_lockstep(kept: keeper.Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper.half_notes, "noted", lambda *_what: None)
    monkeypatch.setattr(kept, "_recorded", lambda _found: SEEN.record)
    kept.event("STOP", {})
    kept.event("RESUME", {})
    kept._held, kept.seen = object(), replace(kept.seen, role="secondary")
    kept._state({})
    assert kept.half.lockstep
    assert kept.counted.last is not None
    kept.seen = replace(kept.seen, role="none")
    kept._state({})
    assert (kept.counted.whole, kept.counted.last, kept.counted.since) == (1, None, None)


@pytest.mark.parametrize("name", ["failed-over-primary", "failed-over-secondary"])
def test_a_survivor_is_what_status_says_that_it_is(
    kept: keeper.Keeper, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    runs, clock = recorded(name), [100.0]
    stopped = {
        status: replace(runs, monitor=replace(runs.monitor, running=False, status=status))
        for status in ("paused", "io-error", "guest-panicked", "internal-error", "suspended")
    }
    looks = {"runs": runs, **stopped, "mute": replace(runs, monitor=None), "cut off": held_back(runs)}
    monkeypatch.setattr(keeper.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(kept, "_recorded", lambda _found: runs.record)
    kept._held, found = object(), {}
    for how, seen in looks.items():
        monkeypatch.setattr(look, "observe", lambda *_where, seen=seen: seen)
        kept._see_survivor()
        found[how] = kept.survivor
        assert kept.survivor == pair.phase(seen)
        clock[0] += keeper.GLIMPSE
    assert found.pop("runs") == "failed_over"
    assert set(found.values()) == {"degraded"}


def test_a_survivor_that_cannot_be_seen_is_not_said_to_serve(
    kept: keeper.Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hangs(*_where: object) -> None:
        raise Timeout("libvirt does not answer")

    record, kept._held = recorded("failed-over-primary").record, object()
    monkeypatch.setattr(kept, "_recorded", lambda _found: record)
    monkeypatch.setattr(look, "observe", hangs)
    kept.survivor = "failed_over"
    kept._see_survivor()
    assert kept.survivor == "degraded"


PRIMARY = recorded("protected-primary")
CUT_OFF = replace(PRIMARY, peer_sockets=())
IN_LOCKSTEP = Half(PRIMARY.domain.uuid, "m", 1, "primary", process="7", running=True, answers=True, lockstep=True)


@pytest.mark.parametrize(
    ("half", "seen", "degraded"),
    [
        (IN_LOCKSTEP, PRIMARY, False),
        (IN_LOCKSTEP, CUT_OFF, True),
        (IN_LOCKSTEP, None, True),
        (replace(IN_LOCKSTEP, lockstep=False), CUT_OFF, False),
        (replace(IN_LOCKSTEP, answers=False), CUT_OFF, False),
        (replace(IN_LOCKSTEP, role="secondary"), CUT_OFF, False),
    ],
)
def test_a_primary_in_lockstep_is_degraded_where_status_says_so(
    kept: keeper.Keeper, monkeypatch: pytest.MonkeyPatch, half: Half, seen: Observation | None, degraded: bool
) -> None:
    def observe(*_where: object) -> Observation:
        if seen is None:
            raise Timeout("libvirt does not answer")
        return seen

    monkeypatch.setattr(look, "observe", observe)
    kept.half = half
    kept.look_closely(None)
    assert kept.degraded is degraded
    kept.half = replace(half, process="8")
    assert not kept.degraded, "nobody has looked at that QEMU yet"


def held_back(seen: Observation) -> Observation:
    """A survivor whose links were not let up again."""
    nics = tuple(replace(nic, tap_up=False) for nic in seen.domain.nics)
    return replace(seen, domain=replace(seen.domain, nics=nics))


def test_what_was_not_foreseen_is_said(kept: keeper.Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    left = Result(SEEN, SEEN, unforeseen=["QEMU's exports: ['vda'], foreseen was []"])
    monkeypatch.setattr(keeper.goals, "reach", lambda *_asked, **_how: left)
    monkeypatch.setattr(kept, "_look", lambda: None)
    monkeypatch.setattr(kept, "_say", said.append)
    kept.half = Half(kept.uuid, SEEN.host.machine_id, 1, "secondary", running=True)
    kept._carry_out(vigil.Decision(vigil.EXPEND, "the standby is not needed"), None)
    words = f"{kept.domain}: {vigil.EXPEND} did not foresee this: QEMU's exports: ['vda'], foreseen was []"
    assert said[1:] == [words]


def test_a_record_is_read_with_what_is_noted_beside_it(kept: keeper.Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"name": kept.domain, "uuid": kept.uuid, "record": editing.with_metadata_element(SEEN.record)}
    notes: list[HalfNote | None] = [None, HalfNote(kept.uuid, SEEN.record.generation, SEEN.record.role)]
    monkeypatch.setattr(half_notes, "noted", lambda _kind, _domain: notes.pop(0))
    assert kept._recorded(found) == SEEN.record
    assert kept._recorded(found) == as_given_up(SEEN.record) != SEEN.record
    with pytest.raises(ColoError, match="not part of a pair any more"):
        kept._recorded({**found, "record": None})
