# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeping one pair in view on this host, and doing what verdict.vigil says, through the goals that playbooks use."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from ..errors import ColoError
from ..host import automation, files, half_notes, lock, processes, shown
from ..host.hypervisor import Hypervisor
from ..observation.automation import Automation, Settings
from ..observation.depth import BRIEF, QUICK
from ..observation.seen import Observation, Shown
from ..observation.word import Half, Speech
from ..observe import look
from ..record.half_notes import HalfNote, as_given_up
from ..record.pair import Record
from ..record.wanted import Wanted
from ..verdict import channels, fence, pair, vigil, word
from ..verdict.vigil import EXPEND, GIVE_WAY, REST, SERVE, Decision, Mine
from . import goals, result
from .asker import Asker, Seen
from .goals import Request

TICK = 1.0  # seconds between two looks at a QEMU that is well
GLIMPSE = 5.0  # seconds between two looks at what libvirt has, where no run was at work, and at a survivor
EAGER = 0.001  # seconds, while the other host has given way and this host's connections still end
AGAIN = 1.0  # seconds after which something that failed is tried again
UNSEEN = "degraded"  # the phase of what cannot be seen, of which its half alone does not tell how it is
TOLD = 2.0  # seconds after which those who look are told again that this watcher is at work
GOAL_OF = {GIVE_WAY: "given_way", vigil.END: "ended", SERVE: "surviving", EXPEND: "expendable"}


@dataclass
class Counted:
    """Whole checkpoints since this watcher began; ``last``: time.monotonic() of the last one.

    ``since``: of the moment since when it has seen this lockstep, in which none may have come yet.
    """

    whole: int = 0
    last: float | None = None
    since: float | None = None
    stopped: bool = False


