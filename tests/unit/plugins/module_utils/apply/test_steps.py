# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.apply import steps as apply_module
from ansible_collections.lockstep.colo.plugins.module_utils.apply.steps import Apply
from ansible_collections.lockstep.colo.plugins.module_utils.errors import (
    ColoError,
    CommandFailed,
    LibvirtError,
    QmpError,
    Timeout,
)
from ansible_collections.lockstep.colo.plugins.module_utils.host import (
    files,
    half_notes,
    leaving,
    left_images,
    links,
    marker,
    mutual_tls,
    nbd,
    sockets,
    until_reboot,
)
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import (
    Announced,
    Checkpoints,
    Compared,
    Host,
    Observation,
    Shown,
)
from ansible_collections.lockstep.colo.plugins.module_utils.plan.plan import Plan
from ansible_collections.lockstep.colo.plugins.module_utils.plan.step import Step, qmp, wait
from ansible_collections.lockstep.colo.plugins.module_utils.record.half_notes import HalfNote

NOWHERE = Observation(Host("kvm1", "m1"))
GRAPH = {
    "nodes": [{"id": 1, "name": "colo-vda-replication"}, {"id": 2, "name": "colo-vda-active"}, {"id": 3, "name": "d"}],
    "edges": [{"parent": 1, "child": 2, "name": "file"}],
}


DEFAULTS = {"query-status": {"running": True, "status": "running"}}


class Recording:
    """Notes each call of a Hypervisor, and answers QMP from a script; it knows nothing of libvirt or QEMU."""

    def __init__(self, **answers: Any) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.answers = answers

    def qmp(self, domain: str, command: str, arguments: Any = None, deadline: float = 10.0) -> Any:
        self.calls.append(("qmp", domain, command, arguments, deadline))
        answer = self.answers.get(command.replace("-", "_"), DEFAULTS.get(command))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def watch(self, domain: str) -> None:
        """Nothing: whether events come is not what these tests are about."""

    def set_metadata(self, *arguments: Any, **named: Any) -> None:
        if "set_metadata" in self.answers:
            raise self.answers["set_metadata"]

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments, **named: self.calls.append((name, *arguments, *named.items()))

    @property
    def commands(self) -> list[str]:
        return [call[2] if call[0] == "qmp" else call[0] for call in self.calls]


class Clock:
    """A clock that only sleeping moves, and waiting for events that do not come."""

    def __init__(self) -> None:
        self.now = 100.0
        self.naps: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


@pytest.fixture(name="clock")
def a_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(apply_module, "time", clock)
    monkeypatch.setattr(Recording, "events", lambda _self, _domain, patience: clock.sleep(patience), raising=False)
    return clock


def plan(*steps: Step) -> Plan:
    return Plan(steps, NOWHERE)


def run(recording: Recording, *steps: Step, began: float = 0.0) -> Any:
    return Apply(recording, "web1", began).run(plan(*steps))  # type: ignore[arg-type]


def test_steps_are_carried_out_in_order_each_with_its_own_time(clock: Clock) -> None:
    recording = Recording()
    outcome = run(
        recording, qmp("one", "stop", timeout=3.0), Step("two", "define", {"xml": "<domain/>"}), qmp("3", "cont")
    )
    assert recording.calls == [
        ("qmp", "web1", "stop", {}, 3.0),
        ("define", "<domain/>"),
        ("qmp", "web1", "cont", {}, 10.0),
    ]
    assert [done.title for done in outcome.done] == ["one", "two", "3"]
    assert (outcome.finished, outcome.pivoted, outcome.changed) == (True, False, True)


def test_a_failure_names_the_step_and_leaves_the_rest_undone(clock: Clock) -> None:
    recording = Recording(migrate=QmpError("migrate", "GenericError", "no"))
    apply = Apply(recording, "web1", 0.0)  # type: ignore[arg-type]
    with pytest.raises(QmpError, match=r"^send it: QEMU refused migrate: no"):
        apply.run(plan(qmp("one", "stop"), qmp("send it", "migrate"), qmp("never", "cont")))
    assert recording.commands == ["stop", "migrate"]
    assert [done.title for done in apply.outcome.done] == ["one"]


