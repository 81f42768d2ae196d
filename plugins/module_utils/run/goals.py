# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be wanted of a domain on this host, one row for each goal: how it is looked at, decided, and mended.

A front end makes a Request and calls ``reach`` with the name of a goal. It decides nothing itself: not how deep to
look, not whether another run may be ended, not what frees the guest when a step fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from ..domain.described import read_anew
from ..errors import ColoError, Timeout
from ..host.hypervisor import Hypervisor
from ..observation.depth import BRIEF, FREEING, GIVEN_UP, QUICK, SILENT, THOROUGH, Sights
from ..observation.seen import Observation
from ..observe.look import observe
from ..plan import change_sides, describe, drill, give_up, listen, protect, start, survive, vhost
from ..plan.change_sides import Handover
from ..plan.drill import Questions
from ..plan.parts import undo
from ..plan.plan import Plan
from ..record.wanted import Wanted
from ..verdict import copies, current, pair, wishes
from ..verdict import fence as fences
from ..verdict.fence import Fence
from ..verdict.problem import refuse_if
from . import doubt, lacking
from .converge import Rescue, Result, converge
from .doubt import Found, Look
from .session import LOCK_PATIENCE, open_session


@dataclass(frozen=True)
class Request:
    """What is asked of this host. A goal takes of it what it needs.

    ``host``: this host's name in the inventory. ``role``: which half of the pair it is said to have. ``peer``: what was
    seen of the other host; None where it cannot be reached. ``check``: only say what would be done, from ``projected``
    where an earlier run said what it would leave. ``warm``: what was seen of the domain a moment ago by one who has
    kept it in view since, and has no time to look again.
    """

    domain: str
    host: str | None = None
    role: str | None = None
    wanted: Wanted = field(default_factory=Wanted)
    peer: Observation | None = None
    check: bool = False
    projected: Observation | None = None
    fence: Fence | None = None
    i_accept_that_two_guests_may_run: bool = False
    promote_within: int = current.PROMOTE_WITHIN
    handover: Handover | None = None
    unproven: bool = False
    questions: Questions = field(default_factory=Questions)
    warm: Observation | None = None


def _thoroughly(_request: Request, look: Look) -> Callable[[], Observation]:
    return lambda: look(THOROUGH)


def _though_it_hangs(_request: Request, look: Look) -> Callable[[], Observation]:
    return lambda: _seen_at_all(look, THOROUGH)


def _seen_at_all(look: Look, depth: str) -> Observation:
    """Where libvirt waits for a QEMU that hangs, what is told without either."""
    try:
        return look(depth)
    except Timeout as error:
        return replace(look(SILENT), monitor_problem=error.what)


def _clients_first(request: Request, look: Look) -> Callable[[], Observation]:
    """First without asking QEMU, which may be waiting for the dead; then what a promotion has to know; then all.

    In check mode no connection is reset, and QEMU is asked with a deadline. At a handover nobody is dead.
    """
    depths = [] if request.check or request.warm else [BRIEF] if request.handover else [SILENT, BRIEF]
    warm = [request.warm] if request.warm else []

    def next_look() -> Observation:
        if warm:
            return warm.pop()
        depth = depths.pop(0) if depths else QUICK
        seen = look(depth)
        if depth != SILENT:
            return seen
        if seen.record is None or seen.record.role != "secondary":
            depths.clear()
        return seen if seen.peer_sockets else next_look()

    return next_look


def _silently(request: Request, look: Look) -> Callable[[], Observation]:
    """Of a QEMU that has ended, or hangs: what libvirt tells without it, and the record.

    For what was seen a moment ago there is no second look, since the other host waits for the end of this run: so its
    ``after`` is what was seen before it. The watcher reads the record and its note again before it says what became.
    """
    return lambda: request.warm or look(SILENT)


def _without_qemu(_request: Request, look: Look) -> Callable[[], Observation]:
    """A QEMU that may hang is asked one thing at most, and libvirt nothing that waits for it; after its end, all."""

    def next_look() -> Observation:
        seen = look(GIVEN_UP)
        return seen if seen.domain and seen.domain.active else look(QUICK)

    return next_look


