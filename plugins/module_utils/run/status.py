# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How it stands with a domain and its pair, as this host can tell it; nothing is changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from ..domain.described import read_anew
from ..errors import ColoError, Timeout
from ..host.checkpoints import watch
from ..host.hypervisor import Hypervisor
from ..lockstep import graph
from ..observation.depth import THOROUGH, UNASKED, Sights
from ..observation.seen import Observation
from ..observe.look import observe
from ..observe.trial import trial as try_to_start
from ..plan.pending import pending
from ..record.wanted import Wanted
from ..verdict import pair, preflight, vhost, wishes
from ..verdict.copies import guest_is_there
from ..verdict.requirements import encryption
from ..verdict.requirements.row import WRONG, Requirement, advice, problems
from . import result
from .goals import Request

CHECKPOINT_PATIENCE = 5.0  # seconds on top of the longest time between two checkpoints
MARGIN = 0.5  # seconds on top of that in which one is due, after which it is known that none came


@dataclass(frozen=True)
class Ask:
    """What is looked at, and what is told of it, besides what libvirt and the host say at once.

    ``depth``: THOROUGH, or UNASKED where QEMU itself is not to be asked. ``watch``: seconds for which checkpoints are
    counted, and a sync is measured; for longer where none came that may still be due.
    ``checkpoint``: of a primary in lockstep, wait for a whole one. ``frames``: watch the guest for those that COLO does
    not compare, where nobody has chosen what to do about them. ``trial``: start a domain like the peer's here, and end
    it at once, where all else that its standby needs is there. ``verdict``: over the pair, where a peer that is None
    could not be reached. ``secrets``: tell the XML with its passwords.
    """

    depth: str = THOROUGH
    watch: float = 0
    checkpoint: bool = False
    frames: bool = False
    trial: bool = False
    verdict: bool = False
    secrets: bool = False


PLAINLY = Ask()


def status(hypervisor: Hypervisor, request: Request, ask: Ask = PLAINLY) -> dict[str, Any]:
    """What was seen, the phase, the problems, and what the host, the domain and the pair must have."""
    wanted, peer = request.wanted, request.peer
    if peer is not None and request.domain:
        peer = read_anew(peer, request.domain)
    sights = wishes.with_accounts(_sights(wanted, peer) if peer else Sights(), wanted)
    look = partial(_look, hypervisor, request, ask.depth)
    seen, rates = look(replace(sights, uncompared=wanted.uncompared if ask.frames else None)), {}
    if ask.watch and seen.monitor:
        seen, rates = _counted(hypervisor, request.domain, seen, ask.watch, lambda: look(sights))
    if ask.checkpoint and not ask.watch:
        seen = _with_checkpoint(hypervisor, request.domain, seen)
    rows = preflight.seen_here(wanted, seen, peer)
    if ask.trial and peer and preflight.worth_a_trial(rows, seen, peer):
        seen = replace(seen, trial=try_to_start(hypervisor, request.domain, peer.domain))
        rows = preflight.seen_here(wanted, seen, peer)
    found = {**_required(wanted, seen, peer, rows), **result.seen(seen, secrets=ask.secrets)}
    for name, rate in rates.items():
        found["sync"][name]["rate"] = rate
    if ask.verdict:
        found |= _judged(wanted, seen, peer)
    if peer:
        found["pending"] = _pending(wanted, seen, peer) if wanted.disks else None
    return found


def _look(hypervisor: Hypervisor, request: Request, depth: str, sights: Sights) -> Observation:
    """What is seen of the domain; without its QEMU where that keeps libvirt waiting, and says so."""
    where = request.domain, request.wanted.directory
    try:
        return observe(hypervisor, *where, depth, sights, host_name=request.host)
    except Timeout as error:  # libvirt's lock of a domain is held while its QEMU hangs
        if depth != THOROUGH:
            raise
        unasked = observe(hypervisor, *where, UNASKED, sights, host_name=request.host)
        return replace(unasked, monitor_problem=error.what)


