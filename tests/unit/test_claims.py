# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection tells of a guest is made after looking: every text that claims something of it is listed here,
and so is what its pages promise.

A new one has to be added, with what it was seen by; tests/integration/claims.py holds them against a client.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import graph
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import guest, pair
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import NAMES, recorded

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("plugins/module_utils", "plugins/action", "plugins/plugin_utils", "plugins/filter")
CLAIM = re.compile(
    r"guests?\b[^.:]{0,40}\b(?:goes on|go on|runs\b|serves?\b|is free|unharmed|answers)|is protected|serves\{|"
    r"would have served|\{runs\}",
    re.IGNORECASE,
)

# What an observation showed; its place in the source, and how.
SEEN = {
    "Whether the guest on {} goes on is not known": "verdict/guest.py: no monitor answers",
    "The guest goes on on {}": "verdict/guest.py: query-status runs, and no disk is parked",
    "the guest runs on {} as well": "verdict/pair.py: both hosts were seen to run it",
    "the guest runs alone, unprotected": "verdict/remarks.py: the record's role, of a domain that is active",
    "another guest with this address answers": "verdict/reach.py: the bridge hears its address from another port",
    "the guest serves with frames that": "requirements/network.py: the taps were watched",
    "COLO never begins in QEMU {}, in which the guest runs": "requirements/domain.py: query-version of that QEMU",
    "{pair} is protected: it serves{from_}": "report/summary.py: the verdict over both hosts, looked at once more",
    "{pair} serves{from_}, unprotected": "report/summary.py: the verdict, unless clients were seen not to reach it",
    "{pair} {runs}unprotected": "report/summary.py: the domain was seen to run",
    "{pair} {runs}unprotected, and clients do not": "report/summary.py: the domain was seen to run",
    "the guest was free to serve after {} ms": "run/cluster.py: served_after, of a step that was carried out",
    "the guest is free to serve, ": "report/timeline.py: served_after, of a step that was carried out",
}
# What is to be done, or what would be so if something else were: nothing is claimed to be so.
NOT_CLAIMED = (
    "wait until the guest runs by itself",
    "let the guest go on",
    "Let the guest go on alone",  # what a run is for
    "has the guest go on from the other host once",  # what the resource agent is for
    "that the guest runs by itself",
    "as soon as the guest runs here",
    "If the guest runs on {}",
    "If the guest runs on a host of the pair",
    "Protect it from the host that the guest runs on",
    "persistent, and its guest runs",
    "A guest that was started before an upgrade runs in the old QEMU",
    "none that the guest serves with",
    "it sees which has the guest, and goes on from there",
    "it sees which host has the guest, and goes on from there",
    "and it serves over IPv4 alone while it is protected",
    "guests go on",  # a restart of libvirtd, in a remedy
    "failover serves from there",
    "answers and checkpoints wait",
)


