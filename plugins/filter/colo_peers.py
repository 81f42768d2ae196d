# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a KVM host's firewall has to admit, by the inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: colo_peers
short_description: The addresses of the hosts that a KVM host forms a pair with
version_added: 0.1.0
author:
  - the lockstep.colo contributors
description:
  - From the pairs of the inventory, whatever the limit. A host of which the variable says nothing is left out.
positional: _input, hostvars, host, variable
options:
  _input:
    description: The names of the pairs.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variables of every host of the inventory, C(hostvars).
    type: dict
    required: true
  host:
    description: The name of the KVM host.
    type: str
    required: true
  variable:
    description: The variable of a host that has its address or addresses.
    type: str
    choices: [colo_address, colo_second_addresses]
    default: colo_address
"""

EXAMPLES = r"""
- name: Say whom this host forms pairs with
  ansible.builtin.debug:
    msg: "{{ groups.colo_pairs | lockstep.colo.colo_peers(hostvars, inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description: The addresses, each once.
  type: list
  elements: str
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.lockstep.colo.plugins.plugin_utils import answer


def colo_peers(
    pairs: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]], host: str, variable: str = "colo_address"
) -> list[str]:
    """The other host's addresses of each pair that ``host`` is part of, as the inventory writes them."""
    found = set()
    for pair in pairs:
        ends = [_stated(hostvars, pair).get(end) for end in ("colo_primary", "colo_secondary")]
        others = [end for end in ends if end != host and end in hostvars] if host in ends else []
        found |= {address for other in others for address in _addresses(_stated(hostvars, other), variable)}
    return sorted(found)


def _addresses(variables: Mapping[str, Any], variable: str) -> list[str]:
    given = variables.get(variable) or []
    return [str(given)] if isinstance(given, str) else [str(address) for address in given]


def _stated(hostvars: Mapping[str, Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """As the inventory has it: a host's own word for what is a peer would open another host's firewall."""
    if why := answer.refusal(hostvars, [name]):
        raise AnsibleFilterError(why)
    return hostvars[name]


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Any]:
        return {"colo_peers": colo_peers}
