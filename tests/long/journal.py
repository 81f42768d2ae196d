# SPDX-License-Identifier: GPL-3.0-or-later
"""What the long runs share: the venv they run in, what they import, and a journal of cases that survives a cut-off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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


class Journal:
    """One JSON line for each case, in results/. Remove the file to begin anew."""

    def __init__(self, name: str) -> None:
        self.path = ROOT / "results" / name

    def cases(self) -> list[dict]:
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    def add(self, case: dict) -> None:
        self.path.parent.mkdir(exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(case) + "\n")
        shown = {key: value for key, value in case.items() if key not in ("words", "why")}
        print(json.dumps(shown), flush=True)
        if case.get("why"):
            print(f"    {case['why'].strip().splitlines()[-1][:200]}", flush=True)
