# SPDX-License-Identifier: GPL-3.0-or-later
"""A Python on a test host in which a step of the collection's modules goes wrong, done from outside of them."""

from __future__ import annotations

from pathlib import Path

from colo_bed import Bed

KILLED, REFUSED, UNANSWERED, BLIND = "killed", "refused", "unanswered", "blind"
SOURCE = Path(__file__).with_name("interposer") / "sitecustomize.py"
PLACE, PYTHON, COUNT = "/usr/local/lib/lockstep-interposer", "/usr/local/bin/python3-interposed", "/var/tmp/steps-left"


def arm(bed: Bed, host: str, steps: int, how: str = KILLED, *, on_vhost: bool = False) -> dict:
    """Let the step after so many go wrong; the variables of hosts that make a playbook use that Python.

    ``on_vhost``: a guest whose NICs may use vhost is said to do so; the lab's hosts have none.
    """
    root = bed.lab.host_root(host)
    words = f"PYTHONPATH={PLACE} LOCKSTEP_STEPS={COUNT} LOCKSTEP_HOW={how}" + (" LOCKSTEP_VHOST=1" if on_vhost else "")
    files = {
        f"{PLACE}/sitecustomize.py": SOURCE.read_text(encoding="utf-8"),
        PYTHON: f'#!/bin/sh\n{words} exec /usr/bin/python3 "$@"\n',
        COUNT: str(steps),
    }
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
    return {host: {"ansible_python_interpreter": PYTHON}}


def left(bed: Bed, host: str) -> int | None:
    """How many steps are left before that one, below 0 once it went wrong; None while it is being written."""
    text = (bed.lab.host_root(host) / COUNT.lstrip("/")).read_text(encoding="ascii")
    return int(text) if text else None
