#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs named stages one after the other and ends with a table and one plain line.

    stages.py test            every stage of `make test`
    stages.py lint sanity     these

A stage is a list of commands; all of them run, and it has failed when one of them has.
Output goes to results/logs/STAGE.log, to the terminal as well with V=1; the end of a failed stage's log is shown.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / "results" / "logs"

STAGES: dict[str, list[str]] = {
    "lint": [
        "ruff check .",
        "ruff format --check .",
        "ansible-lint --offline --profile production",
        "antsibull-changelog lint",
        "python -m pytest -q tests/unit/test_role_specs.py tests/long/test_compatibility.py",
    ],
    "units": [
        "tests/run/ansible-test units --local --requirements --python {python}",
        "python tests/lab/lab selftest",
    ],
    "sanity": ["tests/run/sanity {python}"],
    "molecule": ["molecule test"],
    "integration": ["tests/integration/run", "tests/long/kills --sample"],
    "kvm": ["tests/long/instances"],
    "long": [
        "tests/integration/run -m long",
        "tests/long/losses",
        "tests/long/switchovers",
        "tests/long/cycles",
        "tests/long/kills",
        "tests/long/devices",
    ],
}
TEST = ["lint", "units", "sanity", "molecule", "integration"]


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


def run(stage: str, env: dict[str, str]) -> bool:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    passed = True
    log_path = LOGS / f"{stage}.log"
    with log_path.open("w", encoding="utf-8") as log:
        for command in STAGES[stage]:
            command = command.format(python=python)
            log.write(f"$ {command}\n")
            log.flush()
            with subprocess.Popen(
                command,
                shell=True,
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
                    if os.environ.get("V"):
                        sys.stdout.write(line)
            if process.returncode:
                log.write(f"exit code {process.returncode}: {command}\n")
                passed = False
    return passed


def main(arguments: list[str]) -> int:
    names = TEST if arguments in ([], ["test"]) else arguments
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        print(f"no such stage: {', '.join(unknown)}; there are {', '.join(STAGES)}", file=sys.stderr)
        return 2
    LOGS.mkdir(parents=True, exist_ok=True)
    env = environment()
    results: list[tuple[str, bool, float]] = []
    for name in names:
        print(f"== {name}: {'; '.join(c.split(' --')[0].split(' {')[0] for c in STAGES[name])}", flush=True)
        began = time.monotonic()
        passed = run(name, env)
        seconds = time.monotonic() - began
        results.append((name, passed, seconds))
        log_path = LOGS / f"{name}.log"
        if not passed and not os.environ.get("V"):
            print("".join(log_path.read_text(encoding="utf-8").splitlines(keepends=True)[-60:]))
        outcome = "passed" if passed else "FAILED"
        print(f"== {name}: {outcome} in {seconds:.0f} s, {log_path.relative_to(ROOT)}", flush=True)

    failed = sum(not passed for _name, passed, _seconds in results)
    print(f"\n{'stage':<14}{'result':<10}{'seconds':>8}")
    for name, passed, seconds in results:
        print(f"{name:<14}{'passed' if passed else 'FAILED':<10}{seconds:>8.0f}")
    print(f"{'all':<14}{'':<10}{sum(r[2] for r in results):>8.0f}\n")
    print(f"{len(results) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
