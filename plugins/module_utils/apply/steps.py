# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carrying out steps. The only code that changes anything; it decides nothing but whether a wait has ended."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..errors import ColoError, LibvirtError, Timeout
from ..host import files as host
from ..host import (
    frames,
    half_notes,
    leaving,
    left_images,
    links,
    mutual_tls,
    nbd,
    processes,
    qemu_process,
    shown,
    sieve,
    sockets,
    sums,
    until_reboot,
)
from ..host import marker as marker_file
from ..host.checkpoints import watch
from ..host.files import NO_ROOM
from ..host.hypervisor import Hypervisor
from ..observation.seen import AFTER_THAT, DISCONNECTED, STOPPED_BY_A_DISK, Announced, Checkpoints, Shown
from ..plan.parts.written import GRANULARITY
from ..plan.plan import Plan
from ..plan.step import Step
from ..record.half_notes import HalfNote
from . import handover
from .isolated import Answers, Isolated
from .moving import Moving

# Seconds after which a condition is looked at even if QEMU sent no event. The guest may stand still meanwhile, and a
# query takes QEMU's big lock from it.
POLL = 0.05
SLOW_POLL = 0.5  # for what takes longer than a second
WHOLE_CHECKPOINTS = 1
COPYING = ("ready", "sent")  # waits that go on without the run
SETTLED = "paused"  # QEMU's run state once a guest stands still, and all that it has written is written down
SETTLING, SETTLED_WITHIN = 10, 3.0  # attempts, and seconds for each
PAUSED = "pre-switchover"  # of a migration: the memory is sent, and only the entry into lockstep is left
AFTER_A_FAILURE = "See with lockstep.colo.status how the pair is; once the cause is mended, run again"
NOT_CONNECTED = "migration setup"
REMEDIES = {  # by what is waited for, or by how it stands when the time is over
    "connected": "Look at the firewalls of both hosts and the network between: the standby connects with the primary's "
    "replication address, on TCP ports of the pair's block",
    NOT_CONNECTED: "The hosts were not connected for it: look at the firewalls of both and the network between, for "
    "the first TCP port of the pair's block above all",
}


@dataclass(frozen=True)
class Done:
    """A step that was carried out; times in seconds since the run began."""

    title: str
    began: float
    ended: float


@dataclass
class Outcome:
    """How far a plan came. ``finished`` is false where a wait for a sync passed its time: QEMU goes on with it.

    ``served_after`` is seconds from the run's first observation until the guest was free to serve.
    """

    done: list[Done] = field(default_factory=list)
    finished: bool = True
    pivoted: bool = False
    served_after: float | None = None
    checkpoints: Checkpoints | None = None
    answers: Answers | None = None
    announced: tuple[Announced, ...] = ()
    watched: bool = False  # whether it was tried to see where the guest is announced
    unwatched: str | None = None  # why that could not be seen
    damaged: dict[str, str] = field(default_factory=dict)  # images that were checked and found wrong: what is wrong
    changed: bool = False


class Unfinished(Exception):
    """A sync that needs longer than this run waits for it; not a failure."""


def _remedy(errno: int | None, otherwise: str) -> str:
    """What to do about a call of the kernel that failed with that number."""
    return "Free space there, and run again" if errno in NO_ROOM else otherwise


