# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.host import leaving, links, uplinks
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Carried
from ansible_collections.lockstep.colo.plugins.module_utils.observe import surroundings

SYSTEM = "/sys/class/net"


def without_vlans(*_command: str) -> str:
    raise ColoError("no ip")


@pytest.fixture(name="net")
def devices_of_this_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(surroundings, "NETWORK", str(tmp_path))
    monkeypatch.setattr(links, "Path", lambda first, *others: Path(str(first).replace(SYSTEM, str(tmp_path)), *others))
    monkeypatch.setattr(uplinks, "NETWORK", tmp_path)
    for module in (surroundings, uplinks):
        monkeypatch.setattr(module, "run", without_vlans)
    return tmp_path


def device(net: Path, name: str, mtu: int, *, carrier: str = "1") -> None:
    (net / name).mkdir()
    for file, text in (("mtu", mtu), ("carrier", carrier), ("flags", "0x1003")):
        (net / name / file).write_text(f"{text}\n")


@pytest.mark.parametrize(
    ("bridge", "uplink", "tap", "found"),
    [(1500, 1500, 1500, 1500), (9000, 1500, 9000, 1500), (1500, 9000, 1500, 1500), (9000, 9000, 1500, 9000)],
)
def test_what_a_bridge_leads_to_takes_no_more_than_its_uplinks(
    net: Path, bridge: int, uplink: int, tap: int, found: int
) -> None:
    device(net, "br0", bridge)
    (net / "br0" / "bridge").mkdir()
    (net / "br0" / "brif" / "eth0").mkdir(parents=True)
    (net / "br0" / "brif" / "vnet0").mkdir()
    device(net, "eth0", uplink)
    device(net, "vnet0", tap)
    (net / "vnet0" / "tun_flags").write_text("0x1002\n")
    (lan,) = surroundings.lans()
    assert (lan.mtu, lan.uplinks, lan.dead, lan.up) == (found, ("eth0",), (), True)


def test_the_peers_guest_is_heard_where_its_frames_come_in_from_outside(
    net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device(net, "br0", 1500)
    (net / "br0" / "bridge").mkdir()
    for port in ("eth0", "vnet0"):
        (net / "br0" / "brif" / port).mkdir(parents=True)
        device(net, port, 1500)
    (net / "vnet0" / "tun_flags").write_text("0x1002\n")
    at = {"52:54:00:00:00:01": "eth0", "52:54:00:00:00:02": "vnet0", "52:54:00:00:00:03": "eth0"}
    monkeypatch.setattr(leaving, "learned", lambda _bridge: at)
    (lan,) = surroundings.lans(("52:54:00:00:00:01", "52:54:00:00:00:02"))
    assert lan.hears == ("52:54:00:00:00:01",)


# As bridge(8) of iproute2 6.15 writes it.
VLANS = """[{"ifname":"eth0","vlans":[{"vlan":1,"flags":["PVID","Egress Untagged"]},{"vlan":10,"vlanEnd":12}]},
{"ifname":"vnet0","vlans":[{"vlan":99,"flags":["PVID","Egress Untagged"]}]},{"ifname":"br0","vlans":[{"vlan":98}]}]"""
BY_ITS_UPLINK = (Carried(1, 1, tagged=False), Carried(10, 12))


@pytest.mark.parametrize(
    ("setting", "own", "said", "found"),
    [
        ("1", "1", VLANS, (True, 1, BY_ITS_UPLINK)),
        ("1", "0", VLANS, (True, None, BY_ITS_UPLINK)),
        ("1", "1", None, (True, 1, None)),
        ("1", "1", "[]", (True, 1, ())),
        ("0", "1", VLANS, (False, None, None)),
        (None, None, VLANS, (False, None, None)),
    ],
)
def test_which_vlans_a_bridge_lets_out(
    net: Path,
    monkeypatch: pytest.MonkeyPatch,
    setting: str | None,
    own: str | None,
    said: str | None,
    found: tuple[object, ...],
) -> None:
    """A kernel that cannot keep VLANs apart has no such setting."""

    def answer(*command: str) -> str:
        return without_vlans() if said is None or command[0] == "ip" else said

    monkeypatch.setattr(surroundings, "run", answer)
    device(net, "br0", 1500)
    device(net, "eth0", 1500)
    (net / "br0" / "bridge").mkdir()
    (net / "br0" / "brif" / "eth0").mkdir(parents=True)
    for name, text in (("vlan_filtering", setting), ("default_pvid", own)):
        if text is not None:
            (net / "br0" / "bridge" / name).write_text(f"{text}\n")
    (lan,) = surroundings.lans()
    assert (lan.filters, lan.own, lan.carried) == found


def bridged(net: Path, *ports: str) -> None:
    device(net, "br0", 9000)
    (net / "br0" / "bridge").mkdir()
    for port in ports:
        (net / "br0" / "brif" / port).mkdir(parents=True)


def test_a_port_that_goes_meanwhile_is_none(net: Path) -> None:
    bridged(net, "eth0", "vnet7")
    device(net, "eth0", 1500)
    (lan,) = surroundings.lans()
    assert (lan.mtu, lan.uplinks, lan.dead) == (1500, ("eth0",), ())


@pytest.mark.parametrize("gone", ["mtu", "bridge/default_pvid"])
def test_a_bridge_that_goes_meanwhile_is_none(net: Path, gone: str) -> None:
    bridged(net)
    for name, text in (("vlan_filtering", "1"), ("default_pvid", "1")):
        (net / "br0" / "bridge" / name).write_text(text)
    assert len(surroundings.lans()) == 1
    (net / "br0" / gone).unlink()
    assert surroundings.lans() == ()
