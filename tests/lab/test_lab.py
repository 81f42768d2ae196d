# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's own measuring instruments can fail: tests without hosts (`pytest tests/lab` or `lab selftest`)."""

import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import pytest
from lockstep_lab import checker, guest, probe, rootfs
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


def test_the_layers_of_both_suites_lie_side_by_side():
    release, newer = (rootfs.stack(Lab(), bare=False, suite=suite) for suite in rootfs.SUITES)
    assert release[-1] == newer[-1], "the release without QEMU is the same"
    assert not set(release[:-1]) & set(newer)
    assert rootfs.repository(Lab(), rootfs.SUITE) != rootfs.repository(Lab(), rootfs.BACKPORTS)


def test_a_guest_that_uefi_cannot_boot_is_refused():
    with pytest.raises(LabError, match="give it 256"):
        guest.define(Lab(), "kvm1", guest.Guest(uefi=True), start=False)
    assert "secure-boot" in guest.domain_xml(guest.Guest(uefi=True, memory=guest.UEFI_MEMORY), kvm=False)
