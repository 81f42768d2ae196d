# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.lockstep.colo.plugins.plugin_utils.report import picture
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import NAMES, recorded
from ansible_collections.lockstep.colo.tests.unit.plugins.plugin_utils.report import cases

SVG = "{http://www.w3.org/2000/svg}"
DRAWN = [picture.wide, picture.narrow]
PROTECTED = cases.side("protected-primary", "protected-secondary")


def seen(after: dict[str, Any], **options: Any) -> dict[str, Any]:
    return cases.built(after=after, **options)["after"]


def texts(drawing: str) -> list[str]:
    """Every line of text in the picture, whole even where what is shown of it was cut off."""
    found = []
    for text in ElementTree.fromstring(drawing).iter(f"{SVG}text"):
        whole = text.find(f"{SVG}title")
        found.append(text.text if whole is None else whole.text)
    return found


def classes(drawing: str, tag: str, of: str) -> list[str]:
    elements = ElementTree.fromstring(drawing).iter(f"{SVG}{tag}")
    return [element.get("class") for element in elements if of in (element.get("class") or "").split()]


def levels(drawing: str, text: str) -> list[float]:
    """How far down in the whole picture lines with this text stand."""

    def walk(element: ElementTree.Element, top: float) -> Iterator[float]:
        moved = re.match(r"translate\(\S+ (\S+)\)", element.get("transform") or "")
        top += float(moved[1]) if moved else 0
        if element.tag == f"{SVG}text" and element.text == text:
            yield top + float(element.get("y"))
        for child in element:
            yield from walk(child, top)

    return list(walk(ElementTree.fromstring(drawing), 0.0))


def tap(role: str) -> str:
    return recorded(f"protected-{role}").domain.nics[0].tap


@pytest.mark.parametrize("draw", DRAWN)
def test_a_protected_pair_is_drawn_with_all_that_was_observed(draw: Any) -> None:
    found = texts(draw(seen(PROTECTED), "the pair"))
    for text in (
        "kvm1", "kvm2", "primary, generation 1", "standby, generation 1", "10.77.0.1 · QEMU 10.0.13 · libvirt 11.3.0",
        "runs here, in lockstep with its standby", "a standby in lockstep", "vda", "vdb", "colo-vda", "quorum",
        "colo-vdb-replication", "colo-vda-active", "vda.hidden.qcow2", "copy-before-write",
        "web1-vdb.qcow2", "hidden disk", "secondary disk", "served by NBD", "net0", "net1", "filter-mirror",
        "colo-compare", "filter-rewriter",
        f"link {tap('primary')} is up, bridge br0", f"link {tap('secondary')} is down, bridge br0",
    ):  # fmt: skip
        assert text in found, text
    assert any(text.startswith("#block") for text in found)
    assert "connected, 2 connections" in found
    assert len([text for text in found if re.match(r"(migration|nbd|mirror|compare) :216\d\d", text)]) == 6


def test_every_channel_of_a_protected_pair_is_green_and_at_the_height_of_what_it_serves() -> None:
    drawing = picture.wide(seen(PROTECTED), "the pair")
    assert classes(drawing, "polyline", "channel") == ["channel good"] * 6
    heights = [
        levels(drawing, text)[0] for text in ("migration :21600", "vda", "nbd :21601", "net0", "compare :21603", "net1")
    ]
    assert heights == sorted(heights)


def arrows(drawing: str) -> list[bool]:
    """For each channel, whether it leads from the left to the right, or from the upper to the lower host."""
    lines = [
        [tuple(map(float, point.split(","))) for point in line.get("points").split()]
        for line in ElementTree.fromstring(drawing).iter(f"{SVG}polyline")
        if (line.get("class") or "").startswith("channel")
    ]
    return [begin < end for begin, end in lines]


