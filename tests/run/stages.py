#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs named stages and ends with a table and one plain line.

    stages.py test            every stage of `make test`
    stages.py lint sanity     these

A stage is a list of commands; all of them run, and it has failed when one of them has. The stages that need no lab run
beside those that do, whose guests leave a core idle, and give way to them; molecule's lab takes their place when they
are through.
Output goes to results/logs/STAGE.log, to the terminal as well with V=1; the end of what a failed command printed is
shown, and what failed is named once more under the table.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / "results" / "logs"

# Debian 13 with the QEMU of its backports, and Debian 12.
BACKPORTS = "LOCKSTEP_LAB_SUITE=trixie-backports tests/integration/run tests/integration/test_q35.py"
BOOKWORM = "LOCKSTEP_LAB_SUITE=bookworm tests/integration/run tests/integration/test_debian12.py -m long"
STAGES: dict[str, list[str]] = {
    "lint": [
        "ruff check .",
        "ruff format --check .",
        "ansible-lint --offline --profile production",
        "antsibull-changelog lint",
        "cd tests && python -m pytest -q unit/test_{{foresight,house,monitoring,role_specs}}.py unit/extensions long",
    ],
    "units": [
        "tests/run/ansible-test units --local --requirements --python {python}",
        "python tests/lab/lab selftest",
        "python -m pytest -q -n 2 tests/playbooks",  # of Ansible itself, which ansible-test takes away from its tests
    ],
    "sanity": ["tests/run/sanity {python}"],
    "galaxy": ["tests/run/galaxy"],
    "molecule": ["molecule test"],
    "integration": ["tests/integration/run", "tests/long/kills --sample"],
    "kvm": ["tests/long/instances"],
    "long": [
        "tests/integration/run -m long",
        f"{BACKPORTS} -m 'long or not long'",
        BOOKWORM,
        "tests/long/losses",
        "tests/long/switchovers",
        "tests/long/cycles",
        "tests/long/kills",
        "tests/long/kills --how refused",
        "tests/long/kills --how unanswered",
        "tests/long/kills --how blind",
        "tests/long/mutations",
        "tests/long/devices",
        "tests/long/faults",
        "tests/long/uncompared",
        "tests/long/hostile",
    ],
}
SHOWN = 60  # lines of a failed command
NAMES_A_FAILURE = ("FAILED ", "ERROR ", "fatal: ", "exit code ")  # pytest, ansible, this script
TEST = ["lint", "units", "sanity", "galaxy", "molecule", "integration"]
LAB = {"molecule", "integration", "kvm", "long"}
# One after the other; molecule's lab is behind the stages without one: two labs are as much as two cores bear.
FIRST = LAB - {"molecule"}


def environment() -> dict[str, str]:
    env = dict(os.environ)
    env["PATH"] = f"{ROOT}/.cache/venv/bin:{env.get('PATH', os.defpath)}"
    env["VIRTUAL_ENV"] = f"{ROOT}/.cache/venv"
    env["ANSIBLE_COLLECTIONS_PATH"] = env["PYTHONPATH"] = f"{ROOT}/.cache/collections"
    env["ANSIBLE_HOME"] = f"{ROOT}/.cache/home/.ansible"
    env["ANSIBLE_NOCOLOR"] = env["NO_COLOR"] = env["PYTHONUNBUFFERED"] = "1"
    env.setdefault("LC_ALL", "C.UTF-8")
    env.pop("PYTHONHOME", None)
    return env


def run(stage: str, env: dict[str, str]) -> list[list[str]]:
    """The last lines of each command that failed: none when the stage has passed."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    failures: list[list[str]] = []
    log_path = LOGS / f"{stage}.log"
    with log_path.open("w", encoding="utf-8") as log:
        for command in STAGES[stage]:
            command = command.format(python=python)
            log.write(f"$ {command}\n")
            log.flush()
            tail: deque[str] = deque(maxlen=SHOWN)
            with subprocess.Popen(
                ["bash", "-c", command] if stage in LAB else ["nice", "bash", "-c", command],
                cwd=ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as process:
                for line in process.stdout or ():
                    log.write(line)
                    log.flush()
                    tail.append(line)
                    if os.environ.get("V"):
                        sys.stdout.write(line)
            if process.returncode:
                tail.append(f"exit code {process.returncode}: {command}\n")
                log.write(tail[-1])
                failures.append(list(tail))
    return failures


def outcome(failures: list[list[str]]) -> str:
    return "FAILED" if failures else "passed"


def follow(names: list[str], env: dict[str, str]) -> list[tuple[str, tuple[list[list[str]], float]]]:
    """Runs stages one after the other: of each its failures, and its seconds."""
    results = []
    for name in names:
        print(f"== {name}: {'; '.join(c.split(' --')[0].split(' {')[0] for c in STAGES[name])}", flush=True)
        began = time.monotonic()
        failures = run(name, env)
        seconds = time.monotonic() - began
        results.append((name, (failures, seconds)))
        if failures and not os.environ.get("V"):
            print("\n".join("".join(tail) for tail in failures))
        print(f"== {name}: {outcome(failures)} in {seconds:.0f} s, results/logs/{name}.log", flush=True)
    return results


def main(arguments: list[str]) -> int:
    names = TEST if arguments in ([], ["test"]) else arguments
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        print(f"no such stage: {', '.join(unknown)}; there are {', '.join(STAGES)}", file=sys.stderr)
        return 2
    LOGS.mkdir(parents=True, exist_ok=True)
    env = environment()
    began = time.monotonic()
    tracks = [[name for name in names if (name in FIRST) == first] for first in (True, False)]
    with ThreadPoolExecutor(len(tracks)) as pool:
        done = dict(itertools.chain.from_iterable(pool.map(lambda track: follow(track, env), tracks)))
    results = [(name, *done[name]) for name in names]

    failed = sum(bool(failures) for _name, failures, _seconds in results)
    print(f"\n{'stage':<14}{'result':<10}{'seconds':>8}")
    for name, failures, seconds in results:
        print(f"{name:<14}{outcome(failures):<10}{seconds:>8.0f}")
    print(f"{'all':<14}{'':<10}{time.monotonic() - began:>8.0f}\n")
    for name, failures, _seconds in results:
        for line in (line for tail in failures for line in tail if line.startswith(NAMES_A_FAILURE)):
            print(f"{name}: {line[:300].rstrip()}")
    print(f"{len(results) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
