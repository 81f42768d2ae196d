# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the filter makes of results that are no observation, and of those of another version."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.lockstep.colo.plugins.filter import colo_verdict as module
from ansible_collections.lockstep.colo.plugins.filter.colo_verdict import colo_verdict
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import to_data
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.course import COURSES, Chosen
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import of_another_domain, recorded

ENCRYPTED = {"in_clear": False, "besides": []}
NO_VHOST = {"used": False, "besides": []}


def result(name: str, **changes: Any) -> dict[str, Any]:
    return {"observation": {**to_data(recorded(name)), **changes}}


def test_what_is_no_observation_is_of_a_host_that_did_not_answer() -> None:
    seen = {"kvm1": result("protected-primary"), "kvm2": {"msg": "no", "unreachable": True}}
    assert colo_verdict(seen, "kvm1", "kvm2")["silent"] == ["kvm2"]


# As Ansible and the guard of answers have them, of a host called kvm2.
WITHOUT_A_WORD = {"failed": True, "host": "kvm2", "rc": 1, "module_stdout": "", "module_stderr": "", "msg": "no JSON"}


@pytest.mark.parametrize(
    ("told", "lost"),
    [
        ({"unreachable": True, "msg": "no route to host"}, True),
        ({"failed": True, "msg": "it was ended after 10 s"}, True),
        (WITHOUT_A_WORD, True),
        ({**WITHOUT_A_WORD, "module_stderr": "/usr/bin/python9: not found"}, False),
        ({"failed": True, "host": "kvm2", "msg": "Python on this host has no libvirt"}, False),
    ],
)
def test_a_host_that_answers_is_not_taken_for_lost(told: dict[str, Any], lost: bool) -> None:
    found = colo_verdict({"kvm1": result("protected-primary"), "kvm2": told}, "kvm1", "kvm2", "failover")
    assert (found["silent"], found["next"]) == (["kvm2"], ["failover"] if lost else [])
    assert found["unclear"] == ([] if lost else ["kvm2"])


@pytest.mark.parametrize(
    ("says", "next_words"),
    [
        ({"pending": [], "encryption": ENCRYPTED, "vhost": NO_VHOST}, []),
        ({"pending": None, "encryption": {**ENCRYPTED, "in_clear": True}, "vhost": NO_VHOST}, ["renew", "deploy"]),
        ({}, ["deploy"]),
        ({"pending": []}, ["deploy"]),
        ({"pending": [], "encryption": {"in_clear": "no"}, "vhost": 7}, ["deploy"]),
    ],
)
def test_what_the_standbys_host_was_held_against_says_what_is_next(says: dict[str, Any], next_words: list[str]) -> None:
    """What cannot be read is no word that nothing is left to do."""
    seen = {"kvm1": result("protected-primary"), "kvm2": {**result("protected-secondary"), **says}}
    found = colo_verdict(seen, "kvm1", "kvm2", "deploy", guest_host="", tls_renew=True, vhost="refuse")
    assert found["next"] == next_words
    assert (found["holder"], found["standby"], found["verdict"]["phase"]) == ("kvm1", "kvm2", "protected")


def test_two_domains_of_one_name_are_never_green() -> None:
    other = {"observation": to_data(of_another_domain(recorded("protected-primary")))}
    found = colo_verdict({"kvm1": other, "kvm2": result("protected-secondary")}, "kvm1", "kvm2")
    assert (found["verdict"]["phase"], found["verdict"]["protected"]) == ("degraded", False)
    assert "another domain of this name" in found["verdict"]["problems"][-1]
    assert "uuid" not in found


def test_what_is_not_known_is_refused_in_words() -> None:
    with pytest.raises(AnsibleFilterError, match="knows no playbook 'fly', but deploy, "):
        colo_verdict({}, "kvm1", "kvm2", "fly")
    with pytest.raises(AnsibleFilterError, match=r"cannot read an option: .*guest.*, not a field of Chosen"):
        colo_verdict({}, "kvm1", "kvm2", "deploy", guest="kvm1")


def test_what_is_documented_is_what_there_is() -> None:
    document = yaml.safe_load(module.DOCUMENTATION)
    options = document["options"]
    assert sorted(options["playbook"]["choices"]) == sorted(COURSES)
    assert {name: options[name]["default"] for name in to_data(Chosen())} == to_data(Chosen())
    told = " ".join(yaml.safe_load(module.RETURN)["_value"]["description"])
    said = colo_verdict({}, "kvm1", "kvm2")
    assert [key for key in said if f"C({key})" not in told] == []
    assert [word for words in COURSES.values() for word in words if f"V({word})" not in told] == []


def test_a_host_of_another_version_is_not_silent() -> None:
    seen = {"kvm1": result("protected-primary"), "kvm2": result("protected-secondary", format=1, more=2)}
    with pytest.raises(AnsibleFilterError, match=r"another format \(00000001, .*different versions of this collection"):
        colo_verdict(seen, "kvm1", "kvm2")
