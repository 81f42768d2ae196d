# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each effect by its name: that it changes what it is there for in what was recorded, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from types import EllipsisType
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain import editing
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import (
    Barrier,
    Bitmap,
    Compared,
    Image,
    Job,
    Observation,
    Shown,
)
from ansible_collections.lockstep.colo.plugins.module_utils.plan import effects, effects_in_qemu
from ansible_collections.lockstep.colo.plugins.module_utils.plan.step import Step, qmp, wait
from ansible_collections.lockstep.colo.plugins.module_utils.record.half_notes import HalfNote
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

GONE = "gone"
DESCRIBED, STANDBY = recorded("described-primary"), recorded("described-secondary")
UUID, IMAGE = DESCRIBED.domain.uuid, DESCRIBED.record.disks[0].path
SAVED = effects.after(DESCRIBED, Step("", "managed_save", {"uuid": UUID}))
NEXT = replace(DESCRIBED.record, generation=2)
NO_IMAGE = Image(IMAGE, False)
NOTING = replace(
    DESCRIBED,
    monitor=replace(DESCRIBED.monitor, bitmaps={"libvirt-2-format": {"colo-since-1": Bitmap(recording=True)}}),
)

OFF = {"domain.state": "shutoff", "domain.live_xml": None, "domain.live_record": None, "monitor": None}
# What goes with the QEMU of a primary in lockstep.
ENDED = {
    **OFF,
    "host.ports": (), "peer_sockets": (), "connections": None, "images": ..., "domain.disks": ..., "domain.nics": ...,
    "domain.tainted": (), "domain.deleted": (),
}  # fmt: skip
RUNS = {"domain.state": "running", "monitor.running": True, "monitor.status": "running"}
STANDS = {"domain.state": "paused", "monitor.running": False}
STARTED = {"domain.live_xml": ..., "domain.live_record": ...}

Case = tuple[str, Any, Mapping[str, Any], Mapping[str, Any]]  # Any: a recording's name, or an observation

