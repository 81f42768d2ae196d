# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a playbook does next with a pair, in words: all that the roles branch on. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..lockstep import states
from ..observation.seen import Observation
from ..record.pair import OFF, REQUIRED
from . import guest, preflight
from .copies import given_away, guests_host
from .hanging import hangs
from .pair import deserted, pair, phase
from .problem import Problem
from .requirements.encryption import Encryption, keeps_apart
from .requirements.row import problems
from .vhost import Vhost

FINISH = "finish"  # see a failover to the holder that was begun to its end
REFUSE_TO_PART = "refuse_to_part"  # say what keeps the pair from being formed again, before it is taken apart
DRILL = "drill"  # try the standby out
CHANGE_SIDES = "change_sides"  # have the guest go on at the standby's host
TAKE_OVER = "take_over"  # of that no more than the standby's part: the guest has ended at the holder for it
RESUME = "resume"  # have a guest go on that stands still since a run was cut off
EXPEND = "expend"  # end a standby that does not answer, of a guest that can be freed from it
FREE = "free"  # have a guest go on alone whose standby has ended, or does not answer
REFUSE_RENEWAL = "refuse_renewal"  # say what keeps the pair from being formed anew
RENEW = "renew"  # form the pair anew, with TLS
REFUSE_VHOST = "refuse_vhost"  # say what is wrong besides, before the guest stands still to be taken off vhost
TAKE_OFF_VHOST = "take_off_vhost"  # save the guest, and restore it without vhost
READ_PASSWORDS = "read_passwords"  # look at the guest's domain with its passwords, which its standby is to have as well
DEPLOY = "deploy"  # bring both hosts together; not where it was seen that nothing is left to do
UNPROTECT = "unprotect"  # make the domain an ordinary one
OUTDATE = "outdate"  # keep a standby from being promoted that a start would leave behind
START = "start"  # start the domain
FAILOVER = "failover"  # serve from the host that answers

_PROTECT = (RESUME, EXPEND, FREE, REFUSE_RENEWAL, RENEW, REFUSE_VHOST, TAKE_OFF_VHOST, READ_PASSWORDS, DEPLOY)

# By the playbook: what it may have to do, in its order. Its own work has its name, but that of switchover.
COURSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "deploy": (FINISH, *_PROTECT),
        "drill": (FINISH, REFUSE_TO_PART, DRILL, *_PROTECT),
        "failover": (FAILOVER,),
        "start": (OUTDATE, START),
        "status": (),
        "switchover": (FINISH, REFUSE_TO_PART, CHANGE_SIDES, TAKE_OVER, *_PROTECT),
        "unprotect": (FINISH, REFUSE_TO_PART, CHANGE_SIDES, TAKE_OVER, UNPROTECT),
    }
)


@dataclass(frozen=True)
class Chosen:
    """What the operator has chosen, as the options of the role ``pair`` have it.

    ``guest_host`` is where the guest shall be, empty where nothing is said of that; ``tls_renew``: a pair with less TLS
    than is wanted is formed anew; ``vhost``: ``save_and_restore``, or ``refuse`` a guest that uses it. ``tls``: which
    channels of a pair have TLS that is formed from now on.
    """

    guest_host: str = ""
    tls_renew: bool = False
    vhost: str = "refuse"
    tls: str = REQUIRED


NOTHING = Chosen()


@dataclass(frozen=True)
class Held:
    """What colo_info returned that held both hosts against what is wanted of their pair.

    ``pending`` is every step that is left; None where that is not known.
    """

    pending: tuple[str, ...] | None
    encryption: Encryption
    vhost: Vhost


@dataclass(frozen=True)
class Course:
    """``holder`` is the host whose copy is the guest's, or would be the one that the other's is made from.

    ``standby`` is the other. ``next`` is what the playbook does now, in its order: words of COURSES. ``answered`` are
    those of the two of which something was seen, the holder first, and ``silent`` the others; ``unclear``, of these
    those that answered all the same. ``kept_by``: where the pair is not to be taken apart, why it could not be formed
    again.
    """

    holder: str
    standby: str
    next: tuple[str, ...] = ()
    answered: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    kept_by: tuple[str, ...] = ()
    unclear: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """A pair as it is before a playbook goes on. What was not seen is None: of a host, or of what both come to."""

    playbook: str
    names: tuple[str, str]  # the holder's, and the standby's
    holder: Observation | None
    standby: Observation | None
    held: Held | None = None
    chosen: Chosen = NOTHING
    unclear: tuple[str, ...] = ()  # hosts that answered, and could not be looked at


def course(
    playbook: str,
    names: tuple[str, str],
    seen: tuple[Observation | None, Observation | None],
    held: tuple[Held | None, Held | None] = (None, None),
    chosen: Chosen = NOTHING,
    unclear: tuple[str, ...] = (),
) -> Course:
    """Of the two hosts of a pair, by their ``names``: what was seen of each, and what it said of both together.

    Of that the standby's host counts. None stands for what was not seen. ``playbook`` is one of COURSES. ``unclear``
    are hosts of which nothing was seen, though they answered: nobody takes one for lost unasked.
    """
    here = guests_host(*seen)
    there = 1 - here
    case = Case(playbook, (names[here], names[there]), seen[here], seen[there], held[there], chosen, unclear)
    answered = tuple(names[which] for which in (here, there) if seen[which] is not None)
    silent = tuple(name for name in case.names if name not in answered)
    words = tuple(word for word in COURSES[playbook] if _IS_NEXT[word](case))
    return Course(*case.names, words, answered, silent, tuple(map(str, _keeps_together(case))), unclear)


