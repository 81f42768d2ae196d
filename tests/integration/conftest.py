# SPDX-License-Identifier: GPL-3.0-or-later
"""One lab for the whole run, or for each of its workers; each case goes into results/integration.jsonl as it ends.

Of a suite of hosts into integration-SUITE.jsonl. What the effects of a plan's steps did not foresee fails the run.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
for part in ("tests/integration", "tests/lab", ".cache/collections"):
    sys.path.insert(0, str(ROOT / part))

import claims  # noqa: E402
import foresight  # noqa: E402
from colo_bed import UNFORESEEN, Bed, Run  # noqa: E402

SUITE = os.environ.get("LOCKSTEP_LAB_SUITE")
JOURNAL = ROOT / "results" / f"integration{f'-{SUITE}' if SUITE else ''}.jsonl"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: not in make test, which has to end within 30 minutes; in make test-long")


@pytest.fixture(scope="session", autouse=True)
def what_is_told_is_so():
    """Whatever a playbook says of the guest, a client is asked whether it is so; nobody is where it says nothing."""

    def run(bed: Bed, *words: Any, **options: Any) -> Run:
        done = playbook(bed, *words, **options)
        assert claims.untrue(bed, done.said()) == [], done.text[-3000:]
        return done

    playbook = Bed.playbook
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bed, "playbook", run)
        yield


@pytest.fixture(scope="session")
def lab():
    bed = Bed(os.environ.get("LOCKSTEP_LAB_NAME", "colo-integration"))
    bed.up()
    bed.prepare().good()  # a pair is refused on hosts that are not
    yield bed
    if not os.environ.get("LOCKSTEP_LAB_KEEP"):
        bed.down()


@pytest.fixture(scope="module")
def bed(lab: Bed) -> Bed:
    """The lab with a fresh, unprotected guest on kvm1; it writes slowly, so that the machine has time for the rest."""
    lab.fresh_guest(rate=50)
    return lab


@pytest.fixture
def unchanged(request: pytest.FixtureRequest, lab: Bed):
    """Whatever the test does, both hosts are afterwards as they were, and the guest is the same and answers."""
    if {"odd", "answers"} & set(request.fixturenames):  # they see to that themselves, once for all their cases
        yield
        return
    before, boot = lab.fingerprint(), lab.get()
    yield
    assert lab.fingerprint() == before
    assert lab.get() == boot


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = yield
    if report.when == "call" or report.outcome != "passed":
        JOURNAL.parent.mkdir(exist_ok=True)
        line = {
            "at": round(time.time(), 1),
            "case": item.nodeid.rpartition("/")[2],
            "step": report.when,
            "outcome": report.outcome,
            "seconds": round(report.duration, 1),
        }
        if report.failed:
            line["why"] = str(call.excinfo.value)[-1500:] if call.excinfo else ""
        with JOURNAL.open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(line) + "\n")
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where all workers have ended: the test in which it happened is one of many that made such a run."""
    if os.environ.get("PYTEST_XDIST_WORKER") or not UNFORESEEN.exists():
        return
    left = foresight.unexplained(foresight.differences(UNFORESEEN.read_text(encoding="utf-8").splitlines()))
    for words in left:
        session.config.get_terminal_writer().line(f"\nFAILED not foreseen: {words}")
    if left and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
