# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What two observations, or one and an unreachable peer, come to: the phase of a pair and who holds its guest. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ..lockstep import graph, states
from ..lockstep.states import MIGRATING
from ..observation.seen import Domain, Observation
from . import channels, current, guest, remarks, unreplicated
from .copies import completed, given_away, of_two_domains, outlived, runs_a_guest
from .copies import holder as holder_of
from .hanging import hangs, way_out
from .next import next_playbook
from .problem import Problem
from .requirements.row import Requirement

LOOK_AGAIN = "look again, and at both hosts where it stays so"


@dataclass(frozen=True)
class Verdict:
    """What a pair comes to.

    ``phase`` is one of record.pair.PHASES, or ``unknown`` where no host told anything; ``holder`` the host whose copy
    is the guest's. In plain words: ``problems``, about each of which something is to be done, and ``notes``, which are
    harmless. ``next`` is the playbook that leads on from here; empty where there is nothing to do. ``protected``: it is
    known that the loss of either host costs no write.
    """

    phase: str
    holder: str | None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    next: str = ""
    protected: bool = False


def phase(seen: Observation, peer: Observation | None = None) -> str:
    """The phase of a pair as one of its hosts can tell it; alone, or with what was seen of the other."""
    if seen.domain is None or seen.record is None:
        return "unprotected"
    if not seen.domain.active:
        older = peer is not None and peer.generation > seen.generation
        return "stale" if older or given_away(seen) else "powered_off"
    if seen.record.role == "alone":
        return "failed_over" if guest.runs(seen) and not states.half_taken_over(seen) else "degraded"
    if seen.monitor is None:
        return "degraded"
    return _primary_phase(seen) if seen.record.role == "primary" else _secondary_phase(seen)


def _primary_phase(seen: Observation) -> str:
    monitor = seen.monitor
    copying = any(map(graph.is_sync, monitor.jobs))
    if monitor.migration.status == "colo":
        if monitor.lost_writes:
            return "degraded"
        if not all(states.attached(monitor, disk.target) for disk in seen.record.disks) or not seen.peer_sockets:
            return "degraded"
        if channels.cut(seen) or unreplicated.unreplicated(seen):
            return "degraded"
        if copying:
            return "syncing"
        if unreplicated.passed_by(seen):
            return "degraded"
        return "protected" if monitor.running and not _without_checkpoints(seen) else "stalled"
    if monitor.migration.status in MIGRATING or copying:
        return "syncing"
    return "unprotected"


def _without_checkpoints(seen: Observation) -> bool:
    """Whether checkpoints were watched for, for longer than one may take to come, and none came."""
    watched = seen.checkpoints
    return watched is not None and not watched.count and watched.seconds > due_within(seen)


def _watched_too_briefly(seen: Observation) -> bool:
    """Whether no checkpoint came, and it cannot be told from that whether any comes."""
    watched = seen.checkpoints
    return watched is not None and not watched.count and not _without_checkpoints(seen)


def due_within(seen: Observation) -> float:
    """Seconds in which a pair in lockstep has completed a checkpoint, unless it stands still."""
    return 2 * seen.record.checkpoint_delay / 1000


def _secondary_phase(seen: Observation) -> str:
    monitor = seen.monitor
    if monitor.colo == "secondary":
        hears = not channels.cut(seen) and not any(drift.deaf for drift in states.drifted(seen))
        whole = seen.peer_sockets and hears and not any(current.lacks(seen))
        return "protected" if whole else "degraded"
    if monitor.status == states.INCOMING:
        return "listening"
    return "degraded"


def deserted(holder: Observation, other: Observation | None) -> bool:
    """Whether a primary's clients may be frozen because its standby, which was looked for, has ended."""
    return _ended(other) and _waits(phase(holder), holder)


def _ended(half: Observation | None) -> bool:
    """Whether no guest runs there, as far as anything was seen."""
    return half is not None and not (half.domain and half.domain.active)


def pair(one: Observation | None, another: Observation | None, unmet: Iterable[Requirement] = ()) -> Verdict:
    """The verdict over a pair; None for a host that could not be reached. Which is which the records say.

    ``unmet``: what the hosts have not (any more) of what a pair needs, for which a new standby would be refused.
    """
    verdict = _pair(one, another, unmet)
    return _doubted(verdict, two_domains(one, another).in_a_line) if of_two_domains(one, another) else verdict


def two_domains(here: Observation, there: Observation) -> Problem:
    """That the hosts have two domains of one name, of which neither is the other's half."""
    return Problem(
        f"{there.host.name} has another domain of this name (UUID {there.domain.uuid}) than {here.host.name} (UUID "
        f"{here.domain.uuid})",
        "Rename or undefine the one that is not the guest's; where a host should have the other one, as virsh domuuid "
        "says there, it may be compromised",
    )


