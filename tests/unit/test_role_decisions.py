# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles decide nothing about a pair themselves: they read what the core's verdict says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from jinja2 import nodes

ROLES = Path(__file__).resolve().parents[2] / "roles"
FILES = sorted(
    path for name in ("host", "pair", "failover", "report") for path in (ROLES / name / "tasks").rglob("*.yml")
)
# What an observation, or a verdict, is made of: to be told to people, and by no role to be decided on.
DECIDES = frozenset(
    {
        "active", "domain", "generation", "handed_over", "holder", "marker", "monitor", "next", "observation", "phase",
        "preflight", "problems", "record", "role", "roles", "state", "sync",
    }
)  # fmt: skip
BELOW = frozenset(("record", "handed_over"))  # not even told: the verdict has what there is to say of them
CONDITIONS = ("when", "that", "failed_when", "changed_when", "until")
CHOOSERS = frozenset(
    {"ternary", "select", "reject", "selectattr", "rejectattr", "sort", "dictsort", "groupby", "max", "min"}
)
NAMING = ("vars", "set_fact", "ansible.builtin.set_fact")
# Expressions that look like a decision and are none, each with its reason.
EXEMPT = {
    "{{ 'lockstep.colo.' ~ colo_told.next if colo_told.next else '' }}": "what is told, where there is something",
    "{{ 'Next: ' ~ colo_status.next if colo_status.next else '' }}": "the same in a sentence",
    "{{ colo_judged.observation.checkpoints | default(none) }}": "a number that is told, where there is one",
    "{{ colo_hold | default(false) and item == colo_secondary and colo_observed.preflight is defined }}": "whether the "
    "other host was asked for what it meets, not what it said",
}
TEMPLATES = jinja2.Environment()
pytestmark = pytest.mark.filterwarnings("ignore:invalid escape sequence")  # Ansible takes them as they are


def looked_at(tree: nodes.Node) -> Iterator[str]:
    """Every word by which an expression looks into something: attributes, keys, and the names that filters are given.

    Names of variables are among them, so that what was put in one is seen where it is used.
    """
    for node in [tree, *tree.find_all(nodes.Node)]:
        if isinstance(node, nodes.Getattr):
            yield node.attr
        elif isinstance(node, nodes.Name):
            yield node.name
        elif isinstance(node, nodes.Getitem):
            yield from _texts([node.arg])
        elif isinstance(node, nodes.Filter):
            yield from _texts([*node.args, *(word.value for word in node.kwargs)])


def _texts(found: list[nodes.Node]) -> Iterator[str]:
    for node in found:
        if isinstance(node, nodes.Const) and isinstance(node.value, str):
            yield from node.value.split(".")


def choices(tree: nodes.Node) -> Iterator[nodes.Node]:
    """The parts of a template that come out one way or the other."""
    for node in tree.find_all(nodes.Node):
        if isinstance(node, nodes.CondExpr | nodes.If):
            yield node.test
        elif isinstance(node, nodes.Compare | nodes.Test | nodes.BinExpr | nodes.Not):
            if not isinstance(node, nodes.BinExpr) or isinstance(node, nodes.And | nodes.Or):
                yield node
        elif isinstance(node, nodes.Filter) and node.name in CHOOSERS:
            yield node
        elif isinstance(node, nodes.For) and node.test:
            yield node.test


def values(found: Any, key: str = "", hangs_on_it: bool = False) -> Iterator[tuple[str, str, bool]]:
    """(key, text, whether something hangs on it) of every text in the tasks."""
    if isinstance(found, dict):
        for name, value in found.items():
            yield from values(value, str(name), hangs_on_it or name in CONDITIONS)
    elif isinstance(found, list):
        for one in found:
            yield from values(one, key, hangs_on_it)
    elif isinstance(found, str | bool):
        yield key, str(found), hangs_on_it


def named(found: Any) -> Iterator[tuple[str, str]]:
    """Variables that tasks set, and what to."""
    if isinstance(found, dict):
        for key, value in found.items():
            if key in NAMING and isinstance(value, dict):
                yield from ((name, text) for name, text in value.items() if isinstance(text, str))
            yield from named(value)
    elif isinstance(found, list):
        for one in found:
            yield from named(one)


def parsed(value: str) -> nodes.Template:
    """A template without what is exempt in it."""
    for expression in EXEMPT:
        value = value.replace(expression, "")
    return TEMPLATES.parse(value)


def decisions(text: str) -> list[str]:
    """What the tasks of a file decide on other than by asking the verdict, and what they look into below it."""
    tasks = yaml.safe_load(text)
    told = {name for name, value in named(tasks) if DECIDES & {*looked_at(parsed(value))}}
    return [value for key, value, hangs_on_it in values(tasks) if _decides(key, value, hangs_on_it, told)]


