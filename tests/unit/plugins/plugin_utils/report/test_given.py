# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.plugin_utils.report import given

SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"password={SECRET}",
        f"the passwd: {SECRET}, and more",
        f"<graphics passwd='{SECRET}' type='vnc'/>",
        f'{{"password": "{SECRET}"}}',
        f"ipmitool --password {SECRET} chassis power off",
        f"https://admin:{SECRET}@pdu.example/off",
        f"iscsi://admin%{SECRET}@store/lun",
        f"api_key={SECRET}",
        f"Community: {SECRET}",
    ],
)
def test_what_looks_like_a_password_is_hidden(text: str) -> None:
    shown = given.harmless({text: [text]})
    assert SECRET not in json.dumps(shown)
    assert "(hidden)" in json.dumps(shown)


@pytest.mark.parametrize(
    "text",
    [
        "the domain has passwords, and peer came without them",
        "nbd://10.77.0.2:21601/colo-vda-export",
        "/var/lib/libvirt/images/web1-vda.qcow2",
        "w\N{LATIN SMALL LETTER O WITH DIAERESIS}rter, \N{CYRILLIC CAPITAL LETTER A} and \N{PILE OF POO}",
    ],
)
def test_everything_else_is_left_as_it_is(text: str) -> None:
    assert given.harmless(text) == text


@pytest.mark.parametrize(
    "letter", ["\x00", "\x1b", "\x7f", "\x85", "\u200b", "\u202e", "\u2066", "\ud800", "\ufeff", "\uffff"]
)
def test_what_deceives_or_cannot_be_shown_is_replaced(letter: str) -> None:
    assert given.harmless(f"a{letter}b") == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize(
    ("method", "shown"),
    [
        ("confirmed by a person", "confirmed by a person"),
        ("our switch", "our switch"),
        (f"ipmitool -H bmc -P {SECRET} chassis power off", "ipmitool (its options are not shown)"),
        (f"/usr/sbin/fence /dev/x {SECRET}", "/usr/sbin/fence (its options are not shown)"),
        (f"curl https://admin:{SECRET}@pdu/off", "curl (its options are not shown)"),
        (f"fence key={SECRET}", "fence (its options are not shown)"),
        ("", ""),
    ],
)
def test_of_a_command_that_fenced_only_the_name_is_shown(method: str, shown: str) -> None:
    assert given.method(method) == shown


class Vault:
    def __str__(self) -> str:
        return SECRET


def test_plain_data_is_what_json_knows() -> None:
    class Text(str):
        pass

    when = datetime(2026, 11, 23, 2, 14, tzinfo=timezone.utc)  # noqa: UP017
    found = given.plain({1: (Text("a"), True, None, 1.5, float("nan"), when, Vault())})
    assert found == {"1": ["a", True, None, 1.5, None, "2026-11-23T02:14:00+00:00", "(Vault)"]}
    assert found["1"][0].__class__ is str
    json.dumps(found)


def test_problems_become_sentences() -> None:
    problem = {"what": "it is too big", "remedy": "Make it smaller", "disk": "vda"}
    assert given.texts([problem, "a note"]) == ["disk vda: it is too big. Make it smaller", "a note"]
    assert given.texts(None) == []


@pytest.mark.parametrize("value", [True, "1", None, 1e18, -(10**18), float("nan"), float("inf")])
def test_what_nobody_could_have_counted_is_no_number(value: Any) -> None:
    assert given.number(value) is None


def test_a_text_has_an_end_and_no_secret_that_begins_before_it() -> None:
    shown = given.harmless({"k": f"password='{'s' * 5000}' {'x' * 5000}", "l": "y" * 5000, "m": "z" * given.LONGEST})
    assert "sss" not in shown["k"]
    assert shown["l"] == "y" * given.LONGEST + "…"
    assert shown["m"] == "z" * given.LONGEST
