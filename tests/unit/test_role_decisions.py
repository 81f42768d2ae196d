# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles decide nothing about a pair themselves: they read what the core's verdict says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.course import COURSES
from jinja2 import nodes

ROLES = Path(__file__).resolve().parents[2] / "roles"
FILES = sorted(ROLES.glob("*/tasks/**/*.yml"))
BY_PATTERN = {"match", "search", "regex", "regex_search", "regex_findall", "regex_replace"}
# What an observation and a verdict are made of, and what comes of holding one against what is wanted: to be told to
# people, and by no role to be decided on.
DECIDES = frozenset(
    {
        "active", "advice", "besides", "colo_verdict", "domain", "encryption", "generation", "handed_over", "holder",
        "in_clear", "marker", "monitor", "next", "notes", "observation", "pending", "phase", "preflight", "problems",
        "protected", "record", "role", "roles", "state", "sync", "verdict", "vhost",
    }
)  # fmt: skip
# By which all is decided: whether a word is in it, and whether it is empty.
NEXT = re.compile(r"'(\w+)' (?:not )?in colo_verdict\.next\b|colo_verdict\.next \| default\(\['all'\]\) \| length > 0")
BELOW = frozenset(("record", "handed_over"))  # not even told: the verdict has what there is to say of them
CONDITIONS = ("when", "that", "failed_when", "changed_when", "until")
FILE_NAMES = ("ansible.builtin.include_tasks", "ansible.builtin.import_tasks", "tasks_from")  # that are looked for
CHOOSERS = frozenset(
    {"ternary", "select", "reject", "selectattr", "rejectattr", "sort", "dictsort", "groupby", "max", "min"}
)
NAMING = ("vars", "set_fact", "ansible.builtin.set_fact")
# Expressions that look like a decision and are none, each with its reason.
EXEMPT = {
    "{{ 'lockstep.colo.' ~ colo_told.next if colo_told.next else '' }}": "what is told, where there is something",
    "{{ 'Next: ' ~ (colo_status.first ~ ' ' ~ colo_status.command) | trim if colo_status.next else '' }}": "the "
    "same in a sentence",
    "{{ colo_judged.observation.checkpoints | default(none) }}": "a number that is told, where there is one",
    "{{ colo_hold | default(false) and item == colo_secondary and colo_observed.preflight is defined }}": "whether the "
    "other host was asked for what it meets, not what it said",
    "colo_seen[colo_to].advice | length > 0": "what is told, where there is something",
    "{{ colo_unseen if colo_verdict.unclear else 'Neither host answers' if colo_verdict.silent "
    "else 'Both hosts answer' }}": "why it is refused, where it is",
    "colo_status.protected is true": "what a look comes to, for whoever called it",
    "colo_asked.verdict is defined": "whether a host came to a verdict, not which",
    "colo_judged.verdict is not defined": "the same",
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
        elif isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Const | nodes.Name):
            yield node.arg  # one of several, by what is seen; of hosts it is the one that a variable names


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
    return TEMPLATES.parse(_without_exempt(value))


def _without_exempt(value: str) -> str:
    for expression in EXEMPT:
        value = value.replace(expression, "''")
    return NEXT.sub("true", value)


def told_in(tasks: Any) -> set[str]:
    """Variables made of what is not to be decided on."""
    return {name for name, value in named(tasks) if DECIDES & {*looked_at(parsed(value))}}


@cache
def told_anywhere() -> frozenset[str]:
    """Those that the tasks of any role set for the others, but for those that name a host."""
    tasks = [task for path in FILES for task in _each(yaml.safe_load(path.read_text(encoding="utf-8")))]
    set_for_others = [{key: value} for task in tasks for key, value in task.items() if key != "vars"]
    return frozenset(told_in(set_for_others) - {"colo_from", "colo_to", "colo_lost"})


def _each(found: Any) -> Iterator[dict[str, Any]]:
    """Every task, also of blocks."""
    if isinstance(found, dict):
        yield found
        for key in ("block", "rescue", "always"):
            yield from _each(found.get(key))
    elif isinstance(found, list):
        for one in found:
            yield from _each(one)


def decisions(text: str) -> list[str]:
    """What the tasks of a file decide on other than by asking the verdict, and what they look into below it."""
    tasks = yaml.safe_load(text)
    told = told_in(tasks) | told_anywhere()
    return [value for key, value, hangs_on_it in values(tasks) if _decides(key, value, hangs_on_it, told)]


