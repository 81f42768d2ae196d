# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain import asks
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Listen


def domain(devices: str) -> str:
    return f"<domain type='kvm'><name>web1</name><devices>{devices}</devices></domain>"


@pytest.mark.parametrize(
    ("devices", "found"),
    [
        ("<graphics type='vnc' port='5901' autoport='no' listen='0.0.0.0'/>", [Listen("VNC", "0.0.0.0", 5901)]),
        ("<graphics type='vnc' port='5900' autoport='yes'/>", []),
        (
            "<graphics type='vnc' autoport='yes' listen='::1'><listen type='address' address='::1'/></graphics>",
            [Listen("VNC", "::1", None)],
        ),
        (
            "<graphics type='vnc' port='-1' autoport='yes' websocket='5700' listen='127.0.0.1'/>",
            [Listen("VNC", "127.0.0.1", 5700)],
        ),
        (
            "<graphics type='spice' port='5910' tlsPort='5911'><listen type='address' address='10.0.0.1'/></graphics>",
            [Listen("SPICE", "10.0.0.1", 5910), Listen("SPICE", "10.0.0.1", 5911)],
        ),
        (
            "<graphics type='vnc' autoport='yes'><listen type='network' network='lan' address='10.0.0.1'/></graphics>",
            [],
        ),
        ("<graphics type='vnc'><listen type='socket' socket='/run/x'/></graphics>", []),
        (
            "<serial type='tcp'><source mode='bind' host='10.0.0.1' service='4555'/></serial>",
            [Listen("serial", "10.0.0.1", 4555)],
        ),
        (
            "<serial type='tcp'><source mode='bind' host='::1' service='telnet'/></serial>",
            [Listen("serial", "::1", None)],
        ),
        ("<serial type='tcp'><source mode='connect' host='10.0.0.9' service='4555'/></serial>", []),
    ],
)
def test_where_a_domain_listens(devices: str, found: list[Listen]) -> None:
    assert asks.listens(domain(devices)) == found


def test_its_network_filters() -> None:
    nic = "<interface type='bridge'><source bridge='br0'/><filterref filter='{}'/></interface>"
    found = asks.network_filters(
        domain(nic.format("b") + nic.format("a") + nic.format("b") + "<interface type='user'/>")
    )
    assert found == ["a", "b"]
