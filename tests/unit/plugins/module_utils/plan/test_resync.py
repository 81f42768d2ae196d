# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy that sends only what differs: when it is chosen, what it consists of, and that it leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import abilities, bitmaps, graph
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import (
    Bitmap,
    Compared,
    Left,
    Observation,
)
from ansible_collections.lockstep.colo.plugins.module_utils.plan import listen, protect
from ansible_collections.lockstep.colo.plugins.module_utils.plan.parts import undo
from ansible_collections.lockstep.colo.plugins.module_utils.plan.plan import Plan
from ansible_collections.lockstep.colo.plugins.module_utils.plan.step import Step
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import CHANGED, COMPARED, FULL, WRITTEN
from ansible_collections.lockstep.colo.plugins.module_utils.record.wanted import Wanted
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import resync
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils import rules
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.pair_plans import (
    LISTENING,
    STATES,
    commands,
    without_pause,
)
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import WANTED, recorded

COMPARING = replace(WANTED, resync=CHANGED)
TARGETS = [disk.target for disk in WANTED.disks]
PORT = resync.port(LISTENING.record)
OLD = 900 << 20  # bytes of an image that a host had before
LEFT = 4  # the generation in which the guest left the standby's host
PATHS = tuple(disk.path for disk in LISTENING.record.disks)


def with_images(seen: Observation, allocated: int | None = OLD) -> Observation:
    return replace(seen, images={path: replace(one, allocated=allocated) for path, one in seen.images.items()})


def telling(seen: Observation) -> Observation:
    """A standby with old images, whose host says what is in them."""
    return with_images(replace(seen, host=replace(seen.host, ports=(*seen.host.ports, PORT))))


def primary(seen: Observation) -> Plan:
    if abilities.pauses(abilities.running(seen)):
        return protect.primary(COMPARING, seen, telling(LISTENING))
    standby = "incomplete-secondary" if seen.monitor.migration.status == "colo" else "listening-secondary"
    return protect.primary(COMPARING, seen, telling(without_pause(standby)))


def of(plan: Plan, name: str) -> list[Step]:
    return [step for step in plan.steps if name in (step.action, step.arguments.get("command"))]


def mirrors(plan: Plan) -> list[dict]:
    return [step.arguments["arguments"] for step in of(plan, "blockdev-mirror")]


def copies(seen: Observation) -> list[str]:
    return [name for name in seen.monitor.nodes if name.endswith("-copy")]


def secondary(wanted: object, seen: Observation) -> Plan:
    return listen.secondary(wanted, seen, recorded("described-primary"))


@pytest.mark.parametrize("seen", [recorded("described-primary"), without_pause("described-primary")])
def test_each_disk_is_compared_and_what_differs_copied(seen: Observation) -> None:
    plan = primary(seen)
    assert [step.arguments["target"] for step in of(plan, "begin_sieve")] == TARGETS
    assert [mirror["target"] for mirror in mirrors(plan)] == [graph.copy(target) for target in TARGETS]
    assert {mirror["sync"] for mirror in mirrors(plan)} == {"full"}, "what QEMU copies is everything"
    assert {mirror["granularity"] for mirror in mirrors(plan)} == {65536}, "else a whole cluster never comes at once"
    found = commands(plan)
    assert found.index("begin_sieve") < found.index("blockdev-mirror")
    for step in of(plan, "begin_sieve"):
        arguments = step.arguments
        assert arguments["sums"] == PORT
        assert arguments["size"] == next(d.virtual_size for d in seen.record.disks if d.target == arguments["target"])


@pytest.mark.parametrize("seen", [recorded("described-primary"), without_pause("described-primary")])
def test_qemu_does_not_begin_by_making_a_hole_of_all_that_the_standby_has(seen: Observation) -> None:
    """As it does where a mirror's target can unmap: block/mirror.c, mirror_dirty_init."""
    layers = [step.arguments["arguments"] for step in of(primary(seen), "blockdev-add")]
    found = [layer for layer in layers if layer["node-name"] in map(graph.copy, TARGETS)]
    assert len(found) == len(TARGETS)
    for layer in found:
        assert layer["server"]["type"] == "unix"
        assert not {"discard", "detect-zeroes"} & set(layer)


@pytest.mark.parametrize("name", STATES)
def test_from_every_half_way_state_one_run_reaches_lockstep_and_leaves_no_copy(name: str) -> None:
    seen = rules.settle(recorded(name), primary)
    assert seen.monitor.migration.status == "colo"
    assert not copies(seen)


