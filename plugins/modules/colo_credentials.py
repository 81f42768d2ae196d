#!/usr/bin/python
# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: colo_credentials
short_description: Put a KVM host's certificate and keys where QEMU looks for them
version_added: 0.1.0
description:
  - Writes files of the control node to a directory of the host, all of them beside those that are in use, and exchanges
    the two directories in one step. So a key and its certificate are never seen apart. Files that are not named stay.
  - Where a directory cannot be exchanged, its files are replaced one by one, each key right before its certificate.
  - What the files have goes to the host by the standard input of its Python, and is in no temporary file there, no
    result, no log and no diff. Where that is not possible, a warning says so.
  - What a killed run leaves is in a directory of root's beside the other, and the next one that writes removes it.
author:
  - the lockstep.colo contributors (@lockstep)
options:
  files:
    description: What the host shall have.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the file on the host.
        type: str
        required: true
        choices: [ca-cert.pem, server-cert.pem, server-key.pem, client-cert.pem, client-key.pem, dh-params.pem]
      src:
        description: Its path on the control node.
        type: path
        required: true
      owner:
        description: User of the host whom it shall belong to. Its group is root.
        type: str
        required: true
      mode:
        description: Its mode, in octal digits.
        type: str
        required: true
      content:
        description: What is in it, in base64. The control node reads that from O(files[].src), whatever is given here.
        type: str
  place:
    description: Directory on the host.
    type: path
    default: /etc/lockstep-colo/pki
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: Shows what changes. There are keys in it.
    support: none
"""

EXAMPLES = r"""
- name: Have this host's certificate on the control node
  lockstep.colo.colo_certificate:
    directory: "{{ inventory_dir }}/colo-ca"
    host: "{{ inventory_hostname }}"
    address: "{{ colo_address }}"
  register: made

- name: Put it in the place of the one before
  lockstep.colo.colo_credentials:
    files: "{{ made.missing }}"
"""

RETURN = r"""
began:
  description: When the module began, in UTC.
  returned: success
  type: str
  sample: "2026-11-23T02:14:15.123+00:00"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lockstep.colo.plugins.module_utils.front import modules


def main() -> None:
    modules.install(AnsibleModule(argument_spec=modules.CREDENTIALS, supports_check_mode=True))


if __name__ == "__main__":
    main()
