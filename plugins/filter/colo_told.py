# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a KVM host tells of itself to the role host, as plain data: known keys, of known types and bounded sizes."""

from __future__ import annotations

DOCUMENTATION = r"""
name: colo_told
short_description: What the role host reads of a KVM host, as data
version_added: 0.1.0
author:
  - the lockstep.colo contributors
description:
  - Reads what the role P(lockstep.colo.host#role) has a KVM host say of itself. The host may be compromised, so nothing
    is read but what that script says, without references, within a size.
positional: _input
options:
  _input:
    description: What the script of the role wrote.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Keep what was read of the host
  ansible.builtin.set_fact:
    seen: "{{ looked.stdout | lockstep.colo.colo_told }}"
"""

RETURN = r"""
_value:
  description: Everything that the script tells, by name. What it said nothing of is false or empty.
  type: dict
"""

import re
from collections.abc import Callable
from typing import Any

import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.lockstep.colo.plugins.module_utils.record import address

LARGEST = 256 << 10  # characters; a host with every package of QEMU says some 20,000
LONGEST = 4096  # characters of one text
PACKAGE = ("name", "status", "source", "version")
_PACKAGE_WORD = re.compile(r"[\w.+~:-]*", re.ASCII)
_FILE = re.compile(r"[\w.-]+", re.ASCII)
_ID = re.compile(r"[\w.-]*", re.ASCII)  # of os-release
_IDS = re.compile(r"[\w. -]*", re.ASCII)
_STATES = re.compile("[a-z0-9 -]*")  # of a unit, as systemctl has them, with a digest before them


class Untold(ValueError):
    """What the script of the role does not say."""


class _Plain(yaml.BaseLoader):
    """Texts, lists and mappings alone; a reference may stand for a thousand others, and those for as many."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise Untold("a reference")
        return super().compose_node(parent, index)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST or not value.isprintable():
        raise Untold("something else than a short text")
    return value


def _flag(value: Any) -> bool:
    if value not in ("", "true", "false"):
        raise Untold("neither true nor false")
    return value == "true"


def _list(of: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    def read(value: Any) -> list[Any]:
        if value != "" and not isinstance(value, list):
            raise Untold("no list")
        return [of(one) for one in value]

    return read


def _word(pattern: re.Pattern[str]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not pattern.fullmatch(_text(value)):
            raise Untold(f"{value[:80]!r}")
        return value

    return read


def _address(value: Any) -> str:
    try:
        address.check(_text(value))
    except ValueError:
        raise Untold("no IP address") from None
    return value


def _package(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or set(value) != set(PACKAGE):
        raise Untold("no package")
    return {name: _word(_PACKAGE_WORD)(value[name]) for name in PACKAGE}


def _files(value: Any) -> dict[str, str]:
    if value != "" and not isinstance(value, dict):
        raise Untold("no files")
    return {_word(_FILE)(name): _text(words) for name, words in value.items()} if value else {}


_TOLD: dict[str, Callable[[Any], Any]] = {
    "apparmor": _flag,
    "authority": _word(re.compile("[A-Za-z0-9+/=]*")),
    "directory": _text,
    "distribution": _text,
    "firewalls": _list(_word(re.compile("firewalld|ufw"))),
    "guests_at_shutdown": _text,
    "guests_enabled": _word(_STATES),
    "hook": _text,
    "hook_unread": _flag,
    "hooks": _text,
    "like": _word(_IDS),
    "local": _list(_address),
    "nftables": _flag,
    "own_firewall": _flag,
    "packages": _list(_package),
    "peers": _list(_address),
    "pki": _files,
    "release": _word(_ID),
    "rules": _text,
    "rules_unread": _flag,
    "second_addresses": _list(_address),
    "service": _word(_STATES),
    "socket": _word(_STATES),
    "table": _word(_STATES),
    "watch": _list(_text),
    "watcher": _flag,
    "written": _list(_text),
}


def colo_told(said: str) -> dict[str, Any]:
    """Everything of ``_TOLD``, and nothing else."""
    try:
        return _read(said)
    except (Untold, yaml.YAMLError, RecursionError, ValueError) as error:
        why = " ".join(str(error).split())[:300]
        raise AnsibleFilterError(
            f"this host told of itself what the role's script does not say: {why}. It may be compromised, or its shell "
            "is not what it should be. Nothing of this was believed. Look at it, then run again"
        ) from error


def _read(said: Any) -> dict[str, Any]:
    if not isinstance(said, str) or len(said) > LARGEST:
        raise Untold(f"more than {LARGEST} characters")
    data = yaml.load(said, Loader=_Plain)  # it makes texts, lists and mappings of texts alone
    if not isinstance(data, dict):
        raise Untold("no names")
    told = {}
    for name, read in _TOLD.items():
        try:
            told[name] = read(data.get(name, ""))
        except Untold as error:
            raise Untold(f"{name} is {error}") from None
    return told


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Any]:
        return {"colo_told": colo_told}
