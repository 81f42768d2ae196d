# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cluster manager has done with one host's half of a pair: it decides, this looks, finishes or confirms.

Nothing here ends a guest or starts one. What Pacemaker says of the other host is held against what is seen of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from ..errors import ColoError
from ..host import automation, cluster
from ..host.hypervisor import Hypervisor
from ..host.until_reboot import run_directory
from ..observation.automation import Settings
from ..observation.depth import QUICK, SILENT
from ..observation.seen import Observation
from ..observe import silence
from ..observe.look import observe
from ..record.wanted import Wanted
from ..verdict import fence
from ..verdict.fence import CLUSTER, Fence
from ..verdict.problem import refuse_if
from ..verdict.standing import DEGRADED, PROMOTED, Standing, could_go_on, standing
from . import goals, result
from .goals import Request

OWNER = "the cluster's resource agent (ocf:lockstep:colo)"
AGAIN = 0.5  # seconds between two tries of a promotion, which may wait for a fence or for the watchers
PATIENCE = 2.0  # seconds to wait for another run on the domain, as that of the watcher


class Half:
    """This host's half of the pair of ``domain``. ``say`` takes lines for the cluster's log."""

    def __init__(self, domain: str, say: Callable[[str], None]) -> None:
        self._domain, self._say = domain, say
        self._settings: Settings = automation.settings()
        self._charge = run_directory() / f"{domain}.in-charge"

    def take_charge(self) -> None:
        """Have the manager in charge of this half. It starts no guest: its copy may be old."""
        self._charge.touch()

    def leave(self) -> None:
        """Take it out of the manager's charge. A guest that runs here goes on."""
        self._charge.unlink(missing_ok=True)
        cluster.prefer(None)

    def look(self) -> Standing:
        """How this half stands; where the cluster has fenced the standby's host, after it has gone on alone.

        Pacemaker has no action for a copy that is promoted already and waits for the other host.
        """
        with Hypervisor(self._settings.uri) as hypervisor:
            try:
                self._go_on_alone(hypervisor, "primary")
            except result.FAILURES as error:  # the next look tries it again
                self._say(str(error))
            return self._tell(self._seen(hypervisor, QUICK))

    def notified(self) -> None:
        """Where the cluster has fenced the standby's host: go on alone, at once.

        A QEMU that waits for that host is not asked how it is, for which a promotion would wait.
        """
        with Hypervisor(self._settings.uri) as hypervisor:
            self._go_on_alone(hypervisor, "primary")

    def promote(self, seconds: float) -> None:
        """Have the guest serve from here, or see that it does; tried again for ``seconds``.

        ColoError with why not. The watchers, or a person, may do it meanwhile.
        """
        until = time.monotonic() + seconds
        with Hypervisor(self._settings.uri) as hypervisor:
            while True:
                try:
                    self._go_on_alone(hypervisor, "secondary")
                    seen = self._seen(hypervisor, QUICK)
                    found = self._tell(seen)
                    if found.state in (PROMOTED, DEGRADED):
                        return
                    if found.score is None:
                        raise ColoError(found.why, remedy="Look with lockstep.colo.status")
                    refuse_if(fence.objections(seen, self._ground(seen), None))
                except result.FAILURES:
                    if time.monotonic() + AGAIN >= until:
                        raise
                time.sleep(AGAIN)

    def _seen(self, hypervisor: Hypervisor, depth: str) -> Observation:
        """With when the other host was heard last."""
        seen = observe(hypervisor, self._domain, self._settings.directory, depth)
        if seen.record is None or not seen.domain.active or seen.record.role == "alone":
            return seen
        return replace(seen, heard=silence.heard(seen.record))

    def _ground(self, seen: Observation) -> Fence:
        method = "the cluster has fenced it"
        return Fence(seen.record.peer.host, method=method, ground=CLUSTER, cluster=cluster.cluster())

    def _go_on_alone(self, hypervisor: Hypervisor, role: str) -> None:
        """Where the cluster has fenced the other host, and this half can go on without it: have it do so.

        QEMU is not asked before, which may be waiting for that host. A standby is promoted only where Pacemaker says.
        """
        seen = self._seen(hypervisor, SILENT)
        if seen.record is None or seen.record.role != role or not could_go_on(seen):
            return
        ground = self._ground(seen)
        if any(fence.objections(seen, ground, None)):
            return
        request = Request(self._domain, role=role, wanted=Wanted(directory=self._settings.directory), fence=ground)
        done = goals.reach(
            "surviving", request, uri=self._settings.uri, owner=OWNER, patience=PATIENCE, hypervisor=hypervisor,
            ended=lambda other: self._say(f"ended another run that worked on this domain: {other}"),
        )  # fmt: skip
        served = done.outcome.served_after
        if served is not None:
            self._say(f"the cluster has fenced {ground.host}: the guest was free to serve after {1000 * served:.0f} ms")
        for words in [*result.unheard(done), *result.unsure(done)]:
            self._say(words)
        for words in done.unforeseen:
            self._say(f"surviving did not foresee this: {words}")

    def _tell(self, seen: Observation) -> Standing:
        """Have the cluster know whether this half may be promoted, and which generation it is."""
        found = standing(seen, self._charge.exists())
        cluster.prefer(found.score)
        if seen.record:
            cluster.note(f"lockstep-colo-{self._domain}", str(seen.generation))
        return found
