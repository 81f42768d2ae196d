# SPDX-License-Identifier: GPL-3.0-or-later
"""Who answered the client: a recording of the guest's frames with the host that each came from, and its faults.

A guest in lockstep is the same on both hosts, down to its boot id, so nothing in a frame says which of the two sent
it: the bridge's port does (lanside.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import guest, probe
from .common import GUEST_ADDRESS, SOURCE, Lab, LabError


@dataclass(frozen=True)
class Turn:
    """From a monotonic time on a host may begin to answer: somebody asked for it. None: whichever does so first."""

    at: float
    host: str | None


def judge(frames: Iterable[dict[str, Any]], first: str, turns: Iterable[Turn]) -> dict[str, Any]:
    """What two hosts answered at once: ``first`` has the guest in the beginning.

    A host's frames are good until another one, whose turn it was, has begun to answer. All others are double, also
    those of a host that begins without its turn. `again` are the acknowledgements whose number was acknowledged before:
    by another host (`again_by_another`: the write was not on the disk it went on from, or two guests write), or by the
    same. `contradictions` are those that say something else than the one before.
    """
    due = sorted(turns, key=lambda turn: turn.at)
    server, asked = first, list[Turn]()
    kinds: Counter[str] = Counter()
    times: list[float] = []
    told: dict[tuple[int, int, int], tuple[str, str]] = {}
    again = by_another = contradictions = heard = 0
    for frame in sorted(frames, key=lambda one: one["m"]):
        heard += 1
        while due and due[0].at <= frame["m"]:
            asked.append(due.pop(0))
        host = frame["port"]
        if host != server and any(turn.host in (None, host) for turn in asked):
            server, asked = host, []
        elif host != server:
            kinds[frame["kind"]] += 1
            times.append(frame["m"])
        if frame["kind"] == "ack":
            key, word = (frame["disk"], frame["seq"], frame["ip"]), (host, frame.get("body", ""))
            known = told.setdefault(key, word)
            if known is not word:
                again += 1
                by_another += known[0] != host
                contradictions += known[1] != word[1]
    return {
        "frames": heard,
        "double": sum(kinds.values()),
        "double_kinds": dict(kinds),
        "double_s": round(times[-1] - times[0], 3) if times else 0,
        "again": again,
        "again_by_another": by_another,
        "contradictions": contradictions,
    }


class Recording:
    """Notes the guest's frames into a directory from its making until stop(), or until this process ends."""

    def __init__(self, lab: Lab, out: Path, address: str = GUEST_ADDRESS) -> None:
        self.out = out
        out.mkdir(parents=True, exist_ok=True)
        command = ["ip", "netns", "exec", lab.lan_ns, sys.executable, "-B", "-m", "lockstep_lab.lanside"]
        with (out / "lanside.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, guest.mac(address), str(out)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(SOURCE)},
            )
        assert self._process.stdout
        if not self._process.stdout.readline():
            raise LabError(f"the LAN is not recorded: {(out / 'lanside.log').read_text(encoding='utf-8')[-600:]}")

    def stop(self) -> None:
        """All that was seen is in the file when this returns."""
        self._process.communicate(timeout=30)

    def judged(self, first: str, turns: Iterable[Turn]) -> dict[str, Any]:
        return judge(probe.read(self.out / "frames.jsonl"), first, turns)
