#!/usr/bin/python
# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: colo_failover
short_description: Make the guest serve from this host alone, after the loss of the other
version_added: 0.1.0
description:
  - On a standby, promotes it. On a primary, lets the guest go on without its standby, for whose loss it stands still.
  - First resets the connections with the lost host, for which QEMU may be waiting. Then writes down, durably, that this
    copy is the newest, lets the guest serve, and only then cleans up, until the domain is an ordinary one.
  - Refuses without the proof that the other host is down, since two guests would answer if it were still alive. Where a
    person confirms it, it looks whether that host answers on the replication network.
  - Refuses on a standby that has not completed a checkpoint since its last sync, whose disks are not a whole copy.
  - Another module that works on the domain on this host, such as a deploy that waits for the lost host, is ended, with
    a warning that names it.
  - It applies to a primary that is V(protected), V(stalled), V(degraded) or V(syncing), and to a standby that is
    V(protected), V(stalled) or V(degraded). On a survivor that is V(failed_over) it finishes what was cut off.
  - On a survivor with nothing left to finish, whose guest stands still, it refuses, and says how the guest is and what
    lets it go on.
author:
  - the lockstep.colo contributors (@lockstep)
extends_documentation_fragment:
  - lockstep.colo.colo
  - lockstep.colo.colo.handover
  - lockstep.colo.colo.attributes
options:
  fence:
    description: Why the other host is known to run no guest. With O(handover), none is needed.
    type: dict
    suboptions:
      host:
        description: The host that was fenced, by the name that the record has.
        type: str
        required: true
      ground:
        description:
          - V(command) - a command took the power, and another verified that it is gone. O(fence.proof) has to show it.
          - V(confirmed) - a person says that the host has no power. It is refused when the host answers all the same.
          - V(ended) - the domain was seen shut off there, and its copy given up. O(peer) has to show it.
          - V(drill) - this host has the guest, and the standby is off the network and may not be promoted. O(peer) has
            to show it.
        type: str
        choices: [command, confirmed, ended, drill]
        default: command
      proof:
        description:
          - For V(command), the registered result of the command that verified the loss of power. In check mode, in
            which it is not run, none is needed.
        type: dict
      confirmed:
        description: For V(confirmed), the host that the person vouches for, by the name that the record has.
        type: str
        default: ""
      method:
        description: How, for the report.
        type: str
        default: ""
  peer:
    description:
      - What was observed on the other host, where that is the proof - the registered result of
        M(lockstep.colo.colo_fence), M(lockstep.colo.colo_info) or M(lockstep.colo.colo_pair) there.
    type: raw
  job:
    description:
      - The C(ansible_job_id) of an earlier task of this module with C(async), to hear how it went instead. Until it has
        ended, the result is not C(finished).
    type: str
  promote_within:
    description:
      - Seconds for which a standby may have heard nothing from its primary. After a longer silence, or one of which the
        length is not known, it is not promoted; a primary that went on alone meanwhile has acknowledged writes that
        this copy lacks.
      - With a negative value, the length of the silence does not count.
      - It does not count either where O(fence.ground=ended), since the primary was seen then.
    type: int
    default: 300
  i_accept_that_two_guests_may_run:
    description:
      - Promote without a proven fence. When the other host is alive after all, both guests write and answer, and one
        of the two copies has to be thrown away.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Serve from this host
  lockstep.colo.colo_failover:
    name: web1
    fence:
      host: kvm1
      proof: "{{ what_the_power_switch_said }}"
      method: power switch

- name: Serve from this host, for which the guest was ended on the other
  lockstep.colo.colo_failover:
    name: web1
    fence: {host: kvm1, ground: ended}
    peer: "{{ what_colo_fence_returned_there }}"
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
  sample: failed_over
heard:
  description: When the standby last heard from its primary, by the clock of its host, and how many seconds before.
  returned: when a standby was looked at, and something tells
  type: dict
  sample: {"at": "2026-11-23 02:13:05 UTC", "seconds": 70.2}
served_after:
  description: Seconds from the first observation until the guest was free to serve.
  returned: when the guest was let go by this run
  type: float
  sample: 0.055
unheard:
  description:
    - Why clients do not reach the guest, in plain words - it stands still, or what it sends does not leave the host.
    - Empty does not say that they do, see RV(unsure).
    - Looked at for 3 seconds at most after the guest told the switches where it is.
    - A bridge that leads out of the host no more is among it where the record has it that the guest's did when the pair
      was formed.
  returned: success
  type: list
  elements: str
  sample: []
unsure:
  description:
    - What of the guest's way to its clients was not watched, or nobody was heard on, in plain words.
    - Empty where what each NIC sends was seen to leave by an uplink of its bridge and something for it to come in
      there, and where this run had nothing to announce.
  returned: success
  type: list
  elements: str
  sample: []
steps:
  description: What was to be done, in order, in plain words.
  returned: success
  type: list
  elements: str
  sample: ["let the guest of this host take over"]
done:
  description: The steps that were carried out, with seconds since the first observation.
  returned: success
  type: list
  elements: dict
  sample: [{"title": "let the guest of this host take over", "began": 0.04, "ended": 0.06}]
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

FENCE = {
    "host": {"type": "str", "required": True},
    "ground": {"type": "str", "default": "command", "choices": ["command", "confirmed", "ended", "drill"]},
    "proof": {"type": "dict"},
    "confirmed": {"type": "str", "default": ""},
    "method": {"type": "str", "default": ""},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **modules.COMMON,
            "fence": {"type": "dict", "options": FENCE},
            **modules.HANDOVER,
            "peer": {"type": "raw"},
            "job": {"type": "str"},
            "promote_within": {"type": "int", "default": modules.PROMOTE_WITHIN},
            "i_accept_that_two_guests_may_run": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    modules.reach(module, "surviving", modules.survived)


if __name__ == "__main__":
    main()
