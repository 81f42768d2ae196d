# SPDX-License-Identifier: GPL-3.0-or-later
"""The compatibility table says what the cases say, and cannot be edited unseen."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import compatibility
import device_table
import pytest
from sealed import untouched

ROWS = [("disk", "IDE"), ("other", "VNC"), ("refused", "machine type q35")]
RUN = {"at": 1795523598, "qemu": "10.0.13", "libvirt": "11.3.0", "guests": "guests emulated (TCG)", "refusal": False}
PASSED = {**RUN, "devices": ["IDE", "VNC"], "passed": True, "acknowledged": 16408, "lost": 0, "outage_ms": 3432.8}
LOST = {**RUN, "devices": ["IDE"], "passed": False, "acknowledged": 100, "lost": 2, "outage_ms": 900.0}
BROKEN = {"at": 1795523598, "devices": ["IDE"], "passed": False, "refusal": False, "why": "no guest"}
REFUSED = {**RUN, "devices": ["machine type q35"], "refusal": True, "passed": True}
REFUSED["reasons"] = {"machine type q35": "machine type pc-q35-10.0: QEMU 10.0.13 aborts a COLO secondary of q35"}


@pytest.mark.parametrize(("name", "command"), [("compatibility", "devices"), ("instances", "instances")])
def test_a_page_is_as_it_was_written(name: str, command: str):
    page = compatibility.PAGE.with_name(f"{name}.md")
    text = page.read_text(encoding="utf-8")
    assert untouched(text), f"{page} was edited by hand; `tests/long/{command} --table` writes it from results"


def test_the_page_of_devices_is_the_codes_own_table():
    written = device_table.PAGE.read_text(encoding="utf-8")
    assert written == device_table.page(), "`tests/long/devices --table` writes it"


def test_an_edit_is_seen():
    page = compatibility.page([PASSED], ROWS)
    assert untouched(page)
    for edited in (page.replace("| 0 |", "| 1 |"), page + "more\n", "more\n" + page, page.partition("<!--")[0]):
        assert not untouched(edited)


def test_what_passed_works_and_what_was_not_tried_is_said_to_be():
    page = compatibility.page([PASSED], ROWS)
    assert "| IDE | works | 16408 | 0 | 3433 |" in page
    assert "| machine type q35 | not tried | |" in page
    assert "QEMU 10.0.13, libvirt 11.3.0, guests emulated (TCG)" in page
    assert "Last case: 2026-11-24" in page


def test_failures_are_not_hidden_behind_what_passed():
    page = compatibility.page([PASSED, LOST, BROKEN], ROWS)
    assert "| IDE | **failed** in 2 of 3 runs | 16508 | 2 | 3433 |" in page
    assert "Acknowledged writes: 16508, lost: 2, in 2 guests" in page
    assert "failed before their disks could be checked: 1" in page


def test_a_refusal_has_its_reason():
    page = compatibility.page([REFUSED], ROWS)
    assert f"| machine type q35 | refused | {REFUSED['reasons']['machine type q35']} |" in page
    accepted = {**REFUSED, "passed": False}
    assert "| machine type q35 | **not refused** |" in compatibility.page([accepted], ROWS)
