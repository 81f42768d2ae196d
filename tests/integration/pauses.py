# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a guest stands still while it is protected, from QEMU's own events on the host that has it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from colo_bed import VIRSH, Bed
from lockstep_lab.common import HOSTS

EVENTS = "/var/tmp/lab-events"
LINE = re.compile(r"(?P<when>\S+ \S+?)\+\S+: event (?P<name>\w+) for domain '[^']*': ?(?P<data>.+)")
UNIT = "lab-events"


def record(bed: Bed, host: str) -> None:
    """Begin to note the events of the guest that runs on ``host``, and on no other."""
    for one in HOSTS:
        bed.ssh(one, f"systemctl stop {UNIT} 2>/dev/null; rm -f {EVENTS}", check=False)
    watch = f"exec stdbuf -oL {VIRSH} qemu-monitor-event web1 --loop --timestamp >> {EVENTS}"
    # The role host may restart libvirt, which ends virsh.
    again = "--property Restart=always --property RestartSec=1"
    bed.ssh(host, f"systemd-run --quiet --collect --unit {UNIT} {again} sh -c '{watch}'")


def when_protected(bed: Bed) -> float:
    """Milliseconds of the longest pause up to the guest's first moment in lockstep."""
    texts = [bed.ssh(host, f"cat {EVENTS} 2>/dev/null || true") for host in HOSTS]
    return longest("".join(texts).splitlines())


def longest(lines: Iterable[str]) -> float:
    """Of the pauses (from STOP to RESUME) of which the last is the one with which lockstep begins."""
    found = []
    for milliseconds, lockstep in each(lines):
        found.append(milliseconds)
        if lockstep:
            return max(found)
    raise AssertionError(f"the guest did not come to lockstep: {len(found)} pauses")


def each(lines: Iterable[str]) -> Iterator[tuple[float, bool]]:
    """Each pause in milliseconds, and whether lockstep was seen to have begun by then."""
    stopped, lockstep = None, False
    for name, when, data in filter(None, map(_event, lines)):
        lockstep = lockstep or (name == "MIGRATION" and data["status"] == "colo")
        if name == "STOP":
            stopped = when
        elif name == "RESUME" and stopped:
            yield round((when - stopped).total_seconds() * 1000, 1), lockstep
            stopped = None


def _event(line: str) -> tuple[str, datetime, Any] | None:
    known = LINE.match(line)
    if known is None:
        return None
    data = known["data"]
    return known["name"], datetime.fromisoformat(known["when"]), None if data == "<null>" else json.loads(data)
