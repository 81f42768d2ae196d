# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import abilities
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements import hosts
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements.row import problems
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded


@pytest.mark.parametrize(
    ("version", "begins", "pauses"),
    [
        ("7.2.22", True, False),
        ("9.2.4", True, False),
        ("10.0.0", False, False),
        ("10.0.6", False, False),
        ("10.0.7", True, True),
        ("10.0.13", True, True),
        ("10.1.2", False, True),
        ("10.1.3", True, True),
        ("10.2.0", True, True),
    ],
)
def test_what_is_known_of_a_version(version: str, begins: bool, pauses: bool) -> None:
    assert abilities.never_begins(version) is not begins
    if begins:
        assert abilities.pauses(version) is pauses


def test_a_qemu_in_which_colo_never_begins_is_refused() -> None:
    host = recorded("unprotected-primary").host
    broken = replace(host, emulator=replace(host.emulator, version="10.1.1"))
    (problem,) = problems(hosts.emulator(broken))
    assert problem.what == "COLO never begins in QEMU 10.1.1, which kvm1 has"


def with_options(binary: str, running: str) -> Observation:
    seen = recorded("listening-secondary")
    emulator = replace(seen.host.emulator, version=binary, options=("reconnect-ms",))
    return replace(seen, host=replace(seen.host, emulator=emulator), monitor=replace(seen.monitor, version=running))


def test_a_migration_has_the_capabilities_that_the_qemu_that_runs_asks_for() -> None:
    seen = recorded("connected-primary")
    newer = replace(seen.host.emulator, version="11.1.3", requires=("return-path",))
    upgraded = replace(seen, host=replace(seen.host, emulator=newer))
    assert abilities.primary_capabilities(seen) == ("x-colo", "pause-before-switchover")
    assert abilities.primary_capabilities(upgraded) == ("x-colo", "pause-before-switchover"), "the old QEMU runs on"
    restarted = replace(upgraded, monitor=replace(seen.monitor, version="11.1.3"))
    assert abilities.standby_capabilities(restarted) == ("return-path", "x-colo")
    assert abilities.primary_capabilities(restarted) == ("return-path", "x-colo", "pause-before-switchover")


@pytest.mark.parametrize(
    ("on", "left"),
    [
        (("return-path",), []),  # libvirt's own
        (("pause-before-switchover", "return-path", "x-colo", "events"), list(abilities.CAPABILITIES)),
    ],
)
def test_what_colo_leaves_on_is_known(on: tuple[str, ...], left: list[str]) -> None:
    monitor = recorded("protected-primary").monitor
    assert abilities.left_on(replace(monitor, migration=replace(monitor.migration, capabilities=on))) == left


def test_the_options_of_a_socket_are_those_of_the_qemu_that_runs() -> None:
    assert abilities.options(with_options("10.0.13", "10.0.13")) == ("reconnect-ms",)
    assert abilities.options(with_options("10.0.13", "")) == ("reconnect-ms",), "one that is still to be started"
    assert abilities.options(with_options("10.0.13", "7.2.22")) == (), "its package was upgraded since"
    seen = recorded("protected-secondary")
    unknown = replace(seen, monitor=None, host=replace(seen.host, emulator=replace(seen.host.emulator, options=())))
    assert abilities.options(unknown) == ()


def test_a_socket_connects_again_after_the_same_time_in_every_version() -> None:
    assert abilities.reconnect((), 1) == {"reconnect": 1}
    assert abilities.reconnect(("reconnect-ms",), 1) == {"reconnect-ms": 1000}
