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
  - Which host has the guest, and what a playbook does next. The roles of the collection branch on nothing else.
positional: _input, primary, secondary, playbook
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
  playbook:
    description: The playbook that goes on from there, for C(next); V(status) does nothing.
    type: str
    choices: [deploy, drill, failover, start, status, switchover, unprotect]
    default: status
  judge:
    description:
      - The host of which the result is one of M(lockstep.colo.colo_info) with a verdict over both. It is held against
        what was seen of both, and where it says something else, the pair is not protected.
    type: str
    default: ""
  guest_host:
    description: The host that the guest shall be on; empty where nothing is said of that.
    type: str
    default: ""
  tls_renew:
    description: Whether a pair that is up with less TLS than is wanted is formed anew.
    type: bool
    default: false
  vhost:
    description: What is done about a guest that uses vhost.
    type: str
    choices: [refuse, save_and_restore]
    default: refuse
  tls:
    description: Which channels of a pair have TLS that is formed from now on.
    type: str
    choices: [required, except_proxy, "off"]
    default: required
"""

EXAMPLES = r"""
- name: Say where the guest is
  ansible.builtin.debug:
    msg: "{{ (seen | lockstep.colo.colo_verdict('kvm1', 'kvm2')).holder }}"

- name: Let the standby no longer be promoted, before the guest is started without it
  ansible.builtin.include_tasks: outdate.yml
  when: "'outdate' in (seen | lockstep.colo.colo_verdict('kvm1', 'kvm2', 'start')).next"
"""

RETURN = r"""
_value:
  description:
    - C(holder), the host whose copy is the guest's, or where that is not known the one whose copy the other's would be
      made from, and C(standby), the other.
    - C(next), what the playbook does now, in its order. Where its own work is not done, its own name is among
      it; that of switchover is V(change_sides), and status has none.
    - Of that, V(finish), a failover to the holder that was begun is seen to its end before anything else.
    - V(refuse_to_part), the pair is not taken apart, since it could not be formed again; C(kept_by) says why.
    - V(change_sides), the guest is moved to the standby's host; with V(take_over), it has ended at the holder for that.
    - V(resume), a guest is resumed that stands still since a run was cut off, before all is looked at again.
    - V(expend), the standby does not answer and the guest can be freed from it, so that the standby is ended.
    - V(free), the clients of the guest wait for a standby that has ended, or did not answer, which is taken from it.
    - V(renew), the pair is formed anew, with TLS; with V(refuse_renewal), something keeps it from that.
    - V(take_off_vhost), the guest is saved and restored without vhost; with V(refuse_vhost), something else is wrong.
    - V(outdate), a standby that a start would leave behind is kept from being promoted.
    - V(read_passwords), the guest's domain has passwords, without which it is not known what is left to do.
    - V(deploy), also of V(drill) and V(switchover), both hosts are brought together; it is not there where it was seen
      that nothing is left to do.
    - V(drill), the standby can be tried out, since its pair is V(protected).
    - V(failover), one host answers and the other does not.
    - V(start) and V(unprotect), the domain is started, or made an ordinary one.
    - To be told, C(verdict) as that of M(lockstep.colo.colo_info); C(answered) and C(silent), the hosts of which there
      is an observation, the holder first, and those of which there is none; C(unclear), of these those that answered;
      C(roles) by host, C(guarded), the hosts whose watchers are told to guard it, C(disks), and C(generation) of the
      newest copy. What is not known is V(unknown) or null.
  type: dict
"""

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import Unreadable, from_data, to_data
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import OFF
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import copies, pair
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.course import COURSES, Chosen, Held, course
from ansible_collections.lockstep.colo.plugins.plugin_utils.report import given, observed


def colo_verdict(
    results: dict[str, Any], primary: str, secondary: str, playbook: str = "status", judge: str = "", **chosen: Any
) -> dict[str, Any]:
    """Where the guest is and what ``playbook`` does next, as plain data."""
    if not isinstance(results, dict):
        raise AnsibleFilterError("colo_verdict wants what was seen by the names of the hosts, as a dictionary")
    if playbook not in COURSES:
        raise AnsibleFilterError(f"colo_verdict knows no playbook {playbook!r}, but {', '.join(COURSES)}")
    names, data = (primary, secondary), given.plain(results)
    try:
        one, other = (observed.observation(data.get(name)) for name in names)
        held = tuple(_held(given.mapping(data.get(name))) for name in names)
        if chosen.get("tls") is False:  # as YAML reads an off without quotes
            chosen["tls"] = OFF
        wishes = from_data(Chosen, given.plain(chosen))
    except observed.OtherVersion as error:
        raise AnsibleFilterError(str(error)) from error
    except Unreadable as error:
        raise AnsibleFilterError(f"colo_verdict cannot read an option: {error}") from error
    verdict, newest = pair.pair(one, other), copies.newest(half for half in (one, other) if half)
    if judge:
        verdict = pair.held_against(verdict, judge, _said(given.mapping(data.get(judge))))
    record, seen = newest.record if newest else None, dict(zip(names, (one, other), strict=True))
    unclear = tuple(name for name, half in seen.items() if half is None and _answered(given.mapping(data.get(name))))
    return {
        **to_data(course(playbook, names, (one, other), held, wishes, unclear)),
        "verdict": to_data(verdict),
        "guarded": [name for name, half in seen.items() if _guarded(half)],
        "roles": {name: _role(half) for name, half in seen.items()},
        "disks": [disk.target for disk in record.disks] if record else [],
        "generation": record.generation if record else None,
    }


def _answered(result: Mapping[str, Any]) -> bool:
    """Whether a host of which nothing was seen has said so itself: a module's failure, and no silence, has its name.

    One of whose Python nothing came is silent: its power may have gone meanwhile.
    """
    words = [str(result[key]).strip() for key in ("module_stdout", "module_stderr") if key in result]
    said = bool(result.get("failed")) and not result.get("unreachable") and bool(result.get("host"))
    return said and (not words or any(words))


def _held(result: Mapping[str, Any]) -> Held | None:
    """What a host said that was held against the other; None of one that was not, or said nothing that can be read."""
    if "pending" not in result:
        return None
    try:
        return from_data(Held, {key: result.get(key) for key in ("pending", "encryption", "vhost")})
    except Unreadable:
        return None


def _said(result: Mapping[str, Any]) -> pair.Verdict | None:
    try:
        return from_data(pair.Verdict, result.get("verdict"))
    except (Unreadable, TypeError, AttributeError):
        return None


def _guarded(seen: Observation | None) -> bool:
    return bool(seen and seen.automation and seen.automation.wanted)


def _role(seen: Observation | None) -> str:
    return seen.record.role if seen and seen.record else "unknown"


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Any]:
        return {"colo_verdict": colo_verdict}
