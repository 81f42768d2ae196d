#!/usr/bin/python
# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: colo_watcher
short_description: Tell a host's watcher whether to guard a pair
version_added: 0.1.0
description:
  - Writes, or removes, the file by which this host's watcher is told to guard a domain. Without it the watcher looks
    on, and does nothing. The guest is not touched.
author:
  - the lockstep.colo contributors (@lockstep)
options:
  name:
    description: Name of the libvirt domain on this host, whose UUID the file has as its name.
    type: str
    required: true
    aliases: [domain]
  host:
    description: Name of this host in the inventory, for messages.
    type: str
  uri:
    description: URI of this host's libvirt.
    type: str
    default: qemu:///system
  guarded:
    description: Whether the watcher guards it.
    type: bool
    required: true
  also:
    description: Further addresses at which the other host's watcher is reached.
    type: list
    elements: str
    default: []
requirements:
  - python3-libvirt and python3-lxml on the managed host
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: Shows the file before and after.
    support: full
"""

EXAMPLES = r"""
- name: Have the watcher guard a pair
  lockstep.colo.colo_watcher:
    name: web1
    host: kvm1
    guarded: true
  delegate_to: kvm1
"""

RETURN = r"""
began:
  description: When the module began, in UTC.
  returned: success
  type: str
  sample: "2026-11-23T02:14:15.123+00:00"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lockstep.colo.plugins.module_utils.front import modules


def main() -> None:
    options = {
        "name": modules.COMMON["name"],
        "host": modules.COMMON["host"],
        "uri": modules.COMMON["uri"],
        "guarded": {"type": "bool", "required": True},
        "also": {"type": "list", "elements": "str", "default": []},
    }
    modules.guard(AnsibleModule(argument_spec=options, supports_check_mode=True))


if __name__ == "__main__":
    main()
