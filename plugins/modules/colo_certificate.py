#!/usr/bin/python
# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: colo_certificate
short_description: Make a KVM host's certificate for replication, on the control node
version_added: 0.1.0
description:
  - Makes a small certificate authority in a directory of the control node, once, and in it a key and a certificate for
    this host, which QEMU takes for both ends of a connection.
  - A certificate that is in force, is for the same address, and does not end soon is left as it is.
  - It runs on the control node alone. Keys are written with mode 0600, and are in no result.
author:
  - the lockstep.colo contributors (@lockstep)
options:
  directory:
    description: Directory on the control node. Keep it, and keep it to yourself.
    type: path
    required: true
  host:
    description: The host's name in the inventory, which becomes the certificate's common name.
    type: str
    required: true
  address:
    description: The host's address for replication.
    type: str
    required: true
  days:
    description: How long a certificate that is made is in force, from 1 to 36500.
    type: int
    default: 730
  renew_before:
    description: A certificate that ends within so many days, from 0 to 36500, is made anew.
    type: int
    default: 60
  make:
    description:
      - Whether to make what is missing in O(directory); otherwise it has to have your own files.
      - A key that others can read is made its owner's alone in either case.
    type: bool
    default: true
  owner:
    description: User that QEMU runs as, who has to read the key on the host.
    type: str
    default: libvirt-qemu
  installed:
    description: What the host has already, OWNER MODE SHA-256 by the name of the file.
    type: dict
    default: {}
  authority:
    description: The certificate of the authority that the host knows already, as PEM has it between its lines.
    type: str
    default: ""
  replace:
    description:
      - Whether the host is to have a certificate though it knows another authority than that in O(directory).
      - Otherwise that is refused as long as the other is in force.
    type: bool
    default: false
requirements:
  - cryptography 40 or later on the control node, which ansible-core brings
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: Shows what changes.
    support: none
"""

EXAMPLES = r"""
- name: Make this host's certificate
  lockstep.colo.colo_certificate:
    directory: "{{ inventory_dir }}/colo-ca"
    host: "{{ inventory_hostname }}"
    address: "{{ colo_address }}"
"""

RETURN = r"""
ca:
  description: Path of the authority's certificate on the control node.
  returned: success
  type: str
certificate:
  description: Path of the host's certificate on the control node.
  returned: success
  type: str
key:
  description: Path of the host's key on the control node.
  returned: success
  type: str
ends:
  description: When the certificate ends, in UTC.
  returned: success
  type: str
  sample: "2028-11-25T07:00:00+00:00"
missing:
  description: What the host does not have as it should, by O(installed).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the file on the host.
      type: str
    src:
      description: Its path on the control node.
      type: str
    owner:
      description: Whom it shall belong to.
      type: str
    mode:
      description: Its mode.
      type: str
"""
