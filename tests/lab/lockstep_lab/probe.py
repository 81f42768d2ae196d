# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe: records what a client sees of the guest, and says afterwards how long it saw nothing."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from . import network
from .common import ACK_PORT, GUEST_ADDRESS, SOURCE, STORE_PORT, Lab, LabError, say, write


def _pid_file(lab: Lab) -> Path:
    return lab.state / "probe.pid"


def _running(lab: Lab) -> dict[str, Any] | None:
    """The recording process, when it is alive and really ours."""
    try:
        known = json.loads(_pid_file(lab).read_text(encoding="utf-8"))
        words = Path(f"/proc/{known['pid']}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, json.JSONDecodeError):
        return None
    return known if b"lockstep_lab.clientside" in words else None


def start(lab: Lab, out: Path, guest: str = GUEST_ADDRESS, *, store: str = "") -> None:
    """Begin to record into a directory; a directory that has a recording already is continued.

    With ``store`` the client asks a guest that has a store for one record after the other, at that address, and for
    its web pages there, too.
    """
    known = _running(lab)
    out = out.resolve()
    if known:
        if known["out"] == str(out) and known["guest"] == guest:
            say(f"the probe records into {out} already")
            return
        raise LabError(f"a probe of {known['guest']} records into {known['out']}; run `lab probe-stop` first")
    out.mkdir(parents=True, exist_ok=True)
    (out / "probe.json").unlink(missing_ok=True)
    asked = [store, str(STORE_PORT)] if store else []
    with (out / "probe.log").open("ab") as log:
        process = subprocess.Popen(
            network.client_command(lab, ["record", guest, str(ACK_PORT), str(out), *asked]),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
        )
    deadline = time.monotonic() + 10
    while not (out / "probe.json").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise LabError(f"the probe did not start: {(out / 'probe.log').read_text(encoding='utf-8')[-600:]}")
        time.sleep(0.02)
    write(_pid_file(lab), json.dumps({"pid": process.pid, "out": str(out), "guest": guest}) + "\n")
    say(f"the probe records {guest} into {out}")


def stop(lab: Lab, *, quiet: bool = False) -> None:
    """End the recording; all that was heard is in the files when this returns."""
    known = _running(lab)
    if not known:
        _pid_file(lab).unlink(missing_ok=True)
        if not quiet:
            say("no probe is recording")
        return
    os.kill(known["pid"], signal.SIGTERM)
    deadline = time.monotonic() + 5
    while _running(lab):
        if time.monotonic() > deadline:
            os.kill(known["pid"], signal.SIGKILL)
            break
        try:
            os.waitpid(known["pid"], os.WNOHANG)  # when this very process started it
        except ChildProcessError:
            pass
        time.sleep(0.02)
    _pid_file(lab).unlink(missing_ok=True)
    say(f"the probe has ended; its files are in {known['out']}")


# --- reading ---------------------------------------------------------------------------------------------------------


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file that may still be growing."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as handle:
        for line in handle:
            if line.endswith("\n"):
                yield json.loads(line)


def acknowledged(directory: Path, disk: int = 0) -> set[int]:
    """The numbers that the client was told are safe on a disk."""
    return {entry["seq"] for entry in read(directory / "acks.jsonl") if entry["disk"] == disk}


def _ways(acks: list[dict[str, Any]], key: str, event: float | None) -> dict[str, Any]:
    """Of each way that acknowledgements came: how many, when, and how many numbers came once more.

    A guest that acknowledges a number again has forgotten that it did. They need not come in order: QEMU releases what
    it holds back at a checkpoint with the newest first (our measurement, 10.0).
    """
    ways: dict[str, Any] = {}
    for way in sorted({entry["way"] for entry in acks}):
        mine = [entry for entry in acks if entry["way"] == way]
        repeated = len(mine) - len({(entry["disk"], entry["seq"]) for entry in mine})
        ways[way] = {"repeated": repeated, **_series((entry[key] for entry in mine), event)}
    return ways


def _series(times: Iterable[float], event: float | None) -> dict[str, Any]:
    """How often something was heard, the longest silence, and the silence around an event."""
    heard = sorted(times)
    result: dict[str, Any] = {"count": len(heard)}
    if not heard:
        return {
            **result,
            "first": None,
            "last": None,
            "longest_gap_ms": None,
            "longest_gap_at": None,
            **_outage([], event),
        }
    gaps = [(after - before, before) for before, after in itertools.pairwise(heard)]
    longest, at = max(gaps, default=(0.0, heard[0]))
    result |= {"first": heard[0], "last": heard[-1], "longest_gap_ms": round(longest * 1000, 1), "longest_gap_at": at}
    return {**result, **_outage(heard, event)}


def _outage(heard: list[float], event: float | None) -> dict[str, Any]:
    if event is None:
        return {}
    before = max((moment for moment in heard if moment <= event), default=None)
    after = min((moment for moment in heard if moment > event), default=None)
    span = None if before is None or after is None else round((after - before) * 1000, 1)
    since = None if after is None else round((after - event) * 1000, 1)
    return {"last_before": before, "first_after": after, "outage_ms": span, "event_to_first_ms": since}


def report(
    directory: Path, *, since: float | None = None, event: float | None = None, clock: str = "wall"
) -> dict[str, Any]:
    """What a recording says. Times are of the clock named: `wall` (time.time()) or `monotonic` (time.monotonic()).

    outage_ms is the time from the last answer before the event to the first after it, None when one of them is missing.
    """
    key = {"wall": "w", "monotonic": "m"}[clock]
    directory = Path(directory)
    if not directory.is_dir():
        raise LabError(f"no recording in {directory}")

    def entries(name: str) -> list[dict[str, Any]]:
        return [entry for entry in read(directory / f"{name}.jsonl") if since is None or entry[key] >= since]

    acks, pings, http = entries("acks"), entries("pings"), entries("http")
    fine = [entry for entry in http if entry["ok"]]
    boot_ids = list(dict.fromkeys(entry["boot_id"] for entry in fine))
    disks = {}
    for disk in sorted({entry["disk"] for entry in acks}):
        mine = [entry for entry in acks if entry["disk"] == disk]
        numbers = [entry["seq"] for entry in mine]
        disks[str(disk)] = {
            "highest": max(numbers),
            "lowest": min(numbers),
            "distinct": len(set(numbers)),
            "unheard": max(numbers) - min(numbers) + 1 - len(set(numbers)),
            **_series((entry[key] for entry in mine), event),
        }
    rtts = sorted(entry["rtt"] for entry in pings)
    return {
        "clock": clock,
        "since": since,
        "event": event,
        "acks": _series((entry[key] for entry in acks), event),
        "ways": _ways(acks, key, event),
        "disks": disks,
        "pings": {
            **_series((entry[key] for entry in pings), event),
            "rtt_median_ms": round(rtts[len(rtts) // 2] * 1000, 2) if rtts else None,
            "rtt_max_ms": round(rtts[-1] * 1000, 2) if rtts else None,
        },
        "http": {**_series((entry[key] for entry in fine), event), "failed": len(http) - len(fine)},
        "boot_ids": boot_ids,
        "boots": len(boot_ids),
    }
