# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The resource agent: OCF's words, and that nothing it does harms a guest or has a host fenced."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.front import ocf
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.standing import STATES, Standing


class Half:
    """One that notes what is asked of it."""

    found = Standing("promoted", 1000)
    errors: tuple[Exception, ...] = ()  # the first is raised

    def __init__(self, domain: str, _say: object) -> None:
        self.asked = ASKED
        self.asked.append(domain)

    def __getattr__(self, name: str) -> object:
        def act(*words: object) -> Standing:
            self.asked.append((name, *words))
            for error in self.errors:
                raise error
            return self.found

        return act


ASKED: list[object] = []


@pytest.fixture(autouse=True)
def half(monkeypatch: pytest.MonkeyPatch) -> type[Half]:
    ASKED.clear()
    monkeypatch.setattr(ocf.cluster, "Half", Half)
    monkeypatch.setattr(ocf.session, "missing_libraries", list)
    monkeypatch.setattr(Half, "errors", ())
    return Half


def notify(kind: str, operation: str) -> int:
    told = {"OCF_RESKEY_CRM_meta_notify_type": kind, "OCF_RESKEY_CRM_meta_notify_operation": operation}
    return call("notify", **told)


def call(action: str, **told: str) -> int:
    return ocf.main([action], {"OCF_RESKEY_domain": "web1", **told})


@pytest.mark.parametrize(
    ("action", "asked"),
    [
        ("start", [("take_charge",)]),
        ("stop", [("leave",)]),
        ("demote", []),
        ("promote", [("promote", 55.0)]),
        ("notify", []),
        ("validate-all", []),
    ],
)
def test_each_action_asks_one_thing_and_succeeds(action: str, asked: list[object]) -> None:
    assert call(action) == ocf.SUCCESS
    assert ["web1", *asked] == ASKED


def test_a_notification_is_an_occasion_to_look_and_nothing_else() -> None:
    for kind, operation in (("pre", "demote"), ("post", "demote"), ("pre", "stop"), ("post", "promote")):
        assert notify(kind, operation) == ocf.SUCCESS
    assert set(ASKED) == {"web1"}
    ASKED.clear()
    assert notify("post", "stop") == ocf.SUCCESS
    assert ASKED == ["web1", ("notified",)]


@pytest.mark.parametrize(("state", "code"), [("promoted", 8), ("degraded", 191), ("unpromoted", 0), ("stopped", 7)])
def test_monitor_tells_the_state(half: type[Half], monkeypatch: pytest.MonkeyPatch, state: str, code: int) -> None:
    monkeypatch.setattr(half, "found", Standing(state, None, "why"))
    assert call("monitor") == code


def test_every_state_has_a_code() -> None:
    assert set(ocf.CODE_OF) == set(STATES)


@pytest.mark.parametrize("action", ocf.ACTIONS)
def test_a_failure_is_one_line_and_never_has_the_host_fenced(
    half: type[Half], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    monkeypatch.setattr(half, "errors", (ColoError("libvirt does not answer", remedy="See\nwhy"),))
    code = notify("post", "stop") if action == "notify" else call(action)
    told = capsys.readouterr().err
    assert "Traceback" not in told
    if action in ("monitor", "promote", "start"):
        assert code == ocf.GENERIC
        assert told.splitlines() == ["ocf-exit-reason:domain web1: libvirt does not answer. See why"]
    else:
        assert code == ocf.SUCCESS


@pytest.mark.parametrize(("told", "seconds"), [("20000", 15.0), ("1000", 1.0), ("", 55.0), ("soon", 55.0)])
def test_a_promotion_ends_before_pacemaker_ends_it(told: str, seconds: float) -> None:
    call("promote", OCF_RESKEY_CRM_meta_timeout=told)
    assert ASKED[1:] == [("promote", seconds)]


@pytest.mark.parametrize("domain", ["", "../web1"])
def test_a_parameter_that_is_none_is_refused(domain: str) -> None:
    assert ocf.main(["start"], {"OCF_RESKEY_domain": domain}) == ocf.CONFIGURED
    assert ASKED == []


@pytest.mark.parametrize("words", [[], ["reload"], ["start", "stop"]])
def test_another_action_is_none(words: list[str]) -> None:
    assert ocf.main(words, {"OCF_RESKEY_domain": "web1"}) == ocf.UNIMPLEMENTED


def test_it_describes_itself_with_the_names_of_ocf_1_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert ocf.main(["meta-data"], {}) == ocf.SUCCESS
    told = ElementTree.fromstring(capsys.readouterr().out)
    assert told.findtext("version") == "1.1"
    assert {one.get("name") for one in told.findall("actions/action")} == {*ocf.ACTIONS, "meta-data"}
    assert {one.get("role") for one in told.findall("actions/action[@role]")} == {"Promoted", "Unpromoted"}
    assert [(one.get("name"), one.get("required")) for one in told.findall("parameters/parameter")] == [("domain", "1")]
