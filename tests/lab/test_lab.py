# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's own measuring instruments can fail: tests without hosts (`pytest tests/lab` or `lab selftest`)."""

import json
import re
import struct
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import pytest
from lockstep_lab import answers, checker, guest, lanside, probe, rootfs
from lockstep_lab.answers import Turn
from lockstep_lab.common import SOURCE, Lab, LabError

RING = 100
SIZE = (checker.FIRST + RING) * checker.BLOCK


def _disk(newest: int, disk: int = 0) -> bytearray:
    """A disk as the writer leaves it after record `newest`."""
    content = bytearray(SIZE)
    for number in range(1, newest + 1):
        _put(content, number % RING, checker.record(number, disk))
    return content


def _put(content: bytearray, slot: int, block: bytes) -> None:
    at = (checker.FIRST + slot) * checker.BLOCK
    content[at : at + len(block)] = block


def test_a_sound_disk_passes():
    result = checker.verify(bytes(_disk(60)), range(1, 61), 0)
    assert result["ok"]
    assert (result["present"], result["superseded"], result["lost"]) == (60, 0, [])
    assert (result["highest_on_disk"], result["holes"]) == (60, [])


def test_a_corrupt_byte_anywhere_in_a_record_is_seen():
    for offset in (0, 9, 17, 25, checker.BLOCK - 1):
        content = _disk(60)
        content[(checker.FIRST + 42) * checker.BLOCK + offset] ^= 1
        result = checker.verify(bytes(content), range(1, 61), 0)
        assert not result["ok"]
        assert (result["lost"], result["holes"]) == ([42], [42])


def test_a_torn_record_is_seen():
    content = _disk(60)
    _put(content, 42, checker.record(142, 0)[:256])
    assert checker.verify(bytes(content), range(1, 61), 0)["lost"] == [42]


def test_a_disk_that_misses_its_end_is_seen():
    result = checker.verify(bytes(_disk(57)), range(1, 61), 0)
    assert not result["ok"]
    assert (result["lost"], result["holes"]) == ([58, 59, 60], [])


def test_the_ring_wraps():
    result = checker.verify(bytes(_disk(250)), range(1, 251), 0)
    assert result["ok"]
    assert (result["present"], result["superseded"]) == (100, 150)


def test_a_lost_record_is_seen_after_a_wrap():
    content = _disk(250)
    _put(content, 49, checker.record(149, 0))  # 249 was acknowledged, the disk has the round before
    result = checker.verify(bytes(content), range(1, 251), 0)
    assert result["lost"] == [249]
    assert result["holes"] == [249]


def test_the_other_disk_s_records_do_not_count():
    assert checker.verify(bytes(_disk(5, disk=1)), [5], 0)["lost"] == [5]


def test_nothing_acknowledged_is_no_success():
    assert not checker.verify(bytes(_disk(5)), [], 0)["ok"]


def test_the_writer_writes_the_same_layout(tmp_path):
    """Both sides of the layout agree: compiled from writer.c, compared with checker.record()."""
    program = tmp_path / "layout.c"
    program.write_text(
        f'#define main writer_main\n#include "{SOURCE}/guest/writer.c"\n#undef main\n'
        "int main(void) { static struct record b[COPIES]; fill(b, 123456789012ULL, 1);"
        " return fwrite(b, sizeof(b), 1, stdout) != 1; }\n"
    )
    subprocess.run(["gcc", "-w", "-o", tmp_path / "layout", program], check=True)
    written = subprocess.run([tmp_path / "layout"], check=True, capture_output=True).stdout
    assert written == checker.record(123456789012, 1)


def _recording(directory: Path) -> Path:
    """Answers every 10 ms from 100.0 to 103.0, with a silence from 101.0 to 101.5."""
    times = [100 + n / 100 for n in range(301) if not 100 < n < 150]
    for name, extra in (
        ("pings", {"rtt": 0.001}),
        ("http", {"ok": True, "boot_id": "a"}),
        ("acks", {"disk": 0, "way": "ipv4"}),
    ):
        lines = [json.dumps({"m": t, "w": t + 1e9, "seq": n + 1, **extra}) for n, t in enumerate(times)]
        (directory / f"{name}.jsonl").write_text("\n".join(lines) + '\n{"half a li')
    return directory


def test_a_report_measures_the_outage(tmp_path):
    result = probe.report(_recording(tmp_path), event=101.2, clock="monotonic")
    assert result["pings"]["outage_ms"] == 500.0
    assert result["pings"]["event_to_first_ms"] == 300.0
    assert result["acks"]["longest_gap_ms"] == 500.0
    assert result["boots"] == 1
    assert result["ways"]["ipv4"] == {"repeated": 0, **result["acks"]}
    assert result["disks"]["0"]["unheard"] == 0


