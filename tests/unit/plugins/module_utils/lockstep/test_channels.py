# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where QEMU is told to listen and to connect, in whole plans of a pair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import channels
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan import listen, protect, survive
from ansible_collections.lockstep.colo.plugins.module_utils.plan.plan import Plan
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import WANTED, fenced, recorded

ENDS = {"10.77.0.1": "fd00:77::1", "10.77.0.2": "fd00:77::2"}


def by_ipv6(name: str) -> Observation:
    """A recorded observation, of a pair whose hosts have IPv6 addresses."""

    def on(end: Any) -> Any:
        return replace(end, address=ENDS[end.address])

    seen = recorded(name)
    record = replace(seen.record, local=on(seen.record.local), peer=on(seen.record.peer))
    host = replace(seen.host, addresses=tuple(ENDS.values()))
    return replace(seen, host=host, domain=replace(seen.domain, record=record))


def told(plan: Plan) -> Iterator[tuple[str, Any]]:
    """Each address that a plan tells QEMU or the host, with the command or the action that it goes to."""
    for step in plan.steps:
        given = step.arguments.get("arguments", step.arguments)
        backend = given.get("backend", {}).get("data", {})
        for found in (given.get("uri"), given.get("server"), given.get("addr"), backend.get("addr"), given.get("peer")):
            if found and (isinstance(found, str) or found["type"] == "inet"):
                yield step.arguments.get("command", step.action), found


def test_the_first_channel_of_a_kind_is_found() -> None:
    record = recorded("protected-primary").record
    assert [channels.first(record, kind).port - record.first_port for kind in ("migration", "nbd", "mirror")] == [
        0,
        1,
        2,
    ]


@pytest.mark.parametrize(("see", "bare", "bracketed"), [
    (recorded, "10.77.0.2", "10.77.0.2"),
    (by_ipv6, "fd00:77::2", "[fd00:77::2]"),
])  # fmt: skip
def test_a_uri_has_brackets_around_ipv6_and_a_socket_has_none(see: Any, bare: str, bracketed: str) -> None:
    standby = see("started-secondary")
    primary = see("described-primary")
    first = standby.record.first_port
    wanted = replace(WANTED, address=primary.record.local.address, peer_address=primary.record.peer.address)
    listening = dict(told(listen.secondary(wanted, standby, primary)))
    assert listening["migrate-incoming"] == f"tcp:{bracketed}:{first}"
    assert listening["nbd-server-start"] == {"type": "inet", "data": {"host": bare, "port": str(first + 1)}}
    assert listening["chardev-add"]["data"]["host"] == primary.record.local.address
    syncing = dict(told(protect.primary(wanted, primary, see("listening-secondary"))))
    assert syncing["migrate"] == f"tcp:{bracketed}:{first}"
    assert syncing["blockdev-add"] == {"type": "inet", "host": bare, "port": str(first + 1)}
    assert syncing["chardev-add"]["data"]["host"] == primary.record.local.address


def test_the_host_is_told_the_peers_address_alone() -> None:
    lost = survive.failover(by_ipv6("protected-primary"), fenced("kvm2"))
    assert dict(told(lost))["release"] == "fd00:77::2"


def test_what_should_follow_is_written_as_the_host_sees_it() -> None:
    after = protect.primary(WANTED, by_ipv6("described-primary"), by_ipv6("listening-secondary")).after
    assert after.peer_sockets[0] == "[fd00:77::2]:21600"
