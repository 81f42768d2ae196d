#!/usr/bin/python
# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: colo_pair
short_description: Bring one host's half of a fault-tolerant pair into lockstep, or out of it
version_added: 0.1.0
description:
  - As V(secondary), starts the standby that M(lockstep.colo.colo_disk) defined, and makes it listen for the guest.
  - As V(primary), copies the disks of the running guest to the standby, brings both into lockstep (QEMU COLO), and
    returns when a whole checkpoint has been seen. The guest is never restarted.
  - Works from wherever an earlier run left off. When a step fails, it frees the guest as far as it can, and says
    how the guest is then.
author:
  - the lockstep.colo contributors (@lockstep)
extends_documentation_fragment:
  - lockstep.colo.colo
  - lockstep.colo.colo.peer
  - lockstep.colo.colo.handover
  - lockstep.colo.colo.unproven
  - lockstep.colo.colo.projected
  - lockstep.colo.colo.attributes
attributes:
  action:
    description: Has an action plugin that goes on waiting for a long sync and shows its progress.
    support: full
options:
  role:
    description: Which half of the pair this host has.
    type: str
    required: true
    choices: [primary, secondary]
  state:
    description:
      - V(present) brings this half into lockstep.
      - V(absent) lets the guest on the primary go on alone, without layers under its disks, or ends the standby.
      - V(started) starts the domain of a pair that runs nowhere, if this host provably has its newest copy.
      - V(handed_over) ends the guest on the primary for the standby to take over, which waits for it in
        M(lockstep.colo.colo_failover) with the same O(handover).
      - V(expendable) writes down that the standby may not be promoted any more, before its primary goes on without it;
        it stays in lockstep. One that does not answer is ended. Where the primary could not go on, it is refused.
      - V(without_vhost) takes the virtio NICs of a running guest off vhost, which COLO needs. Its memory is saved, and
        it is restored with QEMU itself carrying its packets. It stands still meanwhile, and neither boots nor loses
        connections. A run that was cut off is finished by the next one, or by C(virsh start), with vhost as before.
      - V(started), V(handed_over) and V(without_vhost) are for the primary, V(expendable) is for the secondary.
    type: str
    default: present
    choices: [present, absent, started, handed_over, expendable, without_vhost]
  unproven:
    description:
      - With O(state=started), you vouch for it that the other host, which cannot be reached, has no newer copy.
      - If it has one, every write since that host took over is lost.
    type: bool
    default: false
  resync:
    description:
      - How disks are copied to a standby that has images already, as after a failover. State the same for both roles.
      - V(changed) compares each disk with the standby's by sums of 64 KiB each and sends only what differs. Both are
        read in whole, each on its own host, each time; nothing else that is known of a copy is believed.
      - After a change of sides, of which both images are known to have been the same and nobody has touched them, it
        sends what was written since, and reads nothing else.
      - V(full) sends everything.
    type: str
    default: full
    choices: [full, changed]
  sync_speed:
    description:
      - Limit of the copying of each disk, in bytes per second; V(0) for none. With O(resync=changed) that of comparing.
      - One that is under way gets it too, but for what was written before it, as O(resync) says.
    type: int
    default: 0
  sync_wait:
    description:
      - Seconds that one run on the host waits for the copying. It goes on without the run; RV(finished) says whether it
        was over.
    type: float
    default: 30
  sync_timeout:
    description: Seconds after which the task gives up waiting for the copying; V(0) for never. It goes on all the same.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Have the standby listen
  lockstep.colo.colo_pair:
    name: web1
    role: secondary
    peer: "{{ primary }}"
  register: standby
  delegate_to: kvm2

- name: Bring the running guest into lockstep
  lockstep.colo.colo_pair:
    name: web1
    role: primary
    peer: "{{ standby }}"
    sync_speed: 104857600
  delegate_to: kvm1
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
  sample: protected
finished:
  description: Whether the goal was reached; V(false) while disks are still being copied.
  returned: success
  type: bool
  sample: true
sync:
  description: For each disk that is being copied, bytes done and in all, and percent.
  returned: success
  type: dict
  sample: {"colo-vda-sync": {"status": "running", "done": 1048576, "total": 4194304, "percent": 25.0}}
compared:
  description:
    - For each disk whose last copying from this host sent only what differs, C(size) of the disk, and C(compared),
      C(moved) and C(saved) in bytes, C(at) the time (UTC) that they are of.
    - C(compared) counts what the guest wrote meanwhile, too; C(saved) is what the standby had.
    - C(way) is V(compared), or V(written) where it was known what was written since both were the same. Of that C(left)
      is not on the standby yet.
  returned: success
  type: dict
  sample:
    vda:
      at: "2026-11-26T15:18:00+00:00"
      size: 268435456
      compared: 269877248
      moved: 3080192
      saved: 266797056
      way: compared
      left:
steps:
  description: What was to be done, in order, in plain words.
  returned: success
  type: list
  elements: str
  sample: ["disk vda: copy everything to the standby"]
done:
  description: The steps that were carried out, with seconds since the first observation.
  returned: success
  type: list
  elements: dict
  sample: [{"title": "stop the guest", "began": 0.512, "ended": 0.514}]
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
            "state": {
                "type": "str",
                "default": "present",
                "choices": ["present", "absent", "started", "handed_over", "expendable", "without_vhost"],
            },
            **modules.HANDOVER,
            **modules.UNPROVEN,
            "unproven": {"type": "bool", "default": False},
            **modules.PROJECTED,
            **modules.RESYNC,
            "sync_speed": {"type": "int", "default": 0},
            "sync_wait": {"type": "float", "default": modules.DEFAULTS.sync_wait},
            "sync_timeout": {"type": "int", "default": 0},
        },
        required_if=[("state", "handed_over", ("handover",))],
        supports_check_mode=True,
    )
    state = module.params["state"]
    modules.reach(module, f"present {module.params['role']}" if state == "present" else state)


if __name__ == "__main__":
    main()