def _decides(key: str, value: str, hangs_on_it: bool, told: set[str]) -> bool:
    """``told``: variables made of what is not to be decided on."""
    if key == "verified":
        return True
    tree = parsed(value)
    if hangs_on_it:
        chosen = [tree, TEMPLATES.parse("{{ (" + value + ") }}")] if "{{" not in value else [tree]
    else:
        chosen = list(choices(tree))
    words = {word for part in chosen for word in looked_at(part)}
    return bool(words & (DECIDES | told) or BELOW & {*looked_at(tree)})


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROLES)))
def test_a_role_reads_the_verdict_and_nothing_below_it(path: Path) -> None:
    assert decisions(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("when: colo_seen[colo_from].observation.domain.record.role == 'alone'", True),
        ("when: colo_half.state not in ['shutoff', 'crashed']", True),
        ("colo_newest: \"{{ colo_copies | sort(attribute='generation') }}\"", True),
        ("colo_notes: \"{{ colo_preflight.preflight | selectattr('state', 'eq', 'note') | list }}\"", True),
        ("colo_mute: \"{{ colo_seen | dict2items | rejectattr('value.phase', 'defined') | list }}\"", True),
        ("peer: \"{{ colo_seen[colo_to] if colo_seen[colo_to].observation is defined else 'unreachable' }}\"", True),
        ("when: colo_verdict.alone", False),
        ("verified: true", True),
        ("state: expendable", False),
        ('generation: "{{ colo_verdict.generation }}"', False),
        ("failed_when: colo_healthy is not success or colo_healthy.verdict.phase != 'protected'", True),
        ("when: colo_verdict.holder == inventory_hostname", True),
        ("until: [colo_done, \"colo_verdict.roles[colo_to] == 'secondary'\"]", True),
        ("assert: {that: colo_verdict.generation > 3}", True),
        ("assert: {that: [\"colo_status.phase in ['protected', 'syncing']\"]}", True),
        ("when: colo_seen[colo_from]['observation']['domain'] is none", True),
        ("block: [{name: Look, changed_when: colo_looked.verdict.phase == 'stalled'}]", True),
        ("peer: \"{{ colo_one if colo_told.phase == 'stale' else colo_other }}\"", True),
        ("content: \"{% if colo_told.holder == 'kvm1' %} here {% endif %}\"", True),
        ('fail_msg: "it is {{ colo_status.phase }} on {{ colo_told.holder }}"', False),
        ("when: colo_verdict.resume and colo_healthy.verdict.protected is true", False),
        ("state: \"{{ 'started' if x.domain.active else 'absent' }}\"", True),
        ('msg: "{{ x.record.role }}"', True),
        ("vars: {m: \"{{ x.phase == 'syncing' }}\"}", True),
        ("{vars: {m: \"{{ x.phase }}\"}, when: m == 'syncing'}", True),
        ('{set_fact: {m: "{{ x.phase }}"}, loop: "{{ [1] if m == \'syncing\' else [] }}"}', True),
        ('{vars: {m: "{{ x.uuid }}"}, when: m is defined}', False),
        ("vars: {m: \"{{ (x.phase == 'syncing') | ternary(1, 2) }}\"}", True),
        ("vars: {m: \"{{ x.problems | ternary('bad', 'good') }}\"}", True),
        ("loop: \"{{ xs | selectattr('phase', 'eq', 'syncing') | list }}\"", True),
        ('when: x["state"] in ["off"]', True),
        ("when: x.problems | length", True),
        ("when: x.preflight", True),
        ("when: x.sync and y", True),
        ('when: verdict["next"] == "deploy"', True),
        ("msg: \"{{ x.problems | length }} found. {{ 'Next: ' ~ x.next if x.next else '' }}\"", True),
    ],
)
def test_a_decision_is_found(line: str, found: bool) -> None:
    assert bool(decisions(line)) is found


def test_what_is_exempt_is_there() -> None:
    tasks = "".join(" ".join(path.read_text(encoding="utf-8").split()) for path in FILES)
    assert [expression for expression in EXEMPT if expression not in tasks] == []


def test_the_task_that_makes_a_standby_expendable_stands_once() -> None:
    assert sum(path.read_text(encoding="utf-8").count("state: expendable") for path in FILES) == 1


def test_the_directory_is_said_once_for_each_entry_of_a_role() -> None:
    said = {path.name: path.read_text(encoding="utf-8").count('directory: "{{ colo_directory }}"') for path in FILES}
    assert set(said.values()) <= {0, 1}
    assert sum(said.values()) < 10
