#!/usr/bin/python
# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: colo_variables
short_description: Refuse variables that a managed host has chosen, and pairs that are not of two hosts
version_added: 0.1.0
description:
  - Ansible makes variables of the facts that a module returns, and these are in force above the inventory and above the
    defaults of roles. A host that is compromised so chooses what the control node runs and writes, in this run or, by a
    fact cache, in the next.
  - Fails where a fact has the name of a variable of this collection (C(colo_)), or of Ansible itself. Facts of the host
    that the task is for are looked at, of the two hosts of a pair, and of those in O(also).
  - Fails as well where C(colo_primary) and C(colo_secondary) of the pair, or of a pair of the KVM host that the task is
    for, are not the names of two hosts of the inventory.
  - It runs on the control node alone. Each role of the collection begins with it, and calls it again before what a
    variable chooses on the control node. Call it before tasks of your own that do.
author:
  - the lockstep.colo contributors (@lockstep)
options:
  also:
    description: Further hosts of the inventory whose variables are read.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Changes nothing, and does the same.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: See that no host has chosen a variable
  lockstep.colo.colo_variables:

- name: Take the power as the inventory says
  ansible.builtin.command:
    argv: "{{ colo_fence_command }}"
  delegate_to: localhost
"""

RETURN = r"""
msg:
  description: Which facts of which host are refused, or which variable of which pair.
  returned: failure
  type: str
"""
