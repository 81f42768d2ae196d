# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/compatibility.md, from the cases of tests/long/devices; sealed, so that it is seen if it is edited by hand."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from sealed import sealed

PAGE = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"
INTRODUCTION = """\
# Compatibility

Written by `tests/long/devices` from the results of its last run; do not edit it, run that.

Each guest was protected by `deploy` while it wrote and a client counted its acknowledgements; the primary's host lost
its power, and `failover` promoted the standby. *works*: the guest went on without a reboot, with the same devices; no
acknowledged write was missing from its disks, and their images were sound. Some guests had several of these devices,
so the same run stands behind several rows. An emulated guest on a busy machine says little of the outage on a real one.
"""
KINDS = {
    "disk": "Disks",
    "medium": "Media that the guest cannot write to",
    "network": "Network",
    "processor": "Processors",
    "memory": "Memory",
    "firmware": "Firmware",
    "other": "Other devices",
}


def page(cases: list[dict[str, Any]], devices: list[tuple[str, str]]) -> str:
    """The page; ``devices`` are (kind, name) in the order of its rows."""
    newest = max(case["at"] for case in cases)
    started = [case for case in cases if "qemu" in case]
    versions = sorted({f"QEMU {case['qemu']}, libvirt {case['libvirt']}, {case['guests']}" for case in started})
    counted = [case for case in cases if "lost" in case]
    acknowledged, lost = (sum(case[key] for case in counted) for key in ("acknowledged", "lost"))
    unknown = sum(not case["refusal"] for case in cases) - len(counted)
    lines = [
        *INTRODUCTION.splitlines(),
        "",
        f"- Last case: {time.strftime('%Y-%m-%d', time.gmtime(newest))}",
        *(f"- {version}" for version in versions),
        f"- Acknowledged writes: {acknowledged}, lost: {lost}, in {len(counted)} guests",
        *([f"- Guests that failed before their disks could be checked: {unknown}"] if unknown else []),
    ]
    for kind, title in KINDS.items():
        rows = [_row(name, cases) for known, name in devices if known == kind]
        lines += ["", f"## {title}", "", "| device | result | acknowledged | lost | outage, ms |"]
        lines += ["| --- | --- | --- | --- | --- |", *rows]
    lines += ["", "## Refused", "", "By `deploy`, before anything is changed; the guest goes on.", ""]
    lines += ["| device | result | reason |", "| --- | --- | --- |"]
    lines += [_refusal(name, cases) for known, name in devices if known == "refused"]
    return sealed("\n".join(lines) + "\n")


def _of(name: str, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [case for case in cases if name in case["devices"]]


def _row(name: str, cases: list[dict[str, Any]]) -> str:
    found = _of(name, cases)
    if not found:
        return f"| {name} | not tried | | | |"
    failed = sum(not case["passed"] for case in found)
    result = f"**failed** in {failed} of {len(found)} runs" if failed else "works"
    counts = [str(sum(case.get(key, 0) for case in found)) for key in ("acknowledged", "lost")]
    outages = [case["outage_ms"] for case in found if case.get("outage_ms")]
    return " | ".join([f"| {name}", result, *counts, f"{max(outages, default=0):.0f} |"])


def _refusal(name: str, cases: list[dict[str, Any]]) -> str:
    found = _of(name, cases)
    if not found:
        return f"| {name} | not tried | |"
    last = found[-1]
    reason = last.get("reasons", {}).get(name, "")
    return f"| {name} | {'refused' if last['passed'] else '**not refused**'} | {reason} |"
