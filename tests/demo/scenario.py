# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demonstration and the bench share: a lab with a guest, the playbooks as a user calls them, and their times.

All times are of CLOCK_MONOTONIC, which the control node, the probe and the hosts of the lab have in common.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "tests" / "lab"), str(ROOT / "tests" / "run")]

from lockstep_lab import checker, common, guest, hosts, probe  # noqa: E402
from lockstep_lab.common import HOSTS, Lab, LabError, say  # noqa: E402
from stages import environment  # noqa: E402

RESULTS = ROOT / "results"
BARE = ROOT / "tests" / "bench" / "bare.py"
GUEST = guest.Guest()
VIRSH = "virsh -q -c qemu:///system"
ANSWER_TIMEOUT = 60.0  # seconds to wait for a guest that fails over; it takes a few
PLAYBOOK_TIMEOUT = 900
BOOT_TIMEOUT = 180.0  # seconds; a guest boots in two, unless the machine is busy with other labs


@dataclass
class Play:
    """A playbook that was run, and what each of its tasks said."""

    began: float
    ended: float
    code: int
    tasks: list[dict[str, Any]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def changed(self) -> int:
        return sum(bool(task["result"].get("changed")) for task in self.tasks)

    def module(self, name: str, host: str | None = None) -> dict[str, Any]:
        """The last task that ran a module of the collection; the role names the host in the task's title."""
        found = [
            task for task in self.tasks if task["action"] == f"lockstep.colo.{name}" and (host or "") in task["task"]
        ]
        if not found:
            raise LabError(f"the playbook ran no {name}{f' on {host}' if host else ''}")
        return found[-1]


class Scenario:
    """One lab, one guest, one directory for what is recorded."""

    def __init__(self, name: str, out: Path, *, quiet: bool) -> None:
        self.lab = Lab(name)
        self.out = out
        self.reports = out / "reports"
        self.quiet = quiet
        self.runs = 0
        # Ended from outside, it still takes its lab down.
        signal.signal(signal.SIGTERM, lambda *unused: sys.exit(128 + signal.SIGTERM))
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)

    # The lab

    def up(self, instances: str | None = None) -> None:
        """``instances``: a Debian suite, of which bare VM instances become the hosts."""
        common.ensure_tools()
        with self.lab.lock():
            hosts.up(self.lab, bare=False, instances=instances)

    def down(self) -> None:
        with self.lab.lock():
            hosts.down(self.lab, purge=False)

    def start_guest(self, host: str, vm: guest.Guest = GUEST) -> None:
        """An ordinary domain, as an administrator might have defined it; nothing in it knows of COLO."""
        with self.lab.lock():
            guest.define(self.lab, host, vm, start=True)
        guest.wait(self.lab, timeout=BOOT_TIMEOUT)

    def fresh(self) -> None:
        """Both hosts on, and nothing on them of a guest or a pair that was there before."""
        with self.lab.lock():
            for host in HOSTS:
                hosts.power_on(self.lab, host)
            guest.remove(self.lab, GUEST.name)
        for host in HOSTS:
            self.on(host, "rm -rf /var/lib/libvirt/images/colo/*")

    def on(self, host: str, command: str, *, stdin: str | None = None, timeout: float = 300) -> str:
        return hosts.ssh(self.lab, host, command, stdin=stdin, timeout=timeout).stdout

    def power_off(self, host: str) -> tuple[float, float]:
        """Take the power from a host: the times before and after, between which its guest fell silent."""
        with self.lab.lock():
            before = time.monotonic()
            hosts.power_off(self.lab, host)
            return before, time.monotonic()

    @property
    def accelerator(self) -> str:
        return "KVM" if self.lab.facts()["kvm"] else "TCG"

    # The product

    def playbook(self, name: str, *arguments: str, pipelining: bool = False) -> Play:
        """Run a playbook of the collection (or a file) as a user does."""
        self.runs += 1
        label = f"{self.runs:03d}-{Path(name).stem if '/' in name else name.rsplit('.', 1)[1]}"
        journal, log = self.out / f"{label}.jsonl", self.out / f"{label}.log"
        env = {
            **self._environment(pipelining),
            "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback_plugins"),
            "ANSIBLE_CALLBACKS_ENABLED": "journal",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
            "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "no",
            "LOCKSTEP_JOURNAL": str(journal),
        }
        kept = ["-e", f"colo_report_directory={self.reports}"]  # beside the lab they would go with it
        command = ["ansible-playbook", "-i", str(self.lab.inventory), name, *arguments, *kept]
        shown = [str(Path(word).name) if word.startswith("/") else word for word in command[: -len(kept)]]
        say(f"$ {' '.join(shown)}")
        journal.touch()
        path = env["PATH"]
        began = time.monotonic()
        with log.open("w", encoding="utf-8") as file:
            output: Any = file if self.quiet else None
            try:
                code = subprocess.run(
                    [shutil.which(command[0], path=path) or command[0], *command[1:]],
                    cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                    timeout=PLAYBOOK_TIMEOUT,
                ).returncode  # fmt: skip
            except FileNotFoundError:
                raise LabError("there is no ansible-playbook in .cache/venv: run `make venv`") from None
            except subprocess.TimeoutExpired:
                raise LabError(f"{name} did not end within {PLAYBOOK_TIMEOUT} s") from None
        play = Play(began, time.monotonic(), code, list(probe.read(journal)))
        say(f"{name}: exit code {code} after {play.seconds:.1f} s, {play.changed} changed")
        return play

    def _environment(self, pipelining: bool) -> dict[str, str]:
        return {
            **environment(),
            "ANSIBLE_PIPELINING": str(pipelining),
            # Labs use the same addresses: with a shared directory, a kept connection could lead to another lab's host.
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.lab.state / "cp"),
        }

    def ping(self) -> float:
        """How long Ansible takes for the least that it does on both hosts, with pipelining; in seconds."""
        env = self._environment(pipelining=True)
        program = shutil.which("ansible", path=env["PATH"])
        if program is None:
            raise LabError("there is no ansible in .cache/venv: run `make venv`")
        command = [program, "-i", str(self.lab.inventory), "kvm", "-m", "ansible.builtin.ping"]
        began = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise LabError(f"ansible -m ping failed: {done.stdout[-300:]}{done.stderr[-300:]}")
        return time.monotonic() - began

    def needed(self, play: Play, what: str) -> Play:
        if play.code:
            said = [task["result"]["msg"] for task in play.tasks if task["result"].get("failed")]
            logs = f"; see {self.out.relative_to(ROOT)}" if self.quiet else ""
            raise LabError(
                f"{what} failed with exit code {play.code}: {' '.join(map(str, said)) or 'no task failed'}{logs}"
            )
        return play

    # Bare QMP

    def bare(self, host: str, verb: str) -> dict[str, Any]:
        """Send a bare sequence on a host; its result has the times of every command."""
        address, peer = HOSTS[host], next(a for name, a in HOSTS.items() if name != host)
        began = time.monotonic()
        said = self.on(host, f"python3 - {verb} {GUEST.name} {address} {peer}", stdin=BARE.read_text(encoding="utf-8"))
        return {**json.loads(said), "began": began, "ended": time.monotonic()}

    # What the client sees

    def heard(self, name: str) -> list[float]:
        """When the client heard something: `pings`, `acks` or `http` (those that went well)."""
        entries = probe.read(self.out / "probe" / f"{name}.jsonl")
        return [entry["m"] for entry in entries if entry.get("ok", True)]

    def wait_for_answers(self, since: float) -> None:
        """Until the client hears pings, acknowledgements and pages again."""
        deadline = time.monotonic() + ANSWER_TIMEOUT
        missing = ["pings", "acks", "http"]
        while missing and time.monotonic() < deadline:
            missing = [name for name in missing if max(self.heard(name), default=0.0) <= since]
            time.sleep(0.1)
        if missing:
            raise LabError(f"the guest did not answer within {ANSWER_TIMEOUT:g} s: no {', no '.join(missing)}")

    def image(self, host: str) -> str:
        """The image of the guest's first disk, as the domain's XML on a host has it."""
        listed = self.on(host, f"{VIRSH} domblklist {GUEST.name} --inactive --details").splitlines()
        return next(line.split()[-1] for line in listed if line.split()[1:3] == ["disk", "vda"])

    def check(self, host: str) -> dict[str, Any]:
        """Whether every write that was acknowledged, to the very last, is in the image on a host."""
        self.on(host, f"{VIRSH} destroy {GUEST.name}")
        probe.stop(self.lab)
        return checker.check(self.lab, host, self.image(host), self.out / "probe")