# The name, what was recorded before, the arguments, and what is other afterwards; ... is any other value.
ACTIONS: list[Case] = [
    ("define", DESCRIBED, {"xml": STANDBY.domain.inactive_xml}, {"domain.inactive_xml": ..., "domain.record": ...}),
    ("undefine", STANDBY, {}, {"domain": None, "images": ...}),
    (
        "record", DESCRIBED, {"xml": editing.with_metadata_element(NEXT), "live": True},
        {
            "domain.record.generation": 2, "domain.live_record.generation": 2, "domain.inactive_xml": ...,
            "domain.live_xml": ...,
        },
    ),
    ("autostart", DESCRIBED, {"on": True}, {"domain.autostart": True}),
    (
        "start_paused", STANDBY, {"uuid": UUID, "xml": STANDBY.domain.inactive_xml, "as_left": False, "aliases": {}},
        STARTED | {
            "domain.state": "paused", "domain.live_incoming": True, "domain.disks": ..., "domain.nics": ...,
            "monitor": ...,
        },
    ),
    (
        "start", "powered-off-primary", {"uuid": UUID},
        STARTED | {"domain.state": "running", "domain.ended_by": None},
    ),
    (
        "managed_save", DESCRIBED, {"uuid": UUID},
        {
            "domain.state": "shutoff", "domain.saved_xml": DESCRIBED.domain.live_xml, "domain.saved_by_us": True,
            "domain.ended_by": "saved", "monitor": None,
        },
    ),
    ("define_saved", SAVED, {"xml": "<domain/>"}, {"domain.saved_xml": "<domain/>"}),
    ("forget_save", SAVED, {"uuid": UUID}, {"domain.saved_by_us": False}),
    ("destroy", "protected-secondary", {}, ENDED | {"domain.live_incoming": False}),
    ("end_emulator", "protected-primary", {}, ENDED),
    ("hand_over", "protected-primary", {}, ENDED),
    (
        "give_way", "protected-primary", {"note": HalfNote(UUID, 1, "primary")},
        ENDED | {"domain.record.handed_over": True},
    ),
    ("add_iothread", DESCRIBED, {"number": 990}, {"monitor.iothreads": ("iothread990",)}),
    ("del_iothread", "protected-primary", {"number": 990}, {"monitor.iothreads": ()}),
    ("link", DESCRIBED, {"device": "vnet0", "up": False}, {"domain.nics.0.tap_up": False}),
    (
        "bar", DESCRIBED, {"uuid": UUID, "taps": ["vnet0"], "passed": ["ip"]},
        {"barrier": Barrier(("vnet0",), ("ip",))},
    ),
    ("unbar", "protected-primary", {"uuid": UUID}, {"barrier": None}),
    (
        "mark", DESCRIBED, {"directory": "/other", "marker": replace(DESCRIBED.marker, generation=2)},
        {"marker.generation": 2, "directory": "/other"},
    ),
    ("remove_home", DESCRIBED, {"directory": DESCRIBED.directory}, {"marker": None}),
    (
        "create_image", DESCRIBED, {"path": "/new", "format": "raw", "size": 512, "owner": "", "group": ""},
        {"images./new": Image("/new", True, "raw", 512)},
    ),
    ("remove", replace(DESCRIBED, images={IMAGE: replace(NO_IMAGE, exists=True)}), {"path": IMAGE},
     {f"images.{IMAGE}.exists": False}),
    (
        "forget_compared", replace(DESCRIBED, compared={"vda": Compared("", 1, 1, 1, 0)}),
        {"uuid": "", "target": "vda"}, {"compared.vda": GONE},
    ),
    ("note_shown", DESCRIBED, {"uuid": "", "certificate": Shown(2.0, 1.0)}, {"shown": Shown(2.0, 1.0)}),
    ("begin_sums", STANDBY, {"port": 21614}, {"host.ports": (21614,)}),
    (
        "release", replace(recorded("protected-primary"), stuck_sockets=recorded("protected-primary").peer_sockets[:1]),
        {"peer": "10.77.0.2", "ports": [21600, 21602, 21603, 21604, 21605]},
        {"peer_sockets": recorded("protected-primary").peer_sockets[-2:], "stuck_sockets": ()},
    ),
]  # fmt: skip
WAITS: list[Case] = [
    ("off", "protected-primary", {}, ENDED),
    ("alone", "stopped-primary", {}, RUNS),
    (
        "migration", "filters-in-primary", {"status": ["colo"]},
        RUNS | {"monitor.colo": "primary", "monitor.migration.status": "colo"},
    ),
    (
        "migration", "migrating-primary", {"status": ["pre-switchover"]},
        STANDS | {"monitor.status": "finish-migrate", "monitor.migration.status": "pre-switchover"},
    ),
    ("ready", "syncing-primary", {"jobs": ["colo-vda-sync"]}, {"monitor.jobs.colo-vda-sync.status": "ready"}),
    (
        "concluded", "mirror-ready-primary", {"jobs": ["colo-vda-sync"]},
        {
            "monitor.jobs.colo-vda-sync.status": "concluded", "monitor.nodes.#block011": GONE,
            "domain.disks.0.node": "colo-vda",
        },
    ),
    (
        "committed", "protected-secondary", {"layers": {"colo-vda-replication": "colo-vda-active"}},
        {
            f"monitor.nodes.colo-vda-replication.children.{child}": to
            for child, to in {"file": "libvirt-2-format", "hidden disk": GONE, "secondary disk": GONE}.items()
        },
    ),
]  # fmt: skip
COMMANDS: list[Case] = [
    ("stop", DESCRIBED, {}, STANDS | {"monitor.status": "paused"}),
    ("cont", "stopped-primary", {}, RUNS),
    (
        "qom-set", DESCRIBED, {"path": "/machine/peripheral/virtio-disk0", "property": "drive", "value": "colo-vda"},
        {"domain.disks.0.node": "colo-vda"},
    ),
    (
        "qom-set", "protected-primary", {"path": "/objects/colo-net0-f-in", "property": "status", "value": "off"},
        {"monitor.settings.colo-net0-f-in.status": "off"},
    ),
    ("blockdev-add", DESCRIBED, {"driver": "raw", "node-name": "colo-vda-copy"}, {"monitor.nodes.colo-vda-copy": ...}),
    (
        "blockdev-del", "protected-primary", {"node-name": "colo-vda-spare"},
        {"monitor.nodes.colo-vda-spare": GONE, "monitor.nodes.colo-vda-spare-file": GONE},
    ),
    (
        "x-blockdev-change", "protected-primary", {"parent": "colo-vda", "child": "children.1"},
        {"monitor.nodes.colo-vda.children.children.1": GONE},
    ),
    (
        "blockdev-mirror", "quorum-in-primary", {"device": "colo-vda", "job-id": "colo-vda-sync", "target": "there"},
        {
            "monitor.jobs.colo-vda-sync": Job("mirror", "running"), "monitor.nodes.#block-colo-vda": ...,
            "domain.disks.0.node": "#block-colo-vda",
        },
    ),
    (
        "block-job-set-speed", "syncing-primary", {"device": "colo-vda-sync", "speed": 5},
        {"monitor.jobs.colo-vda-sync.speed": 5},
    ),
    (
        "blockdev-backup", DESCRIBED, {"device": "libvirt-2-format", "job-id": "colo-vda-release", "target": "there"},
        {
            "monitor.jobs.colo-vda-release": Job("backup", "running"),
            "monitor.nodes.#block-libvirt-2-format": ...,
        },
    ),
    (
        "block-job-cancel", "protected-primary", {"device": "colo-vda-release"},
        {"monitor.jobs.colo-vda-release.status": "concluded", "monitor.nodes.#block273": GONE},
    ),
    ("job-dismiss", "protected-primary", {"id": "colo-vda-release"}, {"monitor.jobs.colo-vda-release": GONE}),
    (
        "object-add", DESCRIBED, {"id": "colo-net0-compare", "qom-type": "colo-compare"},
        {"monitor.objects.colo-net0-compare": "colo-compare"},
    ),
    (
        "object-del", "protected-primary", {"id": "colo-net0-compare"},
        {"monitor.objects.colo-net0-compare": GONE, "monitor.settings.colo-net0-compare": GONE},
    ),
    (
        "chardev-add", DESCRIBED,
        {
            "id": "colo-net0-mirror",
            "backend": {"data": {"server": True, "addr": {"type": "inet", "data": {"port": "21602"}}}},
        },
        {"monitor.chardevs.colo-net0-mirror": "", "host.ports": (21602,)},
    ),
    ("chardev-remove", "protected-primary", {"id": "colo-net0-mirror"}, {"monitor.chardevs.colo-net0-mirror": GONE}),
    (
        "migrate-set-capabilities", DESCRIBED, {"capabilities": [{"capability": "x-colo", "state": True}]},
        {"monitor.migration.capabilities": ("events", "x-colo")},
    ),
    ("migrate-set-parameters", DESCRIBED, {"x-checkpoint-delay": 7}, {"monitor.migration.checkpoint_delay": 7}),
    ("migrate", "syncing-primary", {}, {"monitor.migration.status": "active"}),
    ("migrate-continue", "pre-switchover-primary", {}, {"monitor.migration.status": "device"}),
    ("migrate_cancel", "migrating-primary", {}, {"monitor.migration.status": "cancelling"}),
    (
        "x-colo-lost-heartbeat", "protected-secondary", {},
        {
            "domain.state": "running", "monitor.colo": "none", "monitor.migration.status": "completed",
            "monitor.nodes": ...,
        },
    ),
    (
        "nbd-server-start", "started-secondary", {"addr": {"type": "inet", "data": {"port": "21601"}}},
        {"host.ports": (21601,)},
    ),
    (
        "block-dirty-bitmap-disable", NOTING, {"node": "libvirt-2-format", "name": "colo-since-1"},
        {"monitor.bitmaps.libvirt-2-format.colo-since-1.recording": False},
    ),
    (
        "block-dirty-bitmap-remove", NOTING, {"node": "libvirt-2-format", "name": "colo-since-1"},
        {"monitor.bitmaps.libvirt-2-format": GONE},
    ),
    ("nbd-server-stop", "listening-secondary", {}, {"monitor.exports": ()}),
    ("block-export-add", "layered-secondary", {"id": "colo-vda-export"}, {"monitor.exports": ("colo-vda-export",)}),
    (
        "migrate-incoming", "started-secondary", {"uri": "tcp:[::]:21600"},
        {"host.ports": (21600,), "monitor.migration.status": "setup"},
    ),
]  # fmt: skip
# They ask, wait, or change what no observation shows.
UNSEEN_ACTIONS = (
    "begin_sieve", "end_sieve", "see_answer", "see_ended", "see_announced", "receive_handover",
    "make_directory", "isolate", "ask_guest",
    "check_image", "note_left", "note_writes",
)  # fmt: skip
UNSEEN_WAITS = ("listening", "connected", "checkpoint", "sent", "sending")
UNSEEN_COMMANDS = ("announce-self", "trace-event-set-state", "yank")


