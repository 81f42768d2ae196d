# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""No option of Ansible's own is taken from a fact: not of what connects, what becomes another user, or a shell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import ansible
import pytest
from ansible.plugins.loader import init_plugin_loader
from ansible.vars.clean import clean_facts
from ansible_collections.lockstep.colo.plugins.plugin_utils import answer

HOME = Path(ansible.__file__).parent
DOCUMENTED = [HOME / "config" / "base.yml", *sorted((HOME / "plugins").rglob("*.py"))]
# What a KVM host has of facts where somebody gathers them.
GATHERED = ("ssh_host_key_rsa_public", "user_id", "service_mgr", "machine_id", "system", "local", "env", "kernel")


def options() -> Iterator[str]:
    """The variables by which Ansible and its plugins take options, as their documentation names them."""
    for file in DOCUMENTED:
        yield from re.findall(r"name: *['\"]?(ansible_\w+)", file.read_text(encoding="utf-8"))


def test_each_that_ansible_takes_from_a_fact_is_refused() -> None:
    init_plugin_loader([])
    names = set(options())
    assert {"ansible_sftp_executable", "ansible_control_path", "ansible_remote_tmp"} <= names
    taken = clean_facts(dict.fromkeys(names, "x"))
    shortened = {name.removeprefix("ansible_") for name in taken}
    assert shortened - set(answer.planted(shortened)) == set()


@pytest.mark.parametrize("name", GATHERED)
def test_what_is_gathered_of_any_host_is_not(name: str) -> None:
    assert answer.planted([name]) == []
