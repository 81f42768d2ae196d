#!/usr/bin/python
# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: colo_info
short_description: Observe one host's half of a fault-tolerant pair
version_added: 0.1.0
description:
  - Reads libvirt, QEMU's monitor, image headers and the network of this host, and returns what it found as data.
  - It changes nothing and sends QEMU nothing but queries.
author:
  - the lockstep.colo contributors (@lockstep)
extends_documentation_fragment:
  - lockstep.colo.colo
  - lockstep.colo.colo.wanted
  - lockstep.colo.colo.unproven
  - lockstep.colo.colo.uncompared
  - lockstep.colo.colo.tls
  - lockstep.colo.colo.attributes
attributes:
  diff_mode:
    support: none
options:
  checkpoint_delay:
    description: Longest time between two checkpoints that is wanted, in milliseconds, for RV(pending).
    type: int
    default: 2000
  sync_speed:
    description: Limit of the copying of each disk that is wanted, in bytes per second, for RV(pending); V(0) for none.
    type: int
    default: 0
  image_owner:
    description: User that is to own new images. Where it is stated, the host is looked at for it.
    type: str
  image_group:
    description: Group that new images are to have. Where it is stated, the host is looked at for it.
    type: str
  name:
    description: Name of the libvirt domain. Without it, the host alone is observed.
    type: str
    required: false
  peer:
    description:
      - What this module returned on the other host, or V(unreachable). With it, the verdict over the pair is returned,
        and RV(preflight) is about the pair.
      - Where the peer has the guest, this host is looked at as the one that its standby is to be on.
    type: raw
  monitor:
    description: Whether to ask QEMU itself. Without it, nothing waits for a QEMU that hangs.
    type: bool
    default: true
  watch:
    description:
      - Seconds to count checkpoints and to measure the rate of a sync; V(0) for neither.
      - Where a pair in lockstep completes none in them, the first is waited for, for up to twice the longest time
        between two; only then is it known that there are none.
    type: float
    default: 0
  frames:
    description:
      - Whether to watch the NICs of a running guest for a second, for frames that COLO does not compare, where
        O(uncompared) asks for it.
    type: bool
    default: false
  trial:
    description:
      - Whether to ask libvirt and QEMU of this host whether they would start a standby of O(peer)'s guest.
      - A domain like it is started, paused and without the disks that the guest writes to, and ended at once, also in
        check mode; nothing is left of it. Not where RV(preflight) says already what is wrong, or the standby runs.
    type: bool
    default: false
  checkpoint:
    description:
      - Whether to wait for a whole checkpoint of a guest that is in lockstep, for at most five seconds more than the
        longest time between two, or twice that time if it is longer. It is counted in RV(observation), and without
        O(watch).
    type: bool
    default: false
  secrets:
    description:
      - Whether to return the domain's XML with its passwords, which M(lockstep.colo.colo_disk) needs on the standby's
        host. Set C(no_log) on such a task.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Look at the domain web1 for five seconds
  lockstep.colo.colo_info:
    name: web1
    watch: 5
  register: web1

- name: Hold both hosts against what a pair of them needs
  lockstep.colo.colo_info:
    name: web1
    peer: "{{ web1 }}"
    address: 10.0.0.2
    peer_address: 10.0.0.1
  register: other
  delegate_to: kvm2

- name: Refuse with everything that is wrong
  ansible.builtin.assert:
    that: other.preflight | selectattr('state', 'eq', 'wrong') | length == 0
    fail_msg: "{{ other.preflight | selectattr('state', 'eq', 'wrong') | map(attribute='found') | join('. ') }}"

- name: Say how it is
  ansible.builtin.debug:
    msg: "{{ web1.phase }}, {{ web1.observation.checkpoints.count }} checkpoints"
"""

RETURN = r"""
encryption:
  description: Whether the pair is up with less TLS than is wanted of it.
  returned: success
  type: dict
  contains:
    in_clear:
      description: Whether it is so.
      type: bool
    besides:
      description: Why it cannot be formed anew, each with its remedy.
      type: list
      elements: dict
vhost:
  description: Whether the guest has to be taken off vhost.
  returned: success
  type: dict
  contains:
    used:
      description: Whether a NIC of it uses vhost, or the guest was saved to be taken off it.
      type: bool
    besides:
      description: What else is wrong with the pair, each with its remedy.
      type: list
      elements: dict
began:
  description: When the module began, in UTC.
  returned: success
  type: str
  sample: "2026-11-23T02:14:15.123+00:00"
phase:
  description:
    - The phase of the pair as this host alone can tell it, one of V(unprotected), V(listening), V(syncing),
      V(protected), V(stalled), V(degraded), V(failed_over), V(powered_off), V(stale).
  returned: always
  type: str
  sample: protected
