# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether nobody can start a domain of a pair behind the collection's back. Pure."""

from __future__ import annotations

from ...observation.seen import Host
from .row import Requirement, Row

# SHA-256 of what the role host installs: roles/host/files/libvirt_hook.py below a first line. A test compares them.
DIGEST = "c0dac19f309e3290ccd44880711cb5530d104d05c41d1aebb78f30d913be85e4"
_PREPARE = "Run lockstep.colo.deploy with the KVM hosts in its limit (--limit kvm,PAIR), or the role lockstep.colo.host"


def start_hook(host: Host, *, dry: bool = False) -> list[Requirement]:
    """An old copy that is started by virsh, autostart or libvirt-guests would serve old data.

    ``dry``: the role host, which installs it, comes first in a real run, so that it is no reason to refuse.
    """
    row, hook = Row("start hook", host, "refuses to start an old copy"), host.start_hook
    missed = row.note if dry else row.wrong
    if hook is None:
        return row.found(None)
    if hook.digest is None:
        missed(f"{host.name} has no hook that keeps libvirt from starting an old copy of a pair", _PREPARE)
    elif hook.digest != DIGEST or not hook.executable:
        missed(f"the hook on {host.name} that refuses to start an old copy is not that of this version", _PREPARE)
    elif not hook.known:
        missed(
            f"the libvirt that runs on {host.name} does not know the hook that refuses to start an old copy: it was "
            "started before the hook was there",
            "Restart it there (systemctl restart libvirtd, or virtqemud); guests go on",
        )
    return row.found("there, and known to libvirt")
