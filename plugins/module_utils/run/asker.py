# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking one QEMU again and again how it is, apart from whoever must not wait for it: it may hang."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import Timeout
from ..host.hypervisor import Hypervisor
from ..lockstep import graph
from ..observation.automation import Settings
from . import result

INTERVAL = 1.0  # seconds between two rounds of questions
ANSWER = 2.0  # seconds in which a QEMU answers that is well
MISSES = 3  # times in a row that it does not, and then hangs


@dataclass(frozen=True)
class Seen:
    """What one QEMU said last. ``role``: of query-colo-status; ``misses``: times in a row without an answer.

    ``lacks``: whether its standby lacks writes; None where that was not asked. ``job_done`` and ``job_total``: bytes of
    all its jobs.
    """

    process: str = ""
    misses: int = 0
    role: str = "none"
    lacks: bool | None = None
    job_done: int = 0
    job_total: int = 0

    @property
    def lockstep(self) -> bool:
        """Whether it said that it is in lockstep."""
        return self.role != "none"

    @property
    def hangs(self) -> bool:
        """Whether it has not answered so often that it is taken for hung."""
        return self.misses >= MISSES


class Asker(threading.Thread):
    """A thread that asks the QEMU it is told of; ``news`` is called when something is otherwise than before."""

    def __init__(self, domain: str, settings: Settings, news: Callable[[], None]) -> None:
        super().__init__(name=f"asker {domain}", daemon=True)
        self.seen = Seen()
        self._domain, self._news = domain, news
        self._hypervisor = Hypervisor(settings.uri)
        self._process, self._change, self._stopped = "", threading.Event(), False

    def about(self, process: str) -> None:
        """Which QEMU is asked; empty for none. What another one said counts no more."""
        if process != self._process:
            self._process, self.seen = process, Seen(process)
            self._change.set()
        if not self.is_alive() and not self._stopped:
            self.start()

    def stop(self) -> None:
        """Have the thread end with its next round."""
        self._stopped = True
        self._change.set()

    def run(self) -> None:
        """Ask, until ``stop``."""
        while not self._stopped:
            if process := self._process:
                seen = self._ask(self.seen)
                if process == self._process and seen != self.seen:
                    news = (seen.role, seen.lacks, seen.hangs) != (self.seen.role, self.seen.lacks, self.seen.hangs)
                    self.seen = seen
                    if news:
                        self._news()
            self._change.wait(INTERVAL)
            self._change.clear()
        self._hypervisor.close()

    def _ask(self, before: Seen) -> Seen:
        """That libvirt does not answer says nothing of QEMU."""
        try:
            role, lacks, jobs = self._qmp("query-colo-status")["mode"], None, []
            if role == "primary":
                lacks = bool(self._qmp("query-xen-replication-status")["error"])
            elif role == "none":
                jobs = [job for job in self._qmp("query-jobs") if graph.is_sync(job["id"])]
            done, total = (sum(job[key] for job in jobs) for key in ("current-progress", "total-progress"))
            return Seen(before.process, 0, role, lacks, done, total)
        except Timeout:
            return self._missed(before)
        except result.FAILURES:  # QEMU has ended meanwhile, or libvirt is being restarted
            return before

    def _missed(self, before: Seen) -> Seen:
        try:
            if self._hypervisor.glimpse(self._domain) is None:
                return before
        except result.FAILURES:
            return before
        return Seen(before.process, before.misses + 1, before.role, before.lacks, before.job_done, before.job_total)

    def _qmp(self, command: str) -> Any:
        return self._hypervisor.qmp(self._domain, command, deadline=ANSWER)
