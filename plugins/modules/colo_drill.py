#!/usr/bin/python
# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: colo_drill
short_description: Try out a standby, promoted where nobody hears it
version_added: 0.1.0
description:
  - Takes the taps of a standby into a network namespace of their own, promotes it there as after the loss of its
    primary, merges its writes into its disks, asks its guest with ARP whether it answers, ends it, and checks its
    images.
  - The guest goes on alone on the other host meanwhile, which has to be so before. Afterwards the standby is an old
    copy, which M(lockstep.colo.colo_pair) renews with a full sync. The playbook C(lockstep.colo.drill) does all of it.
  - It proves that memory and disks as of the last checkpoint make a running guest on this host. It does not prove the
    fence, nor that clients and switches find the guest here.
author:
  - the lockstep.colo contributors (@lockstep)
extends_documentation_fragment:
  - lockstep.colo.colo
  - lockstep.colo.colo.peer
  - lockstep.colo.colo.projected
  - lockstep.colo.colo.attributes
attributes:
  idempotent:
    support: none
    details: A second run finds no standby in lockstep, and refuses.
options:
  addresses:
    description:
      - IPv4 addresses of the guest. Each is asked for with ARP on every NIC, and has to answer.
      - Without any, a NIC that sends something of its own accord is all that is looked for, and RV(drill.proven) says
        whether one did.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait for answers.
    type: float
    default: 10
"""

EXAMPLES = r"""
- name: Try the standby out
  lockstep.colo.colo_drill:
    name: web1
    addresses: [192.0.2.80]
    peer: "{{ primary_alone }}"
  delegate_to: kvm2
"""

RETURN = r"""
unforeseen:
  description: What came out otherwise than check mode would have said, in words. Please report what stands here.
  returned: success
  type: list
  elements: str
  sample: []
title:
  description: What this run was for, in few words.
  returned: always
  type: str
  sample: Start the domain
host:
  description: The host, as O(host) names it.
  returned: always
  type: str
  sample: kvm1
began:
  description: When the module began, in UTC; the times in RV(done) count from its first observation, right after.
  returned: success
  type: str
  sample: "2026-11-23T02:14:15.123+00:00"
drill:
  description: What the drill came to.
  returned: when it was carried out
  type: dict
  contains:
    proven:
      description: Whether every address answered, or without addresses some NIC was heard, and no image was damaged.
      type: bool
      sample: true
    heard:
      description: The MAC addresses that sent something.
      type: list
      elements: str
      sample: ["52:54:00:4d:00:32"]
    answered:
      description: The addresses that answered.
      type: list
      elements: str
      sample: ["10.77.0.50"]
    silent:
      description: The addresses that did not.
      type: list
      elements: str
      sample: []
    damaged:
      description: What is wrong with images, by their path.
      type: dict
      sample: {}
served_after:
  description: Seconds from the first observation until the guest ran by itself.
  returned: when it was carried out
  type: float
  sample: 0.21
steps:
  description: What was to be done, in order, in plain words.
  returned: success
  type: list
  elements: str
  sample: ["ask the guest where nobody else hears it"]
done:
  description: The steps that were carried out, with seconds since the first observation.
  returned: success
  type: list
  elements: dict
  sample: [{"title": "end the standby", "began": 0.84, "ended": 0.86}]
problems:
  description:
    - What is wrong with this host's half, in plain words. On failure, each reason for the refusal with its remedy.
  returned: always
  type: list
  elements: raw
  sample: []
notes:
  description: What is unusual on this host and does no harm.
  returned: success
  type: list
  elements: str
  sample: []
observation:
  description: The domain and the host afterwards; in check mode what would follow.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lockstep.colo.plugins.module_utils.front import modules


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **modules.COMMON,
            **modules.PEER,
            **modules.PROJECTED,
            "addresses": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "float", "default": modules.Questions.timeout},
        },
        supports_check_mode=True,
    )
    modules.reach(module, "drilled", modules.found_by_drill)


if __name__ == "__main__":
    main()
