#!/usr/bin/python
# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: colo_builtin
short_description: Run one of Ansible's own modules, and make no facts of its answer
version_added: 0.1.0
description:
  - Ansible makes variables of the facts in whatever a host answers, also to a module that has none, and these count
    from the very next task on. So a host that is compromised chooses with what program the control node copies its
    next file, or to which host it connects for it.
  - Runs the module as a task of its own name would, and returns what that returns but for its facts. Characters that a
    terminal would obey, but for line breaks and tabs, are U+FFFD in it. The roles of this
    collection run all of Ansible's modules on KVM hosts by it. Use it for tasks of your own on such hosts, as those of
    a fence are.
author:
  - the lockstep.colo contributors (@lockstep)
options:
  module:
    description: The module's full name, which begins with C(ansible.builtin.).
    type: str
    required: true
  options:
    description: Its options. It takes no free-form ones.
    type: dict
    default: {}
attributes:
  check_mode:
    description: As that of the module.
    support: full
  diff_mode:
    description: As that of the module.
    support: full
notes:
  - C(module_defaults) of the module do not apply.
"""

EXAMPLES = r"""
- name: Ask the hosts' kernels for their version
  lockstep.colo.colo_builtin:
    module: ansible.builtin.command
    options:
      argv: [uname, -r]
  register: kernel
  changed_when: false
"""

RETURN = r"""
"*":
  description: What the module returns, but for C(ansible_facts) and C(ansible_stats).
  returned: always
  type: raw
"""
