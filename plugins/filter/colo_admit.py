# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that another firewall of a KVM host needs, as commands to be typed there."""

from __future__ import annotations

DOCUMENTATION = r"""
name: colo_admit
short_description: The commands by which firewalld or ufw admit a KVM host's peers
version_added: 0.1.0
author:
  - the lockstep.colo contributors
description:
  - The role P(lockstep.colo.host#role) prints them where one of the two manages a host, and leaves its rules alone.
positional: _input, firewalls, addresses, ports
options:
  _input:
    description: The addresses of the peers.
    type: list
    elements: str
    required: true
  firewalls:
    description: Those that manage the host, of V(firewalld) and V(ufw).
    type: list
    elements: str
    required: true
  addresses:
    description: The host's own, at which those peers reach it that have one of the same family.
    type: list
    elements: str
    required: true
  ports:
    description: The port, or the range of ports, as V(21600-23199).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Say what to add to ufw
  ansible.builtin.debug:
    msg: "{{ ['10.0.0.2'] | lockstep.colo.colo_admit(['ufw'], ['10.0.0.1'], '21600-23199') }}"
"""

RETURN = r"""
_value:
  description: Commands, one for each peer, address and firewall.
  type: list
  elements: str
"""

from collections.abc import Iterable
from typing import Any


def colo_admit(peers: Iterable[str], firewalls: Iterable[str], addresses: Iterable[str], ports: str | int) -> list[str]:
    """One command for each peer, each address that it can reach, and each firewall that is known."""
    ways = [_WAYS[name] for name in firewalls if name in _WAYS]
    reached = [(str(peer), str(own)) for peer in peers for own in addresses if (":" in peer) == (":" in own)]
    return [way(peer, own, str(ports)) for peer, own in reached for way in ways]


def _firewalld(peer: str, address: str, ports: str) -> str:
    family = "ipv6" if ":" in peer else "ipv4"
    rule = (
        f'rule family="{family}" source address="{peer}" destination address="{address}" '
        f'port port="{ports}" protocol="tcp" accept'
    )
    return f"firewall-cmd --permanent --add-rich-rule='{rule}' && firewall-cmd --reload"


def _ufw(peer: str, address: str, ports: str) -> str:
    return f"ufw allow proto tcp from {peer} to {address} port {ports.replace('-', ':')}"


_WAYS = {"firewalld": _firewalld, "ufw": _ufw}


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Any]:
        return {"colo_admit": colo_admit}