def test_a_report_without_an_answer_after_the_event_has_no_outage(tmp_path):
    result = probe.report(_recording(tmp_path), event=200.0, clock="monotonic")
    assert result["pings"]["outage_ms"] is None


def test_since_leaves_out_what_was_before(tmp_path):
    assert probe.report(_recording(tmp_path), since=1e9 + 101.6)["pings"]["longest_gap_ms"] == 10.0


def test_numbers_that_come_again_are_seen(tmp_path):
    told = [
        ("ipv4", 1),
        ("ipv6", 1),
        ("ipv6", 2),
        ("ipv6", 3),
        ("ipv4", 3),
        ("ipv4", 2),
        ("ipv6", 2),
        ("ipv6", 3),
        ("ipv6", 4),
    ]
    lines = [json.dumps({"m": n, "w": n, "seq": seq, "disk": 0, "way": way}) for n, (way, seq) in enumerate(told)]
    (tmp_path / "acks.jsonl").write_text("\n".join(lines) + "\n")
    ways = probe.report(tmp_path)["ways"]
    assert {way: (word["count"], word["repeated"]) for way, word in ways.items()} == {"ipv4": (3, 0), "ipv6": (6, 2)}


def test_the_shim_is_for_tcg_alone():
    assert "LD_PRELOAD" in guest.domain_xml(guest.Guest(), kvm=False)
    assert "qemu:commandline" not in guest.domain_xml(guest.Guest(), kvm=True)


def test_the_layers_of_all_suites_lie_side_by_side():
    release, newer, older = (rootfs.stack(Lab(), bare=False, suite=suite) for suite in rootfs.SUITES)
    assert release[-1] == newer[-1], "the release without QEMU is the same"
    assert not set(release[:-1]) & set(newer)
    assert not set(older) & {*release, *newer}
    assert len({rootfs.repository(Lab(), suite) for suite in rootfs.SUITES}) == len(rootfs.SUITES)


def test_a_guest_that_uefi_cannot_boot_is_refused():
    with pytest.raises(LabError, match="give it 256"):
        guest.define(Lab(), "kvm1", guest.Guest(uefi=True), start=False)
    assert "secure-boot" in guest.domain_xml(guest.Guest(uefi=True, memory=guest.UEFI_MEMORY), kvm=False)


def test_no_two_labs_have_a_guest_of_one_uuid():
    uuids = {re.search("<uuid>(.+?)</uuid>", guest.domain_xml(guest.Guest(), kvm=True, lab=lab))[1] for lab in "ab"}
    assert len(uuids) == 2


def _heard(*frames: tuple[float, str]) -> list[dict]:
    return [{"m": at, "port": host, "kind": "ping"} for at, host in frames]


def _acknowledged(*frames: tuple[float, str, int]) -> list[dict]:
    return [{"m": at, "port": host, "kind": "ack", "seq": number, "disk": 0, "ip": 4} for at, host, number in frames]


def test_a_hand_over_that_was_asked_for_is_no_double_answer():
    frames = _heard((1, "kvm1"), (2.5, "kvm1"), (3, "kvm2"), (4, "kvm2"), (6, "kvm1"))
    judged = answers.judge(frames, "kvm1", [Turn(2, "kvm2"), Turn(5, "kvm1")])
    assert (judged["frames"], judged["double"]) == (5, 0)


def test_who_answers_after_the_other_has_begun_is_double():
    frames = _heard((1, "kvm1"), (3, "kvm2"), (4, "kvm1"), (5, "kvm2"), (7.5, "kvm1"))
    judged = answers.judge(frames, "kvm1", [Turn(2, "kvm2")])
    assert (judged["double"], judged["double_kinds"], judged["double_s"]) == (2, {"ping": 2}, 3.5)


def test_who_answers_without_its_turn_is_double():
    assert answers.judge(_heard((1, "kvm1"), (3, "kvm2")), "kvm1", [])["double"] == 1
    assert answers.judge(_heard((1, "kvm1"), (3, "kvm2")), "kvm1", [Turn(4, "kvm2")])["double"] == 1
    assert answers.judge(_heard((1, "kvm1"), (3, "kvm2")), "kvm1", [Turn(2, "kvm1")])["double"] == 1


def test_after_both_were_off_either_may_answer_and_then_the_other_may_not():
    judged = answers.judge(_heard((1, "kvm1"), (3, "kvm2"), (4, "kvm1")), "kvm1", [Turn(2, None)])
    assert judged["double"] == 1


