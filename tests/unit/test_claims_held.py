# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the integration tests find untrue of what a playbook said, with a client that gets what it is told here."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

INTEGRATION = Path(__file__).parents[1] / "integration"
if not INTEGRATION.exists():
    pytest.skip("ansible-test's copy has unit tests alone", allow_module_level=True)
sys.path[:0] = [str(INTEGRATION), str(INTEGRATION.parent / "lab")]
SPEC = importlib.util.spec_from_file_location("claims", INTEGRATION / "claims.py")
claims = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(claims)
del sys.path[:2]

FAILED_OVER = "web1 is failed_over on kvm2.  The guest was free to serve 50 ms after the first observation."


@dataclass
class Bed:
    """Where the guest serves from, which boot answers a client, and which one did before."""

    on: str | None = "kvm2"
    now: str | None = "boot-1"
    boot: str | None = "boot-1"

    def get(self, *, patience: float) -> str:
        if self.now is None:
            raise claims.LabError("nobody answers")
        self.boot = self.now
        return self.now

    def serves_from(self, host: str) -> bool:
        return host == self.on


@pytest.mark.parametrize(
    ("said", "bed", "untrue"),
    [
        (FAILED_OVER, Bed(), 0),
        (FAILED_OVER, Bed(boot=None), 0),
        (FAILED_OVER, Bed(now=None), 2),
        (FAILED_OVER, Bed(now="boot-2"), 2),
        (FAILED_OVER, Bed(on="kvm1"), 1),
        (f"{FAILED_OVER} web1 is failed_over on kvm2 and runs, and clients do not reach it", Bed(now=None), 0),
        (f"{FAILED_OVER} web1 is failed_over on kvm2 and runs, and clients do not reach it", Bed(now=None, on=None), 1),
        ("clients do not reach it. The guest goes on on kvm2: run again", Bed(now=None), 1),
        ("The guest goes on on kvm1: run again", Bed(), 1),
        ("web1 is protected", Bed(now="boot-2"), 0),
        ("web1 is protected", Bed(now=None), 1),
        ("The standby of web1 on kvm1 would have served", Bed(now="boot-2"), 0),
        ("web1 would be failed_over on kvm2", Bed(now=None, on=None), 0),
        ("TASK [Say that the guest goes on]", Bed(now=None, on=None), 0),
    ],
)
def test_a_claim_is_held_against_who_answers_and_where_it_is(said: str, bed: Bed, untrue: int) -> None:
    found = claims.untrue(bed, said)
    assert len(found) == untrue, found
