#!/usr/bin/python
# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: colo_fence
short_description: End the guest on a host that is given up and still answers
version_added: 0.1.0
description:
  - Ends this host's half of a pair, so that the other host may serve alone. The QEMU of the domain is ended as a loss
    of power would end it, it is seen that no process of it is left, and it is written down that this copy is not the
    newest.
  - Its result is what M(lockstep.colo.colo_failover) takes as C(peer), for a fence of the ground V(ended).
  - Refuses, and ends nothing, where the other host could not serve, and where this host has a newer copy.
  - Another module that works on the domain on this host is ended, with a warning that names it.
author:
  - the lockstep.colo contributors (@lockstep)
extends_documentation_fragment:
  - lockstep.colo.colo
  - lockstep.colo.colo.attributes
options:
  peer:
    description:
      - The registered result of M(lockstep.colo.colo_info) on the survivor, which is to serve instead. QEMU need not be
        asked there.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Look at the survivor, whose QEMU may be waiting for the lost host
  lockstep.colo.colo_info:
    name: web1
    monitor: false
  delegate_to: kvm2
  register: survivor

- name: End the guest on the host that is given up
  lockstep.colo.colo_fence:
    name: web1
    peer: "{{ survivor }}"
  delegate_to: kvm1
  register: ended

- name: Serve from the survivor
  lockstep.colo.colo_failover:
    name: web1
    fence: {host: kvm1, ground: ended}
    peer: "{{ ended }}"
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
phase:
  description: The phase of the pair as this host alone can tell it.
  returned: success
  type: str
  sample: stale
steps:
  description: What was to be done, in order, in plain words.
  returned: success
  type: list
  elements: str
  sample: ["end the QEMU of this host at once"]
done:
  description: The steps that were carried out, with seconds since the first observation.
  returned: success
  type: list
  elements: dict
  sample: [{"title": "end the QEMU of this host at once", "began": 0.04, "ended": 0.06}]
problems:
  description:
    - What an operator should know, in plain words. On failure, each reason for the refusal with its remedy.
  returned: always
  type: list
  elements: raw
  sample: []
observation:
  description: The domain and the host afterwards; in check mode what would follow.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lockstep.colo.plugins.module_utils.front import modules


def main() -> None:
    module = AnsibleModule(argument_spec={**modules.COMMON, **modules.PEER}, supports_check_mode=True)
    modules.reach(module, "given_up")


if __name__ == "__main__":
    main()