def changes(before: Any, after: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """The path of each value that is other ``after``, and that value: of fields, keys of dictionaries, and items."""
    if before == after:
        return
    parts = [parts_of(one) for one in (before, after)]
    if type(before) is not type(after) or None in parts or (isinstance(before, tuple) and len(before) != len(after)):
        yield where, after
        return
    for name in dict.fromkeys([*parts[0], *parts[1]]):
        path = f"{where}.{name}" if where else name
        if name not in parts[0] or name not in parts[1]:
            yield path, parts[1].get(name, GONE)
        else:
            yield from changes(parts[0][name], parts[1][name], path)


def parts_of(value: Any) -> dict[str, Any] | None:
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, tuple) and any(map(is_dataclass, value)):
        return {str(at): one for at, one in enumerate(value)}
    return value if isinstance(value, dict) else None


def named(path: str, expected: Mapping[str, Any]) -> str | None:
    """The path in ``expected`` that is this one, or says that all below it is other."""
    if path in expected:
        return path
    return next((one for one, to in expected.items() if to is ... and path.startswith(f"{one}.")), None)


def step(action: str, arguments: Mapping[str, Any]) -> Step:
    foreseen = {name: value for name, value in arguments.items() if name == "aliases"}
    told = {name: value for name, value in arguments.items() if name not in foreseen}
    return Step("", action, told, foreseen=foreseen)