@pytest.mark.parametrize("begin", [recorded("described-primary"), without_pause("described-primary")])
def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(begin: Observation) -> None:
    for left in rules.walk(begin, primary(begin).steps):
        if left.monitor.migration.status != "device":
            seen = rules.settle(left, primary)
            assert seen.monitor.migration.status == "colo"
            assert not copies(seen)


def test_a_copy_that_is_given_up_ends_its_processes_once_qemu_lets_go_of_them() -> None:
    """A process that is stuck keeps QEMU's job, whatever QEMU is told (SIGSTOP, our measurement with 10.0)."""
    begin = recorded("described-primary")
    for left in rules.walk(begin, primary(begin).steps):
        if any(job.status == "running" for job in left.monitor.jobs.values()):
            found = commands(undo.undo(left))
            break
    assert found.index("yank") < found.index("end_sieve") < found.index("wait")
    assert "end_sieve" not in commands(undo.undo(recorded("syncing-primary")))


@pytest.mark.parametrize(
    ("wanted", "standby"),
    [
        (replace(WANTED, resync=FULL), telling(LISTENING)),
        (WANTED, telling(LISTENING)),
        (COMPARING, with_images(LISTENING)),
        (COMPARING, with_images(telling(LISTENING), 196 << 10)),
        (COMPARING, with_images(telling(LISTENING), None)),
    ],
    ids=["full", "default", "nobody to ask", "empty image", "unknown image"],
)
def test_otherwise_everything_is_copied(wanted: object, standby: Observation) -> None:
    seen = recorded("described-primary")
    plan = protect.primary(wanted, seen, standby)
    assert not of(plan, "begin_sieve")
    assert [mirror["target"] for mirror in mirrors(plan)] == [graph.nbd(target) for target in TARGETS]
    assert plan.steps == protect.primary(WANTED, seen, LISTENING).steps


def test_what_was_compared_before_is_not_said_of_a_full_copy() -> None:
    seen = replace(recorded("described-primary"), compared={"vda": Compared("", 1, 1, 1, 0)})
    assert [step.arguments["target"] for step in of(protect.primary(WANTED, seen, LISTENING), "forget_compared")] == [
        "vda"
    ]
    assert not of(primary(seen), "forget_compared")


def test_one_disk_may_be_compared_and_another_not() -> None:
    record = LISTENING.record
    standby, empty = telling(LISTENING), record.disks[1].path
    standby = replace(standby, images={**standby.images, empty: replace(standby.images[empty], allocated=0)})
    plan = protect.primary(COMPARING, recorded("described-primary"), standby)
    assert [mirror["target"] for mirror in mirrors(plan)] == [graph.copy(TARGETS[0]), graph.nbd(TARGETS[1])]


@pytest.mark.parametrize("name", ["described-secondary", "listening-secondary"])
def test_a_standby_with_old_images_has_its_host_say_what_is_in_them(name: str) -> None:
    seen = with_images(recorded(name))
    plan = secondary(COMPARING, seen)
    (step,) = of(plan, "begin_sums")
    assert step.arguments["port"] == PORT
    assert step.arguments["peer"] == seen.record.peer.address
    assert step.arguments["images"] == {
        disk.target: {"path": disk.path, "format": disk.format} for disk in seen.record.disks
    }
    assert plan.steps[-1] is step, "then the standby listens, and its QEMU is there to end with"
    assert not of(secondary(WANTED, seen), "begin_sums")
    assert not of(secondary(COMPARING, with_images(seen, 0)), "begin_sums")


def test_a_standby_that_was_there_before_is_started_anew_unless_a_copy_is_under_way() -> None:
    """What a copy that failed has sent may reach that QEMU after its disks were compared."""
    seen = telling(recorded("listening-secondary"))
    found = commands(secondary(COMPARING, seen))
    assert found[0] == "destroy"
    assert found.index("start_paused") < found.index("begin_sums")
    assert not listen.secondary(COMPARING, seen, recorded("syncing-primary")).changes