def _nothing(_request: Request) -> Sights:
    return Sights()


def _standbys_place(request: Request) -> Sights:
    sights = wishes.sights(request.wanted, request.peer) if request.peer else Sights()
    return wishes.with_accounts(sights, request.wanted)


def _guests_place(request: Request) -> Sights:
    return wishes.with_accounts(Sights(uncompared=request.wanted.uncompared), request.wanted)


def _never(_request: Request) -> bool:
    return False


def _is_urgent(request: Request) -> bool:
    """Whether another run may be ended: to kill it and then refuse would leave its work half done."""
    return request.handover is None and fences.urgent(request.fence, request.i_accept_that_two_guests_may_run)


def _always(_request: Request) -> bool:
    return True


def _grounds(request: Request) -> tuple[Fence | None, bool, Observation | None, int]:
    return request.fence, request.i_accept_that_two_guests_may_run, request.peer, request.promote_within


def _survive(request: Request, seen: Observation) -> Plan:
    if request.handover and seen.record and seen.record.role == "secondary":
        return change_sides.take_over(seen, request.handover)
    return survive.failover(seen, *_grounds(request))


def _no_doubt(_request: Request, _look: Look) -> Found:
    return Found()


def _doubt_fence(request: Request, look: Look) -> Found:
    return doubt.of_fence(look, *_grounds(request)) if _is_urgent(request) else Found()


def _refuse_first(request: Request, look: Look) -> Found:
    give_up.give_up(_without_qemu(request, look)(), request.peer)
    return Found()


@dataclass(frozen=True)
class Goal:
    """``role``: whose host it is for; None: either. ``needs_peer``: whether the other host must have been seen.

    ``looks`` makes the looks of one run, ``sights`` what each is to see besides the domain; ``rescue`` frees the guest
    when a step has failed; ``urgent`` says whether another run on the domain is ended rather than waited for. ``first``
    looks before that, and may refuse; what it has found is added to the later looks.
    """

    decide: Callable[[Request, Observation], Plan]
    role: str | None = None
    needs_peer: bool = True
    looks: Callable[[Request, Look], Callable[[], Observation]] = _thoroughly
    sights: Callable[[Request], Sights] = _nothing
    rescue: Rescue | None = None
    urgent: Callable[[Request], bool] = _never
    first: Callable[[Request, Look], Found] = _no_doubt


GOALS: Mapping[str, Goal] = MappingProxyType(
    {
        "described primary": Goal(
            lambda asked, seen: describe.primary(asked.wanted, seen, asked.peer), sights=_guests_place
        ),
        "described secondary": Goal(
            lambda asked, seen: describe.secondary(asked.wanted, seen, asked.peer), sights=_standbys_place
        ),
        "plain primary": Goal(lambda asked, seen: describe.plain("primary", seen, asked.peer), needs_peer=False),
        "plain secondary": Goal(
            lambda asked, seen: describe.plain("secondary", seen, asked.peer), needs_peer=False, sights=_standbys_place
        ),
        "present primary": Goal(
            lambda asked, seen: protect.primary(asked.wanted, seen, asked.peer), rescue=undo.rescue_from_entering
        ),
        "present secondary": Goal(lambda asked, seen: listen.secondary(asked.wanted, seen, asked.peer)),
        "absent": Goal(
            lambda asked, seen: undo.absent(seen, asked.peer), needs_peer=False, looks=_though_it_hangs,
            rescue=undo.rescue_from_undoing,
        ),
        "started": Goal(
            lambda asked, seen: start.start(seen, asked.peer, asked.unproven), role="primary", needs_peer=False
        ),
        "handed_over": Goal(
            lambda asked, seen: change_sides.hand_over(seen, asked.peer, asked.handover),
            role="primary",
            rescue=change_sides.keep,
        ),
        "expendable": Goal(
            lambda asked, seen: listen.expendable(seen, asked.peer), role="secondary", needs_peer=False,
            looks=_though_it_hangs,
        ),
        "without_vhost": Goal(
            lambda _asked, seen: vhost.save_and_restore(seen), role="primary", needs_peer=False, rescue=vhost.rescue
        ),
        "surviving": Goal(
            _survive, needs_peer=False, looks=_clients_first, rescue=survive.rescue, urgent=_is_urgent,
            first=_doubt_fence,
        ),
        "given_up": Goal(
            lambda asked, seen: give_up.give_up(seen, asked.peer), looks=_without_qemu, urgent=_always,
            first=_refuse_first,
        ),
        "given_way": Goal(lambda _asked, seen: give_up.give_way(seen), needs_peer=False, looks=_silently),
        "ended": Goal(lambda _asked, seen: give_up.give_way(seen, end=True), needs_peer=False, looks=_silently),
        "drilled": Goal(lambda asked, seen: drill.drill(seen, asked.peer, asked.questions)),
    }
)  # fmt: skip


