#!/usr/bin/python
# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The work is done by the action plugin of the same name, on the control node.

from __future__ import annotations

DOCUMENTATION = r"""
module: colo_report
short_description: Write what a runbook found and did as an HTML page and as JSON
version_added: 0.1.0
description:
  - Writes two files on the control node. The page is one file without a script, to read, print, and attach to a
    post-mortem. It has a verdict in one sentence, the command to run next, the numbers, what was done with times, what
    was found, what the clients saw, and a picture of the pair drawn from what was observed. The JSON has the same as
    data.
  - No managed host is asked for anything. What was not given, or could not be observed, is said to be not known.
  - Neither file has the domain's XML. Of a result only the keys are taken that the report shows, and what looks like a
    password in a text is hidden. Of a command in O(fence.method) the options are left out.
author:
  - the lockstep.colo contributors (@lockstep)
requirements:
  - Python 3.10 or newer on the control node
attributes:
  action:
    description: Is an action plugin, and runs on the control node.
    support: full
  check_mode:
    description: Can run in check mode and says what it would do, without doing it.
    support: full
  diff_mode:
    description: Returns what it changes.
    support: none
  idempotent:
    description: When run twice in a row, the second run changes nothing.
    support: none
    details: Each report has the time at which it was made.
  connection:
    description: Uses the connection of the host it runs for.
    support: none
  platform:
    description: Platforms the control node may have.
    support: full
    platforms: posix
options:
  path:
    description:
      - A directory that exists, or ends with a slash, gets C(PAIR-RUNBOOK-TIME.html) and C(.json). Any other path is
        what both names begin with.
      - Directories are made where they are missing. A relative path begins where C(ansible-playbook) was called.
    type: path
    required: true
  mode:
    description:
      - The permissions of both files, in octal digits. They name hosts, addresses, paths and devices, so by default
        only their owner may read them.
    type: str
    default: "0600"
  runbook:
    description: What was run, such as V(deploy), V(failover) or V(status).
    type: str
    required: true
  pair:
    description: Name of the pair. Without it, the name in the inventory of the host that the task is for.
    type: str
  before:
    description:
      - What was found, by the name of the host - the registered result of M(lockstep.colo.colo_info), or of another
        module that returns an C(observation), or V(unreachable). A result that says of itself that it failed or that
        its host was unreachable is understood as well.
    type: dict
  after:
    description: The same at the end. From it come the picture and, without O(verdict), the verdict.
    type: dict
  verdict:
    description: The verdict at the end, with C(phase), C(holder) and C(problems), as M(lockstep.colo.colo_info) has it.
    type: dict
  tasks:
    description:
      - The tasks that acted, in order. An empty list says that there were none.
      - Without it, those modules of this collection whose results were registered in the play.
    type: list
    elements: dict
    suboptions:
      title:
        description: What it was to do.
        type: str
      host:
        description: On which host.
        type: str
      started:
        description: When the task began, by the clock of the control node, in ISO 8601.
        type: str
      ended:
        description: When it ended. With it, the report knows how much of the time was Ansible's.
        type: str
      result:
        description: Its registered result.
        type: dict
  fence:
    description: The fence of the lost host, as M(lockstep.colo.colo_failover) takes it.
    type: dict
    suboptions:
      host:
        description: The host that was fenced.
        type: str
      ground:
        description: Why it is believed.
        type: str
      proof:
        description: Of a command, the registered result of the one that verified the loss of power.
        type: dict
      confirmed:
        description: Of a person, the host that the person vouches for.
        type: str
      method:
        description: How. Of a command, only its name is shown.
        type: str
  probe:
    description:
      - What a client of the guest saw - a dictionary, or the path of a JSON file on the control node.
      - Shown are, each where it is given, C(outage_ms), C(acknowledged), C(checked), C(lost) (a number or a list; or
        C(lost_count)), C(boots), C(event), and for each kind of answer, such as C(acks), C(pings) and C(http),
        C(count), C(failed), C(outage_ms), C(event_to_first_ms), C(longest_gap_ms), C(rtt_median_ms), C(rtt_max_ms),
        C(last_before) and C(first_after).
      - Times are seconds since 1970 or ISO 8601; with a C(clock) other than V(wall) they are left out.
    type: raw
  inventory:
    description:
      - The sources of the inventory, with which the page says what to run next. Without it, those of this run, which
        are C(ansible_inventory_sources).
    type: list
    elements: str
  fence_tasks:
    description: The tasks by which the pair's failover fences, as the role P(lockstep.colo.failover#role) has them.
    type: str
    default: fence/confirmed.yml
"""

EXAMPLES = r"""
- name: Write the report of a failover
  lockstep.colo.colo_report:
    path: /var/tmp/colo-reports/
    runbook: failover
    before:
      kvm1: unreachable
      kvm2: "{{ found_on_kvm2 }}"
    after:
      kvm1: unreachable
      kvm2: "{{ failed_over }}"
    tasks:
      - title: Serve from kvm2
        host: kvm2
        started: "{{ failover_started }}"
        ended: "{{ now(utc=true).isoformat() }}"
        result: "{{ failed_over }}"
    fence: "{{ colo_fence }}"
    probe: "{{ colo_probe | default(omit) }}"
  register: report
  changed_when: false

- name: Say where it is
  ansible.builtin.debug:
    msg: "{{ report.msg }}"
"""

RETURN = r"""
html:
  description: Path of the page.
  returned: when they are written, not in check mode
  type: str
  sample: /var/tmp/colo-reports/web1-failover-20261123T021415Z.html
json:
  description: Path of the JSON file.
  returned: when they are written, not in check mode
  type: str
  sample: /var/tmp/colo-reports/web1-failover-20261123T021415Z.json
summary:
  description: The verdict, as both files have it.
  returned: success
  type: dict
  contains:
    sentence:
      description: In plain words.
      type: str
      sample: web1 serves from kvm2, unprotected, since 2026-11-23 02:14 UTC.
    tone:
      description: One of V(good), V(warning), V(bad) and V(unknown).
      type: str
      sample: warning
    phase:
      description: The phase at the end, if it is known.
      type: str
      sample: failed_over
    holder:
      description: The host whose copy is the guest's, if it is known.
      type: str
      sample: kvm2
    since:
      description: For a failed-over guest, when it was free to serve, if it is known.
      type: str
      sample: "2026-11-23T02:14:15.645Z"
msg:
  description: The verdict and the path, or what would be written.
  returned: success
  type: str
"""
