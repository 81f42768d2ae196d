# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host may say is what the modules are documented to say."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import yaml
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import to_data
from ansible_collections.lockstep.colo.plugins.plugin_utils import answer
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import NAMES, recorded

ON_HOSTS = (
    "colo_credentials",
    "colo_disk",
    "colo_drill",
    "colo_failover",
    "colo_fence",
    "colo_info",
    "colo_pair",
    "colo_watcher",
)


@pytest.mark.parametrize("name", ON_HOSTS)
def test_everything_that_a_module_returns_reaches_the_play(name: str) -> None:
    module = importlib.import_module(f"ansible_collections.lockstep.colo.plugins.modules.{name}")
    assert set(yaml.safe_load(module.RETURN)) <= set(answer.KNOWN)


class Summary:
    """As ansible-core 2.19 hands on what a module warned of: no plain data."""

    def __str__(self) -> str:
        return "nothing that the guest sends leaves this host"


def test_a_warning_that_ansible_made_an_object_of_is_believed() -> None:
    summary = Summary()
    assert answer.accepted({"changed": True, "warnings": [summary]})["warnings"] == [summary]


def test_warnings_reach_the_operator() -> None:
    assert answer.accepted({"warnings": ["ended another run"], "ansible_facts": {"colo_fence_command": "x"}}) == {
        "warnings": ["ended another run"]
    }


@pytest.mark.parametrize("number", [10**400, -(1 << 64), float("nan"), float("inf"), -float("inf"), 1e30])
def test_a_number_that_no_host_counts_is_refused(number: float) -> None:
    with pytest.raises(answer.Unbelievable, match="a number that is none, or beyond 64 bits"):
        answer.accepted({"sync": {"vda": {"done": number, "total": 1}}})
    assert answer.accepted({"sync": {"vda": {"done": (1 << 64) - 1, "total": -1, "seconds": 0.5}}})


SCREEN = "\x1b[2J\x1b[H\x1b]0;web1\x07ok: web1 is protected"
SEEN_AS = "\ufffd[2J\ufffd[H\ufffd]0;web1\ufffdok: web1 is protected"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"msg": SCREEN, "failed": True}, {"msg": SEEN_AS, "failed": True}),
        ({"warnings": [SCREEN], "notes": [[SCREEN]]}, {"warnings": [SEEN_AS], "notes": [[SEEN_AS]]}),
        ({"sync": {SCREEN: {"status": SCREEN}}}, {"sync": {SEEN_AS: {"status": SEEN_AS}}}),
        ({"msg": "failed\rok\x7f\x08\x9b2J\x85\x00"}, {"msg": "failed\ufffdok\ufffd\ufffd\ufffd2J\ufffd\ufffd"}),
        ({"module_stdout": "Killed\r\n"}, {"module_stdout": "Killed\n"}),
        (
            {"observation": {"xml": "<a>\n\t\u00e4 &#13;\u00a0</a>"}},
            {"observation": {"xml": "<a>\n\t\u00e4 &#13;\u00a0</a>"}},
        ),
    ],
)
def test_no_text_of_a_host_moves_the_operators_terminal(said: dict[str, Any], kept: dict[str, Any]) -> None:
    assert answer.accepted(said) == kept


def test_nor_does_a_warning_that_ansible_made_an_object_of() -> None:
    messages = pytest.importorskip("ansible.module_utils._internal._messages")
    inner = messages.Event(msg=SCREEN)
    event = messages.Event(msg="a\nb", help_text=SCREEN, events=(inner,))
    (one,) = answer.accepted({"warnings": [messages.WarningSummary(event=event)]})["warnings"]
    assert isinstance(one, messages.WarningSummary)
    assert (one.event.msg, one.event.help_text, one.event.events[0].msg) == ("a\nb", SEEN_AS, SEEN_AS)


@pytest.mark.parametrize("name", NAMES)
def test_what_hosts_have_said_is_kept_as_it_is(name: str) -> None:
    said = {"observation": to_data(recorded(name))}
    assert answer.accepted(said) == said