@pytest.mark.parametrize("draw", DRAWN)
def test_answers_come_back_from_the_standby_wherever_it_is_drawn(draw: Any) -> None:
    forth = [True, True, True, False, True, False]
    assert arrows(draw(seen(PROTECTED), "the pair")) == forth
    turned = {"kvm2": PROTECTED["kvm2"], "kvm1": PROTECTED["kvm1"]}
    assert arrows(draw(seen(turned), "the pair")) == [not one for one in forth]
    for lost, expected in (("kvm1", forth), ("kvm2", forth)):
        assert arrows(draw(seen({**PROTECTED, lost: "unreachable"}), "the pair")) == expected


@pytest.mark.parametrize("draw", DRAWN)
def test_a_host_that_cannot_be_reached_is_drawn_as_such(draw: Any) -> None:
    drawing = draw(seen(cases.side(None, "protected-secondary")), "the pair")
    found = texts(drawing)
    assert "could not be reached" in found
    assert "nothing is known of it" in found
    assert classes(drawing, "rect", "unreachable")
    assert "connected, says kvm2" in found
    assert set(classes(drawing, "polyline", "channel")) == {"channel warning"}
    assert "a standby in lockstep, for all it knows" in found


@pytest.mark.parametrize("draw", DRAWN)
def test_other_reasons_not_to_know_a_host_look_different(draw: Any) -> None:
    failed = draw(seen({"kvm1": {"failed": True, "msg": "x"}, "kvm2": PROTECTED["kvm2"]}), "the pair")
    assert "could not be observed" in texts(failed)
    assert not classes(failed, "rect", "unreachable")
    alone = draw(seen({"kvm1": PROTECTED["kvm1"]}), "the pair")
    assert "the other host" in texts(alone)
    assert "was not asked" in texts(alone)


def test_a_fence_that_was_verified_is_told_of_the_host_that_was_fenced() -> None:
    side = seen(cases.side(None, "failed-over-secondary"))
    for fence, told in (
        ({"host": "kvm1", "ground": "command", "verified": True}, True),
        ({"host": "kvm1", "ground": "command", "verified": False}, False),
        ({"host": "kvm1", "ground": "confirmed", "verified": None}, False),
        ({"host": "kvm2", "ground": "command", "verified": True}, False),
        (None, False),
    ):
        assert ("fenced, and that was verified" in texts(picture.wide(side, "x", fence))) is told


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (cases.side("unprotected-primary", "unprotected-secondary"), "no channels: no pair yet"),
        (cases.side(None, "failed-over-secondary"), "no channels: it runs alone"),
        (cases.side(None, None), "the channels are not known"),
    ],
)
@pytest.mark.parametrize("draw", DRAWN)
def test_where_there_are_no_channels_it_is_said_why(draw: Any, after: dict[str, Any], words: str) -> None:
    assert words in texts(draw(seen(after), "the pair"))


def test_a_channel_that_is_missing_is_red_only_where_the_pair_needs_it() -> None:
    syncing = picture.wide(seen(cases.side("syncing-primary", "syncing-secondary")), "x")
    assert classes(syncing, "polyline", "channel")[:2] == ["channel none", "channel good"]
    cut = cases.side(None, "released-secondary")
    assert classes(picture.wide(seen(cut), "x"), "polyline", "channel")[:2] == ["channel bad", "channel bad"]


def test_a_sync_shows_how_far_it_is() -> None:
    assert (
        texts(picture.wide(seen(cases.side("syncing-primary", "syncing-secondary")), "x")).count(
            "copying: 25 %, running"
        )
        == 2
    )


def test_a_qemu_that_was_not_asked_has_no_layers_and_says_so() -> None:
    found = texts(picture.wide(seen(cases.side(None, "degraded-unasked-secondary")), "x"))
    assert "runs, says libvirt; QEMU was not asked" in found
    side = cases.side(None, "degraded-secondary")
    observed = side["kvm2"]["observation"]
    observed |= {"monitor": None, "monitor_problem": "QEMU did not answer query-status within 3 s"}
    for disk in observed["domain"]["disks"]:
        disk["node"] = None
    hanging = texts(picture.wide(seen(side), "x"))
    assert hanging.count("its layers are not known") == 2
    off = texts(picture.wide(seen(cases.side("powered-off-primary", "stale-secondary")), "x"))
    assert off.count("no layers: the domain does not run") == 4
    assert "does not run" in off