def _doubted(verdict: Verdict, words: str) -> Verdict:
    """The same, of which nothing is known to be protected, since ``words``."""
    state = "degraded" if verdict.phase == "protected" else verdict.phase
    return replace(verdict, phase=state, problems=(*verdict.problems, words), next="status", protected=False)


def _pair(one: Observation | None, another: Observation | None, unmet: Iterable[Requirement]) -> Verdict:
    seen = [half for half in (one, another) if half is not None]
    if not seen:
        return Verdict("unknown", None, next="status")
    holder = holder_of(seen)
    if holder is None:
        return _without_holder(seen, len(seen) < 2)
    other = next((one for one in seen if one is not holder), None)
    halves = [holder] if other is None else [holder, other]
    state, doubts = _of_both(holder, other)
    problems = [words for half in halves for words in remarks.problems(half, peer_ended=_ended(other))]
    problems += [*doubts, *_about_the_copies(state, holder, other)]
    of_both = *remarks.different_authorities(halves), *remarks.older_certificates(halves)
    notes = (*(words for half in halves for words in remarks.notes(half)), *of_both)
    leads_on = next_playbook(state, holder, other)
    if phase(holder, other) == "protected" and (_unseen(other) or contradicted(holder, other)):
        leads_on = "status"
    if leads_on == "deploy" and other is not None and unreplicated.keep_out(holder, other):
        leads_on = "unprotect"  # deploy refuses
    if leads_on == "deploy" and _waits(state, holder) and (refused := [row.found for row in unmet]):
        leads_on = "unprotect"
        problems.append(f"a new standby would be refused: {'; '.join(refused)}. unprotect frees the guest")
    if unknown := state == "protected" and _watched_too_briefly(holder):
        leads_on = "status"
        problems.append(
            f"none was completed in {holder.checkpoints.seconds:.0f} s: whether checkpoints are is not known"
        )
    return Verdict(state, holder.host.name, tuple(problems), notes, leads_on, state == "protected" and not unknown)


def _of_both(holder: Observation, other: Observation | None) -> tuple[str, list[str]]:
    """The phase of both halves together, and why it is no better, as far as a look at one half does not say it."""
    state = phase(holder, other)
    if state != "protected":
        without = [_without_standby(other)] if deserted(holder, other) else []
        mute = [f"{holder.host.name}: {way_out(holder, other)[1]}"] if hangs(holder) else []
        return state, [*_standing_still(state, holder), *without, *mute]
    if _unseen(other):
        return "degraded", [_not_looked_at(holder)]
    if words := contradicted(holder, other):
        return "degraded", [words]
    if phase(other) != "protected":
        words = f"the primary is in lockstep, and the standby on {other.host.name} is not: clients may be frozen"
        return "degraded", [words]
    if not completed(other):
        words = (
            f"the standby on {other.host.name} may not be promoted: it is not written down that it has completed a "
            "checkpoint since its last sync; deploy sees to that"
        )
        return "syncing", [words]
    return state, []


def _unseen(other: Observation | None) -> bool:
    """Whether nothing is known of the standby that a primary in lockstep says it has."""
    return other is None or (hangs(other) and not runs_a_guest(other))


def _not_looked_at(holder: Observation) -> str:
    """What is known of a pair of which only the primary has told."""
    here, there, watched = holder.host.name, holder.record.peer.host, holder.checkpoints
    goes_on = f"whether the primary on {here} completes checkpoints with it is not known"
    if watched and watched.count:
        goes_on = f"the primary on {here} completes checkpoints with it"
    return f"the standby on {there} could not be looked at; {goes_on}: see why, and {LOOK_AGAIN}"


def contradicted(holder: Observation, other: Observation) -> str | None:
    """That the other host does not say of itself what a primary in lockstep says of it, in plain words."""
    here, there = holder.host.name, other.host.name
    if runs_a_guest(other):
        says = f"it is none, and {phase(other)}"
    elif phase(other) == "protected" and other.record.generation != holder.record.generation:
        says = f"it is one of generation {other.record.generation}, not {holder.record.generation}"
    else:
        return None
    return (
        f"{here} says that it is in lockstep with a standby on {there}, and {there} that {says}: one of them is wrong, "
        f"or the pair changed between the two looks; {LOOK_AGAIN}"
    )


def held_against(own: Verdict, judge: str, said: Verdict | None) -> Verdict:
    """``own``, of what was seen of both hosts, with what the host ``judge`` adds that ``said`` a verdict on the same.

    Of that no more is believed than what a new standby would be refused for, which it alone has looked at. Where it
    says something else, nothing is known to be protected; None for what is no verdict.
    """
    if said is None or (said.phase, said.holder, said.protected) != (own.phase, own.holder, own.protected):
        theirs, ours = _in_words(said), _in_words(own)
        words = f"{judge} says of both hosts {theirs}, and what each says of itself comes to {ours}: {LOOK_AGAIN}"
        return _doubted(own, words)
    added = [words for words in said.problems if words not in own.problems]
    leads_on = said.next if (own.next, said.next) == ("deploy", "unprotect") else own.next
    return replace(own, problems=(*own.problems, *added), next=leads_on)


