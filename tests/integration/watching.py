# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests do with and to the watchers of a lab's hosts."""

from __future__ import annotations

import json
import os
import re
import signal
import time

from colo_bed import VIRSH, Bed
from lockstep_lab import hosts
from lockstep_lab.common import HOSTS

UNIT = "lockstep-colo-watch.service"
_ACTED = re.compile(r"web1: (\w+) took (\d+) ms, decided at ([\d.]+), ended at ([\d.]+), served at ([\d.]+)")


def kill_qemu(bed: Bed, host: str) -> float:
    """End a host's QEMU as a fault would; the (monotonic) time at which it was killed."""
    processes = hosts.processes(bed.lab, host, "qemu-system")
    assert processes, f"{host} has no QEMU"
    moment = time.monotonic()
    for process in processes:
        os.kill(process, signal.SIGKILL)
    return moment


def journal(bed: Bed, host: str, lines: int = 40) -> str:
    return bed.ssh(host, f"journalctl -u {UNIT} -o short-monotonic --no-pager -n {lines}")


def unforeseen(bed: Bed, host: str) -> list[str]:
    """What the watcher of a host has left otherwise than the effects of its steps said."""
    return re.findall(r"web1: (\w+ did not foresee this: .*)", bed.ssh(host, f"journalctl -u {UNIT} -o cat --no-pager"))


def acts(bed: Bed, host: str) -> list[dict[str, float | str]]:
    """What the watcher of a host has done, oldest first; moments of time.monotonic(), which hosts of a lab share."""
    found = _ACTED.findall(bed.ssh(host, f"journalctl -u {UNIT} -o cat --no-pager"))
    keys = ("action", "took_ms", "decided", "ended", "served")
    return [dict(zip(keys, (one[0], *map(float, one[1:])), strict=True)) for one in found]


READY = ("would let the guest go on without its standby", "would promote this standby")


def told(bed: Bed, host: str) -> dict[str, object]:
    """What a host's watcher says of the pair, for whoever looks."""
    text = bed.ssh(host, "cat /run/lockstep-colo/watch/*.json 2>/dev/null || true")
    return dict(json.loads(text)) if text else {}


def ready(bed: Bed) -> bool:
    """Whether both would act."""
    return sorted(str(told(bed, host).get("says")) for host in HOSTS) == sorted(READY)


def role_of(bed: Bed, host: str) -> str:
    """Which half of the pair a host has, by its domain's record."""
    xml = bed.ssh(host, f"{VIRSH} metadata web1 urn:lockstep:colo:1")
    return re.search(r'role="(\w+)"|role=\'(\w+)\'', xml).group(0)[6:-1]
