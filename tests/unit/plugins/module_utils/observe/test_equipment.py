# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import (
    Cpu,
    ForwardDelay,
    HugePages,
    Link,
    Space,
)
from ansible_collections.lockstep.colo.plugins.module_utils.observe import equipment

# Of a host with two processors of this kind.
CPUINFO = """\
processor\t: 0
vendor_id\t: AuthenticAMD
model\t\t: 17
model name\t: AMD EPYC
flags\t\t: fpu vme avx2 aes
power management:

processor\t: 1
vendor_id\t: AuthenticAMD
model name\t: another
flags\t\t: fpu
"""
# ping of iputils 20240905, to an address that answers and to one that does not.
ANSWERED = """\
PING 10.77.0.2 (10.77.0.2) 56(84) bytes of data.

--- 10.77.0.2 ping statistics ---
3 packets transmitted, 3 received, 0% packet loss, time 38ms
rtt min/avg/max/mdev = 0.022/0.065/0.152/0.061 ms
"""
UNANSWERED = """\
PING 10.77.0.2 (10.77.0.2) 56(84) bytes of data.

--- 10.77.0.2 ping statistics ---
3 packets transmitted, 0 received, 100% packet loss, time 30ms

"""


@pytest.mark.parametrize(
    ("text", "found"),
    [(CPUINFO, Cpu("AMD EPYC", ("aes", "avx2", "fpu", "vme"))), ("processor\t: 0\nBogoMIPS\t: 50\n", None)],
)
def test_the_processor_is_the_first_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, found: Cpu | None
) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(equipment, "CPUINFO", str(tmp_path / "cpuinfo"))
    assert equipment.cpu() == found


def test_huge_pages_are_counted_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for size, free in (("2048", "64\n"), ("1048576", "0\n")):
        (tmp_path / f"hugepages-{size}kB").mkdir()
        (tmp_path / f"hugepages-{size}kB" / "free_hugepages").write_text(free)
    (tmp_path / "meminfo").write_text("MemTotal:       24683520 kB\nHugepagesize:       2048 kB\nHugetlb: 0 kB\n")
    monkeypatch.setattr(equipment, "HUGE_PAGES", str(tmp_path))
    monkeypatch.setattr(equipment, "MEMINFO", str(tmp_path / "meminfo"))
    assert equipment.huge_pages() == (HugePages(1 << 30, 0, False), HugePages(2 << 20, 64, True))


# The network