def _in_words(verdict: Verdict | None) -> str:
    """A verdict in two words, of which a host may have chosen any."""
    return f"{verdict.phase} ({verdict.holder or 'no host'} has the guest)" if verdict else "nothing that is a verdict"


def _waits(state: str, holder: Observation) -> bool:
    """Whether the guest of a primary waits, or may, for a standby in lockstep."""
    return holder.record.role == "primary" and state in ("degraded", "stalled")


def _standing_still(state: str, holder: Observation) -> Iterator[str]:
    """That the guest of a primary in lockstep does not go on, and by what that was seen."""
    monitor, watched = holder.monitor, holder.checkpoints
    if monitor is None or monitor.migration.status != "colo" or not _waits(state, holder):
        return
    if state == "degraded" and monitor.running:
        return
    seen = f"QEMU says {monitor.status}"
    if watched and not watched.count:
        seen = f"no checkpoint was completed in {watched.seconds:.0f} s"
    yield f"{holder.host.name}: the primary is in lockstep, and stands still ({seen}): clients may be frozen"


def _without_standby(other: Observation) -> str:
    return f"no standby runs on {other.host.name}, and clients may be frozen for that"


def _about_the_copies(state: str, holder: Observation, other: Observation | None) -> Iterator[str]:
    """What an operator should know of the other host's copy."""
    if other is None:
        return
    there = other.host.name
    if state == "protected" and _left_behind(holder.domain, other.domain):
        yield (
            f"what the guest wrote to its UEFI variables has not reached the standby on {there}: after a failover it "
            "starts with the older ones; unprotect and deploy, when it suits you, bring them there"
        )
    if state == "powered_off" and outlived(holder, other):
        yield (
            f"the standby on {there} still has the guest as it ran last: failover serves from there, and it is lost "
            "when that standby ends"
        )
    if state == "unprotected":
        yield from _begun(other)
    if runs_a_guest(other) and runs_a_guest(holder):
        yield f"the guest runs on {there} as well, and two guests answer: end the one whose writes are to be given up"
    elif other.record and other.generation < holder.generation:
        yield (
            f"the copy on {there} is stale (generation {other.generation}, the newest is {holder.generation}); deploy "
            "makes a standby of it"
        )


def _begun(other: Observation) -> Iterator[str]:
    """What a deploy has left that did not come to its end."""
    if other.record is None or other.record.role != "secondary":
        return
    ready = "waits for its guest" if phase(other) == "listening" else "is not whole"
    how = ready if other.domain.active else "does not run"
    yield (
        f"a deploy did not come to its end: {other.host.name} has a standby that {how}; deploy goes on with it, and "
        "unprotect takes it away"
    )


def _left_behind(here: Domain, there: Domain) -> bool:
    """QEMU 10.0 marks no memory as changed when an emulated guest writes to its flash (our measurement)."""
    return here.nvram_digest is not None and here.nvram_digest != there.nvram_digest


def _without_holder(seen: list[Observation], missing: bool) -> Verdict:
    ended = next((one for one in seen if one.record and given_away(one)), None)
    standby = next((one for one in seen if one.record and one is not ended), None)
    known = ended or standby
    if known is None:
        return _of_no_pair(seen, missing)
    told = phase(known, standby if ended else None)
    state = "degraded" if told == "protected" else told
    words = "the primary's host could not be reached" if missing and not ended else "no host has the primary's copy"
    if ended:
        words = f"the guest was handed over by {ended.host.name}, and is not known to have been taken over"
    leads_on = next_playbook(state, ended, standby)
    if missing and told == "protected" and current.hears(known, due_within(known)):
        leads_on = "status"
        words = (
            f"the primary's host could not be looked at; its standby heard from it {current.ago(known.heard.seconds)} "
            f"ago: see why, and {LOOK_AGAIN}"
        )
    problems = (*remarks.problems(known), words)
    return Verdict(state, None, problems, tuple(remarks.notes(known)), leads_on)


def _of_no_pair(seen: list[Observation], missing: bool) -> Verdict:
    """Of a domain of which nothing is written down: it can be protected where it runs on one host."""
    problems, leads_on = [words for half in seen for words in remarks.problems(half)], "deploy"
    known = [half for half in seen if half.domain]
    running = [half.host.name for half in known if half.domain.active]
    if missing:
        problems.append("a host could not be reached")
    elif not known:
        problems.append("no host has a domain of this name: check colo_domain, or define it on one of them")
        leads_on = "status"
    elif not running:
        where = " and ".join(half.host.name for half in known)
        problems.append(f"the domain is off on {where}: start it (virsh start), so that it can be protected")
    elif len(running) > 1:
        problems.append(f"the domain runs on {' and '.join(running)}, and two guests answer: end one of them")
        leads_on = "status"
    return Verdict("unprotected", None, tuple(problems), (), leads_on)