def test_a_standby_that_may_not_be_promoted_says_so() -> None:
    found = texts(picture.wide(seen(cases.side(None, "incomplete-secondary")), "x"))
    assert any("not to be promoted yet" in text for text in found)


def test_a_standby_whose_link_is_up_is_marked() -> None:
    after = cases.side("protected-primary", "protected-secondary")
    after["kvm2"]["observation"]["domain"]["nics"][0]["tap_up"] = True
    assert classes(picture.wide(seen(after), "x"), "text", "bad-text") == ["bad-text"]


@pytest.mark.parametrize("name", NAMES)
def test_every_recording_can_be_drawn_beside_anything(name: str) -> None:
    side = seen({"a": cases.result(name), "b": cases.result("unprotected-secondary")})
    for draw in DRAWN:
        drawing = draw(side, "x")
        assert "None" not in drawing
        root = ElementTree.fromstring(drawing)
        width, height = map(float, root.get("viewBox").split()[2:])
        assert 300 < width < 1600
        assert 100 < height < 3000
        domain = recorded(name).domain
        for disk in domain.disks if domain else ():
            assert disk.target in texts(drawing)


@pytest.mark.parametrize("draw", DRAWN)
def test_nothing_is_drawn_outside_of_the_picture(draw: Any) -> None:
    drawing = ElementTree.fromstring(draw(seen(PROTECTED), "x"))
    width, height = map(float, drawing.get("viewBox").split()[2:])

    def walk(element: ElementTree.Element, left: float, top: float) -> None:
        moved = re.match(r"translate\((\S+) (\S+)\)$", element.get("transform") or "")
        if moved:
            left, top = left + float(moved[1]), top + float(moved[2])
        if element.tag == f"{SVG}rect":
            x, y, wide, high = (float(element.get(key)) for key in ("x", "y", "width", "height"))
            assert 0 <= left + x <= left + x + wide <= width
            assert 0 <= top + y <= top + y + high <= height
        for child in element:
            walk(child, left, top)

    walk(drawing, 0.0, 0.0)


@pytest.mark.parametrize("draw", DRAWN)
def test_hostile_names_are_texts(draw: Any) -> None:
    after = {cases.HOSTILE: cases.result("protected-primary"), "kvm2": {"unreachable": True, "msg": cases.HOSTILE}}
    observation = after[cases.HOSTILE]["observation"]
    domain, monitor = observation["domain"], observation["monitor"]
    domain["name"] = cases.HOSTILE
    domain["disks"][0].update(target=cases.HOSTILE, source=cases.HOSTILE, format=cases.HOSTILE, node=cases.HOSTILE)
    domain["nics"][0].update(alias=cases.HOSTILE, mac=cases.HOSTILE, bridge=cases.HOSTILE)
    monitor["nodes"][cases.HOSTILE] = {
        "driver": cases.HOSTILE,
        "file": cases.HOSTILE,
        "children": {cases.HOSTILE: "colo-vda"},
    }
    monitor["status"] = monitor["chardevs"]["x"] = cases.HOSTILE
    monitor["running"] = False
    domain["record"]["disks"][0]["path"] = "/x"
    drawing = draw(seen(after, verdict={"phase": cases.HOSTILE, "holder": cases.HOSTILE}), '</svg>"')
    tags = {element.tag.removeprefix(SVG) for element in ElementTree.fromstring(drawing).iter()}
    assert tags == {"svg", "g", "rect", "text", "title", "polyline", "polygon"}
    assert "\u202e" not in drawing
    assert sum("<script>" in (text or "") for text in texts(drawing)) >= 5