def test_a_failure_of_the_host_is_an_error_with_words_too(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_given: object, **_more: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", "/run/x")

    monkeypatch.setattr(links, "set_link", lost)
    with pytest.raises(ColoError, match=r"take it down: .*No such file or directory: '/run/x'.*Run again"):
        run(Recording(), Step("take it down", "link", {"device": "t", "up": False}))


def test_a_full_file_system_is_named_and_to_be_freed(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_given: object, **_more: object) -> None:
        raise OSError(28, "No space left on device", "/images/colo.json.spare")

    monkeypatch.setattr(links, "set_link", full)
    with pytest.raises(ColoError, match=r"No space left on device: '/images/colo\.json\.spare'\. Free space there"):
        run(Recording(), Step("take it down", "link", {"device": "t", "up": False}))


@pytest.mark.parametrize(("errno", "marked", "fails"), [(28, True, False), (28, False, True), (30, True, True)])
def test_a_record_whose_marker_is_written_does_not_wait_for_room(
    clock: Clock, errno: int, marked: bool, fails: bool
) -> None:
    full = LibvirtError("set_metadata", 38, "cannot write data to file '/etc/libvirt/qemu/web1.xml.new'", errno)
    recording = Recording(set_metadata=full)
    steps = Step("record it", "record", {"xml": "<pair/>", "live": True, "marked": marked}), qmp("serve", "cont")
    if not fails:
        assert [done.title for done in run(recording, *steps).done] == ["record it", "serve"]
        return
    with pytest.raises(LibvirtError, match=r"record it: .*web1\.xml\.new") as raised:
        run(recording, *steps)
    assert ("Free space there" in raised.value.remedy) is (errno == 28)


@pytest.mark.parametrize(
    "error",
    [
        QmpError("stop", "GenericError", "no"),
        LibvirtError("qmp", 1, "no"),
        CommandFailed("qemu-img create failed: no"),
        Timeout("not within 3 s"),
    ],
)
def test_a_step_that_fails_says_what_to_do_next(clock: Clock, error: ColoError) -> None:
    with pytest.raises(ColoError) as raised:
        run(Recording(stop=error), qmp("let it stand still", "stop"))
    assert raised.value.what.startswith("let it stand still: ")
    assert "lockstep.colo.status" in raised.value.remedy


def test_a_step_that_fails_half_way_has_changed_something(clock: Clock) -> None:
    apply = Apply(Recording(stop=ColoError("no")), "web1", 0.0)  # type: ignore[arg-type]
    with pytest.raises(ColoError):
        apply.run(plan(qmp("one", "stop")))
    assert apply.outcome.changed


def test_waits_alone_change_nothing(clock: Clock) -> None:
    recording = Recording(query_migrate={"status": "colo"})
    assert not run(recording, wait("w", "migration", 5.0, status=["colo"])).changed


def test_what_follows_a_pivot_is_left_for_another_plan(clock: Clock) -> None:
    recording = Recording()
    outcome = run(recording, Step("start", "destroy", pivot=True), qmp("never", "cont"))
    assert recording.calls == [("destroy", "web1")]
    assert outcome.pivoted
    assert outcome.finished


def test_a_second_run_forgets_the_pivot_of_the_first(clock: Clock) -> None:
    apply = Apply(Recording(), "web1", 0.0)  # type: ignore[arg-type]
    apply.run(plan(Step("start", "destroy", pivot=True)))
    assert not apply.run(plan(qmp("go", "cont"))).pivoted


def test_the_time_of_serving_is_the_end_of_the_step_that_serves(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "set_link", lambda _device, *, up: clock.sleep(0.25))
    link = Step("up", "link", {"device": "vnet0", "up": True}, serves=True)
    outcome = run(Recording(), link, Step("later", "link", {"device": "vnet1", "up": True}), began=99.0)
    assert outcome.served_after == 1.25
    assert [(done.began, done.ended) for done in outcome.done] == [(1.0, 1.25), (1.25, 1.5)]


def test_a_run_without_a_serving_step_has_no_time_of_serving(clock: Clock) -> None:
    assert run(Recording(), qmp("one", "stop")).served_after is None


def test_a_wait_polls_until_it_is_so(clock: Clock) -> None:
    recording = Recording(query_migrate=[{"status": "setup"}, {"status": "active"}, {"status": "pre-switchover"}])
    run(recording, wait("w", "migration", 5.0, status=["pre-switchover"]))
    assert recording.commands == [*("query-migrate", "query-status") * 2, "query-migrate"]
    assert clock.naps == [apply_module.POLL] * 2


def test_a_long_wait_polls_less_often(clock: Clock) -> None:
    recording = Recording(query_migrate={"status": "active"})
    with pytest.raises(Timeout):
        run(recording, wait("w", "migration", 5.0, status=["colo"]))
    assert set(clock.naps) == {apply_module.POLL, apply_module.SLOW_POLL}


def test_a_wait_ends_with_its_time_and_says_how_it_stood(clock: Clock) -> None:
    recording = Recording(query_migrate={"status": "active"})
    with pytest.raises(Timeout, match=r"wait for it: not within 2 s \(migration active\)"):
        run(recording, wait("wait for it", "migration", 2.0, status=["colo"]))
    assert 102.0 < clock.now < 102.6


@pytest.mark.parametrize(("status", "named"), [("setup", True), ("active", False)])
def test_a_migration_that_was_never_connected_names_the_firewalls(clock: Clock, status: str, named: bool) -> None:
    recording = Recording(query_migrate={"status": status})
    with pytest.raises(Timeout) as raised:
        run(recording, wait("wait for it", "migration", 2.0, status=["colo"]))
    assert ("firewalls of both" in raised.value.remedy) is named


@pytest.mark.parametrize("status", ["active", "pre-switchover", "colo", "failed"])
def test_the_memory_is_under_way_once_it_is_no_longer_set_up_however_that_ends(clock: Clock, status: str) -> None:
    recording = Recording(query_migrate=[{}, {"status": "setup"}, {"status": status}])
    run(recording, wait("see it begin", "sending", 5.0, patience=3.0))
    assert [(call[2], call[4]) for call in recording.calls] == [("query-migrate", 3.0)] * 3


def test_a_sync_that_takes_longer_is_unfinished_and_no_failure(clock: Clock) -> None:
    job = {"id": "colo-vda-sync", "status": "running", "current-progress": 1, "total-progress": 2}
    recording = Recording(query_jobs=[job])
    recording.answers["query_jobs"] = [[job]]
    outcome = run(recording, wait("sync", "ready", 1.0, jobs=["colo-vda-sync"]), qmp("never", "migrate"))
    assert not outcome.finished
    assert "migrate" not in recording.commands
    assert outcome.done == []


@pytest.mark.parametrize("status", ["failed", "cancelled", "completed"])
def test_a_migration_that_ended_otherwise_fails_at_once(clock: Clock, status: str) -> None:
    recording = Recording(query_migrate={"status": status, "error-desc": "the reason"})
    with pytest.raises(ColoError, match=f"the migration {status}: the reason"):
        run(recording, wait("w", "migration", 60.0, status=["colo"]))
    assert clock.now == 100.0


def test_a_standby_that_does_not_listen_yet_is_tried_again(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Exception | None] = [ColoError("refused"), ColoError("refused"), None]

    def reach(*_where: Any) -> None:
        if answer := answers.pop(0):
            raise answer

    monkeypatch.setattr(sockets, "see_answer", reach)
    listening = wait("see it", "listening", 5.0, address="10.0.0.2", port=21615)
    assert not run(Recording(), listening).changed
    assert answers == []

    def refuse(*_where):
        raise ColoError("refused")

    monkeypatch.setattr(sockets, "see_answer", refuse)
    with pytest.raises(Timeout, match=r"see it: not within 5 s \(refused\)"):
        run(Recording(), listening)


def jobs(**status: str) -> list[dict[str, Any]]:
    return [{"id": name, "status": now, "current-progress": 1, "total-progress": 2} for name, now in status.items()]


def test_a_sync_is_ready_when_every_disk_is(clock: Clock) -> None:
    recording = Recording(
        query_jobs=[jobs(a="running", b="ready"), jobs(a="ready", b="running"), jobs(a="ready", b="ready")]
    )
    run(recording, wait("w", "ready", 5.0, jobs=["a", "b"]))
    assert recording.commands == ["query-status", "query-jobs"] * 3


@pytest.mark.parametrize(
    "waiting", [wait("w", "ready", 5.0, jobs=["a"]), wait("w", "migration", 5.0, status=["pre-switchover"])]
)
def test_a_guest_that_its_disk_stops_on_the_way_is_not_taken_into_lockstep(clock: Clock, waiting: Step) -> None:
    stopped = {"running": False, "status": "io-error"}
    recording = Recording(
        query_status=[{"running": True, "status": "running"}, stopped],
        query_jobs=[jobs(a="running")],
        query_migrate=[{"status": "active"}],
    )
    with pytest.raises(ColoError, match="a write of the guest to a disk failed meanwhile, which stopped it") as caught:
        run(recording, waiting)
    assert "virsh resume" in caught.value.remedy


def test_a_ready_job_is_not_a_concluded_one(clock: Clock) -> None:
    recording = Recording(query_jobs=[jobs(a="ready"), jobs(a="concluded")])
    run(recording, wait("w", "concluded", 5.0, jobs=["a"]))
    assert len(recording.calls) == 2


def test_a_job_that_failed_fails_the_wait(clock: Clock) -> None:
    failed = [{**jobs(a="concluded")[0], "error": "No space left on device"}]
    with pytest.raises(ColoError, match="a failed: No space left on device"):
        run(Recording(query_jobs=[failed]), wait("w", "ready", 5.0, jobs=["a"]))
    run(Recording(query_jobs=[failed]), wait("w", "concluded", 5.0, jobs=["a"], failed=True))


def test_a_job_that_is_gone_fails_the_wait(clock: Clock) -> None:
    with pytest.raises(ColoError, match="the job a is gone"):
        run(Recording(query_jobs=[[]]), wait("w", "ready", 5.0, jobs=["a"]))


def test_a_guest_is_alone_when_it_runs_and_no_lockstep_is_left(clock: Clock) -> None:
    disk = {"type": "block-node", "node-name": "colo-vda-nbd"}
    recording = Recording(
        query_migrate=[{"status": "colo"}, {"status": "completed"}],
        query_yank=[[disk, {"type": "migration"}], [disk]],
        query_status=[{"running": False}, {"running": True}],
    )
    run(recording, wait("w", "alone", 5.0))
    assert recording.commands == [
        "query-migrate",
        *("query-migrate", "query-yank"),
        *("query-migrate", "query-yank", "query-status"),
        *("query-migrate", "query-yank", "query-status"),
    ]


def test_a_commit_is_over_when_the_overlay_is_gone_from_under_its_layer(clock: Clock) -> None:
    over = {**GRAPH, "edges": [{"parent": 1, "child": 3, "name": "file"}]}
    recording = Recording(x_debug_query_block_graph=[GRAPH, GRAPH, over])
    run(recording, wait("w", "committed", 5.0, layers={"colo-vda-replication": "colo-vda-active"}))
    assert len(recording.calls) == 3


@pytest.mark.parametrize("count", [0, 1])
def test_only_a_whole_checkpoint_is_a_proof(clock: Clock, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    asked = []

    def watch(_hypervisor: Any, domain: str, seconds: float, enough: int) -> Checkpoints:
        asked.append((domain, seconds, enough))
        return Checkpoints(seconds, count)

    monkeypatch.setattr(apply_module, "watch", watch)
    step = wait("see it", "checkpoint", 32.0)
    if count:
        assert run(Recording(), step).checkpoints == Checkpoints(32.0, 1)
    else:
        with pytest.raises(Timeout, match="see it: no checkpoint was completed within 32 s"):
            run(Recording(), step)
    assert asked == [("web1", 32.0, 1)]


def test_every_action_and_wait_of_the_plans_has_its_hand(clock: Clock) -> None:
    for action in (
        "qmp", "define", "undefine", "record", "autostart", "start_paused", "destroy", "add_iothread", "del_iothread",
        "link", "release", "see_answer", "make_directory", "mark", "remove_home", "create_image", "remove", "wait",
    ):  # fmt: skip
        assert callable(getattr(Apply, f"_{action}"))


def test_the_hosts_steps_reach_the_host(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    doors = {
        files: ("make_directory", "create_image", "remove", "remove_directory"),
        marker: ("write", "remove"),
        sockets: ("release_sockets",),
        nbd: ("see_export",),
        mutual_tls: ("see_server",),
    }
    for module, name in [(module, name) for module, names in doors.items() for name in names]:
        monkeypatch.setattr(module, name, lambda *given, _name=name: calls.append((_name, *given)))
    run(
        Recording(),
        Step("", "make_directory", {"path": "/d", "owner": "o", "group": "g"}),
        Step("", "mark", {"directory": "/d", "marker": "m"}),
        Step("", "create_image", {"path": "/d/i", "format": "raw", "size": 5, "owner": "o", "group": "g"}),
        Step("", "see_answer", {"address": "10.0.0.2", "port": 21601, "export": "e", "credentials": None}, timeout=4.0),
        Step(
            "", "see_answer", {"address": "10.0.0.2", "port": 21600, "export": None, "credentials": "/c"}, timeout=4.0
        ),
        Step("", "release", {"peer": "10.0.0.2", "ports": [1, 2]}),
        Step("", "remove", {"path": "/d/i"}),
        Step("", "remove_home", {"directory": "/d"}),
    )
    assert calls == [
        ("make_directory", "/d", "o", "g"),
        ("write", "/d", "m"),
        ("create_image", "/d/i", "raw", 5, "o", "g"),
        ("see_export", "10.0.0.2", 21601, "e", None, 4.0),
        ("see_server", "10.0.0.2", 21600, "/c", 4.0),
        ("release_sockets", "10.0.0.2", [1, 2]),
        ("remove", "/d/i"),
        ("remove", "/d"),
        ("remove_directory", "/d"),
    ]


def test_a_done_step_is_plain_data(clock: Clock) -> None:
    outcome = run(Recording(), qmp("one", "stop"), began=100.0)
    assert [dataclasses.asdict(done) for done in outcome.done] == [{"title": "one", "began": 0.0, "ended": 0.0}]


def test_a_socket_that_nobody_is_connected_with_is_said_with_what_to_look_at(clock: Clock) -> None:
    listening = [
        {"label": "colo-net0-mirror", "filename": "disconnected:tcp:10.77.0.1:21602,server=on"},
        {"label": "colo-net0-compare-in", "filename": "tcp:10.77.0.1:21603,server=on <-> 10.77.0.2:50490"},
    ]
    recording = Recording(query_chardev=[listening])
    names = ["colo-net0-mirror", "colo-net0-compare-in"]
    step = wait("see", "connected", 10.0, names=names, peer="10.77.0.2", ports=[21602, 21603])
    with pytest.raises(Timeout, match="nobody is connected with colo-net0-mirror") as raised:
        run(recording, step)
    assert "firewalls" in raised.value.remedy


@pytest.mark.parametrize(("count", "refused"), [(0, True), (1, False)])
def test_one_who_is_not_the_peer_or_has_hung_up_is_not_connected(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, count: int, refused: bool
) -> None:
    """QEMU calls it connected: it does not read all of its connections, and takes whoever shows the peer's key."""
    known = {"label": "colo-net0-mirror", "filename": "tcp:10.77.0.1:21602,server=on <-> 10.77.0.9:50490"}
    monkeypatch.setattr(sockets, "connections", lambda peer, ports: dict.fromkeys(ports, count))
    step = wait("see", "connected", 10.0, names=["colo-net0-mirror"], peer="10.77.0.2", ports=[21602])
    with (
        pytest.raises(Timeout, match=r"10.77.0.2 is not connected over port 21602")
        if refused
        else contextlib.nullcontext()
    ):
        run(Recording(query_chardev=[[known]]), step)


def test_a_copy_that_does_not_move_ends_the_wait(clock: Clock) -> None:
    job = {"id": "colo-vda-sync", "status": "running", "current-progress": 0, "total-progress": 100}
    with pytest.raises(ColoError, match=r"the copying stands still for 20 s .colo-vda-sync is running, 0 of 100 bytes"):
        run(Recording(query_jobs=[[job]]), wait("wait", "ready", 30.0, jobs=["colo-vda-sync"]))


@pytest.mark.parametrize(
    "step",
    [
        Step("", "start_paused", {"uuid": "u", "xml": "<domain/>", "as_left": True}),
        Step("", "record", {"xml": "<record/>", "live": True}),
        Step("", "undefine"),
    ],
    ids=lambda step: step.action,
)
def test_another_standby_does_not_lack_what_the_one_before_it_did(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: Step
) -> None:
    """Nor is one renewed for ever for what was noted of another."""
    monkeypatch.setattr(half_notes, "DIRECTORY", str(tmp_path))
    monkeypatch.setattr(until_reboot, "RUN_DIRECTORY", str(tmp_path))
    half_notes.note(half_notes.LACKING, "web1", HalfNote("u", 1, "secondary"))
    Apply(Recording(), "web1", 0.0).run(Plan((step,), NOWHERE))
    assert half_notes.noted(half_notes.LACKING, "web1") is None


HANDING = {"uuid": "u", "address": "10.77.0.2", "port": 1, "token": "t", "images": ["/a"]}
STANDS = {"status": "paused", "running": False}
RUNS_ON = {"status": "running", "running": True}
WHOLE, LOST = {"error": False}, {"error": True, "desc": "Input/output error"}
STAMP = left_images.Stamp(1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("answers", "noted"),
    [
        ({"query_status": STANDS, "query_xen_replication_status": WHOLE}, True),
        ({"query_status": [RUNS_ON, {"status": "colo"}, STANDS], "query_xen_replication_status": WHOLE}, True),
        ({"query_status": RUNS_ON, "query_xen_replication_status": WHOLE}, False),
        ({"query_status": STANDS, "query_xen_replication_status": LOST}, False),
        ({"stop": Timeout("not within 3 s")}, False),
        ({"stop": QmpError("stop", "GenericError", "no")}, False),
    ],
    ids=["stands still", "in a checkpoint first", "runs on", "the standby lacks writes", "hangs", "refuses"],
)
def test_a_guest_leaves_whatever_becomes_of_the_note_of_its_images(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any], noted: bool
) -> None:
    told: list[str] = []
    kept: list[Any] = []
    call = contextlib.nullcontext(told.append)
    monkeypatch.setattr(apply_module.handover, "call", lambda *_where: call)
    monkeypatch.setattr(apply_module.qemu_process, "kill_emulator", lambda *_whose: told.append("ended"))
    monkeypatch.setattr(left_images, "stamps", lambda paths: dict.fromkeys(paths, STAMP))
    monkeypatch.setattr(left_images, "note", lambda *about: kept.append(about))
    note = Step("note it", "note_left", {"uuid": "u", "generation": 4})
    run(Recording(**answers), Step("hand over", "hand_over", HANDING), note)
    assert told == ["ended", "t"]
    assert kept == [("u", 4, {"/a": STAMP} if noted else {})]


def test_a_certificate_that_cannot_be_noted_fails_nothing(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    def full(*about: Any) -> None:
        told.append(about)
        raise OSError("no space")

    monkeypatch.setattr(apply_module.shown, "note", full)
    run(Recording(), Step("note it", "note_shown", {"uuid": "u", "certificate": Shown(2.0, 1.0)}))
    assert told == [("u", Shown(2.0, 1.0))]


@pytest.mark.parametrize("refused", [False, True])
def test_what_is_written_is_noted_where_a_disk_is_exported_and_that_fails_nothing(clock: Clock, refused: bool) -> None:
    """As QEMU 10.0 shows a standby in lockstep: a filter of its replication lies over the disk, and is exported."""
    exports = [{"id": "colo-vda-export", "node-name": "#block139"}]
    nodes = [
        {"id": 1, "name": "#block139"},
        {"id": 2, "name": "libvirt-2-format"},
        {"id": 3, "name": "libvirt-2-storage"},
    ]
    edges = [{"parent": 1, "child": 2, "name": "file"}, {"parent": 2, "child": 3, "name": "file"}]
    seen = {"nodes": nodes, "edges": edges}
    no = QmpError("block-dirty-bitmap-add", "GenericError", "Bitmap already exists") if refused else {}
    recording = Recording(query_block_exports=[exports], x_debug_query_block_graph=seen, block_dirty_bitmap_add=no)
    assert run(recording, Step("note", "note_writes", {"name": "colo-since-4"})).finished
    (call,) = [call for call in recording.calls if call[2] == "block-dirty-bitmap-add"]
    assert call[3] == {"node": "libvirt-2-format", "name": "colo-since-4", "granularity": 65536}


def sent(patience: float) -> Step:
    return wait("wait", "sent", patience, jobs=["j"], uuid="u", targets=["vda", "vdb"])


def test_what_was_written_is_waited_for_of_each_disk(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    left = iter([None, 7, 5, 0, 0, 0])

    def noted(_uuid: str, _target: str) -> Any:
        found = next(left)
        return None if found is None else Compared("", 9, 0, 0, 0, left=found)

    monkeypatch.setattr(apply_module.sieve, "noted", noted)
    jobs = [{"id": "j", "status": "ready", "current-progress": 0, "total-progress": 0}]
    assert run(Recording(query_jobs=[jobs]), sent(30.0)).finished
    assert next(left, "all") == "all"


def test_what_is_not_sent_in_time_goes_on_and_what_stands_still_is_an_error(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply_module.sieve, "noted", lambda _uuid, _target: Compared("", 9, 0, 0, 0, left=9))
    jobs = [{"id": "j", "status": "ready", "current-progress": 0, "total-progress": 0}]
    assert not run(Recording(query_jobs=[jobs]), sent(5.0)).finished
    with pytest.raises(ColoError, match=r"stands still for 20 s \(vda: 9 bytes left, vdb: 9 bytes left\)"):
        run(Recording(query_jobs=[jobs]), sent(30.0))
    jobs[0]["error"] = "Input/output error"
    with pytest.raises(ColoError, match="j failed: Input/output error"):
        run(Recording(query_jobs=[jobs]), sent(30.0))


@pytest.mark.parametrize("own", [True, False])
def test_a_socket_is_made_only_where_libvirt_keeps_those_of_the_domain(
    monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    begun: list[Any] = []
    monkeypatch.setattr(apply_module.sieve, "begin", lambda arguments, _deadline: begun.append(arguments))
    monkeypatch.setattr(
        Recording, "directory", lambda _self, _domain: "/var/lib/libvirt/qemu/domain-1-web1", raising=False
    )
    where = "/var/lib/libvirt/qemu/domain-1-web1" if own else "/etc/cron.d"
    step = Step("send what differs", "begin_sieve", {"uuid": "u", "socket": f"{where}/colo-vda-copy.sock"}, 5.0)
    if own:
        run(Recording(), step)
    else:
        with pytest.raises(ColoError, match=r"its monitor is in /etc/cron.d, .*compromised"):
            run(Recording(), step)
    assert bool(begun) is own


def test_what_is_seen_of_an_announced_guest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Announced("52:54:00:00:00:01", "vnet0", "br0", "vnet0", ("eth0",), True, True)
    monkeypatch.setattr(leaving, "watch", lambda _taps, _seconds: (place,))
    outcome = run(Recording(), Step("see", "see_announced", {"taps": {place.mac: "vnet0"}}, 1.0))
    assert (outcome.announced, outcome.watched, outcome.unwatched) == ((place,), True, None)


def test_an_announced_guest_that_cannot_be_watched_fails_nothing_and_is_not_taken_for_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_taps: Any, _seconds: float) -> None:
        raise ColoError("no raw sockets")

    monkeypatch.setattr(leaving, "watch", refuse)
    outcome = run(Recording(), Step("see", "see_announced", {"taps": {}}, 1.0))
    assert (outcome.announced, outcome.watched, outcome.unwatched) == ((), True, "no raw sockets")
