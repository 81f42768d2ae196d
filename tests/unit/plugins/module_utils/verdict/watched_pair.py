# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hosts with a pair, their watchers, what is between them and what people do: a model with the real decisions.

What is real: what a watcher says and believes (verdict.word), what it decides (verdict.vigil), the proof without which
the core promotes nothing (verdict.fence), and what a note makes of a record (record.half_notes). The rest is the least
of QEMU, libvirt and playbooks that these can be held against.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ansible_collections.lockstep.colo.plugins.module_utils.observation.word import Half, Speech
from ansible_collections.lockstep.colo.plugins.module_utils.record.half_notes import HalfNote, as_given_up, with_note
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import Record
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import fence, vigil, word
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

SEEN = {"kvm1": recorded("protected-primary"), "kvm2": recorded("protected-secondary")}
UUID = SEEN["kvm1"].domain.uuid
OTHER = {"kvm1": "kvm2", "kvm2": "kvm1"}
MACHINES = {host: SEEN[host].host.machine_id for host in SEEN}


@dataclass
class Qemu:
    """A process. ``connected`` is with the other QEMU of the lockstep; ``writes`` of the guest that its disk has."""

    name: str
    writes: int
    lockstep: bool = False
    answers: bool = True
    lacks: bool = False


@dataclass
class Host:
    name: str
    record: Record
    writes: int = 0  # that its disk has
    qemu: Qemu | None = None
    ended_by: str | None = None
    note: HalfNote | None = None
    lacks: HalfNote | None = None
    guarded: bool = True
    boot: int = 0
    # What its watcher remembers
    half: Half | None = None
    said: word.Word | None = None
    before: Half | None = None
    ear: word.Ear = field(default_factory=lambda: word.Ear(frozenset(), ""))
    last: word.Last = field(default_factory=word.Last)
    runs: int = 0  # that have worked on the domain here
    quiet: tuple[int, float] = (-1, 0.0)  # the runs that its watcher knows of, and since when