def texts() -> Iterator[tuple[str, str]]:
    """Where a text stands, and the text, with {} for what is put in; no docstrings."""
    for place in PLACES:
        for path in sorted((ROOT / place).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
            inner |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                if isinstance(node, ast.JoinedStr):
                    words = "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in node.values)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
                    words = node.value
                else:
                    continue
                yield f"{path.relative_to(ROOT)}:{node.lineno}", words


# What README.md and the pages of the modules say of a guest, always or after something: where that is held.
PROMISED = {
    "the guest goes on, but each of its answers waits for the next checkpoint": "long/fault_cells.py",
    "After a failover the guest runs alone, unprotected, as an ordinary domain": "integration/survivor.py",
    "the guest goes on unprotected until that is mended": "integration/test_ways_out.py: a full standby",
    "then the guests of its pairs go on from the other": "integration/test_cluster.py",
    "the guest moves there as it runs, and is ordinary": "integration/test_life.py",
    "copies the disks while the guest runs": "integration/test_life.py: a probe meanwhile",
    "0 the guest serves": "integration/claims.py: of each failover",
    "the guest goes on over there, is not restarted, and is protected again": "integration/test_life.py",
    "Tries the standby out while the guest goes on": "integration/test_life.py",
    "0 the standby would have served": "run/result.py: drilled",
    "So the guest goes on alone where it is, with a new generation": "integration/test_life.py",
    "Its images are checked, and the pair is protected again": "integration/test_life.py",
    "the guest's kernel answers": "run/result.py: drilled, of ARP",
    "goes once the guest is free of its standby": "integration/test_uncompared.py",
    "a guest that was promoted runs alone": "integration/survivor.py",
    "The guest goes on alone on the other host meanwhile, which has to be so before": "verdict/fence.py: drill",
}
# What is described, asked or wanted there: nothing is promised.
NOT_PROMISED = (
    "standby guest web1, answers",
    "in which the guest cannot write), the primary goes on, and is lost",
    "answers wait for the comparison, and the standby uses twice",
    "what it trims (`fstrim`) while it is protected",
    "What is protected against whom",
    "came back by itself before step 3, and its guest runs on",
    "once the guest is protected",
    "is a process on the guest's host",
    "A guest that answers from two hosts destroys data",
    "until the guest is free to serve",
    "`the guest serves with frames that COLO cannot hold back`",
    "a guest that was started before an upgrade runs in the old one",
    "`deploy` where the guest runs on",
    "whose guest stands still, it refuses, and says how the guest is and what lets it go on",
    "the guest, before it is protected",
    "the QEMU that the guest runs in",
    "refuses a guest that was seen to serve with them",
    "The guest runs on the primary.",  # an option's words
    "asks its guest with ARP whether it answers",
    "Make the guest serve from this host alone",
    "lets the guest go on without its standby",
    "lets the guest serve, and only then cleans up",
    "until the guest was free to serve",
    "End the guest on a host that is given up and still answers",
    "lets the guest on the primary go on alone",
    "For a failed-over guest, when it was free to serve",
)
PAGES = ("plugins/modules", "plugins/doc_fragments")
SENTENCE = re.compile(r"(?<=[.:;|])\s+|\n\n+|\n(?=[-|0-9#])")


def promises() -> Iterator[tuple[str, str]]:
    """Each sentence, or cell of a table, of README.md and of the modules' pages that says something of a guest."""
    pages = {"README.md": (ROOT / "README.md").read_text(encoding="utf-8")}
    for place in PAGES:
        for path in sorted((ROOT / place).glob("*.py")):
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            written = [one.value for one in nodes if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            pages[f"{place}/{path.name}"] = "\n\n".join(written)
    for page, text in pages.items():
        for sentence in SENTENCE.split(text):
            words = " ".join(sentence.split())
            if CLAIM.search(words):
                yield page, words


HELD = ROOT / "tests" / "integration" / "claims.py"
# How a role's message reads once it is said, as far as a claim goes.
SAID = (
    (r"\{\{ 'would be' if .*? else 'is' \}\}", "is"),
    (r"\{\{ (?:colo_domain|inventory_hostname) \}\}", "web1"),
    (r"\{\{ colo_failed_over\.phase \}\}", "failed_over"),
    (r"\{\{ \w+\.phase \}\}", "protected"),
    (r"\{\{ '([^']*)' %? ?.*?\}\}", r"\1"),
    (r"\{\{.*?\}\}", "kvm1"),
)


def messages(found: Any) -> Iterator[str]:
    """What the tasks of a role say."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield from [value] if key in ("msg", "fail_msg", "success_msg") and isinstance(value, str) else ()
            yield from messages(value)
    elif isinstance(found, list):
        for one in found:
            yield from messages(one)


def said_by_roles() -> Iterator[tuple[str, str]]:
    """The file, and each message of its tasks as it is said."""
    for path in sorted((ROOT / "roles").glob("*/tasks/*.yml")):
        for words in messages(yaml.safe_load(path.read_text(encoding="utf-8"))):
            for template, reads in SAID:
                words = re.sub(template, reads, words, flags=re.DOTALL)
            yield f"{path.relative_to(ROOT)}", words


@pytest.mark.skipif(not HELD.exists(), reason="ansible-test's copy has unit tests alone")
def test_every_claim_that_a_role_makes_is_held_against_a_client() -> None:
    tree = ast.parse(HELD.read_text(encoding="utf-8"))
    (held,) = [node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "GOES_ON"]
    claimed = [(where, words) for where, words in said_by_roles() if CLAIM.search(words)]
    assert len(claimed) > 4, "the messages are not found any more"
    patterns = ast.literal_eval(held)
    other = [one for one in claimed if not any(re.search(known, one[1]) for known in (*patterns, *NOT_CLAIMED))]
    assert other == []


def test_every_text_that_claims_something_of_the_guest_is_known_and_seen() -> None:
    found = {where: words for where, words in texts() if CLAIM.search(words)}
    assert len(found) > len(SEEN) / 2, "the texts are not found any more"
    unknown = {
        where: words for where, words in found.items() if not any(known in words for known in (*SEEN, *NOT_CLAIMED))
    }
    assert unknown == {}


def test_every_claim_that_is_listed_is_still_made() -> None:
    said = " ".join(words for _where, words in texts())
    assert [claim for claim in SEEN if claim not in said] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_guest_is_said_to_go_on_only_where_its_qemu_was_seen_to_run_on_its_own_disks(name: str) -> None:
    seen = recorded(name)
    goes_on = bool(
        seen.monitor
        and seen.monitor.running
        and not any(disk.node == graph.park(disk.target) for disk in seen.domain.disks)
    )
    assert guest.in_words(seen).startswith("The guest goes on on") is goes_on


@pytest.mark.parametrize("name", NAMES)
def test_a_pair_is_said_to_be_protected_only_where_both_hosts_were_seen(name: str) -> None:
    assert pair.pair(recorded(name), None).phase != "protected"


def test_every_promise_of_a_page_is_known_and_held_somewhere() -> None:
    found = list(promises())
    assert {page for page, _words in found} >= {"README.md", "plugins/modules/colo_failover.py"}
    known = (*PROMISED, *NOT_PROMISED)
    assert [one for one in found if not any(words in one[1] for words in known)] == []


def test_every_promise_that_is_listed_is_still_made() -> None:
    made = "\n".join(words for _page, words in promises())
    assert [words for words in (*PROMISED, *NOT_PROMISED) if words not in made] == []


@pytest.mark.skipif(not HELD.exists(), reason="ansible-test's copy has unit tests alone")
def test_where_a_promise_is_held_there_is_something() -> None:
    for where in PROMISED.values():
        file = where.partition(":")[0]
        places = (ROOT / "tests" / file, ROOT / "plugins" / "module_utils" / file)
        assert any(place.exists() for place in places), where