def _counted(
    hypervisor: Hypervisor, domain: str, before: Observation, seconds: float, look: Callable[[], Observation]
) -> tuple[Observation, dict[str, int]]:
    """What is seen ``seconds`` after ``before``, with the checkpoints meanwhile, and the rate of each sync."""
    began = time.monotonic()
    patience = pair.due_within(before) + MARGIN if _in_lockstep(before) else 0
    try:
        counted = watch(hypervisor, domain, seconds, patience=patience)
    except Timeout:  # the next look says why
        counted = None
    seen = replace(look(), checkpoints=counted)
    return seen, _rates(before, seen, time.monotonic() - began)


def _required(wanted: Wanted, seen: Observation, peer: Observation | None, rows: list[Requirement]) -> dict[str, Any]:
    """What the host, the domain and the pair must have, by the keys of colo_info's result."""
    guest, other = (peer, seen) if peer and guest_is_there(seen, peer) else (seen, peer)
    return {
        "preflight": [asdict(row) for row in rows],
        "advice": advice(rows),
        "vhost": asdict(vhost.of_guest(rows, guest)),
        "encryption": asdict(encryption.of_pair(wanted, guest, other, rows)),
        "unfit": [asdict(one) for one in problems(preflight.of_host(seen.host, wanted.directory, dry=wanted.dry))],
    }


def _judged(wanted: Wanted, seen: Observation, peer: Observation | None) -> dict[str, Any]:
    """The phase and the verdict over the pair, by the keys of colo_info's result."""
    # Whatever deploy would prepare first is no reason for it to refuse.
    unprepared = preflight.seen_here(replace(wanted, dry=True), seen, peer)
    unmet = [row for row in unprepared if row.state == WRONG]
    return {"phase": pair.phase(seen, peer), "verdict": asdict(pair.pair(seen, peer, unmet))}


def _with_checkpoint(hypervisor: Hypervisor, domain: str, seen: Observation) -> Observation:
    """The same, with the checkpoint that was waited for, of a primary that says it is in lockstep."""
    if not _in_lockstep(seen):
        return seen
    try:
        longest = max(seen.record.checkpoint_delay / 1000 + CHECKPOINT_PATIENCE, pair.due_within(seen) + MARGIN)
        return replace(seen, checkpoints=watch(hypervisor, domain, longest, 1))
    except Timeout:  # then none is counted, and whoever needs one waits for longer and says why
        return seen


def _in_lockstep(seen: Observation) -> bool:
    """Whether it is a primary that says so of itself."""
    return seen.record is not None and seen.monitor is not None and seen.monitor.colo == "primary"


def _pending(wanted: Wanted, seen: Observation, peer: Observation) -> list[str] | None:
    """What a deployment would do, where the peer has the guest; None where it would refuse.

    None as well where the domain has passwords that the peer's observation came without: no standby is made of that.
    """
    try:
        return [f"{host}: {step.title}" for host, step in pending(wanted, peer, seen)]
    except ColoError:  # with the rows of the preflight, or when it is tried
        return None


def _sights(wanted: Wanted, peer: Observation) -> Sights:
    """What to look at besides: how far the peer is, and what a standby of its guest would find here."""
    record = peer.record
    address = wanted.peer_address or (record.local.address if record else None)
    there = record is None or record.role != "secondary"
    return replace(wishes.sights(wanted, peer) if there else Sights(), peer_address=address)


def _rates(before: Observation, after: Observation, seconds: float) -> dict[str, int]:
    """Bytes per second of each sync that ran the whole time."""
    if not (before.monitor and after.monitor):
        return {}
    return {
        name: round((job.done - before.monitor.jobs[name].done) / seconds)
        for name, job in after.monitor.jobs.items()
        if name in before.monitor.jobs and graph.is_sync(name)
    }
