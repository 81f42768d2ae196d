# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import multiprocessing
import signal
import socket
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError, CommandFailed
from ansible_collections.lockstep.colo.plugins.module_utils.host import files
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Image, Marker
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import FIXTURES

PEER = "10.77.0.1"
PORTS = range(21600, 21616)
IP_ADDRESS = """[
{"ifindex":1,"ifname":"lo","operstate":"UNKNOWN","addr_info":[
 {"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host","label":"lo"},
 {"family":"inet6","local":"::1","prefixlen":128,"scope":"host"}]},
{"ifindex":2,"ifname":"ifb0","operstate":"DOWN","addr_info":[]},
{"ifindex":4,"ifname":"eth0","operstate":"UP","addr_info":[
 {"family":"inet","local":"192.0.2.2","prefixlen":24,"scope":"global","label":"eth0"},
 {"family":"inet6","local":"fd00::2","prefixlen":64,"scope":"global"},
 {"family":"inet6","local":"fe80::fc:ff:fe00:1","prefixlen":64,"scope":"link"}]}]"""
MARKER = Marker("m1", "a80187dd", 7, "secondary", ("/i/vda.qcow2", "/i/vda.active.qcow2"))
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


@pytest.fixture(name="proc")
def proc_of_a_secondary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A /proc/net like the one that was recorded on the host of a standby in lockstep."""
    for table in ("tcp", "tcp6"):
        (tmp_path / table).write_text((FIXTURES / f"proc-net-{table}.txt").read_text(encoding="ascii"))
    monkeypatch.setattr(files, "Path", lambda *parts: tmp_path / parts[1] if parts[0] == "/proc/net" else Path(*parts))
    return tmp_path


def test_the_channels_of_a_standby_are_seen(proc: Path) -> None:
    found = files.peer_sockets(PEER, PORTS)
    mine = {int(pair.split()[0].rpartition(":")[2]) for pair in found}
    theirs = {int(pair.split()[1].rpartition(":")[2]) for pair in found}
    assert all(pair.split()[0].startswith("10.77.0.2:") and pair.split()[1].startswith("10.77.0.1:") for pair in found)
    assert {21600, 21601} <= mine, "the primary is connected to the migration and the NBD port"
    assert set(range(21602, 21606)) & theirs, "the standby is connected to the primary's proxies"


def test_other_peers_and_other_ports_are_left_alone(proc: Path) -> None:
    assert files.peer_sockets("10.77.0.9", PORTS) == ()
    assert files.peer_sockets(PEER, [1]) == ()


def test_what_listens_in_the_range_is_seen(proc: Path) -> None:
    assert 21601 in files.ports_in_use()
    assert all(port in files.PORT_RANGE for port in files.ports_in_use())


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
    assert files._endpoint(text) == (address, port)


def test_a_connection_in_any_state_counts_and_a_listener_does_not(proc: Path) -> None:
    def line(state: str) -> str:
        return f"   0: 0200000A:5461 0100000A:C001 {state} 00000000:00000000 00:00000000 00000000 0 0 1\n"

    (proc / "tcp6").unlink()
    for state, count in (("01", 1), ("04", 1), ("08", 1), ("0A", 0)):
        (proc / "tcp").write_text(HEAD + line(state))
        assert len(files.peer_sockets("10.0.0.1", [21601])) == count, state


def test_releasing_names_the_peer_and_each_port_in_both_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(files, "run", lambda *command: calls.append(command))
    files.release_sockets("10.0.0.1", [21601, 21600])
    either = "sport = :21600 or dport = :21600 or sport = :21601 or dport = :21601"
    assert calls == [("ss", "--kill", "--no-header", "--tcp", "--numeric", f"dst 10.0.0.1 and ( {either} )")]


# A domain's log and files


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["starting up libvirt version: 11.3.0", "shutting down, reason=shutdown"], "shutdown"),
        (["shutting down, reason=shutdown", "starting up libvirt version: 11.3.0"], None),
        (["starting up libvirt version: 11.3.0", "shutting down, reason=crashed"], "crashed"),
        (["starting up libvirt", "shutting down, reason=shutdown", "shutting down, reason=failed"], "shutdown"),
        (["shutting down, reason=shutdown", "starting up libvirt", "shutting down, reason=failed"], None),
        ([], None),
    ],
)
def test_how_a_qemu_ended_is_read_from_its_log(tmp_path: Path, lines: list[str], reason: str | None) -> None:
    text = "".join(f"2026-11-25 13:59:44.310+0000: {line}\n" for line in lines)
    (tmp_path / "web1.log").write_text(text, encoding="utf-8")
    assert files.logged_end("web1", str(tmp_path)) == reason
    assert files.logged_end("web2", str(tmp_path)) is None


LOG = """2026-11-25 13:59:44.310+0000: starting up libvirt version: 11.3.0
2026-11-25T13:59:45.000000Z qemu-system-x86_64: of an earlier life
2026-11-25 14:00:00.000+0000: shutting down, reason=destroyed
2026-11-25 14:01:00.000+0000: starting up libvirt version: 11.3.0
LC_ALL=C /usr/bin/qemu-system-x86_64 -name guest=web1
2026-11-25T14:02:00.000000Z qemu-system-x86_64: Can't receive COLO message: Input/output error
2026-11-25T14:02:01.000000Z qemu-system-x86_64: invalid runstate transition: 'io-error' -> 'colo'
"""
END = "2026-11-25 14:02:02.000+0000: shutting down, reason="


@pytest.mark.parametrize(
    ("reason", "count"), [("crashed", 2), ("failed", 2), ("shutdown", 0), ("destroyed", 0), (None, 2)]
)
def test_the_last_words_of_a_qemu_that_ended_by_itself(tmp_path: Path, reason: str | None, count: int) -> None:
    (tmp_path / "web1.log").write_text(LOG + (f"{END}{reason}\n" if reason else ""), encoding="utf-8")
    words = files.last_words("web1", str(tmp_path))
    expected = ("Can't receive COLO message: Input/output error", "invalid runstate transition: 'io-error' -> 'colo'")
    assert words == expected[:count]
    assert files.last_words("web2", str(tmp_path)) == ()


def test_the_digest_of_a_file_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"abc")
    assert files.digest(str(tmp_path / "store")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.digest(str(tmp_path / "nothing")) is None


# Images


@pytest.fixture(name="qemu_img")
def qemu_img_that_writes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    calls: list[tuple[str, ...]] = []

    def run(*command: str) -> str:
        calls.append(command)
        Path(command[-2]).write_bytes(b"new")
        return ""

    monkeypatch.setattr(files, "run", run)
    monkeypatch.setattr(files, "_own", lambda path, owner, group, mode: Path(path).chmod(mode))
    return calls


def test_an_image_is_made_with_the_stated_format_and_size(tmp_path: Path, qemu_img: list[tuple[str, ...]]) -> None:
    path = tmp_path / "vda.qcow2"
    files.create_image(str(path), "qcow2", 12345, "libvirt-qemu", "kvm")
    assert qemu_img == [("qemu-img", "create", "-q", "-f", "qcow2", f"{path}.partial", "12345")]
    assert path.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["vda.qcow2"]


@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_an_image_is_never_made_over_what_is_there(tmp_path: Path, qemu_img: list[tuple[str, ...]], kind: str) -> None:
    path, other = tmp_path / "vda.qcow2", tmp_path / "other"
    if kind == "file":
        path.write_bytes(b"precious")
    else:
        path.symlink_to(other)
        if kind == "link":
            other.write_bytes(b"precious")
    with pytest.raises(ColoError, match="exists already"):
        files.create_image(str(path), "qcow2", 12345, "libvirt-qemu", "kvm")
    if kind != "dangling":
        assert path.read_bytes() == b"precious"
    assert not other.exists() or kind == "link"
    assert not (tmp_path / "vda.qcow2.partial").exists()


def test_what_a_killed_run_left_is_no_obstacle(tmp_path: Path, qemu_img: list[tuple[str, ...]]) -> None:
    (tmp_path / "vda.qcow2.partial").write_bytes(b"half")
    files.create_image(str(tmp_path / "vda.qcow2"), "qcow2", 5, "o", "g")
    assert (tmp_path / "vda.qcow2").read_bytes() == b"new"


def test_an_unknown_owner_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ColoError, match=r"cannot give .* image_owner"):
        files.make_directory(str(tmp_path / "d"), "no-such-user-here", "no-such-group-here")


def test_an_image_that_is_not_there_is_seen_as_such(tmp_path: Path) -> None:
    assert files.image(str(tmp_path / "none"), "qcow2") == Image(str(tmp_path / "none"), exists=False)


@pytest.mark.parametrize(
    ("stated", "content", "found"), [("raw", files.QCOW2_MAGIC, "qcow2"), ("qcow2", b"\0" * 8, "raw")]
)
def test_a_wrongly_stated_format_is_seen_and_the_image_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stated: str, content: bytes, found: str
) -> None:
    monkeypatch.setattr(files, "run", lambda *command: pytest.fail(f"{command} was run"))
    path = tmp_path / "image"
    path.write_bytes(content)
    assert files.image(str(path), stated) == Image(str(path), True, found)


@pytest.mark.parametrize(("locked", "words"), [(True, 'Failed to get shared "write" lock'), (False, None)])
def test_an_image_in_use_is_seen_by_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locked: bool, words: str | None
) -> None:
    def run(*command: str) -> str:
        if words and "-U" not in command:
            raise CommandFailed(f"qemu-img failed: {words}")
        return '{"format": "raw", "virtual-size": 4096}'

    monkeypatch.setattr(files, "run", run)
    path = tmp_path / "image"
    path.write_bytes(b"\0" * 8)
    seen = path.stat()
    expected = Image(str(path), True, "raw", 4096, locked, seen.st_ino, seen.st_blocks * 512)
    assert files.image(str(path), "raw") == expected


def test_only_an_empty_directory_goes(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "other").touch()
    files.remove_directory(str(tmp_path / "d"))
    assert (tmp_path / "d" / "other").exists()
    (tmp_path / "d" / "other").unlink()
    files.remove_directory(str(tmp_path / "d"))
    assert not (tmp_path / "d").exists()
    files.remove_directory(str(tmp_path / "d"))


# The network


def test_each_address_is_that_of_a_device_and_loopback_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "run", lambda *command: IP_ADDRESS if command == ("ip", "-j", "address") else "[]")
    assert files.devices() == {"192.0.2.2": "eth0", "fd00::2": "eth0", "fe80::fc:ff:fe00:1": "eth0"}


def test_a_port_that_answers_is_reached_and_a_closed_one_is_an_error() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        files.reach("127.0.0.1", port, 2.0)
    with pytest.raises(ColoError, match=f"cannot connect to 127.0.0.1 port {port}: Connection refused"):
        files.reach("127.0.0.1", port, 2.0)


def test_a_silent_port_is_an_error_that_names_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(_address: tuple[str, int], deadline: float) -> None:
        raise TimeoutError(f"{deadline}")

    monkeypatch.setattr(socket, "create_connection", silent)
    with pytest.raises(ColoError, match=r"10.0.0.2 port 21601 does not answer within 3 s"):
        files.reach("10.0.0.2", 21601, 3.0)


def test_a_device_that_is_not_there_is_neither_up_nor_down() -> None:
    assert files.link_up("no-such-device") is None


# One run at a time


def hold(held: Event) -> None:
    with files.lock("web1", "the first", 0):
        held.set()
        time.sleep(60)


@pytest.fixture
def other_run(tmp_path, monkeypatch):
    """Another process that works on web1."""
    monkeypatch.setattr(files, "RUN_DIRECTORY", str(tmp_path))
    fork = multiprocessing.get_context("fork")
    held = fork.Event()
    process = fork.Process(target=hold, args=(held,), daemon=True)
    process.start()
    assert held.wait(10)
    yield process
    process.kill()
    process.join()


def test_a_second_run_is_refused_with_the_name_of_the_first(other_run) -> None:
    with pytest.raises(ColoError, match="another run works on this domain: the first"), files.lock("web1", "me", 0.2):
        pytest.fail("two runs at once")
    with files.lock("web2", "me", 0):
        pass  # another domain


def test_the_lock_goes_with_its_holder(other_run) -> None:
    other_run.kill()
    with files.lock("web1", "me", 10) as ended:
        assert ended is None


def test_what_is_urgent_ends_the_other_run_and_says_whose_it_was(other_run) -> None:
    with files.lock("web1", "me", 10, take_over=True) as ended:
        assert ended == "the first"
    other_run.join(10)
    assert other_run.exitcode == -signal.SIGKILL