@pytest.mark.parametrize(("wanted", "at_a_time"), [(WANTED, 1), (COMPARING, 2)])
@pytest.mark.parametrize("of_version", [recorded, without_pause])
def test_a_standby_takes_no_more_connections_than_its_copy_has(
    wanted: Wanted, at_a_time: int, of_version: Callable[[str], Observation]
) -> None:
    """So that a second client with the primary's own key is not served, once the primary has connected."""
    holder, standby = of_version("described-primary"), of_version("started-secondary")
    at_a_time = 2 if of_version is without_pause else at_a_time
    (server,) = of(listen.secondary(wanted, standby, holder), "nbd-server-start")
    assert server.arguments["arguments"]["max-connections"] == at_a_time * len(TARGETS)
    plan = protect.primary(wanted, holder, telling(of_version("listening-secondary")))
    layers = [step.arguments["arguments"] for step in of(plan, "blockdev-add")]
    connected = [layer for layer in layers if layer["driver"] == "nbd" and layer["server"]["type"] == "inet"]
    assert len(connected) + len(of(plan, "begin_sieve")) == at_a_time * len(TARGETS)


@pytest.mark.parametrize("wanted", [WANTED, COMPARING])
def test_a_standby_for_a_full_copy_forgets_that_its_images_are_as_they_were_left(wanted: Wanted) -> None:
    """A later run may want to send what was written alone, which takes more connections than that one has."""
    seen = replace(with_images(recorded("described-secondary")), left=Left(LEFT, PATHS))
    (start,) = of(listen.secondary(wanted, seen, HOLDER), "start_paused")
    assert start.arguments["as_left"] is (wanted is COMPARING)


def test_a_standby_that_has_ended_says_nothing_any_more() -> None:
    seen = telling(recorded("listening-secondary"))
    (ended,) = list(rules.walk(seen, [Step("", "destroy")]))[1:]
    assert not ended.host.ports


# After a change of sides: the standby's images are as the guest left them, and what was written since is noted.


def noting(
    seen: Observation, recording: bool = True, generation: int = LEFT, targets: list[str] = TARGETS
) -> Observation:
    known = {bitmaps.since(generation): Bitmap(recording)}
    nodes = {bitmaps.node(seen, target): known for target in targets}
    return replace(seen, monitor=replace(seen.monitor, bitmaps=nodes))


def as_left(seen: Observation, paths: tuple[str, ...] = PATHS) -> Observation:
    return replace(telling(seen), left=Left(LEFT, paths))


def after_a_change(seen: Observation) -> Plan:
    if abilities.pauses(abilities.running(seen)):
        return protect.primary(COMPARING, seen, as_left(LISTENING))
    standby = "incomplete-secondary" if seen.monitor.migration.status == "colo" else "listening-secondary"
    return protect.primary(COMPARING, seen, as_left(without_pause(standby)))


BEGINNINGS = [noting(recorded("described-primary")), noting(without_pause("described-primary"))]


@pytest.mark.parametrize("seen", BEGINNINGS, ids=["paused", "live"])
def test_what_was_written_alone_is_sent_where_both_are_known_to_have_been_the_same(seen: Observation) -> None:
    plan = after_a_change(seen)
    assert {mirror["sync"] for mirror in mirrors(plan)} == {"none"}
    for step in of(plan, "begin_sieve"):
        assert step.arguments["written"]["bitmap"] == "colo-since-4"
        assert "generation 4" in step.title
    found = commands(plan)
    ends_mirroring = len(found) - found[::-1].index("blockdev-mirror")
    closes = found.index("block-dirty-bitmap-disable")
    assert ends_mirroring <= closes, "a write between would be in neither"
    assert closes < found.index("nbd-server-start") < found.index("block-export-add"), "QEMU exports what is closed"
    titles = [step.title for step in plan.steps]
    waits = titles.index("wait for what was written to be on the standby")
    assert waits < found.index("nbd-server-stop") < found.index("block-dirty-bitmap-remove") < found.index("migrate")
    assert {step.arguments["arguments"]["writable"] for step in of(plan, "block-export-add")} == {False}


@pytest.mark.parametrize("begin", BEGINNINGS, ids=["paused", "live"])
def test_a_run_that_sends_what_was_written_is_finished_by_the_next_from_wherever_it_was_killed(
    begin: Observation,
) -> None:
    for left in rules.walk(begin, after_a_change(begin).steps):
        if left.monitor.migration.status != "device":
            seen = rules.settle(left, after_a_change)
            assert seen.monitor.migration.status == "colo"
            assert not copies(seen)
            assert not seen.monitor.bitmaps
            assert not seen.monitor.exports