def reach(
    name: str,
    request: Request,
    *,
    uri: str,
    owner: str,
    ended: Callable[[str], None] = lambda _other: None,
    patience: float = LOCK_PATIENCE,
    hypervisor: Hypervisor | None = None,
) -> Result:
    """Bring the domain to the goal of this name, alone at it; in check mode only say how.

    ``uri``: libvirt's; ``hypervisor``: one that is connected with it already. ``owner``: this run in words, for others
    that wait for it; ``ended`` is told those of a run that was ended for this one, and ``patience`` is seconds to wait
    for one that is not. Raises one of result.FAILURES.
    """
    goal = GOALS[name]
    if goal.role and request.role not in (None, goal.role):
        raise ColoError(f"a {request.role} cannot be {name}", remedy=f"State role {goal.role}, on its host")
    if goal.needs_peer and request.peer is None:
        raise ColoError(
            "the other host is unreachable", remedy="Bring it back first; after a loss, run lockstep.colo.failover"
        )
    if request.peer is not None:
        request = replace(request, peer=read_anew(request.peer, request.domain))
    urgent, found = goal.urgent(request), []

    def first(hypervisor: Hypervisor) -> None:
        found.append(goal.first(request, _look(goal, request, hypervisor)))

    session = open_session(
        uri, request.domain, None if request.check else owner, urgent=urgent, ended=ended, first=first,
        patience=patience, connected=hypervisor,
    )  # fmt: skip
    with session as connected:
        return run(goal, request, connected, *found)


def _look(goal: Goal, request: Request, hypervisor: Hypervisor) -> Look:
    sights = goal.sights(request)

    def look(depth: str) -> Observation:
        if request.check and request.projected is not None:
            return request.projected
        where = request.domain, request.wanted.directory
        seen = lacking.settled(observe(hypervisor, *where, depth, sights, host_name=request.host))
        if not request.check:
            lacking.note(seen)
        return seen

    return look


def run(goal: Goal, request: Request, hypervisor: Hypervisor, found: Found | None = None) -> Result:
    """As ``reach``, for one that has a session with ``hypervisor``, and has ``found`` something first."""
    found = found or Found()
    look = _look(goal, request, hypervisor)
    return converge(
        hypervisor,
        request.domain,
        goal.looks(request, lambda depth: found.add_to(look(depth))),
        lambda seen: _decided(goal, request, seen),
        check=request.check,
        rescue=goal.rescue,
        look_to_free=lambda: _to_free(look),
        began=found.began,
    )


def _decided(goal: Goal, request: Request, seen: Observation) -> Plan:
    """The goal's plan, with a peer that is the other half of the same domain. What the goal itself has to say against
    it comes first: a preflight tells all that is wrong at once."""
    plan = goal.decide(request, seen)
    if copies.of_two_domains(seen, request.peer):
        refuse_if([pair.two_domains(seen, request.peer)])
    return plan


def _to_free(look: Look) -> Observation:
    """What a rescue has to know, and nothing more, of which the seeing could fail. The connections may be what a QEMU
    hangs on."""
    return _seen_at_all(look, FREEING)
