# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that the modules share."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  name:
    description: Name of the libvirt domain.
    type: str
    required: true
    aliases: [domain]
  host:
    description:
      - Name of this host, as the record, the messages and the fence use it. Give the name it has in the inventory.
      - Without it, the host's own name is used.
    type: str
  directory:
    description:
      - Directory for the collection's images on this host. Each domain has a directory in it, named after its UUID.
      - It must be on storage of this host alone.
    type: path
    default: /var/lib/libvirt/images/colo
  uri:
    description: Connection URI of the local libvirt.
    type: str
    default: qemu:///system
requirements:
  - python3-libvirt and python3-lxml on the managed host
  - QEMU with quorum, replication and the COLO net filters on the managed host
notes:
  - Run it as root, or as a user who may use the system libvirt and the network.
"""

    PEER = r"""
options:
  peer:
    description:
      - What was observed on the other host - the registered result of M(lockstep.colo.colo_info), or of another
        module of this collection, on that host.
      - The string V(unreachable) where that host cannot be reached.
    type: raw
    required: true
"""

    PROJECTED = r"""
options:
  projected:
    description:
      - In check mode, what an earlier task of the same run said would be found on this host; it is planned from that.
      - Without it, and outside check mode, the host is observed.
    type: raw
"""

    HANDOVER = r"""
options:
  handover:
    description:
      - For a switchover of a healthy pair, made anew for each, and the same on both hosts.
      - M(lockstep.colo.colo_failover) waits on the standby until the primary's host, where M(lockstep.colo.colo_pair)
        ends the guest, says so over the replication network and with the token. Then it promotes the standby.
    type: dict
    suboptions:
      token:
        description: What the waiting standby knows the primary by.
        type: str
        required: true
      timeout:
        description: Seconds that the two wait for each other. Nothing is changed when they pass.
        type: float
        default: 60
      note:
        description:
          - Whether both note what spares the next copy something, with
            O(lockstep.colo.colo_pair#module:resync=changed); the same for both. The guest stands still, and writes all
            down, right before it is ended.
        type: bool
        default: false
"""

    WANTED = r"""
options:
  disks:
    description: Every disk that the guest can write to. The standby takes them from the primary's record.
    type: list
    elements: dict
    default: []
    suboptions:
      target:
        description: Target of the disk in the domain's XML, such as V(vda).
        type: str
        required: true
      format:
        description: Format of the image. It is stated, never probed, and must be what the domain's XML says.
        type: str
        required: true
        choices: [raw, qcow2]
      path:
        description: The standby's image. By default in O(directory), or where this host had the disk before.
        type: path
      overwrite:
        description:
          - Whether an image that is at that path, and not the collection's, becomes the standby's. What is in it is
            lost.
          - For a copy of the disk that was brought there, of which O(lockstep.colo.colo_pair#module:resync=changed)
            makes a whole one. It has to be of the disk's format and size, and nobody may have it open.
        type: bool
        default: false
  address:
    description: This host's address for replication. Sockets listen on it alone.
    type: str
  peer_address:
    description: The other host's address for replication.
    type: str
  first_port:
    description:
      - First of the 16 TCP ports of this pair, within 21600-23199.
      - By default the first block that is free on both hosts, and later the one that the record has.
      - The standby has the primary's; with this it is refused where it is another.
    type: int
"""

    UNPROVEN = r"""
options:
  devices_unproven:
    description:
      - Names of what the domain has and nobody has tried with COLO, as the refusal states them. They are no reason to
        refuse any more, at the risk of the guest and its data.
    type: list
    elements: str
    default: []
"""

    IMAGES = r"""
options:
  image_owner:
    description: User that QEMU runs as, who will own new images.
    type: str
    default: libvirt-qemu
  image_group:
    description: Group of new images.
    type: str
    default: kvm
"""

    TLS = r"""
options:
  tls:
    description:
      - Whether the channels of the pair are encrypted, and both ends prove by a certificate who they are. The
        certificates are in C(/etc/lockstep-colo/pki) of each host, where the role P(lockstep.colo.pki#role) puts them.
      - V(except_proxy) leaves the guest's packets in clear, for QEMU before 8.0, which withholds large ones that come
        encrypted.
      - A pair that is up keeps what it was formed with. But for such a pair, a standby's host takes no less than this
        from what is said of the primary's.
    type: str
    choices: [required, except_proxy, "off"]
    default: required
"""

    UNCOMPARED = r"""
options:
  uncompared:
    description:
      - What to do about frames of the guest that COLO cannot hold back until the standby has them too, which is all but
        untagged IPv4. What a client is told in them, a failover may undo.
      - V(drop) drops them while the pair is in lockstep, but for ARP. V(allow) lets them pass.
      - V(refuse) refuses a guest that was seen to serve with them when it was watched, and drops those of others. A
        pair that drops them already is not watched.
    type: str
    choices: [refuse, drop, allow]
    default: refuse
"""

    ATTRIBUTES = r"""
attributes:
  check_mode:
    description: Can run in check mode and says what it would do, without doing it.
    support: full
  diff_mode:
    description: Returns the domain's XML before and after, and the list of steps.
    support: full
  idempotent:
    description: When run twice in a row, the second run changes nothing.
    support: full
  action_group:
    description: Use C(group/lockstep.colo.colo) in C(module_defaults) to set defaults for all modules.
    support: full
    membership:
      - lockstep.colo.colo
  platform:
    description: Platforms the managed host may have.
    support: full
    platforms: linux
"""