def test_what_was_begun_is_waited_for_though_the_standby_is_no_longer_as_it_was_left() -> None:
    """The mirror is ready at once: nothing else tells that what was written is still on its way."""
    begin = BEGINNINGS[0]
    for left in rules.walk(begin, after_a_change(begin).steps):
        if left.monitor.jobs and left.monitor.bitmaps and left.monitor.migration.status == "none":
            plan = protect.primary(COMPARING, left, telling(LISTENING))
            if "migrate" in commands(plan):
                assert any(step.arguments.get("until") == "sent" for step in plan.steps)


@pytest.mark.parametrize("recording", [True, False])
def test_a_copy_that_is_given_up_leaves_no_note_and_no_export(recording: bool) -> None:
    seen = noting(recorded("syncing-primary"), recording)
    exports = tuple(map(graph.written, TARGETS))
    plan = undo.undo(replace(seen, monitor=replace(seen.monitor, exports=exports)))
    assert not plan.after.monitor.bitmaps
    assert not plan.after.monitor.exports


HOLDER = noting(recorded("described-primary"))
DOUBTS = {
    "the image was touched": (HOLDER, as_left(LISTENING, ())),
    "the host was rebooted": (HOLDER, telling(LISTENING)),
    "QEMU was started anew": (recorded("described-primary"), as_left(LISTENING)),
    "the bitmap is closed": (noting(recorded("described-primary"), recording=False), as_left(LISTENING)),
    "another generation": (noting(recorded("described-primary"), generation=LEFT - 1), as_left(LISTENING)),
    "somebody reads QEMU's disks": (
        replace(HOLDER, monitor=replace(HOLDER.monitor, exports=("backup",))),
        as_left(LISTENING),
    ),
}


@pytest.mark.parametrize(("holder", "standby"), DOUBTS.values(), ids=DOUBTS)
def test_with_the_least_doubt_both_are_compared(holder: Observation, standby: Observation) -> None:
    for target in TARGETS:
        found = resync.way(COMPARING, holder, standby, target)
        assert found.way == COMPARED
        assert found.why
    plan = protect.primary(COMPARING, holder, standby)
    assert {mirror["sync"] for mirror in mirrors(plan)} == {"full"}
    assert not plan.after.monitor.bitmaps, "nothing has a use for it any more"


def test_what_is_wanted_in_full_is_copied_in_full() -> None:
    assert resync.way(replace(WANTED, resync=FULL), HOLDER, as_left(LISTENING), "vda").way == FULL
    plan = protect.primary(WANTED, HOLDER, as_left(LISTENING))
    assert {mirror["sync"] for mirror in mirrors(plan)} == {"full"}
    assert not plan.after.monitor.bitmaps


def test_a_disk_that_came_to_lie_on_an_overlay_is_compared() -> None:
    """What is written to a snapshot's overlay is not noted."""
    overlaid = replace(HOLDER.domain.disks[0], node="libvirt-9-format")
    disks = tuple(overlaid if disk.target == overlaid.target else disk for disk in HOLDER.domain.disks)
    holder = replace(HOLDER, domain=replace(HOLDER.domain, disks=disks))
    ways = {target: resync.way(COMPARING, holder, as_left(LISTENING), target).way for target in TARGETS}
    assert ways == {overlaid.target: COMPARED, TARGETS[1]: WRITTEN}


def test_each_disk_has_its_own_way() -> None:
    holder, standby = noting(recorded("described-primary"), targets=TARGETS[1:]), as_left(LISTENING)
    plan = protect.primary(COMPARING, holder, standby)
    assert [mirror["sync"] for mirror in mirrors(plan)] == ["full", "none"]


def test_a_standby_whose_images_are_as_they_were_left_is_not_started_anew() -> None:
    standby = as_left(recorded("listening-secondary"))
    assert not listen.secondary(COMPARING, standby, HOLDER).changes
    assert commands(listen.secondary(COMPARING, telling(recorded("listening-secondary")), HOLDER))[0] == "destroy"


def test_a_standby_that_is_as_it_was_left_can_be_compared_all_the_same() -> None:
    """Should the other host's QEMU end before the copy begins."""
    plan = listen.secondary(
        COMPARING, replace(with_images(recorded("described-secondary")), left=Left(LEFT, PATHS)), HOLDER
    )
    assert of(plan, "begin_sums")
