# SPDX-License-Identifier: GPL-3.0-or-later
"""What messages of the collection claim of the guest, held against what a client gets of it."""

from __future__ import annotations

import re

from colo_bed import Bed
from lockstep_lab.common import LabError

# Words in a message after which a client has to be answered.
GOES_ON = (
    r"The guest goes on on \S+",
    r"the guest goes on\b(?! (?:alone|without))",
    r"The guest runs on \S+, protected again",
    r"web1 is protected\b",
    r"The guest was free to serve",
    r"web1 is failed_over on \S+",
    r"web1 is an ordinary domain on \S+",
    r"The standby of web1 on \S+ would have served",
)
# What a run says where it looked and found the guest running, and nobody hearing it.
UNHEARD = "clients do not reach it"
PATIENCE = 6.0  # seconds


def made(said: str) -> list[str]:
    """The claims in what a playbook said; of its tasks' names, which say what is to be done, none."""
    lines = [line for line in said.splitlines() if not line.startswith(("TASK [", "PLAY ["))]
    return sorted({found[0] for claim in GOES_ON for found in re.finditer(claim, "\n".join(lines))})


def answers(bed: Bed) -> str | None:
    """The boot of the guest that a client gets an answer from; None where it gets none."""
    try:
        return bed.get(patience=PATIENCE)
    except LabError:
        return None


def untrue(bed: Bed, said: str) -> list[str]:
    """The claims in what a playbook said that a client finds otherwise at once after it."""
    claimed = [] if UNHEARD in said else made(said)
    return claimed if claimed and answers(bed) is None else []


def reason(said: str) -> str:
    """Why a playbook failed, in its own words."""
    found = re.findall(r'(?:fatal|failed): .*?"msg": "((?:[^"\\]|\\.)*)"', said, flags=re.S)
    return (found[0] if found else "")[:400]