@pytest.fixture(name="network")
def sysfs_of_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two cards, one of which does not know its speed; a bridge over both and a tap, a VLAN, and bare devices."""
    for name, speed in (("eth0", "1000\n"), ("eth1", "-1\n"), ("vnet0", "10\n"), ("veth0", "10000\n"), ("br9", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "speed").write_text(speed)
    for card in ("eth0", "eth1"):
        (tmp_path / card / "device").mkdir()
    for name, below in (("br0", ("eth0", "eth1", "vnet0")), ("vlan7", ("br0",))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "speed").write_text("10000\n")
        for device in below:
            (tmp_path / name / f"lower_{device}").symlink_to(tmp_path / device)
    monkeypatch.setattr(equipment, "NETWORK", str(tmp_path))
    return tmp_path


def test_the_speed_of_a_link_is_that_of_the_hardware_below(network: Path) -> None:
    devices = {"a": "eth0", "b": "eth1", "c": "br0", "d": "vlan7", "e": "veth0", "f": "br9", "g": "none"}
    assert equipment.links(devices) == (Link("a", 1000), Link("c", 1000), Link("d", 1000))


def test_of_two_cards_the_slower_one_counts(network: Path) -> None:
    (network / "eth1" / "speed").write_text("100\n")
    assert equipment.links({"c": "br0"}) == (Link("c", 100),)


def test_a_card_without_a_speed_is_no_error(network: Path) -> None:
    (network / "eth0" / "speed").unlink()  # reading it fails where the link is down
    assert equipment.links({"a": "eth0"}) == ()


def test_a_bridge_without_stp_has_no_delay(network: Path) -> None:
    for name, stp in (("br0", "0"), ("br9", "1")):
        (network / name / "bridge").mkdir()
        (network / name / "bridge" / "stp_state").write_text(f"{stp}\n")
        (network / name / "bridge" / "forward_delay").write_text("1500\n")
    assert equipment.forward_delays() == (ForwardDelay("br0", 0.0), ForwardDelay("br9", 15.0))
    (network / "br0" / "bridge" / "forward_delay").unlink()  # as of one that goes meanwhile
    assert equipment.forward_delays() == (ForwardDelay("br9", 15.0),)


def test_the_best_echo_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, ...]] = []

    def ping(*command: str) -> str:
        said.append(command)
        return ANSWERED

    monkeypatch.setattr(equipment, "run", ping)
    assert equipment.latency("10.77.0.2") == 0.022
    assert said[0][0] == "ping"
    assert said[0][-1] == "10.77.0.2"


@pytest.mark.parametrize("words", ["the command ping is missing", f"ping failed: {UNANSWERED}"])
def test_a_peer_that_does_not_answer_is_at_no_known_distance(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    def ping(*_command: str) -> str:
        raise ColoError(words)

    monkeypatch.setattr(equipment, "run", ping)
    assert equipment.latency("10.77.0.2") is None


# Storage


def test_a_directory_that_is_still_to_be_made_has_the_space_above_it(tmp_path: Path) -> None:
    room = equipment.space(str(tmp_path / "uuid" / "deeper"))
    status = os.statvfs(tmp_path)
    assert room.filesystem == str(tmp_path.stat().st_dev)
    assert abs(room.available - status.f_bavail * status.f_frsize) < 1 << 30
    assert (room.read_only, room.in_the_way) == (False, None)
    root = equipment.space("/")
    assert root == Space(root.available, str(Path("/").stat().st_dev), root.files, root.read_only)


def test_a_file_where_a_directory_would_be_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert equipment.space(str(tmp_path / "file" / "uuid")).in_the_way == str(tmp_path / "file")


def test_a_user_and_a_group_are_told_apart() -> None:
    assert equipment.accounts("root", "no-such") == {"user root": True, "group no-such": False}
    assert equipment.accounts(None, "root") == {"group root": True}
    assert equipment.accounts("0", None) == {"user 0": False}, "as it is for what gives images to it"


def test_space_is_what_others_than_root_may_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Room:
        f_bavail, f_bfree, f_frsize = 3, 7, 4096
        f_files, f_favail, f_flag = 9, 5, os.ST_RDONLY

    monkeypatch.setattr(os, "statvfs", lambda _path: Room)
    room = equipment.space(str(tmp_path))
    assert (room.available, room.files, room.read_only) == (3 * 4096, 5, True)
    monkeypatch.setattr(Room, "f_files", 0)
    assert equipment.space(str(tmp_path)).files is None, "a filesystem without inodes of a number"


def test_files_are_there_or_not(tmp_path: Path) -> None:
    assert equipment.files([str(tmp_path), str(tmp_path / "none")]) == {
        str(tmp_path): True,
        str(tmp_path / "none"): False,
    }


# AppArmor


@pytest.mark.parametrize(
    ("profiles", "confined"),
    [
        (None, False),
        ("", False),
        ("/usr/bin/man (enforce)\nvirt-aa-helper (enforce)\n", False),
        ("/usr/bin/man (enforce)\nlibvirtd (enforce)\nlibvirtd//qemu_bridge_helper (enforce)\n", True),
        ("/usr/sbin/libvirtd (complain)\n", True),
        ("virtqemud (enforce)\n", True),
        ("not-libvirtd (enforce)\nlibvirtd//qemu_bridge_helper (enforce)\n", False),
    ],
)
def test_libvirt_confines_guests_where_it_is_confined_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profiles: str | None, confined: bool
) -> None:
    if profiles is not None:
        (tmp_path / "profiles").write_text(profiles)
    monkeypatch.setattr(equipment, "APPARMOR_PROFILES", str(tmp_path / "profiles"))
    assert equipment.apparmor() is confined


def test_the_rules_that_the_role_writes_are_found_and_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(equipment, "APPARMOR_LOCAL", str(tmp_path))
    assert equipment.apparmor_rules() == ()
    local, added = tmp_path / "local" / "abstractions", tmp_path / "abstractions" / "libvirt-qemu.d"
    local.mkdir(parents=True)
    added.mkdir(parents=True)
    (local / "libvirt-qemu").write_text(
        "# BEGIN lockstep.colo\n"
        '"/var/lib/libvirt/images/colo/@{profile_name}/" r,\n'
        '"/var/lib/libvirt/images/colo/@{profile_name}/**" rwk,\n'
        "# END lockstep.colo\n"
        '  # "/commented/**" rw,\n'
        '"/read/only/**" r,\n'
        '"/one/file" rw,\n'
    )
    (added / "mine").write_bytes(b"# of M\xfcller\n  /srv/vm/** rwk,\n")
    (added / "kept").mkdir()
    (added / "old").symlink_to(tmp_path / "nowhere")
    assert equipment.apparmor_rules() == ("/var/lib/libvirt/images/colo/@{profile_name}", "/srv/vm")


def test_which_processors_are_online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equipment, "SYSTEM", tmp_path)
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "online").write_text("0-1,4\n", encoding="ascii")
    assert equipment.online("cpu") == (0, 1, 4)
    assert equipment.online("node") == ()
