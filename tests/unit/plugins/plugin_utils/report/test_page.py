# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.lockstep.colo.plugins.plugin_utils.report import document, page
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import NAMES
from ansible_collections.lockstep.colo.tests.unit.plugins.plugin_utils.report import cases

CASES = {
    "failover": cases.FAILOVER,
    "deploy": cases.DEPLOY,
    "nothing": {"runbook": "status", "pair": "web1"},
    "status": {"runbook": "status", "pair": "web1", "after": cases.side("syncing-primary", "syncing-secondary")},
    "nobody": {"runbook": "status", "pair": "web1", "after": cases.side(None, None), "tasks": []},
    "numbers": {"runbook": "test", "pair": "web1", "probe": {"acknowledged": 3, "lost": 1}},
}
VOID = ("meta", "br", "hr", "col", "link")


def rendered(options: dict[str, Any]) -> str:
    return page.render(document.build(options, cases.MADE))


def words(html: str) -> str:
    root = ElementTree.fromstring(html)
    root.find("head").remove(root.find("head/style"))
    return " ".join(" ".join(root.itertext()).split())


class Balanced(HTMLParser):
    """Sees the page as a browser does: which elements there are, and that each is closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID, f"a browser would not close <{tag}/>"
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(html: str) -> Balanced:
    found = Balanced()
    found.feed(html)
    found.close()
    assert found.open == []
    return found


@pytest.mark.parametrize("name", CASES)
def test_the_page_is_well_formed_as_html_and_as_xml(name: str) -> None:
    html = rendered(CASES[name])
    assert html.startswith("<!DOCTYPE html>\n")
    parsed(html)
    assert ElementTree.fromstring(html).tag == "html"
    assert "None" not in words(html)


@pytest.mark.parametrize("name", CASES)
def test_the_page_fetches_nothing_and_runs_nothing(name: str) -> None:
    found = parsed(rendered(CASES[name]))
    assert not found.tags & {"script", "link", "img", "iframe", "object", "embed", "form", "a", "base"}
    names = {name for name, _value in found.attributes}
    assert not {name for name in names if name.startswith("on")} | names & {"src", "href", "xlink:href"}
    values = " ".join(value or "" for name, value in found.attributes if name != "xmlns")
    assert "://" not in values
    assert "url(" not in rendered(CASES[name])
    assert "@import" not in rendered(CASES[name])


def test_the_policy_of_the_page_forbids_the_rest() -> None:
    html = rendered(CASES["failover"])
    assert "Content-Security-Policy" in html
    assert "default-src &#x27;none&#x27;" in html
    assert "script-src" not in html


@pytest.mark.parametrize("name", CASES)
def test_the_same_document_gives_the_same_page(name: str) -> None:
    found = document.build(CASES[name], cases.MADE)
    before = copy.deepcopy(found)
    assert page.render(found) == page.render(found)
    assert found == before


def test_a_failover_is_told_from_the_verdict_to_the_details() -> None:
    found = words(rendered(cases.FAILOVER))
    order = [
        "failover report of web1, made 2026-11-23 02:30:00 UTC",
        "web1 serves from kvm2, unprotected, since",
        "free to serve after 1.00 s",
        "What was done",
        "let the guest of this host take over",
        "the guest is free to serve, 1.00 s after the first observation",
        "What was found",
        "kvm1 could not be reached",
        "QEMU was deliberately not asked",
        "kvm2: the guest runs alone, unprotected, since a failover",
        "What the clients saw",
        "acknowledged writes 5556",
        "The pair",
        "fenced, and that was verified",
        "Details",
        "checkpoint completed",
    ]
    places = [found.index(text) for text in order]
    assert places == sorted(places)


def test_the_top_says_the_command_to_run_next_and_only_as_the_pair_is_now() -> None:
    after = cases.side(None, "degraded-secondary")
    said = words(rendered({**cases.DEPLOY, "runbook": "status", "after": after, "inventory": ["hosts.yml"]}))
    fence = "Take the power from kvm1, and see that it has none."
    line = "ansible-playbook -i hosts.yml lockstep.colo.failover --limit web1 -e colo_lost=kvm1"
    assert f"Next: {fence} {line} -e colo_fence_confirmed=kvm1" in said.partition("What was done")[0]
    assert said.count("Next: ") == 1
    assert "Next: " not in words(rendered(cases.DEPLOY)), "it was unprotected, and is protected now"


def test_both_pictures_are_there_where_something_changed() -> None:
    assert rendered(cases.DEPLOY).count("<figure>") == 2
    still = {**cases.DEPLOY, "before": cases.DEPLOY["after"], "tasks": []}
    assert rendered(still).count("<figure>") == 1


def test_a_pair_without_tls_is_called_one() -> None:
    pair = {"runbook": "deploy", "pair": "web1", "after": cases.side("protected-primary", "protected-secondary")}
    assert "replication is neither encrypted nor authenticated" in words(rendered(pair))


def test_what_was_not_given_is_said() -> None:
    found = words(rendered(CASES["nothing"]))
    assert "It is not known how web1 is now." in found
    assert "Nothing was given to this report." in found
    assert "What was done" not in found
    assert "Nothing was done to the pair." in words(rendered(CASES["nobody"]))


def test_a_host_that_failed_says_why() -> None:
    after = {
        "kvm1": {"failed": True, "msg": "Python on this host has no libvirt"},
        "kvm2": {"unreachable": True, "msg": "no route"},
    }
    found = words(rendered({**CASES["nothing"], "after": after}))
    assert "kvm1 could not be observed: Python on this host has no libvirt" in found
    assert "kvm2 could not be reached: no route" in found


def test_a_copy_that_compared_says_what_it_sent() -> None:
    given = cases.result("protected-primary")
    told = {"at": "2026-11-26T15:18:00+00:00", "size": 8 << 30, "compared": 8 << 30, "moved": 1 << 30, "saved": 7 << 30}
    given["observation"]["compared"] = {"vda": told}
    found = words(rendered({**CASES["nothing"], "after": {"kvm1": given, "kvm2": "unreachable"}}))
    assert "last copy of vda" in found
    assert "compared: 1 GiB sent, 7 GiB were on the standby" in found
    told |= {"way": "written", "left": 0}
    found = words(rendered({**CASES["nothing"], "after": {"kvm1": given, "kvm2": "unreachable"}}))
    assert "what was written since both were the same: 1 GiB sent" in found


def test_what_changed_on_a_host_is_marked() -> None:
    strong = [one.text for one in ElementTree.fromstring(rendered(cases.DEPLOY)).iter("strong")]
    assert "protected" in strong
    assert "off" not in strong  # autostart, before and after


@pytest.mark.parametrize("name", NAMES)
def test_every_recording_has_a_page(name: str) -> None:
    html = rendered({**CASES["nothing"], "after": {"kvm1": cases.result(name), "kvm2": "unreachable"}})
    parsed(html)
    assert "None" not in words(html)


FREE = (
    "title", "msg", "method", "runbook", "pair", "machine", "bridge", "monitor_problem", "driver", "file", "source",
    "host", "libvirt", "version", "steps", "problems", "tainted", "last", "alias", "tap",
)  # fmt: skip


def spoiled(value: Any, key: str | None = None) -> Any:
    """The same data, hostile in every text that does not decide what something is. Records refuse such texts."""
    if key in ("record", "live_record"):
        return value
    if isinstance(value, dict):
        return {name: spoiled(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [spoiled(item, key) for item in value]
    return f"{value}{cases.HOSTILE}" if isinstance(value, str) and key in FREE else value


@pytest.mark.parametrize("options", [cases.FAILOVER, cases.DEPLOY])
def test_hostile_texts_stay_texts(options: dict[str, Any]) -> None:
    given = spoiled(options)
    given["after"] = {f"{host}{cases.HOSTILE}": seen for host, seen in given["after"].items()}
    given["before"] = {f"{host}{cases.HOSTILE}": seen for host, seen in given["before"].items()}
    given["probe"] = {cases.HOSTILE: {"count": 3, "outage_ms": 5.0}}
    given["tasks"].append(
        {"title": cases.HOSTILE, "host": cases.HOSTILE, "result": {"failed": True, "msg": cases.HOSTILE}}
    )
    built = document.build(given, cases.MADE)
    assert "observed" in {host["state"] for host in built["after"]["hosts"].values()}
    html = page.render(built)
    assert html.count(cases.HOSTILE) == 0
    assert words(html).count("<script>") > 60
    found = parsed(html)
    assert found.tags == parsed(rendered(options)).tags | {"ul", "li", "code"}
    ElementTree.fromstring(html)
