# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.host import links

IP_ADDRESS = """[
{"ifindex":1,"ifname":"lo","operstate":"UNKNOWN","addr_info":[
 {"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host","label":"lo"},
 {"family":"inet6","local":"::1","prefixlen":128,"scope":"host"}]},
{"ifindex":2,"ifname":"ifb0","operstate":"DOWN","addr_info":[]},
{"ifindex":4,"ifname":"eth0","operstate":"UP","addr_info":[
 {"family":"inet","local":"192.0.2.2","prefixlen":24,"scope":"global","label":"eth0"},
 {"family":"inet6","local":"fd00::2","prefixlen":64,"scope":"global"},
 {"family":"inet6","local":"fe80::fc:ff:fe00:1","prefixlen":64,"scope":"link"}]}]"""


def test_each_address_is_that_of_a_device_and_loopback_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "run", lambda *command: IP_ADDRESS if command == ("ip", "-j", "address") else "[]")
    assert links.devices() == {"192.0.2.2": "eth0", "fd00::2": "eth0", "fe80::fc:ff:fe00:1": "eth0"}


def test_a_device_that_is_not_there_is_neither_up_nor_down() -> None:
    assert links.link_up("no-such-device") is None
