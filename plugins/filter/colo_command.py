# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole command line of the playbook that is next for a pair, for a person to paste."""

from __future__ import annotations

DOCUMENTATION = r"""
name: colo_command
short_description: The command by which the next playbook of a pair is run
version_added: 0.1.0
author:
  - the lockstep.colo contributors
description:
  - As far as what was seen of the pair says it - which host a failover is told as lost is known where one does not
    answer, has no QEMU of the domain, or one that hangs beside a whole standby. Options of the run that asks, such as
    for a vault, are not in it.
positional: _input, pair, results, inventory
options:
  _input:
    description: The playbook without its namespace, C(next) of a verdict; empty where there is nothing to do.
    type: str
    required: true
  pair:
    description: The pair's name in the inventory.
    type: str
    required: true
  results:
    description:
      - By the name of each of the pair's two hosts, the registered result of M(lockstep.colo.colo_info), or an empty
        dictionary for one that did not answer.
    type: dict
    required: true
  inventory:
    description: The sources of the inventory, C(ansible_inventory_sources).
    type: list
    elements: str
    required: true
  fence_tasks:
    description: The tasks by which the pair's failover fences.
    type: str
    default: fence/confirmed.yml
"""

EXAMPLES = r"""
- name: Say what to run next
  ansible.builtin.debug:
    msg: "{{ ('failover' | lockstep.colo.colo_command('web1', seen, ansible_inventory_sources)).line }}"
"""

RETURN = r"""
_value:
  description:
    - C(line), the command for a shell, and C(first), in words, what has to be so before it. Each is empty where there
      is nothing to be said.
  type: dict
"""

import shlex
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import Unreadable
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.command import CONFIRMED, command
from ansible_collections.lockstep.colo.plugins.plugin_utils.report import given, observed


def colo_command(
    playbook: str, pair: str, results: dict[str, Any], inventory: list[str], fence_tasks: str = CONFIRMED
) -> dict[str, str]:
    """The command line, and what has to be so before it."""
    try:
        halves = {str(name): observed.observation(one) for name, one in given.plain(results).items()}
    except observed.OtherVersion as error:
        raise AnsibleFilterError(str(error)) from error
    except Unreadable as error:
        raise AnsibleFilterError(f"colo_command cannot read what was seen: {error}") from error
    found = command(str(playbook), str(pair), halves, map(str, inventory), str(fence_tasks))
    return {"line": shlex.join(found.words), "first": found.first}


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Any]:
        return {"colo_command": colo_command}