STEPS = {
    "action": [(name, before, step(name, told), expected) for name, before, told, expected in ACTIONS],
    "wait": [(name, before, wait("", name, 1.0, **told), expected) for name, before, told, expected in WAITS],
    "command": [(name, before, qmp("", name, dict(told)), expected) for name, before, told, expected in COMMANDS],
}


@pytest.mark.parametrize(
    ("before", "taken", "expected"),
    [pytest.param(*case, id=f"{kind} {name}") for kind, cases in STEPS.items() for name, *case in cases],
)
def test_an_effect_changes_what_it_is_there_for(
    before: str | Observation, taken: Step, expected: Mapping[str, Any]
) -> None:
    seen = before if isinstance(before, Observation) else recorded(before)
    found = dict(changes(seen, effects.after(seen, taken)))
    assert {path: to for path, to in found.items() if not named(path, expected)} == {}, "changed as well"
    assert {named(path, expected) for path in found} == set(expected), "not changed"
    exact = {path: to for path, to in expected.items() if not isinstance(to, EllipsisType)}
    assert {path: found[path] for path in exact} == exact


@pytest.mark.parametrize(
    ("cases", "unseen", "all_of_them"),
    [
        (ACTIONS, (*UNSEEN_ACTIONS, "qmp", "wait"), effects.ACTIONS),
        (WAITS, UNSEEN_WAITS, effects.WAITS),
        (COMMANDS, UNSEEN_COMMANDS, effects_in_qemu.COMMANDS),
    ],
    ids=["actions", "waits", "commands"],
)
def test_no_effect_is_left_out(cases: list[Case], unseen: tuple[str, ...], all_of_them: Mapping[str, Any]) -> None:
    named_here = [name for name, *_rest in cases]
    assert not set(named_here) & set(unseen)
    assert {*named_here, *unseen} == set(all_of_them)
