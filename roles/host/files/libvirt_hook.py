# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt asks here before it starts a domain (/etc/libvirt/hooks/qemu.d, see libvirt's "Hooks").

A domain of a COLO pair is started by the collection alone: its disks may be a copy that is no longer the newest.
The collection leaves a permit with its process ID for the moment of the start. A domain without our record, or the
ordinary domain of a survivor, is none of our business.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

NAMESPACE = "urn:lockstep:colo:1"
PERMITS = Path("/run/lockstep-colo")


def main(name: str, operation: str, moment: str) -> int:
    """The exit code, by which libvirt goes on (0) or refuses the start."""
    if (operation, moment) != ("prepare", "begin"):
        return 0
    text = sys.stdin.buffer.read()
    if NAMESPACE.encode() not in text:
        return 0
    domain = ElementTree.fromstring(text)
    record = domain.find(f"metadata/{{{NAMESPACE}}}pair")
    if record is None or record.get("role") == "alone" or permitted(domain.findtext("uuid") or ""):
        return 0
    sys.stderr.write(
        f"{name} is the {record.get('role')} of a COLO pair: its disks may not be the newest copy. "
        "Start it with: ansible-playbook lockstep.colo.start\n"
    )
    return 1


def permitted(uuid: str) -> bool:
    """Whether the collection is starting this domain right now; a permit is good for one start."""
    permit = PERMITS / uuid
    try:
        process = permit.read_text(encoding="ascii").strip()
        permit.unlink()
    except OSError:
        return False
    return process.isdigit() and Path("/proc", process).exists()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
