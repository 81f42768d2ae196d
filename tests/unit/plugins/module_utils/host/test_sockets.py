# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.host import sockets
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import PORT_RANGE
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import FIXTURES

PEER = "10.77.0.1"
PORTS = range(21600, 21616)
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


@pytest.fixture(name="proc")
def proc_of_a_secondary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A /proc/net like the one that was recorded on the host of a standby in lockstep."""
    for table in ("tcp", "tcp6"):
        (tmp_path / table).write_text((FIXTURES / f"proc-net-{table}.txt").read_text(encoding="ascii"))
    monkeypatch.setattr(
        sockets, "Path", lambda *parts: tmp_path / parts[1] if parts[0] == "/proc/net" else Path(*parts)
    )
    return tmp_path


def test_the_channels_of_a_standby_are_seen(proc: Path) -> None:
    found = sockets.peer_sockets(PEER, PORTS)
    mine = {int(pair.split()[0].rpartition(":")[2]) for pair in found}
    theirs = {int(pair.split()[1].rpartition(":")[2]) for pair in found}
    assert all(pair.split()[0].startswith("10.77.0.2:") and pair.split()[1].startswith("10.77.0.1:") for pair in found)
    assert {21600, 21601} <= mine, "the primary is connected to the migration and the NBD port"
    assert set(range(21602, 21606)) & theirs, "the standby is connected to the primary's proxies"


def test_a_connection_that_was_closed_is_not_counted(proc: Path) -> None:
    kinds = range(21600, 21602)
    assert sockets.connections(PEER, kinds) == {21600: 1, 21601: 2}, "one for each disk"
    lines = (proc / "tcp").read_text(encoding="ascii").splitlines(keepends=True)
    nbd = f":{21601:04X} "
    closed = [line.replace(" 01 ", " 08 ", 1) if nbd in line and " 0A " not in line else line for line in lines]
    (proc / "tcp").write_text("".join(closed))
    assert sockets.connections(PEER, kinds) == {21600: 1, 21601: 0}
    assert any(":21601" in pair for pair in sockets.peer_sockets(PEER, kinds)), "the kernel still has it"


def test_other_peers_and_other_ports_are_left_alone(proc: Path) -> None:
    assert sockets.peer_sockets("10.77.0.9", PORTS) == ()
    assert sockets.peer_sockets(PEER, [1]) == ()


def test_what_listens_in_the_range_is_seen(proc: Path) -> None:
    assert 21601 in sockets.ports_in_use()
    assert all(port in PORT_RANGE for port in sockets.ports_in_use())


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("0100007F:1F90", "127.0.0.1", 8080),
        ("0200000A:5461", "10.0.0.2", 21601),
        ("B80D01200000000067452301EFCDAB89:0016", "2001:db8::123:4567:89ab:cdef", 22),
        ("0000000000000000FFFF00000200000A:5461", "10.0.0.2", 21601),
    ],
)
def test_addresses_of_the_kernel_are_read(text: str, address: str, port: int) -> None:
    assert sockets._endpoint(text) == (address, port)


def test_a_connection_in_any_state_counts_and_a_listener_does_not(proc: Path) -> None:
    def line(state: str) -> str:
        return f"   0: 0200000A:5461 0100000A:C001 {state} 00000000:00000000 00:00000000 00000000 0 0 1\n"

    (proc / "tcp6").unlink()
    for state, count in (("01", 1), ("04", 1), ("08", 1), ("0A", 0)):
        (proc / "tcp").write_text(HEAD + line(state))
        assert len(sockets.peer_sockets("10.0.0.1", [21601])) == count, state


def test_releasing_names_the_peer_and_each_port_in_both_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(sockets, "run", lambda *command: calls.append(command))
    sockets.release_sockets("10.0.0.1", [21601, 21600])
    either = "sport = :21600 or dport = :21600 or sport = :21601 or dport = :21601"
    assert calls == [("ss", "--kill", "--no-header", "--tcp", "--numeric", f"dst 10.0.0.1 and ( {either} )")]


# fd00:77::2 port 21601 with fd00:77::1 port 49153, 32-bit words in host byte order: as /proc/net/tcp6 has it.
IPV6_LINE = "   0: 770000FD000000000000000002000000:5461 770000FD000000000000000001000000:C001 01 0:0 0:0 0 0 0 1\n"


def test_a_connection_by_ipv6_is_seen_with_its_ports_apart(proc: Path) -> None:
    (proc / "tcp").write_text(HEAD)
    (proc / "tcp6").write_text(HEAD + IPV6_LINE)
    assert sockets.peer_sockets("fd00:77::1", PORTS) == ("[fd00:77::2]:21601 [fd00:77::1]:49153",)
    assert sockets.peer_sockets("fd00:77::9", PORTS) == ()


def test_releasing_an_ipv6_peer_tells_its_colons_from_a_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(sockets, "run", lambda *command: calls.append(command))
    sockets.release_sockets("fd00:77::1", [21600])
    assert calls[0][-1] == "dst [fd00:77::1] and ( sport = :21600 or dport = :21600 )"


def test_a_port_that_answers_is_reached_and_a_closed_one_is_an_error() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        sockets.see_answer("127.0.0.1", port, 2.0)
    with pytest.raises(ColoError, match=f"cannot connect to 127.0.0.1 port {port}: Connection refused"):
        sockets.see_answer("127.0.0.1", port, 2.0)


def test_a_silent_port_is_an_error_that_names_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(_address: tuple[str, int], deadline: float) -> None:
        raise TimeoutError(f"{deadline}")

    monkeypatch.setattr(socket, "create_connection", silent)
    with pytest.raises(ColoError, match=r"10.0.0.2 port 21601 does not answer within 3 s.*large packets"):
        sockets.see_answer("10.0.0.2", 21601, 3.0)


# As Linux 6.18 has them: sent again and not acknowledged, and kept in by an output filter of this host's own.
UNACKNOWLEDGED = "01:0000004C {:08X}     0        0 279109 2 000000006715ebae 20 0 0 11 -1"
KEPT_IN = "04:00000062 00000000     0        {} 279109 2 000000006715ebae 20 0 0 11 -1"


@pytest.mark.parametrize("how", [UNACKNOWLEDGED, KEPT_IN], ids=["unacknowledged", "kept in"])
@pytest.mark.parametrize(("again", "count"), [(0, 0), (2, 0), (3, 1), (12, 1)])
def test_what_is_sent_again_and_again_carries_nothing(proc: Path, how: str, again: int, count: int) -> None:
    line = f"   0: 0200000A:5461 0100000A:C001 01 00000400:00000000 {how.format(again)}\n"
    (proc / "tcp").write_text(HEAD + line, encoding="ascii")
    found = sockets.stuck_sockets("10.0.0.1", [21601])
    assert found == ("10.0.0.2:21601 10.0.0.1:49153",)[:count]
    assert sockets.stuck_sockets("10.0.0.9", [21601]) == ()
    assert sockets.stuck_sockets("10.0.0.1", [1]) == ()
