#!/usr/bin/python
# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: colo_disk
short_description: Describe a domain's replicated disks in its XML, and make the standby's images
version_added: 0.1.0
description:
  - Writes the record of a fault-tolerant pair into a domain's XML, one level for each layer that QEMU will have, and
    around it what libvirt must know - the QEMU driver on replicated virtio NICs, and autostart off.
  - As V(secondary) it also defines the standby, from the primary's live XML, and creates its images.
  - It never touches a running guest, and never writes over an image that is not provably its own and older.
author:
  - the lockstep.colo contributors (@lockstep)
extends_documentation_fragment:
  - lockstep.colo.colo
  - lockstep.colo.colo.peer
  - lockstep.colo.colo.projected
  - lockstep.colo.colo.wanted
  - lockstep.colo.colo.unproven
  - lockstep.colo.colo.images
  - lockstep.colo.colo.uncompared
  - lockstep.colo.colo.tls
  - lockstep.colo.colo.attributes
options:
  role:
    description: Which half of the pair this host has. The guest runs on the primary.
    type: str
    required: true
    choices: [primary, secondary]
  state:
    description:
      - V(present) makes the domain one of a pair.
      - V(absent) gives back the XML from before, save what was changed since by others.
      - V(absent) for a secondary undefines the domain and removes the images that were made for it in O(directory). A
        domain that has been the primary goes as well, if the peer has a newer copy.
    type: str
    default: present
    choices: [present, absent]
  checkpoint_delay:
    description: Longest time between two checkpoints, in milliseconds.
    type: int
    default: 2000
  sync_speed:
    description:
      - Limit with which M(lockstep.colo.colo_pair) will copy each disk, in bytes per second; V(0) for none. One that
        QEMU would not take is refused here, where nothing is changed yet.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Describe the primary's half
  lockstep.colo.colo_disk:
    name: web1
    role: primary
    disks:
      - target: vda
        format: qcow2
    address: 10.0.0.1
    peer_address: 10.0.0.2
    peer: "{{ observed_on_kvm2 }}"
  register: primary

- name: Read the primary again, with the passwords that the standby's XML needs
  lockstep.colo.colo_info:
    name: web1
    secrets: true
  register: primary
  no_log: true

- name: Define the standby, on the other host
  lockstep.colo.colo_disk:
    name: web1
    role: secondary
    peer: "{{ primary }}"
  delegate_to: kvm2
  no_log: true
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
  sample: unprotected
steps:
  description: What was to be done, in order, in plain words.
  returned: success
  type: list
  elements: str
  sample: ["define web1 with the changed XML"]
done:
  description: The steps that were carried out, with seconds since the first observation.
  returned: success
  type: list
  elements: dict
  sample: [{"title": "define web1 with the changed XML", "began": 0.2, "ended": 0.25}]
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
            **modules.ROLE,
            **modules.STATE,
            **modules.PROJECTED,
            **modules.WANTED,
            **modules.UNPROVEN,
            **modules.UNCOMPARED,
            **modules.TLS_OPTION,
            "checkpoint_delay": {"type": "int", "default": modules.DEFAULTS.checkpoint_delay},
            "sync_speed": {"type": "int", "default": modules.DEFAULTS.sync_speed},
            "image_owner": {"type": "str", "default": "libvirt-qemu"},
            "image_group": {"type": "str", "default": "kvm"},
        },
        supports_check_mode=True,
    )
    state = "described" if module.params["state"] == "present" else "plain"
    modules.reach(module, f"{state} {module.params['role']}")


if __name__ == "__main__":
    main()
