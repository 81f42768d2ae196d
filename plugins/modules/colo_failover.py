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
  - Refuses without the result of a verified fence, since two guests would answer if the other host were still alive.
  - Refuses on a standby that has not completed a checkpoint since its last sync, whose disks are not a whole copy.
  - Another module that works on the domain on this host, such as a deploy that waits for the lost host, is ended, with
    a warning that names it.
  - It applies to a primary that is V(protected), V(stalled), V(degraded) or V(syncing), and to a standby that is
    V(protected), V(stalled) or V(degraded). On a survivor that is V(failed_over) it finishes what was cut off.
author:
  - the lockstep.colo contributors (@lockstep)
extends_documentation_fragment:
  - lockstep.colo.colo
  - lockstep.colo.colo.handover
  - lockstep.colo.colo.attributes
options:
  fence:
    description: The registered result of the fence of the other host. With O(handover), none is needed.
    type: dict
    suboptions:
      host:
        description: The host that was fenced, by the name that the record has.
        type: str
        required: true
      verified:
        description: Whether it was verified that the host no longer runs the guest.
        type: bool
        required: true
      method:
        description: How, for the report.
        type: str
        default: ""
  i_accept_that_two_guests_may_run:
    description:
      - Promote without a verified fence. When the other host is alive after all, both guests write and answer, and one
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
      verified: true
      method: power switch
"""

RETURN = r"""
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
served_after:
  description: Seconds from the first observation until the guest was free to serve.
  returned: when the guest was let go by this run
  type: float
  sample: 0.055
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
    "verified": {"type": "bool", "required": True},
    "method": {"type": "str", "default": ""},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **modules.COMMON,
            "fence": {"type": "dict", "options": FENCE},
            **modules.HANDOVER,
            "i_accept_that_two_guests_may_run": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    modules.reach(module, "surviving", modules.served_after)


if __name__ == "__main__":
    main()
