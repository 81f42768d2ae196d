# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict over a pair, on the control node, from what modules returned of its hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: colo_verdict
short_description: What was seen of a pair's two hosts comes to
version_added: 0.1.0
author:
  - the lockstep.colo contributors
description:
  - The verdict as M(lockstep.colo.colo_info) returns it, and where a playbook goes on from there. The roles of the
    collection branch on nothing else.
positional: _input, primary, secondary
options:
  _input:
    description:
      - By the name of the host, the registered result of M(lockstep.colo.colo_info) or of another module that returns
        an C(observation). A host of which there is none did not answer.
    type: dict
    required: true
  primary:
    description: The name of one host of the pair.
    type: str
    required: true
  secondary:
    description: The name of the other.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Say where the guest is
  ansible.builtin.debug:
    msg: "{{ (seen | lockstep.colo.colo_verdict('kvm1', 'kvm2')).holder }}"
"""

RETURN = r"""
_value:
  description:
    - C(phase), C(holder), C(problems), C(notes), C(next) and C(protected) as in the verdict of
      M(lockstep.colo.colo_info).
    - C(source), the host whose copy the other's is or would be made from, and C(standby), the other.
    - C(answered) and C(silent), the hosts of which there is an observation, the source first, and those of which
      there is none.
    - C(uuid) of the domain, C(roles) by host, C(guarded), the hosts whose watchers are told to guard it, C(disks), and
      C(generation) of the newest copy; what is not known is V(unknown) or null.
    - C(alone), whether the copy at the source is that of a survivor, which is in no pair since a failover.
    - C(gave_away), whether it has ended at the source for the standby to take over.
    - C(finish), whether a failover to the source was begun and is to be seen to its end before anything else.
    - C(resume), whether the guest at the source stands still since a run was cut off, and can be let go on at once.
    - C(outdates), whether the guest is off at the source and its standby still runs, which a start would leave behind,
      so that it has to be kept from being promoted before.
    - C(deserted), whether the standby has ended and the clients of the guest at the source wait for it.
  type: dict
"""

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import to_data
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import copies, course, pair
from ansible_collections.lockstep.colo.plugins.plugin_utils.report import given, observed


def colo_verdict(results: dict[str, Any], primary: str, secondary: str) -> dict[str, Any]:
    """The verdict over the pair, with its course, as plain data."""
    if not isinstance(results, dict):
        raise AnsibleFilterError("colo_verdict wants what was seen by the names of the hosts, as a dictionary")
    data = given.plain(results)
    try:
        seen = {name: observed.observation(data.get(name)) for name in (primary, secondary)}
    except observed.OtherVersion as error:
        raise AnsibleFilterError(str(error)) from error
    one, other = seen[primary], seen[secondary]
    newest = copies.newest(half for half in (one, other) if half)
    record = newest.record if newest else None
    return {
        **to_data(pair.pair(one, other)),
        **to_data(course.course((primary, secondary), (one, other))),
        "uuid": next((half.domain.uuid for half in seen.values() if half and half.domain), None),
        "guarded": [name for name, half in seen.items() if _guarded(half)],
        "roles": {name: _role(half) for name, half in seen.items()},
        "disks": [disk.target for disk in record.disks] if record else [],
        "generation": record.generation if record else None,
    }


def _guarded(seen: Observation | None) -> bool:
    return bool(seen and seen.automation and seen.automation.wanted)


def _role(seen: Observation | None) -> str:
    return seen.record.role if seen and seen.record else "unknown"


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Any]:
        return {"colo_verdict": colo_verdict}