class Keeper(threading.Thread):
    """A thread that keeps one pair. ``speak`` has the other host told how it stands, at once."""

    def __init__(
        self, uuid: str, name: str, settings: Settings, speak: Callable[[], None], say: Callable[[str], None]
    ) -> None:
        super().__init__(name=f"keeper {name}", daemon=True)
        self.uuid, self.domain = uuid, name
        self.half: Half | None = None  # as it is said to the other host
        self.record: Record | None = None
        self.counted = Counted()
        self.seen = Seen()
        self.survivor = UNSEEN  # of a survivor, its phase
        self._degraded_of = ""  # the QEMU in lockstep whose guest is not protected, by the last close look
        self._asker = Asker(name, settings, self._hear_qemu)
        self.told = Automation()
        self.guarded = False
        self._settings, self._speak, self._say = settings, speak, say
        self._machine = files.machine_id()
        self._hypervisor = Hypervisor(settings.uri)
        self._held: processes.Held | None = None
        self._process = ""
        self._ended_at: float | None = None
        self._ended_by: str | None = None
        self._wanted_end = False
        self._found: dict[str, object] | None = None  # libvirt's last words about the domain
        self._warm: Observation | None = None  # in lockstep: all that was seen of the domain
        self._warm_of = ""  # which QEMU that is
        self._glimpsed = 0.0
        self._survivor_seen = 0.0
        self._runs: int | None = None  # when a run had last begun then; None while one was at work
        self._word: word.Word | None = None  # the peer's last
        self._quiet: tuple[int | None, float] = (None, 0.0)  # when a run last began, and since when that is known
        self._before: Half | None = None
        self._said, self._told_at = "", 0.0
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._stopped = self._due = False
        self._not_before = 0.0

    @property
    def shown(self) -> Shown | None:
        """The certificate that its QEMU shows the other host; None for none, and where that is not known."""
        return shown.noted(self.uuid) if self.record and self.record.credentials else None

    @property
    def theirs(self) -> Half | None:
        """What the other host said last of its half, however long ago; None where it was never heard."""
        return self._word.half if self._word else None

    @property
    def degraded(self) -> bool:
        """Whether its guest, though in lockstep, is not protected, as ``look_closely`` saw it last."""
        return self.half is not None and bool(self._degraded_of) and self._degraded_of == self.half.process

    # Others speak to it

    def look_closely(self, hypervisor: Hypervisor) -> None:
        """See of a primary in lockstep what its half does not tell: what is attached, connected and compared.

        By whoever calls it, through his own ``hypervisor``: the thread of the pair waits for nothing that may hang.
        What cannot be seen is not said to be well.
        """
        half = self.half
        if half is None or half.role != "primary" or not half.lockstep or not half.answers:
            self._degraded_of = ""
            return
        try:
            phase = pair.phase(look.observe(hypervisor, self.domain, self._settings.directory, QUICK))
        except result.FAILURES:
            phase = UNSEEN
        self._degraded_of = half.process if phase == "degraded" else ""

    def wake(self) -> None:
        """Have it look and decide now."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"!")

    def stop(self) -> None:
        """Have it end; nothing of the pair is changed by that."""
        self._stopped = True
        self.wake()

    def _hear_qemu(self) -> None:
        self._due = True
        self.wake()

    def now(self) -> Half | None:
        """What can be said of this half at this moment: nothing of an end, once there is a QEMU again."""
        if self.half is not None and self.half.gave_way and processes.emulators(self.uuid):
            return None
        return self.half

    def hear(self, names: frozenset[str], said: Speech, asked: float) -> None:
        """What a host said that may be the peer of this pair, and was ``asked`` for then (time.monotonic())."""
        half = word.half_for(self.record, self.uuid, names, said) if self.record else None
        if half is None:
            return
        news = self._word is None or half != self._word.half
        self._word = word.Word(half, asked, time.monotonic())
        if half.lockstep and half.running and half.process:
            self._before = half
        if news:
            self.wake()

    def event(self, name: str, data: dict[str, object]) -> None:
        """Take note of one of QEMU's events, as libvirt tells it."""
        counted = self.counted
        if name == "STOP":
            counted.stopped = True
        elif name == "RESUME" and counted.stopped:
            counted.stopped, counted.whole, counted.last = False, counted.whole + 1, time.monotonic()
        elif name == "SHUTDOWN" and data.get("guest"):
            self._wanted_end = True

    # Its life

    def run(self) -> None:
        """Look and decide, at each wake and each TICK, until ``stop``."""
        try:
            looked = -TICK
            while not self._stopped:
                patience = TICK
                try:
                    if self._due or time.monotonic() - looked >= TICK or self._has_ended():
                        self._due = False
                        self._look()
                        looked = time.monotonic()
                    patience = self._step()
                except result.FAILURES as error:
                    self._tell(f"cannot see how it stands: {error}")
                self._sleep(patience)
        finally:
            self._asker.stop()
            self._let_go()
            self._hypervisor.close()
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _sleep(self, patience: float) -> None:
        handles = [self._wake_read, *([self._held.handle] if self._held else [])]
        ready = select.select(handles, [], [], patience)[0]
        if self._wake_read in ready:
            os.read(self._wake_read, 4096)

    def _has_ended(self) -> bool:
        return self._held is not None and bool(select.select([self._held.handle], [], [], 0)[0])

    def _let_go(self) -> None:
        if self._held:
            os.close(self._held.handle)
            self._held = None

    def _look(self) -> None:
        """At the process, the record and QEMU, in the order of what counts.

        When QEMU has just ended, libvirt is busy with that, and says the rest only afterwards: nobody waits for it.
        """
        just_ended = self._has_ended()
        if just_ended:
            self._let_go()
            self._ended_at, self._ended_by = time.monotonic(), "shutdown" if self._wanted_end else "crashed"
        self.guarded = automation.wanted(self.uuid) is not None
        self.seen = self._asker.seen
        if just_ended and self._unchanged():
            self._asker.about("")
            self._state(self._found)
            return
        if self._held is None:
            self._held = processes.hold(self.uuid)
            if self._held:
                self._process, self._ended_at, self._wanted_end = self._held.name, None, False
        self._asker.about(self._held.name if self._held else "")
        self.seen = self._asker.seen
        self._remember()
        self._see_end()
        self._see_survivor()
        self._state(self._found)
        if self.guarded:
            half_notes.prepare(half_notes.GAVE_WAY, self.domain)

    def _see_end(self) -> None:
        """Why QEMU has ended, also where that was before this watcher, or this host, began."""
        kind, record = half_notes.POWERED_OFF, self._recorded(self._found)
        if self._held is not None:
            half_notes.forget(kind, self.domain)
            return
        about = HalfNote(self.uuid, record.generation, record.role)
        if self._ended_at is None:
            self._ended_by = "shutdown" if half_notes.noted(kind, self.domain) == about else self._found["ended_by"]
        elif self._ended_by == "shutdown" and half_notes.noted(kind, self.domain) != about:
            half_notes.note(kind, self.domain, about)

    def _see_survivor(self) -> None:
        """The phase of a survivor as whoever runs status has it: QEMU runs, and the guest may stand still."""
        if self._held is None or self._recorded(self._found).role != "alone":
            self.survivor, self._survivor_seen = UNSEEN, 0.0
        elif time.monotonic() - self._survivor_seen >= GLIMPSE:
            try:
                self.survivor = pair.phase(self._observe())
            except result.FAILURES:
                self.survivor = UNSEEN
            self._survivor_seen = time.monotonic()

    def _observe(self) -> Observation:
        return look.observe(self._hypervisor, self.domain, self._settings.directory, QUICK)

    def _unchanged(self) -> bool:
        """Whether what is remembered of the domain still holds: no run has begun since."""
        return self._found is not None and self._runs is not None and self._runs == lock.last_run(self.domain)

    def _last_run(self) -> int | None:
        """When a run last began here, None while one is at work; and with it, since when all is quiet."""
        runs = lock.last_run(self.domain)
        if runs is None or runs != self._quiet[0]:
            self._quiet = runs, time.monotonic()
        return runs

    def _remember(self) -> None:
        runs = self._last_run()
        warm = self._warm is not None and self._held is not None and self._warm_of == self._process
        if warm and self._unchanged() and time.monotonic() - self._glimpsed < GLIMPSE:
            return  # nothing of it changes in lockstep but by a run
        self._glimpsed = time.monotonic()
        found = self._hypervisor.glimpse(self.domain)
        if found is None or found["uuid"] != self.uuid:
            raise ColoError("there is no such domain any more")
        self._found = found
        record = self._recorded(found)
        fresh = self._warm is not None and runs == self._runs and self._warm_of == self._process
        self._runs = runs
        if not self.guarded or self._held is None or self.seen.role != record.role or runs is None:
            self._warm = None
        elif not fresh:
            self._warm, self._warm_of = self._seen_in_lockstep(), self._process

    def _seen_in_lockstep(self) -> Observation | None:
        """All of the domain, once in each lockstep: as much of it as a run needs in the moment of a loss lasts.

        It is called brief, so that a run looks again once the guest is free.
        """
        seen = self._observe()
        if seen.monitor is None or seen.record is None or seen.monitor.colo != seen.record.role:
            return None
        return replace(seen, depth=BRIEF, monitor=replace(seen.monitor, running=True, status="running"))

    def _recorded(self, found: dict[str, object]) -> Record:
        """What is written in the domain, and beside it."""
        record = look.recorded(found)
        if record is None:
            raise ColoError("the domain is not part of a pair any more")
        return record

    def _state(self, found: dict[str, object]) -> None:
        """What the other host is to know of this half."""
        self.record = record = self._recorded(found)
        running = self._held is not None
        about = HalfNote(self.uuid, record.generation, record.role)
        lacks = self._lacks(record, about)
        whole = record.complete == record.generation and half_notes.noted(half_notes.LACKING, self.domain) != about
        half = Half(
            uuid=self.uuid,
            machine_id=self._machine,
            generation=record.generation,
            role=record.role,
            process=self._process,
            running=running,
            answers=running and not self.seen.hangs,
            lockstep=running and self.seen.role == record.role,
            complete=record.role == "secondary" and whole,
            gave_way=self.guarded and not running and record.role != "alone" and as_given_up(record) == record,
            lacks=lacks,
            took=round((time.monotonic() - self._ended_at) * 1000) if self._ended_at else 0,
        )
        news = self.half is None or replace(half, took=0) != replace(self.half, took=0)
        if news:
            self.half = half
            self._speak()
        if not half.lockstep:
            self.counted.last = self.counted.since = None
        elif self.counted.since is None:
            self.counted.since = time.monotonic()

    def _lacks(self, record: Record, about: HalfNote) -> bool:
        """Whether this primary's standby lacks writes: written down first, since QEMU may end at any moment."""
        if record.role != "primary":
            return False
        known = half_notes.noted(half_notes.LACKS, self.domain)
        if self.seen.lacks and known != about:
            half_notes.note(half_notes.LACKS, self.domain, about)
        elif known and self.seen.lockstep and self.seen.lacks is False:
            half_notes.forget(half_notes.LACKS, self.domain)
        return self.seen.lacks or (known == about and self.seen.lacks is None)

    # What is to be done

    def _step(self) -> float:
        """Do what is to be done now; the seconds until the next step."""
        if self._word and self._word.half.gave_way:
            self._last_run()
        theirs = word.still_said(self._word, time.monotonic(), self._quiet[1])
        mine = Mine(self.half, self.guarded, self._parted(theirs), None if self.half.running else self._ended_by)
        decision = vigil.decide(mine, theirs, self._before)
        if decision.action == REST:
            self._tell(vigil.would(mine, theirs), theirs)
            waits = theirs is not None and theirs.gave_way and self.guarded and self.half.lockstep and not mine.parted
            return EAGER if waits else TICK
        if time.monotonic() < self._not_before:
            return AGAIN
        self._tell(decision.why, theirs)
        self._carry_out(decision, theirs)
        return 0.0

    def _parted(self, theirs: Half | None) -> bool:
        """Whether all connections of this QEMU with the peer's have ended; looked at only where that counts."""
        if theirs is None or not self.half.running:
            return False
        return channels.none_left(*look.connected(self.record))

    def _carry_out(self, decision: Decision, theirs: Half | None) -> None:
        wanted, warm = Wanted(directory=self._settings.directory), self._warm_for(decision.action)
        request = Request(self.domain, role=self.half.role, wanted=wanted, warm=warm)
        if decision.action == SERVE:
            told = fence.Fence(self.record.peer.host, method=decision.why, ground=fence.TOLD, told=theirs)
            request = replace(request, fence=told)
        began = time.monotonic()
        try:
            done = goals.reach(
                GOAL_OF[decision.action],
                request,
                uri=self._settings.uri,
                owner="the watcher of this host (lockstep-colo-watch.service)",
                patience=0.0,
                hypervisor=self._hypervisor,
            )
        except result.FAILURES as error:
            self._not_before = time.monotonic() + AGAIN
            self._tell(f"{decision.action} failed, and is tried again: {error}", theirs)
            return
        served = done.outcome.served_after
        took = round(1000 * (time.monotonic() - began if served is None else served))
        took += theirs.took if decision.action == SERVE else 0
        if decision.action in (GIVE_WAY, vigil.END):
            self._gave_way()
        self._look()
        self.told = replace(self.told, last_action=decision.action, last_ms=took)
        steps = ", ".join(f"{one.title}: {1000 * one.began:.0f}-{1000 * one.ended:.0f}" for one in done.outcome.done)
        free = 0 if served is None else began + served
        moments = f"decided at {began:.4f}, ended at {self._ended_at or 0:.4f}, served at {free:.4f}"
        self._say(f"{self.domain}: {decision.action} took {took} ms, {moments} ({steps})")
        for words in [*result.unheard(done), *result.unsure(done)]:
            self._say(f"{self.domain}: {words}")
        for words in done.unforeseen:
            self._say(f"{self.domain}: {decision.action} did not foresee this: {words}")

    def _gave_way(self) -> None:
        """Say so; unless QEMU's last words came only now, that its guest had powered itself off."""
        if self._wanted_end and self.half.role == "primary":
            half_notes.forget(half_notes.GAVE_WAY, self.domain)
            self._ended_by = "shutdown"
        self._state(self._found)

    def _warm_for(self, action: str) -> Observation | None:
        """What a run that has to be quick need not look for; nothing where it may be otherwise by now."""
        if self._warm is None or not self._unchanged():
            return None
        if action == GIVE_WAY:
            return replace(self._warm, monitor=None, domain=replace(self._warm.domain, state="shutoff"))
        if action == SERVE:
            now = look.came_over(self._warm)
            waits = now["stuck_sockets"]  # QEMU may, for a host that is silent: it is freed first
            return None if waits else replace(self._warm, **now)
        return None

    def _tell(self, words: str, theirs: Half | None = None) -> None:
        told = replace(self.told, hears=theirs is not None, says=words)
        if told != self.told or time.monotonic() - self._told_at > TOLD:
            self.told, self._told_at = told, time.monotonic()
            automation.tell(
                self.uuid, {key: value for key, value in asdict(told).items() if key not in ("wanted", "awake")}
            )
        if words != self._said:
            self._said = words
            self._say(f"{self.domain}: {words}")
