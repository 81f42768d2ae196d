# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host that was called over ssh answers, by what ssh says."""

from __future__ import annotations

DOCUMENTATION = r"""
name: colo_answer
short_description: Whether a host that was called over ssh answers
version_added: 0.1.0
author:
  - the lockstep.colo contributors
description:
  - What answers has power, also where it lets nobody in. The role P(lockstep.colo.failover#role) calls a host of which
    a person has said that it has none.
positional: _input
options:
  _input:
    description: The registered result of a task on that host that needs no more than a connection.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Call a host
  ansible.builtin.raw: "true"
  register: called
  ignore_unreachable: true

- name: Say what came of it
  ansible.builtin.debug:
    msg: "{{ called | lockstep.colo.colo_answer }}"
"""

RETURN = r"""
_value:
  description:
    - V(lets_in); V(turns_away), where it answers and gives no connection; or V(silent), where nothing shows that it
      answers.
  type: str
"""

import re
from collections.abc import Mapping
from typing import Any

# What ssh says of a host that answers. A key of this control node that it may not read ("Load key ...: Permission
# denied") says nothing of the host.
TURNED_AWAY = re.compile(
    r"Permission denied(?: \(|,)|Host key verification failed|Connection refused|Too many authentication failures"
)


def colo_answer(result: Mapping[str, Any]) -> str:
    """lets_in, turns_away or silent, of a task's ``result``."""
    if result.get("unreachable"):
        return "turns_away" if TURNED_AWAY.search(str(result.get("msg", ""))) else "silent"
    return "silent" if result.get("failed") else "lets_in"


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Any]:
        return {"colo_answer": colo_answer}