def _always(_case: Case) -> bool:
    return True


def _known(case: Case) -> bool:
    """Whether a copy is there of which something is written down."""
    return case.holder is not None and case.holder.domain is not None and case.holder.record is not None


def _alone(case: Case) -> bool:
    """Whether the holder's copy is that of a survivor, in no pair since a failover."""
    return _known(case) and case.holder.record.role == "alone"


def _is_to_be_finished(case: Case) -> bool:
    """Of a guest that stands still, and is otherwise done, nothing is left that a run could do."""
    if not _alone(case) or not case.holder.domain.active:
        return False
    left = states.is_up(case.holder) or states.half_taken_over(case.holder)
    return left or guest.still(case.holder) is None


def _is_to_be_drilled(case: Case) -> bool:
    """A standby that is on the network would answer beside the guest, and the drill refuse half-way."""
    if not pair(case.holder, case.standby).protected:
        return False
    return not any(nic.tap_up for nic in case.standby.domain.nics)


def _keeps_together(case: Case) -> list[Problem]:
    """Why a pair that is whole could not be formed again, where the playbook would take it apart for a while.

    Where sides are changed, its hosts say so to each other with certificates as well. Of a guest that has ended at the
    holder already, nothing is left to keep.
    """
    if case.standby is None or not _known(case) or pair(case.holder, case.standby).phase != "protected":
        return []
    moves = case.playbook in ("switchover", "unprotect") and _moves(case)
    if not moves and case.playbook != "drill":
        return []
    said = moves and case.holder.record.tls != OFF
    if case.playbook == "unprotect":  # nothing is formed after it
        return keeps_apart(case.holder, case.standby, needed=said)
    runs_on, anew = (case.standby, case.holder) if moves else (case.holder, case.standby)
    return [
        *keeps_apart(case.holder, case.standby, needed=said or case.chosen.tls != OFF),
        *problems(preflight.of_next(case.chosen.tls, runs_on, anew)),
    ]


def _is_not_to_be_parted(case: Case) -> bool:
    return bool(_keeps_together(case))


def _moves(case: Case) -> bool:
    """A guest that runs alone came here by a change of sides that was cut off, or by a failover: it stays."""
    if case.chosen.guest_host:
        return case.chosen.guest_host != case.names[0]
    return case.playbook == "switchover" and not _alone(case)


def _is_given_away(case: Case) -> bool:
    return _moves(case) and _known(case) and given_away(case.holder)


def _stands_still(case: Case) -> bool:
    """Where its standby waits for it, the guest can go on before all is looked at again."""
    if not _known(case) or case.standby is None or phase(case.standby) != "listening":
        return False
    stopped = case.holder.monitor is not None and not case.holder.monitor.running
    return stopped and phase(case.holder) in ("unprotected", "syncing")


def _has_a_mute_standby(case: Case) -> bool:
    """Of a primary that answers. One in lockstep may complete checkpoints with it all the same."""
    if not _known(case) or case.holder.record.role != "primary" or case.holder.monitor is None:
        return False
    standby = case.standby
    mute = standby is not None and standby.record is not None and standby.record.role == "secondary" and hangs(standby)
    return mute and phase(case.holder) != "protected"


def _is_to_be_freed(case: Case) -> bool:
    return _known(case) and (deserted(case.holder, case.standby) or _has_a_mute_standby(case))


def _outdates(case: Case) -> bool:
    """Whether the guest is off at the holder, and its standby still runs."""
    if not _known(case) or case.standby is None or case.standby.record is None:
        return False
    up = case.standby.record.role == "secondary" and case.standby.domain.active
    return up and not case.holder.domain.active


def _is_renewed(case: Case) -> bool:
    return case.chosen.tls_renew and case.held is not None and case.held.encryption.in_clear


def _renewal_is_refused(case: Case) -> bool:
    return _is_renewed(case) and bool(case.held.encryption.besides)


def _is_taken_off_vhost(case: Case) -> bool:
    return case.chosen.vhost == "save_and_restore" and case.held is not None and case.held.vhost.used


def _vhost_is_refused(case: Case) -> bool:
    return _is_taken_off_vhost(case) and bool(case.held.vhost.besides)


def _is_unsettled(case: Case) -> bool:
    return case.held is None or case.held.pending != () or _is_to_be_finished(case)


def _lacks_passwords(case: Case) -> bool:
    """Without them nothing can be said of what is left to do: the standby may have others, or none."""
    return _known(case) and case.holder.domain.redacted and _is_unsettled(case)


def _one_is_lost(case: Case) -> bool:
    """Which of two is to be given up, where both answer or neither, is not for a playbook to guess."""
    return (case.holder is None) != (case.standby is None) and not case.unclear


_IS_NEXT: Mapping[str, Callable[[Case], bool]] = MappingProxyType(
    {
        FINISH: _is_to_be_finished,
        REFUSE_TO_PART: _is_not_to_be_parted,
        DRILL: _is_to_be_drilled,
        CHANGE_SIDES: _moves,
        TAKE_OVER: _is_given_away,
        RESUME: _stands_still,
        EXPEND: _has_a_mute_standby,
        FREE: _is_to_be_freed,
        REFUSE_RENEWAL: _renewal_is_refused,
        RENEW: _is_renewed,
        REFUSE_VHOST: _vhost_is_refused,
        TAKE_OFF_VHOST: _is_taken_off_vhost,
        READ_PASSWORDS: _lacks_passwords,
        DEPLOY: _is_unsettled,
        UNPROTECT: _always,
        OUTDATE: _outdates,
        START: _always,
        FAILOVER: _one_is_lost,
    }
)
