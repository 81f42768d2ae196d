# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One hand on a domain of this host: alone at it, with a connection to its libvirt."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from ..host import hypervisor as libvirt
from ..host.hypervisor import Hypervisor
from ..host.lock import lock
from ..record.schema import LXML_IMPORT_ERROR

LOCK_PATIENCE = 60.0  # seconds to wait for another run on the same domain


def missing_libraries() -> list[str]:
    """Which of lxml and libvirt this Python does not have; without them there is no session."""
    found = {"lxml": LXML_IMPORT_ERROR is None, "libvirt": libvirt.importable()}
    return [name for name, there in found.items() if not there]


@contextlib.contextmanager
def open_session(
    uri: str,
    domain: str,
    owner: str | None,
    *,
    urgent: bool = False,
    ended: Callable[[str], None] = lambda _other: None,
    first: Callable[[Hypervisor], None] = lambda _hypervisor: None,
    patience: float = LOCK_PATIENCE,
    connected: Hypervisor | None = None,
) -> Iterator[Hypervisor]:
    """The libvirt at ``uri``, while this run is the only one that works on ``domain``; the one that is ``connected``
    with it already, where there is one.

    ``owner``: this run in words, for others that wait; None for one that changes nothing, and is not alone. Another
    run is waited for, ``patience`` seconds long; one that is ``urgent`` ends it instead, and ``ended`` is told the
    words of it. ``first`` may refuse before that.
    """
    alone = lock(domain, owner, patience, end_other=urgent) if owner else contextlib.nullcontext()
    with contextlib.nullcontext(connected) if connected else Hypervisor(uri) as hypervisor:
        first(hypervisor)
        with alone as other:
            if other:
                ended(other)
            yield hypervisor
