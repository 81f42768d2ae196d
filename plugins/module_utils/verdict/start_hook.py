# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether nobody can start a domain of a pair behind the collection's back. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ..observation.seen import Host
from .problem import Problem

# SHA-256 of what the role host installs: roles/host/files/libvirt_hook.py below a first line. A test compares them.
DIGEST = "c0dac19f309e3290ccd44880711cb5530d104d05c41d1aebb78f30d913be85e4"
_PREPARE = "Run lockstep.colo.deploy with the KVM hosts in its limit (--limit kvm,PAIR), or the role lockstep.colo.host"


def start_hook(host: Host) -> Iterator[Problem]:
    """An old copy that is started by virsh, autostart or libvirt-guests would serve old data."""
    hook = host.start_hook
    if hook is None:
        return
    if hook.digest is None:
        yield Problem(f"{host.name} has no hook that keeps libvirt from starting an old copy of a pair", _PREPARE)
    elif hook.digest != DIGEST or not hook.executable:
        yield Problem(
            f"the hook on {host.name} that refuses to start an old copy is not that of this version", _PREPARE
        )
    elif not hook.known:
        yield Problem(
            f"the libvirt that runs on {host.name} does not know the hook that refuses to start an old copy: it was "
            "started before the hook was there",
            "Restart it there (systemctl restart libvirtd, or virtqemud); guests go on",
        )


def found(host: Host) -> str | None:
    """What was seen of it where nothing is wrong; None where it was not looked for."""
    return None if host.start_hook is None else "there, and known to libvirt"