def silences(times: Iterable[float], since: float, until: float) -> float | None:
    """The longest time in which nothing was heard, of what touches a span; in milliseconds."""
    heard = sorted(times)
    gaps = [after - before for before, after in itertools.pairwise(heard) if after >= since and before <= until]
    return round(max(gaps) * 1000, 1) if gaps else None


def outage(times: Iterable[float], dark: float) -> dict[str, float | None]:
    """The silence around a moment at which the guest certainly did not answer."""
    heard = sorted(times)
    before = max((moment for moment in heard if moment <= dark), default=None)
    after = min((moment for moment in heard if moment > dark), default=None)
    span = None if before is None or after is None else round((after - before) * 1000, 1)
    return {"last": before, "first": after, "ms": span}


def median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(statistics.median(known), 1) if known else None


def table(rows: Iterable[tuple[str, str]], title: str) -> str:
    rows = list(rows)
    width = max(len(left) for left, _right in rows)
    return "\n".join(["", title, "-" * len(title), *(f"{left:<{width}}  {right}" for left, right in rows), ""])


def milliseconds(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.0f} ms"


def write_json(name: str, data: dict[str, Any]) -> Path:
    path = RESULTS / name
    common.write(path, json.dumps(data, indent=1) + "\n")
    return path


def machine() -> str:
    """The machine in words; a number without it says nothing."""
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, load {load:.1f} at the end"
