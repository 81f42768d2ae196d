# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of a play, for hosts: of every playbook; no playbook ends with 0 when it had no pair to look at."""

from __future__ import annotations

DOCUMENTATION = r"""
name: colo_hosts
short_description: The hosts of a play about pairs, or a refusal where no pair is left
version_added: 0.1.0
author:
  - the lockstep.colo contributors
description:
  - For the keyword C(hosts) of a play. Ansible skips a play that has no hosts, and ends with 0; a monitor that calls a
    playbook with a misspelt limit would take that for good news.
  - Returns its input, unless the inventory has no such group, or no pair is within the limit.
positional: _input, groups, group
options:
  _input:
    description: The hosts that the limit leaves, C(ansible_play_hosts_all) in the keyword C(hosts).
    type: list
    elements: str
    required: true
  groups:
    description: The groups of the inventory, C(groups).
    type: dict
    required: true
  group:
    description: The group that the play is for.
    type: str
    default: colo_pairs
"""

EXAMPLES = r"""
- name: Look at each pair
  hosts: "{{ ansible_play_hosts_all | lockstep.colo.colo_hosts(groups) }}"
  tasks: []
"""

RETURN = r"""
_value:
  description: The name of the group.
  type: str
"""

from typing import Any

from ansible import context
from ansible.errors import AnsibleFilterError

PAIRS = "colo_pairs"
EVERYTHING = frozenset(("always", "tagged"))  # tags that leave nothing where they are skipped: each play has always


def colo_hosts(within_limit: list[str], groups: dict[str, list[str]], group: str = PAIRS) -> str:
    """The name of ``group``; AnsibleFilterError where there is no such group, or no pair within the limit."""
    if context.CLIARGS.get("syntax"):  # of a playbook alone: whoever checks it need not have an inventory
        return group
    if context.CLIARGS.get("start_at_task"):  # where it has no such task, Ansible ends with 0
        raise AnsibleFilterError(
            "No pair is looked at: a playbook of this collection cannot begin in its middle. Nothing was done. Leave "
            "out --start-at-task: every run goes on from what it finds."
        )
    if skipped := EVERYTHING.intersection(context.CLIARGS.get("skip_tags") or ()):  # then Ansible ends with 0
        raise AnsibleFilterError(
            f"No pair is looked at: --skip-tags {min(skipped)} leaves nothing of a playbook of this collection. "
            "Nothing was done. Leave it out, and see that ansible.cfg has no such tag in its section tags."
        )
    for name in (PAIRS, group):
        if not groups.get(name):
            raise AnsibleFilterError(
                f"No pair is looked at: the inventory has no hosts in a group {name}. Nothing was done. Name the group "
                "of the pairs colo_pairs and that of their hosts kvm, and see that -i names the right inventory."
            )
    if not set(groups[PAIRS]).intersection(within_limit):
        raise AnsibleFilterError(
            "No pair is looked at: --limit leaves none. Nothing was done. Name pairs with it, not hosts: "
            f"{', '.join(groups[PAIRS])}."
        )
    return group


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Any]:
        return {"colo_hosts": colo_hosts}
