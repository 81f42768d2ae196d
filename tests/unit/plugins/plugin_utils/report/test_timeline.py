# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.lockstep.colo.plugins.plugin_utils.report import document, tasks, timeline
from ansible_collections.lockstep.colo.tests.unit.plugins.plugin_utils.report import cases


def drawn(result: dict[str, Any], **task: Any) -> ElementTree.Element:
    read = tasks.read([{"title": "Do it", "host": "kvm1", **task, "result": result}])[0]
    return ElementTree.fromstring(timeline.task(read, shown=True))


def rows(element: ElementTree.Element) -> list[list[str]]:
    """The table of steps as text: title, at, took."""
    found = [["".join(cell.itertext()) for cell in row] for row in element.iter("tr")]
    return [[row[0], *row[2:]] if len(row) > 1 else row for row in found[1:]]


def styles(element: ElementTree.Element, class_: str) -> list[str]:
    """Where the bars or marks of a class are; the colours in the key are nowhere."""
    found = [one for one in element.iter("i") if class_ in one.get("class").split()]
    return [one.get("style") for one in found if one.get("style")]


def test_steps_are_bars_within_their_run() -> None:
    found = drawn({"done": [cases.step("a", 1.0, 2.0), cases.step("b", 2.0, 4.0)], "seconds": 4.0})
    assert styles(found, "step") == ["left:25.00%;width:25.00%", "left:50.00%;width:50.00%"]
    assert rows(found) == [["observing", "0 ms", "1.00 s"], ["a", "1.00 s", "1.00 s"], ["b", "2.00 s", "2.00 s"]]


def test_time_without_a_step_is_shown_where_it_counts() -> None:
    steps = [cases.step("a", 0.01, 2.0), cases.step("b", 2.5, 3.0)]
    assert [row[0] for row in rows(drawn({"done": steps, "seconds": 4.0}))] == ["a", "observing", "b", "observing"]


def test_the_moment_in_which_the_guest_is_free_stands_among_the_steps() -> None:
    found = drawn({"done": [cases.step("a", 0.0, 1.0), cases.step("b", 1.0, 2.0)], "seconds": 2.0, "served_after": 1.0})
    assert [row[0] for row in rows(found)] == [
        "a",
        "the guest is free to serve, 1.00 s after the first observation",
        "b",
    ]
    assert set(styles(found, "mark")) == {"left:50.00%"}


def test_each_run_of_a_long_sync_has_its_own_table() -> None:
    done = [cases.step("copy", 1.0, 31.0), cases.step("copy", 0.5, 10.0), cases.step("go", 10.0, 11.0)]
    found = drawn({"done": done, "seconds": 11.0, "served_after": 11.0})
    assert [one.text for one in found.iter("p") if (one.text or "").startswith("Run")] == ["Run 1 of 2", "Run 2 of 2"]
    assert len(list(found.iter("table"))) == 2
    assert len([row for row in rows(found) if "free to serve" in row[0]]) == 1


def test_a_failure_says_why_and_each_reason_once() -> None:
    problems = [{"what": "it is full", "remedy": "Empty it"}, {"what": "it is old", "remedy": "Renew it"}]
    many = drawn({"failed": True, "msg": "all of it", "problems": problems})
    assert ["".join(item.itertext()) for item in many.iter("li")] == ["it is full. Empty it", "it is old. Renew it"]
    single = drawn({"failed": True, "msg": "it is full. Empty it", "problems": problems[:1]})
    assert "".join(single.itertext()).count("it is full") == 1


@pytest.mark.parametrize(
    ("result", "left"),
    [
        ({"steps": ["a", "b"], "done": []}, ["a", "b"]),
        ({"steps": ["a", "b"], "done": [cases.step("a", 0, 1)], "finished": False}, ["b"]),
        ({"steps": ["a", "b"], "done": [cases.step("a", 0, 1), cases.step("b", 1, 2)]}, []),
    ],
)
def test_what_was_not_carried_out_is_listed(result: dict[str, Any], left: list[str]) -> None:
    assert [item.text for item in drawn(result).iter("li")] == left


def test_the_host_is_named_once() -> None:
    assert "".join(drawn({}, title="Serve from kvm1").find("h3").itertext()).strip() == "Serve from kvm1"
    assert "".join(drawn({}, title="Serve").find("h3").itertext()).strip() == "Serve (kvm1)"


def test_nothing_known_is_nothing_said() -> None:
    found = "".join(drawn({}, title=None, host=None).itertext())
    assert "not known" in found
    assert "None" not in found


# All tasks on the clock


def overview(**options: Any) -> ElementTree.Element | None:
    found = timeline.overview(cases.built(**options))
    return None if found is None else ElementTree.fromstring(found)


def test_tasks_and_outages_are_held_against_one_clock() -> None:
    found = ElementTree.fromstring(timeline.overview(document.build(cases.FAILOVER, cases.MADE)))
    names = [one.text for one in found.iter("div") if one.get("class") == "lane-name"]
    assert names == ["clients: no acknowledged writes", "clients: no pings", "Serve from kvm2"]
    (task,), (core,) = styles(found, "task")[:1], styles(found, "core")[:1]
    begin, width = map(float, re.findall(r"[\d.]+", task))
    inner, part = map(float, re.findall(r"[\d.]+", core))
    assert begin < inner
    assert begin + width == pytest.approx(inner + part, abs=0.02)
    words = "".join(found.itertext())
    assert "the loss, at 02:14:00 UTC" in words
    assert "the guest is free to serve, at 02:14:15 UTC" in words
    assert words.count("16.5 s") == 1


def test_a_task_whose_end_is_not_known_is_as_long_as_its_module_worked() -> None:
    found = overview(tasks=[{**cases.task(), "ended": None}])
    assert not styles(found, "task")
    assert "2.00 s" in "".join(found.itertext())
    assert "about at 02:14:01 UTC" in "".join(found.itertext())


@pytest.mark.parametrize("task", [{"started": None, "ended": None}, {"ended": None, "result": {"failed": True}}])
def test_without_times_there_is_no_clock(task: dict[str, Any]) -> None:
    assert overview(tasks=[{**cases.task(), **task}]) is None
    assert overview(tasks=[]) is None


def test_times_that_make_no_sense_stay_within_the_picture() -> None:
    backwards = {**cases.task(seconds=900.0), "started": cases.ENDED, "ended": cases.STARTED}
    found = overview(tasks=[backwards, cases.task()])
    for style in styles(found, "bar"):
        begin, width = map(float, re.findall(r"-?[\d.]+", style))
        assert 0 <= begin <= begin + width <= 100.01