def _decides(key: str, value: str, hangs_on_it: bool, told: set[str]) -> bool:
    """``told``: variables made of what is not to be decided on."""
    if key == "verified":
        return True
    tree = parsed(value)
    hangs_on_it = hangs_on_it or (key in FILE_NAMES and "{{" in value)
    if hangs_on_it:
        chosen = [tree, parsed("{{ (" + _without_exempt(value) + ") }}")] if "{{" not in value else [tree]
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
        ("when: colo_verdict.alone", True),
        ("when: \"'finish' in colo_verdict.next\"", False),
        ("when: not ansible_check_mode and 'finish' not in colo_verdict.next", False),
        ("msg: \"{{ 1 if 'finish' in colo_verdict.next else 2 }}\"", False),
        ("when: \"'finish' in colo_verdict.next and colo_verdict.generation\"", True),
        ("when: \"'deploy' in colo_status.next\"", True),
        ("when: colo_verdict.next[0] == 'finish'", True),
        ("when: colo_verdict.next | length > 1", True),
        ("when: colo_verdict.silent | length != 1", True),
        ("when: colo_to in colo_verdict.answered", True),
        ("when: colo_verdict.guarded", True),
        ("when: colo_preflight.encryption.in_clear", True),
        ("when: colo_preflight.vhost.used", True),
        ("that: colo_preflight.vhost.besides | length == 0", True),
        ('colo_settled: "{{ colo_preflight.pending | default(none) == [] }}"', True),
        ('loop: "{{ colo_verdict.guarded }}"', False),
        ("failed_when: colo_healthy is not success", False),
        ("verified: true", True),
        ('ansible.builtin.include_tasks: "{{ colo_verdict.phase }}.yml"', True),
        ("state: \"{{ {'stale': 'absent'}[colo_seen.phase] }}\"", True),
        ("state: \"{{ ['absent', 'present'][colo_seen.protected | int] }}\"", True),
        ('peer: "{{ colo_seen[colo_to] }}"', False),
        ("when: colo_told == 'stale'", True),
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
        ("when: colo_healthy.verdict.protected is true", True),
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


def test_a_role_asks_for_no_word_that_the_core_does_not_say_and_for_each_that_it_does() -> None:
    asked = {word for path in FILES for word in NEXT.findall(path.read_text(encoding="utf-8")) if word}
    said = {word for words in COURSES.values() for word in words}
    assert asked - said == set()
    assert said - asked == {"start", "unprotect"}  # there is no start in which nothing is to be started


def test_a_playbook_goes_by_its_own_course() -> None:
    stated = {
        path.stem: play
        for path in FILES
        for play in re.findall(r"colo_playbook: (\w+)", path.read_text(encoding="utf-8"))
    }
    assert {name: {"main": "deploy"}.get(name, name) for name in stated} == stated
    assert {*stated.values(), "failover"} == {*COURSES}


def test_what_is_exempt_is_there() -> None:
    tasks = "".join(" ".join(path.read_text(encoding="utf-8").split()) for path in FILES)
    assert [expression for expression in EXEMPT if expression not in tasks] == []


def test_the_task_that_makes_a_standby_expendable_stands_once() -> None:
    assert sum(path.read_text(encoding="utf-8").count("state: expendable") for path in FILES) == 1


def test_the_directory_is_said_once_for_each_entry_of_a_role() -> None:
    said = {path.name: path.read_text(encoding="utf-8").count('directory: "{{ colo_directory }}"') for path in FILES}
    assert set(said.values()) <= {0, 1}
    assert sum(said.values()) < 10


def made_of(pattern: nodes.Node) -> Iterator[nodes.Node]:
    """What a text is put together from, but for what is written there and what no pattern is in."""
    if isinstance(pattern, nodes.Concat):
        for part in pattern.nodes:
            yield from made_of(part)
    elif not isinstance(pattern, nodes.Const) and not (
        isinstance(pattern, nodes.Filter) and pattern.name == "regex_escape"
    ):
        yield pattern


def patterns(text: str) -> Iterator[nodes.Node]:
    """The patterns of a template that are not only what is written there."""
    for node in TEMPLATES.parse(text).find_all((nodes.Filter, nodes.Test)):
        words = [node.name, *(arg.value if isinstance(arg, nodes.Const) else None for arg in node.args)]
        for word, argument in zip(words, node.args, strict=False):  # what follows the name of one that takes a pattern
            if word in BY_PATTERN:
                yield from made_of(argument)


def test_no_host_chooses_a_pattern() -> None:
    """A host that was taken over would keep the control node at one for ever; or have it find what it likes."""
    for path in FILES:
        for _key, text, condition in values(yaml.safe_load(path.read_text(encoding="utf-8"))):
            template = "{{ (" + text + ") }}" if condition and "{{" not in text else text
            assert list(patterns(template)) == [], f"{path}: {text}"
    assert list(patterns("{{ lines | select('match', release ~ ' ') | list }}"))
    assert not list(patterns("{{ lines | select('match', release | regex_escape ~ ' ') | list }}"))


def test_the_watchers_forget_a_pair_while_both_hosts_have_its_domain() -> None:
    """Each finds by the domain's name what its watcher is told of it."""
    (play,) = yaml.safe_load((ROLES / "pair" / "tasks" / "unprotect.yml").read_text(encoding="utf-8"))
    names = [task["name"] for task in play["block"]]
    assert names.index("Have the watchers forget it") < names.index(
        "Remove the standby and its images from {{ colo_to }}"
    )