class World:
    """Every method is something that may happen. ``served`` counts the promotions that the watchers made."""

    def __init__(self) -> None:
        self.count = 0
        self.hosts = {name: Host(name, SEEN[name].record) for name in SEEN}
        self.acknowledged = 0
        self.link = self.ring = True
        self.log: list[tuple[str, Speech]] = []
        self.served = 0
        self.wrong: list[str] = []
        for name, host in self.hosts.items():
            self._forget(name)
            host.qemu = Qemu(self._new(), 0, lockstep=True)

    def _new(self) -> str:
        self.count += 1
        return str(self.count)

    def record(self, name: str) -> Record:
        host = self.hosts[name]
        return with_note(host.record, UUID, host.note)

    def _write(self, name: str, record: Record) -> None:
        """As a step of a run does: what was noted has been taken in."""
        self.hosts[name].record, self.hosts[name].note = record, None
        self.hosts[name].runs += 1

    # The guest and QEMU

    def in_lockstep(self) -> bool:
        one, two = (self.hosts[name].qemu for name in self.hosts)
        return one is not None and two is not None and one.lockstep and two.lockstep

    def connected(self) -> bool:
        return self.link and self.in_lockstep()

    def write(self, lost: bool) -> None:
        """The guest writes, and a client is told. In lockstep it is told only what the standby has as well."""
        for name, host in self.hosts.items():
            qemu, role = host.qemu, self.record(name).role
            if qemu is None or not qemu.answers or role == "secondary":
                continue
            if qemu.lockstep:
                other = self.hosts[OTHER[name]].qemu
                if not self.connected() or not other.answers:
                    continue  # its answers are held back
                if lost or qemu.lacks:
                    qemu.lacks = True
                else:
                    other.writes += 1
            qemu.writes += 1
            self.acknowledged = max(self.acknowledged, qemu.writes)

    def end(self, name: str, by: str) -> None:
        host = self.hosts[name]
        if host.qemu is None:
            return
        if self.record(name).role != "secondary":  # the memory of a standby goes with it
            host.writes = host.qemu.writes
        host.qemu, host.ended_by = None, by
        if by == "shutdown" and self.record(name).role == "primary" and self.hosts[OTHER[name]].qemu:
            self.hosts[OTHER[name]].qemu.lockstep = True

    def hang(self, name: str, hangs: bool) -> None:
        if self.hosts[name].qemu:
            self.hosts[name].qemu.answers = not hangs

    # The watchers

    def _forget(self, name: str) -> None:
        """A watcher begins anew: it remembers nothing, and the other host has to connect anew."""
        host = self.hosts[name]
        host.half = host.said = host.before = None
        host.ear = self._ear(name)
        host.last, host.quiet = word.Last(), (-1, 0.0)

    restart = _forget

    def reboot(self, name: str) -> None:
        self.end(name, "unknown")
        self.hosts[name].boot += 1
        self._forget(name)
        self._forget_connection(OTHER[name])

    def _ear(self, name: str) -> word.Ear:
        return word.Ear(frozenset({OTHER[name]}), self._new(), float(self.count))

    def _forget_connection(self, name: str) -> None:
        self.hosts[name].ear = self._ear(name)

    def _see_runs(self, name: str) -> None:
        host = self.hosts[name]
        if host.runs != host.quiet[0]:
            self.count += 1
            host.quiet = host.runs, float(self.count)

    def look(self, name: str) -> None:
        """As the keeper does."""
        self._see_runs(name)
        host, record = self.hosts[name], self.record(name)
        qemu = host.qemu
        if qemu and record.role == "primary" and qemu.lockstep and qemu.answers:
            host.lacks = HalfNote(UUID, record.generation, "primary") if qemu.lacks else None
        before = host.half.process if host.half else ""
        host.half = Half(
            uuid=UUID,
            machine_id=MACHINES[name],
            generation=record.generation,
            role=record.role,
            process=qemu.name if qemu else before,
            running=qemu is not None,
            answers=qemu is not None and qemu.answers,
            lockstep=qemu is not None and qemu.lockstep,
            complete=record.role == "secondary" and record.complete == record.generation,
            gave_way=host.guarded and qemu is None and record.role != "alone" and as_given_up(record) == record,
            lacks=record.role == "primary" and host.lacks is not None and host.lacks.generation == record.generation,
        )

    def speech(self, name: str) -> Speech | None:
        host = self.hosts[name]
        if host.half is None or (host.half.gave_way and host.qemu is not None):
            return None
        nonce = self.hosts[OTHER[name]].ear.nonce
        self.count += 1
        return Speech(MACHINES[name], f"boot {host.boot}", self.count, nonce, (host.half,))

    def speak(self, name: str) -> None:
        said = self.speech(name)
        if said and self.ring:
            self.log.append((OTHER[name], said))
            self.hear(OTHER[name], said)

    def hear(self, name: str, said: Speech) -> bool:
        """Whether it was believed."""
        host = self.hosts[name]
        if word.disbelieved(host.ear, said):
            self._forget_connection(name)
            return False
        asked, host.ear = host.ear.asked, word.once_heard(host.ear, said, self._new(), float(self.count))
        if word.is_old(host.last, said):
            return False
        host.last = word.Last(said.boot_id, said.number)
        half = word.half_for(host.record, UUID, host.ear.names, said)
        if half:
            host.said = word.Word(half, asked, float(self.count))
            if half.lockstep and half.running and half.process:
                host.before = half
        return half is not None

    def silence(self, name: str) -> None:
        """What was heard is too long ago."""
        self.hosts[name].said = None

    def replay(self, at: int) -> None:
        """Somebody says again what was said, over a connection of its own or another's."""
        if self.log:
            name, said = self.log[at % len(self.log)]
            if said.nonce != self.hosts[name].ear.nonce and self.hear(name, said):
                self.wrong.append("a repeated speech was believed")

    def forge(self, name: str) -> None:
        """A host with a certificate of the same authority speaks for another."""
        host = self.hosts[name]
        half = Half(UUID, MACHINES[OTHER[name]], host.record.generation, self.record(OTHER[name]).role, gave_way=True)
        said = Speech(MACHINES[OTHER[name]], f"boot {self.hosts[OTHER[name]].boot}", 10**9, host.ear.nonce, (half,))
        if word.half_for(host.record, UUID, frozenset({"kvm9"}), said):
            self.wrong.append("another host's word was believed")

    def parted(self) -> bool:
        return not self.connected()

    def act(self, name: str) -> str:
        """One decision, carried out."""
        host = self.hosts[name]
        if host.half is None:
            return vigil.REST
        self._see_runs(name)
        theirs = self._still_said(name)
        parted = theirs is not None and self.parted()
        mine = vigil.Mine(host.half, host.guarded, parted, host.ended_by if host.qemu is None else None)
        decision = vigil.decide(mine, theirs, host.before)
        getattr(self, f"_{decision.action}")(name)
        self.look(name)
        return decision.action

    def _still_said(self, name: str) -> Half | None:
        """No time passes here but by silence."""
        host = self.hosts[name]
        return word.still_said(host.said, host.said.heard, host.quiet[1]) if host.said else None

    def _rest(self, _name: str) -> None:
        pass

    def _give_way(self, name: str) -> None:
        record = self.record(name)
        if self.hosts[name].qemu is None and record.role != "alone":
            self.hosts[name].note = HalfNote(UUID, record.generation, record.role)

    def _end(self, name: str) -> None:
        self.end(name, "crashed")
        self._give_way(name)

    def _expend(self, name: str) -> None:
        self._write(name, replace(self.record(name), complete=None))

    def _serve(self, name: str) -> None:
        host, record = self.hosts[name], self.record(name)
        told = fence.Fence(record.peer.host, ground=fence.TOLD, told=self._still_said(name))
        seen = SEEN[name]
        sockets = seen.peer_sockets if self.connected() else ()
        domain = replace(seen.domain, record=record)
        seen = replace(seen, domain=domain, marker=None, peer_sockets=sockets, stuck_sockets=())
        refused = list(fence.objections(seen, told, None))
        complete = record.role != "secondary" or record.complete == record.generation
        if refused or not complete or host.qemu is None or not host.qemu.lockstep:
            return
        self.served += 1
        if self.hosts[OTHER[name]].qemu is not None:
            self.wrong.append(f"{name} served beside {OTHER[name]}")
        if host.qemu.writes < self.acknowledged and not self._unnoticed(OTHER[name]):
            self.wrong.append(f"{name} served without writes that clients were told of")
        self._alone(name)

    def _unnoticed(self, primary: str) -> bool:
        """Whether the primary's QEMU ended before its watcher could see that a write was lost: nobody knows then."""
        host = self.hosts[primary]
        return host.lacks is None and host.writes > self.hosts[OTHER[primary]].qemu.writes

    def _alone(self, name: str) -> None:
        record, qemu = self.record(name), self.hosts[name].qemu
        alone = replace(record, role="alone", generation=record.generation + 1, complete=None, handed_over=False)
        self._write(name, alone)
        qemu.lockstep = qemu.lacks = False

    # People, who see both hosts

    def _newest(self) -> str:
        return max(self.hosts, key=lambda name: (self.record(name).generation, self.record(name).role != "secondary"))

    def deploy(self) -> None:
        """From a guest that runs, and holds the newest copy: its other host is a standby anew."""
        name = self._newest()
        here, there = self.hosts[name], self.hosts[OTHER[name]]
        runs = here.qemu is not None and here.qemu.answers and self.record(name).role != "secondary"
        healthy = self.connected() and there.qemu.answers and not here.qemu.lacks if runs and there.qemu else False
        if not runs or healthy or not self.link or (there.qemu and self.record(OTHER[name]).role != "secondary"):
            return
        if here.qemu.lockstep and there.qemu and self.record(OTHER[name]).complete is not None and not here.qemu.lacks:
            return  # a lockstep that hangs: nobody's copy is thrown away
        generation = self.record(name).generation
        self._write(name, replace(SEEN["kvm1"].record, **self._ends(name), generation=generation, role="primary"))
        standby = replace(
            SEEN["kvm2"].record, **self._ends(OTHER[name]), generation=generation, role="secondary", complete=generation
        )
        self._write(OTHER[name], standby)
        here.qemu.lockstep, here.qemu.lacks = True, False
        there.qemu = Qemu(self._new(), here.qemu.writes, lockstep=True)

    def _ends(self, name: str) -> dict[str, object]:
        return {"local": SEEN[name].record.local, "peer": SEEN[name].record.peer}

    def start(self) -> None:
        """The playbook: the newest copy where no guest runs, once the standby may not be promoted any more."""
        name = self._newest()
        here, there = self.hosts[name], self.hosts[OTHER[name]]
        record, other = self.record(name), self.record(OTHER[name])
        if here.qemu or record.role == "secondary" or (there.qemu and other.role != "secondary"):
            return
        if there.qemu and other.complete is not None and here.ended_by != "shutdown":
            return  # it has the guest as it ran last
        if record.handed_over and there.qemu:
            return
        if other.role == "secondary":
            self._write(OTHER[name], replace(other, complete=None))
        self._write(name, replace(record, handed_over=False))
        here.qemu = Qemu(self._new(), here.writes)
        self.acknowledged = here.writes if here.ended_by == "shutdown" else self.acknowledged

    def unprotect(self) -> None:
        """As far as it is of interest: the standby is given up first, then the guest goes on alone."""
        name = self._newest()
        if self.hosts[name].qemu and self.record(name).role == "primary" and self.hosts[name].qemu.answers:
            other = self.record(OTHER[name])
            if other.role == "secondary":
                self._write(OTHER[name], replace(other, complete=None))
            self.hosts[name].qemu.lockstep = self.hosts[name].qemu.lacks = False
            self.hosts[name].runs += 1
            self.end(OTHER[name], "destroyed")

    def failover(self, name: str) -> None:
        """A person has taken the power from the other host."""
        self.reboot(OTHER[name])
        host, record = self.hosts[name], self.record(name)
        if host.qemu is None or not host.qemu.lockstep or record.role == "alone":
            return
        if record.role == "primary" or record.complete == record.generation:
            self._alone(name)
            self.acknowledged = min(self.acknowledged, host.qemu.writes) if host.lacks else self.acknowledged

    # What must be true

    def check(self) -> None:
        assert not self.wrong, self.wrong
        guests = [name for name, host in self.hosts.items() if host.qemu and self.record(name).role != "secondary"]
        assert len(guests) < 2, "two guests run"
