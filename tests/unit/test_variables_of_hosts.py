# SPDX-License-Identifier: GPL-3.0-or-later
"""No variable that the roles read can come from a managed host without being refused by its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
import pytest
import yaml
from ansible_collections.lockstep.colo.plugins.plugin_utils import answer

ROOT = Path(__file__).resolve().parents[2]
CONDITIONS = ("when", "failed_when", "changed_when", "until", "that")
# Ansible sets them after all facts, as it does what begins with ansible_ and is read here (vars/manager.py).
ANSIBLES = {"ansible_check_mode", "ansible_play_hosts_all"}


class _Any(dict):
    """Filters and tests by any name."""

    def get(self, name: object, default: object = None) -> object:
        return super().get(name, str)


def _texts(data: Any, key: str = "") -> Iterator[str]:
    if isinstance(data, dict):
        for name, value in data.items():
            yield from _texts(value, str(name))
    elif isinstance(data, list):
        for value in data:
            yield from _texts(value, key)
    elif isinstance(data, str):
        yield "{{ " + data + " }}" if key in CONDITIONS and "{{" not in data else data


def read_by_roles() -> set[str]:
    environment = jinja2.Environment(autoescape=True)
    environment.filters, environment.tests = _Any(environment.filters), _Any(environment.tests)
    files = [*ROOT.glob("roles/*/*/**/*"), *ROOT.glob("playbooks/*.yml")]
    texts = [file.read_text(encoding="utf-8") for file in files if file.suffix == ".j2"]
    for file in files:
        if file.suffix == ".yml" and "meta" not in file.parts:
            texts += _texts(list(yaml.safe_load_all(file.read_text(encoding="utf-8"))))
    return set().union(*(jinja2.meta.find_undeclared_variables(environment.parse(text)) for text in texts))


def test_what_the_roles_read_is_refused_as_a_fact() -> None:
    names = {name.removeprefix("ansible_") for name in read_by_roles() - ANSIBLES}
    assert {"inventory_dir", "item", "lookup"} <= names
    assert sorted(names) == answer.planted(names)


def test_what_ansible_gathers_is_not() -> None:
    assert answer.planted(["distribution", "env", "packages", "services", "ssh_host_key_rsa_public"]) == []


@pytest.mark.parametrize("name", ["colo_address", "inventory_dir", "inventory_hostname", "omit", "item", "remote_tmp"])
def test_what_matters_is(name: str) -> None:
    assert answer.planted([name, "distribution"]) == [name]