class Apply:
    """Carries out plans for one domain. ``began`` is time.monotonic() of the run's first observation."""

    def __init__(self, hypervisor: Hypervisor, domain: str, began: float) -> None:
        self.hypervisor = hypervisor
        self.domain = domain
        self.outcome = Outcome()
        self._began = began
        self._isolated: Isolated | None = None
        self._moving = Moving()
        self._left: dict[str, left_images.Stamp] = {}

    def __enter__(self) -> Apply:
        return self

    def __exit__(self, *unused: object) -> None:
        """Give up what is held between steps."""
        if self._isolated:
            self._isolated.close()
            self._isolated = None

    def run(self, plan: Plan) -> Outcome:
        """Carry out the steps up to the first pivot; an error names the step and leaves the rest undone."""
        outcome = self.outcome
        outcome.pivoted, outcome.finished = False, True
        for step in plan.steps:
            started = time.monotonic()
            # Changed from here on even if it fails half-way.
            outcome.changed = outcome.changed or step.changes
            try:
                self._carry_out(step)
            except Unfinished:
                outcome.finished = False
                return outcome
            except ColoError as error:
                error.what = f"{step.title}: {error.what}"
                errno = error.errno if isinstance(error, LibvirtError) else None
                error.remedy = error.remedy or _remedy(errno, AFTER_A_FAILURE)
                raise
            except OSError as error:  # as an error of ours, so that it is mended like one
                remedy = _remedy(error.errno, "Run again once the host is in order")
                raise ColoError(f"{step.title}: {error}", remedy=remedy) from error
            ended = time.monotonic()
            outcome.done.append(Done(step.title, round(started - self._began, 4), round(ended - self._began, 4)))
            if step.serves:
                outcome.served_after = round(ended - self._began, 4)
            if step.pivot:
                outcome.pivoted = True
                return outcome
        return outcome

    def _carry_out(self, step: Step) -> None:
        getattr(self, f"_{step.action}")(step, **step.arguments)

    # libvirt

    def _qmp(self, step: Step, command: str, arguments: dict[str, Any]) -> None:
        self.hypervisor.qmp(self.domain, command, arguments, deadline=step.timeout)

    def _define(self, _step: Step, xml: str) -> None:
        self.hypervisor.define(xml)
        half_notes.forget(half_notes.GAVE_WAY, self.domain)  # the record, which is in the XML, has taken it in

    def _undefine(self, _step: Step) -> None:
        self.hypervisor.undefine(self.domain)
        self._forget_notes()

    def _record(self, _step: Step, xml: str | None, live: bool, marked: bool = False) -> None:
        try:
            self.hypervisor.set_metadata(self.domain, xml, live=live)
        except LibvirtError as error:
            if not marked or error.errno not in NO_ROOM:
                raise
        self._forget_notes()

    def _forget_notes(self) -> None:
        """Remove what is noted beside the record: this half is another one now, or its record says it."""
        for kind in (half_notes.GAVE_WAY, half_notes.LACKING):
            half_notes.forget(kind, self.domain)

    def _autostart(self, _step: Step, on: bool) -> None:
        self.hypervisor.set_autostart(self.domain, on)

    def _start_paused(self, _step: Step, uuid: str, xml: str, as_left: bool) -> None:
        with until_reboot.start_permit(uuid), left_images.opening(uuid, keeps=as_left):
            self.hypervisor.start_paused(xml)
        half_notes.forget(half_notes.LACKING, self.domain)  # said of the one before it

    def _start(self, step: Step, uuid: str) -> None:
        with until_reboot.start_permit(uuid):
            self.hypervisor.start(self.domain, step.timeout)

    def _managed_save(self, step: Step, uuid: str) -> None:
        until_reboot.note_save(uuid)
        self.hypervisor.managed_save(self.domain, step.timeout)

    def _define_saved(self, _step: Step, xml: str) -> None:
        self.hypervisor.define_saved(self.domain, xml)

    def _forget_save(self, _step: Step, uuid: str) -> None:
        until_reboot.forget_save(uuid)

    def _destroy(self, _step: Step) -> None:
        self.hypervisor.destroy(self.domain)

    def _add_iothread(self, _step: Step, number: int) -> None:
        self.hypervisor.add_iothread(self.domain, number)

    def _del_iothread(self, _step: Step, number: int) -> None:
        self.hypervisor.del_iothread(self.domain, number)

    # The host

    def _link(self, _step: Step, device: str, up: bool) -> None:
        links.set_link(device, up=up)

    def _bar(self, _step: Step, uuid: str, taps: list[str], passed: list[str]) -> None:
        frames.raise_barrier(uuid, taps, passed)

    def _unbar(self, _step: Step, uuid: str) -> None:
        frames.lower_barrier(uuid)

    def _see_announced(self, step: Step, taps: dict[str, str]) -> None:
        """What comes of it is told, and fails nothing: the guest serves, whoever hears it."""
        self.outcome.watched, self.outcome.unwatched = True, None
        try:
            self.outcome.announced = leaving.watch(taps, step.timeout)
        except ColoError as error:
            self.outcome.unwatched = error.what

    def _release(self, _step: Step, peer: str, ports: list[int]) -> None:
        sockets.release_sockets(peer, ports)

    def _see_answer(self, step: Step, address: str, port: int, credentials: str | None, export: str | None) -> None:
        if export is None:
            mutual_tls.see_server(address, port, credentials, step.timeout)
        else:
            nbd.see_export(address, port, export, credentials, step.timeout)

    def _begin_sums(self, step: Step, **arguments: Any) -> None:
        sums.begin(arguments, step.timeout)

    def _begin_sieve(self, step: Step, **arguments: Any) -> None:
        said, own = os.path.dirname(arguments["socket"]), self.hypervisor.directory(self.domain)
        if said != own:
            raise ColoError(
                f"QEMU says that its monitor is in {said}, and libvirt keeps its sockets in {own}",
                remedy="Look whether this QEMU is what libvirt has started: it may be compromised",
            )
        sieve.begin(arguments, step.timeout)

    def _note_shown(self, _step: Step, uuid: str, certificate: Shown) -> None:
        """That there is no note leaves the start of QEMU to go by."""
        with contextlib.suppress(OSError):
            shown.note(uuid, certificate)

    def _forget_compared(self, _step: Step, uuid: str, target: str) -> None:
        sieve.forget(uuid, target)

    def _end_sieve(self, _step: Step, uuid: str) -> None:
        sieve.end(uuid)

    def _hand_over(
        self,
        step: Step,
        uuid: str,
        address: str,
        port: int,
        token: str,
        images: list[str],
        credentials: str | None = None,
    ) -> None:
        with handover.call(address, port, step.timeout, credentials) as tell:
            self._left = self._settled(images) if images else {}
            qemu_process.kill_emulator(self.domain, uuid, step.timeout)
            tell(token)

    def _settled(self, images: list[str]) -> dict[str, left_images.Stamp]:
        """Have the guest stand still, with all that it has written on both disks, and say how its images are then.

        Nothing where that does not come: its QEMU is ended all the same. A checkpoint may have it go on, once more.
        """
        with contextlib.suppress(ColoError, OSError):
            for _attempt in range(SETTLING):
                self.hypervisor.qmp(self.domain, "stop", {}, deadline=SETTLED_WITHIN)
                if self._ask("query-status")["status"] == SETTLED:
                    lost = self._ask("query-xen-replication-status")["error"]
                    return {} if lost else left_images.stamps(images)
                time.sleep(POLL)
        return {}

    def _note_left(self, _step: Step, uuid: str, generation: int) -> None:
        """That there is no note only costs time later on."""
        with contextlib.suppress(OSError):
            left_images.note(uuid, generation, self._left)

    def _note_writes(self, _step: Step, name: str) -> None:
        """Have QEMU note in a bitmap what is written to each disk that it exports; without one, disks are compared."""
        with contextlib.suppress(ColoError):
            files = self._files()
            for export in self._ask("query-block-exports"):
                node = export["node-name"]
                while node in files and node.startswith("#"):  # a filter of QEMU's replication, which goes with it
                    node = files[node]
                where = {"node": node, "name": name, "granularity": GRANULARITY}
                self.hypervisor.qmp(self.domain, "block-dirty-bitmap-add", where)

    def _end_emulator(self, step: Step, uuid: str) -> None:
        processes.end_emulators(uuid, step.timeout)

    def _see_ended(self, _step: Step, uuid: str) -> None:
        if left := processes.emulators(uuid):
            raise ColoError(
                f"QEMU still runs (process {', '.join(map(str, left))})", remedy="Take the power from this host"
            )

    def _give_way(self, _step: Step, note: HalfNote) -> None:
        half_notes.note(half_notes.GAVE_WAY, self.domain, note)

    def _receive_handover(
        self, step: Step, address: str, port: int, peer: str, host: str, token: str, credentials: str | None = None
    ) -> None:
        handover.wait(address, port, peer, host, token, step.timeout, credentials)

    def _make_directory(self, _step: Step, path: str, owner: str, group: str) -> None:
        host.make_directory(path, owner, group)

    def _mark(self, _step: Step, directory: str, marker: Any) -> None:
        marker_file.write(directory, marker)

    def _remove_home(self, _step: Step, directory: str) -> None:
        marker_file.remove(directory)
        host.remove_directory(directory)

    def _create_image(self, _step: Step, path: str, format: str, size: int, owner: str, group: str) -> None:
        host.create_image(path, format, size, owner, group)

    def _remove(self, _step: Step, path: str) -> None:
        host.remove(path)

    def _isolate(self, _step: Step, devices: list[str]) -> None:
        self._isolated = Isolated()
        for device in devices:
            self._isolated.take(device)

    def _ask_guest(self, _step: Step, devices: dict[str, str], addresses: list[str], seconds: float) -> None:
        self.outcome.answers = self._isolated.ask(devices, addresses, seconds)

    def _check_image(self, step: Step, path: str) -> None:
        wrong = host.check_image(path, step.timeout)
        if wrong:
            self.outcome.damaged[path] = wrong

    # Waits

    def _wait(self, step: Step, until: str, **arguments: Any) -> None:
        if until == "checkpoint":
            self._see_checkpoint(step.timeout)
            return
        reached: Callable[..., str | None] = getattr(self, f"_until_{until}")
        self.hypervisor.watch(self.domain)
        self._moving = Moving()
        begun = time.monotonic()
        while (state := reached(**arguments)) is not None:
            waited = time.monotonic() - begun
            if waited > step.timeout:
                if until in COPYING:
                    raise Unfinished
                remedy = REMEDIES.get(until, REMEDIES.get(state, ""))
                raise Timeout(f"not within {step.timeout:g} s ({state})", remedy=remedy)
            self.hypervisor.events(self.domain, POLL if waited < 1 else SLOW_POLL)

    def _see_checkpoint(self, timeout: float) -> None:
        seen = watch(self.hypervisor, self.domain, timeout, enough=WHOLE_CHECKPOINTS)
        if seen.count < WHOLE_CHECKPOINTS:
            raise Timeout(
                f"no checkpoint was completed within {timeout:g} s, though both sides say colo",
                remedy="The guest's layers or its proxy differ on the two hosts: lockstep.colo.status may say where; "
                "run lockstep.colo.unprotect, then deploy",
            )
        self.outcome.checkpoints = seen

    # Each returns None once it is so, else the present state in words; and raises where it can no longer come.

    def _until_off(self) -> str | None:
        found = self.hypervisor.glimpse(self.domain)
        return f"the domain is {found['state']}" if found and found["state"] not in ("shutoff", "crashed") else None

    def _until_listening(self, address: str, port: int) -> str | None:
        try:
            sockets.see_answer(address, port)
        except ColoError as error:
            return error.what
        return None

    def _ask(self, command: str) -> Any:
        return self.hypervisor.qmp(self.domain, command)

    def _until_migration(self, status: list[str]) -> str | None:
        state = self._ask("query-migrate")
        now = state.get("status", "none")
        if now in status:
            return None
        if PAUSED in status:
            self._see_that_no_disk_failed()
        if now in ("failed", "cancelled", "completed"):
            raise ColoError(
                f"the migration {now}: {state.get('error-desc') or 'QEMU gives no reason'}",
                remedy="See the log of the standby's QEMU in /var/log/libvirt/qemu on the other host",
            )
        return f"migration {now}"

    def _until_sending(self, patience: float) -> str | None:
        """However it goes on. ``patience``: seconds for QEMU to answer, whom the other end may hold."""
        now = self.hypervisor.qmp(self.domain, "query-migrate", deadline=patience).get("status", "none")
        return f"migration {now}" if now in ("none", "setup") else None

    def _see_that_no_disk_failed(self) -> None:
        """On the way into lockstep, where a guest that its disk has stopped would lose its QEMU."""
        if self._ask("query-status")["status"] == STOPPED_BY_A_DISK:
            raise ColoError(
                "a write of the guest to a disk failed meanwhile, which stopped it",
                remedy=AFTER_THAT,
            )

    def _until_alone(self) -> str | None:
        if self._ask("query-migrate").get("status") == "colo":
            return "still in lockstep"
        # QEMU resumes the guest once more at the very end of a migration, after it has said "completed"; the entry for
        # yank goes after that (our measurement, 10.0.13).
        if any(instance["type"] == "migration" for instance in self._ask("query-yank")):
            return "the migration is being ended"
        return None if self._ask("query-status")["running"] else "not running"

    def _until_ready(self, jobs: list[str], speed: int = 0) -> str | None:
        self._see_that_no_disk_failed()
        state = self._until_jobs(jobs, ("ready", "concluded"))
        if state is not None:
            self._moving.see(state, time.monotonic(), speed)
        return state

    def _until_sent(self, jobs: list[str], uuid: str, targets: list[str], speed: int = 0) -> str | None:
        self._see_that_no_disk_failed()
        self._until_jobs(jobs, ("ready",))
        left = {target: noted.left if (noted := sieve.noted(uuid, target)) else None for target in targets}
        if not any(one is None or one for one in left.values()):
            return None
        state = ", ".join(f"{target}: {'?' if one is None else one} bytes left" for target, one in left.items())
        self._moving.see(state, time.monotonic(), speed)
        return state

    def _until_connected(self, names: list[str], peer: str, ports: list[int]) -> str | None:
        found = {item["label"]: item["filename"] for item in self._ask("query-chardev")}
        apart = [name for name in names if found.get(name, DISCONNECTED).startswith(DISCONNECTED)]
        if apart:
            return f"nobody is connected with {', '.join(apart)}"
        closed = [str(port) for port, count in sockets.connections(peer, ports).items() if not count]
        return f"{peer} is not connected over port {', '.join(closed)}" if closed else None

    def _until_concluded(self, jobs: list[str], failed: bool = False) -> str | None:
        return self._until_jobs(jobs, ("concluded",), failed)

    def _until_jobs(self, jobs: list[str], statuses: tuple[str, ...], failed: bool = False) -> str | None:
        found = {job["id"]: job for job in self._ask("query-jobs")}
        for name in jobs:
            if name not in found:
                raise ColoError(f"the job {name} is gone", remedy="Run again")
            job = found[name]
            if job.get("error") and not failed:
                raise ColoError(f"{name} failed: {job['error']}", remedy="Run again, once the cause is mended")
            if job["status"] not in statuses:
                return f"{name} is {job['status']}, {job['current-progress']} of {job['total-progress']} bytes"
        return None

    def _until_committed(self, layers: dict[str, str]) -> str | None:
        """The commit that follows a failover is in no job list; it is over when the layer lies on the disk itself."""
        files = self._files()
        busy = [above for above, overlay in layers.items() if files.get(above) == overlay]
        return f"{', '.join(busy)} still merge" if busy else None

    def _files(self) -> dict[str, str]:
        """Each block node that has a child ``file``, by its name, and which one that is."""
        found = self._ask("x-debug-query-block-graph")
        names = {item["id"]: item["name"] for item in found["nodes"]}
        return {names[edge["parent"]]: names[edge["child"]] for edge in found["edges"] if edge["name"] == "file"}