def test_the_order_of_time_counts_and_not_that_of_the_file():
    frames = _heard((3, "kvm2"), (1, "kvm1"))
    assert answers.judge(frames, "kvm1", [Turn(2, "kvm2")])["double"] == 0


def test_a_number_that_is_acknowledged_twice_is_seen():
    frames = _acknowledged((1, "kvm1", 7), (3, "kvm2", 7), (4, "kvm2", 8), (5, "kvm2", 8))
    judged = answers.judge(frames, "kvm1", [Turn(2, "kvm2")])
    assert (judged["double"], judged["again"], judged["again_by_another"], judged["contradictions"]) == (0, 2, 1, 0)
    frames[1]["body"] = "other"
    assert answers.judge(frames, "kvm1", [Turn(2, "kvm2")])["contradictions"] == 1


def _passage() -> tuple[lanside.Passage, list]:
    noted: list = []
    return lanside.Passage(lambda _now, port, frame: noted.append((port, frame))), noted


def test_a_frame_counts_for_the_port_that_it_came_in_by():
    passage, noted = _passage()
    passage.seen(1, "kvm1", b"a", outgoing=False)
    passage.seen(1, "kvm2", b"a", outgoing=True)  # to the other host as well
    passage.seen(1, "client", b"a", outgoing=True)
    passage.seen(2, "kvm2", b"a", outgoing=False)
    passage.seen(2, "client", b"a", outgoing=True)
    assert noted == [("kvm1", b"a"), ("kvm2", b"a")]


def test_a_frame_that_the_client_is_not_given_does_not_count():
    passage, noted = _passage()
    passage.seen(1, "kvm1", b"a", outgoing=False)
    passage.seen(1, "kvm2", b"a", outgoing=True)
    assert noted == []
    passage.seen(1.01, "kvm2", b"a", outgoing=False)
    passage.seen(1.01, "client", b"a", outgoing=True)
    assert noted == [("kvm2", b"a")]
    passage.seen(9, "client", b"a", outgoing=True)  # what came in long ago is not what goes out now
    assert len(noted) == 1


def _ipv4(protocol: int, body: bytes) -> bytes:
    return bytes(12) + b"\x08\0" + struct.pack("!BBHIBBH8x", 0x45, 0, 20 + len(body), 0, 64, protocol, 0) + body


def _ipv6(protocol: int, body: bytes) -> bytes:
    return bytes(12) + b"\x86\xdd" + struct.pack("!IHBB32x", 6 << 28, len(body), protocol, 64) + body


def _udp(port: int, payload: bytes) -> bytes:
    return _ipv4(17, struct.pack("!HHHH", 7700, port, 8 + len(payload), 0) + payload)


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (_udp(7777, struct.pack("<QQ", 5, 1)), {"kind": "ack", "seq": 5, "disk": 1, "ip": 4}),
        (_udp(7777, struct.pack("<QQ", 5, 1) + b"me"), {"kind": "ack", "seq": 5, "disk": 1, "ip": 4, "body": "6d65"}),
        (_udp(7777, struct.pack("<QQ", 5, 1)) + bytes(4), {"kind": "ack", "seq": 5, "disk": 1, "ip": 4}),  # padded
        (_udp(7778, struct.pack("<QQ", 5, 1)), {"kind": "other"}),
        (_ipv4(1, b"\0" * 16), {"kind": "ping"}),
        (_ipv4(1, b"\x08" + b"\0" * 15), {"kind": "other"}),
        (_ipv4(6, bytes(20)), {"kind": "tcp"}),
        (bytes(12) + b"\x08\x06\0\1\x08\0\6\4\0\2" + bytes(20), {"kind": "arp"}),
        (bytes(12) + b"\x08\x06\0\1\x08\0\6\4\0\1" + bytes(20), {"kind": "other"}),
        (bytes(12) + b"\x80\x35" + bytes(28), {"kind": "announce"}),
        (_ipv6(17, _udp(7777, struct.pack("<QQ", 5, 1))[34:]), {"kind": "ack", "seq": 5, "disk": 1, "ip": 6}),
        (_ipv6(58, b"\x81" + bytes(7)), {"kind": "ping"}),
        (_ipv6(58, b"\x88" + bytes(23)), {"kind": "arp"}),
        (_ipv6(58, b"\x87" + bytes(23)), {"kind": "other"}),
        (bytes(12) + b"\x86\xdd" + bytes(10), {"kind": "other"}),
    ],
)
def test_what_a_frame_is(frame: bytes, told: dict):
    assert lanside.described(frame) == told
