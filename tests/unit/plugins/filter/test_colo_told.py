# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A KVM host that is compromised tells of itself what it likes; ``test_look.py`` has what a sound one tells."""

from __future__ import annotations

import time

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.lockstep.colo.plugins.filter.colo_told import colo_told

BOMB = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{one}: &{one} [{','.join(['*' + chr(ord(one) - 1)] * 10)}]\n" for one in "bcdefghi"
)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (BOMB, "a reference"),
        ("pki: &a [*a]\n", "a reference"),
        ("[" * 100_000, "recursion"),
        ("a: " + "x" * 300_000, "more than 262144 characters"),
        ("- a\n", "no names"),
        ("a: [\n", "expected the node content"),
        ("watch: !!python/object/apply:os.system ['false']\npeers: ['; reboot']\n", "peers is no IP address"),
        ("peers: ['fe80::1%x } accept; ip6 saddr { ::1']\n", "peers is no IP address"),
        ("firewalls: ['ufw; reboot']\n", "firewalls is 'ufw; reboot'"),
        ("packages: [{name: a, status: installed, source: b, version: '{{ 1 }}'}]\n", "packages is '{{ 1 }}'"),
        ("packages: [a]\n", "packages is no package"),
        ("pki: {../x: y}\n", "pki is '../x'"),
        ("watcher: perhaps\n", "watcher is neither true nor false"),
        ("directory: [a]\n", "directory is something else than a short text"),
        ('release: "\\e[2J"\n', "release is something else than a short text"),
        ("release: " + "x" * 5000 + "\n", "release is something else than a short text"),
        ("release: '(a+)+b'\n", "release is '(a+)+b'"),
        ("like: 'debian {{ 1 }}'\n", "like is 'debian {{ 1 }}'"),
        ("service: 'enabled active; reboot'\n", "service is 'enabled active; reboot'"),
        ("watch: {a: b}\n", "watch is no list"),
    ],
)
def test_what_the_script_does_not_say_is_refused_at_once(said: str, words: str) -> None:
    began = time.monotonic()
    with pytest.raises(AnsibleFilterError, match="does not say: ") as refused:
        colo_told(said)
    assert words in str(refused.value)
    assert time.monotonic() - began < 5


def test_what_it_said_nothing_of_is_empty() -> None:
    told = colo_told("pki:\nwritten:\nwatch:\n  - ''\nowned: x\n")
    assert (told["pki"], told["written"], told["watch"], told["watcher"], told["release"]) == ({}, [], [""], False, "")
    assert "owned" not in told
