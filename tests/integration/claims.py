# SPDX-License-Identifier: GPL-3.0-or-later
"""What messages of the collection claim of the guest, held against what a client gets of it."""

from __future__ import annotations

import re

from colo_bed import Bed
from lockstep_lab.common import LabError

# Words in a message after which a client has to be answered, from the host that they name.
GOES_ON = (
    r"The guest goes on on (?P<host>[\w-]+)",
    r"the guest goes on\b(?! (?:alone|without))",
    r"The guest runs on (?P<host>[\w-]+), protected again",
    r"web1 is protected\b",
    r"The guest was free to serve",
    r"web1 is failed_over on (?P<host>[\w-]+)",
    r"web1 is an ordinary domain on (?P<host>[\w-]+)",
    r"The standby of web1 on \S+ would have served",
)
# Those that say nothing of the time before: the guest may have booted since.
ANEW = ("web1 is protected", "The standby of web1")
# What a run says where it looked and found the guest running, and nobody hearing it; and what it may say beside that.
UNHEARD = "clients do not reach it"
RUNS = ("web1 is failed_over", "The guest was free to serve")
PATIENCE = 6.0  # seconds


def _found(said: str) -> dict[str, str | None]:
    """The claims in what a playbook said, and the host that each names; of its tasks' names, which say what is to be
    done, none."""
    lines = [line for line in said.splitlines() if not line.startswith(("TASK [", "PLAY ["))]
    matches = [found for claim in GOES_ON for found in re.finditer(claim, "\n".join(lines))]
    return {found[0]: found.groupdict().get("host") for found in matches}


def made(said: str) -> list[str]:
    """The claims in what a playbook said."""
    return sorted(_found(said))


def answers(bed: Bed) -> str | None:
    """The boot of the guest that a client gets an answer from; None where it gets none."""
    try:
        return bed.get(patience=PATIENCE)
    except LabError:
        return None


def untrue(bed: Bed, said: str) -> list[str]:
    """The claims in what a playbook said that are found otherwise at once after it, and how.

    By a client, which is to be answered by the guest that it knew before, and on the host that they name.
    """
    claimed, before = _found(said), bed.boot
    asked = [words for words in claimed if UNHEARD not in said or not words.startswith(RUNS)]
    boot = answers(bed) if asked else None
    found = [f"{words}: nobody answers" for words in asked if boot is None]
    if boot is not None and before not in (None, boot):
        found += [f"{words}: it has booted since" for words in asked if not words.startswith(ANEW)]
    elsewhere = {host for host in set(claimed.values()) if host and not bed.serves_from(host)}
    return sorted(found + [f"{words}: not there" for words, host in claimed.items() if host in elsewhere])


def reason(said: str) -> str:
    """Why a playbook failed, in its own words."""
    found = re.findall(r'(?:fatal|failed): .*?"msg": "((?:[^"\\]|\\.)*)"', said, flags=re.S)
    return (found[0] if found else "")[:400]
