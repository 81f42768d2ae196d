# SPDX-License-Identifier: GPL-3.0-or-later
"""What the long runs share: the venv they run in, what they import, and a journal of cases that survives a cut-off.

A case also has what its playbooks left otherwise than the effects of their steps said, if they did; ``judged`` has the
run fail for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def enter() -> None:
    """Go on in the venv, with the lab, the beds and the collection in reach."""
    if Path(sys.prefix) != ROOT / ".cache/venv" and not os.environ.get("LOCKSTEP_LONG"):
        subprocess.run([ROOT / "tests/run/venv"], check=True)
        os.environ["LOCKSTEP_LONG"] = "1"
        python = str(ROOT / ".cache/venv/bin/python")
        os.execv(python, [python, "-B", *sys.argv])
    for part in ("tests/integration", "tests/lab", ".cache/collections"):
        sys.path.insert(0, str(ROOT / part))


class Foresight:
    """What is new in the file that all runs of playbooks write to, since this was made or last asked."""

    def __init__(self) -> None:
        self._known = len(self._lines())

    def differences(self) -> list[str]:
        import foresight

        lines = self._lines()
        new, self._known = lines[self._known :], len(lines)
        return foresight.unexplained(foresight.differences(new))

    def _lines(self) -> list[str]:
        from colo_bed import UNFORESEEN

        return UNFORESEEN.read_text(encoding="utf-8").splitlines() if UNFORESEEN.exists() else []


class Journal:
    """One JSON line for each case, in results/. Remove the file to begin anew."""

    foresight: Foresight | None = None  # of this run
    used: list[Journal] = []  # in this run

    def __init__(self, name: str) -> None:
        self.path = ROOT / "results" / name

    def cases(self) -> list[dict]:
        self.used.append(self)
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    def add(self, case: dict) -> None:
        self.used.append(self)
        if self.foresight and (left := self.foresight.differences()):
            case = {**case, "unforeseen": left}
        self.path.parent.mkdir(exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(case) + "\n")
        shown = {key: value for key, value in case.items() if key not in ("words", "why")}
        print(json.dumps(shown), flush=True)
        if case.get("why"):
            print(f"    {case['why'].strip().splitlines()[-1][:200]}", flush=True)


def judged(main: Callable[[], int]) -> int:
    """The exit code of a long run, ``main``: 1 as well where any case of its journals has what was not foreseen."""
    Journal.foresight = Foresight()
    Journal.used.clear()
    code = main()
    cases = [case for journal in dict.fromkeys(Journal.used) for case in journal.cases()]
    left = [words for case in cases for words in case.get("unforeseen", ())] + Journal.foresight.differences()
    for words in dict.fromkeys(left):
        print(f"FAILED not foreseen: {words}")
    return code or int(bool(left))