problems:
  description: What is wrong with this host's half of the pair, in plain words.
  returned: always
  type: list
  elements: str
  sample: ["kvm1: autostart is on, so that an old copy could start by itself"]
notes:
  description: What is unusual on this host and does no harm.
  returned: always
  type: list
  elements: str
  sample: ["kvm1: libvirt marks the domain as tainted until its next cold start"]
preflight:
  description:
    - What this host, its domain and, with O(peer), the pair must have, one row for each requirement. A requirement that
      several things violate has a row for each of them.
    - O(disks), O(address), O(peer_address) and O(first_port) say what is wanted; otherwise it is what the record says,
      or every disk that the guest can write to.
  returned: always
  type: list
  elements: dict
  contains:
    requirement:
      description: Its name.
      type: str
      sample: memory
    host:
      description: The host that it is about; none where it is about both together.
      type: str
      sample: kvm2
    disk:
      description: The disk that it is about, if it is about one.
      type: str
    needed:
      description: What is needed, in plain words.
      type: str
      sample: 4096 MiB
    found:
      description: What was found; where that is not enough, a whole sentence.
      type: str
      sample: kvm2 has 1200 MiB of free memory, and a standby of a guest of 2048 MiB needs 4096 MiB
    state:
      description:
        - V(ok), V(wrong), V(note) or V(unknown). With one that is V(wrong) no pair is formed; V(note) is something that
          could be better.
      type: str
      sample: wrong
    remedy:
      description: What to do about it; empty where nothing is to be done.
      type: str
      sample: Free memory there, or choose another second host
advice:
  description: The rows of RV(preflight) that say what could be better, each with its remedy, in plain words.
  returned: always
  type: list
  elements: str
  sample: ["the link of 10.0.0.1 on kvm1 runs at 100 Mbit/s. Use one of 1000 Mbit/s or more"]
unfit:
  description: The rows of RV(preflight) that keep this host from being part of any pair, as what and remedy.
  returned: always
  type: list
  elements: dict
  sample: []
sync:
  description: For each disk that is being copied, bytes done and in all, percent, and with O(watch) bytes per second.
  returned: always
  type: dict
  sample: {"colo-vda-sync": {"status": "running", "done": 1048576, "total": 4194304, "percent": 25.0, "rate": 1048576}}
compared:
  description:
    - For each disk whose last copying from this host sent only what differs, C(size) of the disk, and C(compared),
      C(moved) and C(saved) in bytes, C(at) the time (UTC) that they are of.
    - C(compared) counts what the guest wrote meanwhile, too; C(saved) is what the standby had.
    - C(way) is V(compared), or V(written) where it was known what was written since both were the same. Of that C(left)
      is not on the standby yet.
  returned: always
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
verdict:
  description:
    - Phase, holder of the guest, problems and harmless notes of the pair, as C(next) the playbook that leads on from
      here, which is empty where there is nothing to do, and C(protected), whether the loss of either host costs no
      write.
  returned: when O(peer) is given
  type: dict
  sample:
    {"phase": "failed_over", "holder": "kvm1", "problems": ["..."], "notes": [], "next": "deploy", "protected": false}
pending:
  description:
    - What M(lockstep.colo.colo_disk) and M(lockstep.colo.colo_pair) would do on both hosts until the pair is what the
      options say, in order. Empty where nothing is to be changed, and where O(peer) has seen a whole checkpoint.
    - None where one of them would refuse, of a domain with passwords where O(peer) came without them, and without
      O(disks).
  returned: when O(peer) is given
  type: list
  elements: str
  sample: ["kvm1: set the longest time between two checkpoints"]
observation:
  description: Everything that was observed, as the O(peer) of the other modules takes it.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lockstep.colo.plugins.module_utils.front import modules


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **modules.COMMON,
            **modules.WANTED,
            **modules.UNPROVEN,
            **modules.UNCOMPARED,
            **modules.TLS_OPTION,
            "checkpoint_delay": {"type": "int", "default": modules.DEFAULTS.checkpoint_delay},
            "sync_speed": {"type": "int", "default": modules.DEFAULTS.sync_speed},
            "image_owner": {"type": "str"},
            "image_group": {"type": "str"},
            "name": {"type": "str", "aliases": ["domain"]},
            "peer": {"type": "raw"},
            "monitor": {"type": "bool", "default": True},
            "watch": {"type": "float", "default": 0},
            "frames": {"type": "bool", "default": False},
            "trial": {"type": "bool", "default": False},
            "checkpoint": {"type": "bool", "default": False},
            "secrets": {"type": "bool", "default": False, "no_log": False},
        },
        supports_check_mode=True,
    )
    modules.look(module)


if __name__ == "__main__":
    main()
