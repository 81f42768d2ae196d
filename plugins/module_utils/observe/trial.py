# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking libvirt and QEMU of this host what they say to a standby, by starting one like it: nothing else knows it all.

It is ended at once, its guest never runs, and nothing is left of it.
"""

from __future__ import annotations

import contextlib
import uuid

from ..domain.trial import SUFFIX, trial_of
from ..errors import ColoError, LibvirtError, Timeout
from ..host import files, qemu_process
from ..host.hypervisor import Hypervisor
from ..observation.seen import Domain, Trial


def trial(hypervisor: Hypervisor, name: str, guest: Domain) -> Trial | None:
    """Start a domain like the peer's ``guest``, called ``name`` here, paused, and end it at once: what came of that.

    None where the guest does not run: how it would is not known.
    """
    if guest.live_xml is None:
        return None
    like = trial_of(guest.live_xml, f"{name}{SUFFIX}", str(uuid.uuid4()))
    try:
        hypervisor.attempt(like.xml)
    except (LibvirtError, Timeout) as error:
        return Trial(error.what.replace(SUFFIX, ""))
    finally:
        for path in (*like.files, qemu_process.log_file(f"{name}{SUFFIX}")):
            with contextlib.suppress(OSError, ColoError):
                files.remove(path)
    return Trial()
