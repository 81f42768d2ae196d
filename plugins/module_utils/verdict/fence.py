# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether it is proven that the other host no longer runs the guest, so that this one may serve alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..observation.cluster import Cluster
from ..observation.seen import Observation
from ..observation.word import Half
from . import channels, copies
from .current import ago
from .problem import Problem

COMMAND = "command"  # a command took the power, and another verified that it is gone
CONFIRMED = "confirmed"  # a person says that the host has no power
ENDED = "ended"  # the other host was seen: its QEMU has ended, and its copy is given up
DRILL = "drill"  # the other host was seen: its standby is cut off the network, and may not be promoted
TOLD = "told"  # the other host's watcher says that its QEMU has ended, and this host's has lost the connection
CLUSTER = "cluster"  # the cluster manager has fenced the other host since this one heard from it last
GROUNDS = (COMMAND, CONFIRMED, ENDED, DRILL, TOLD, CLUSTER)
SAID = (COMMAND, CONFIRMED, CLUSTER)  # what the other host itself does not show
FRESH = 300.0  # seconds; older fencings are of a loss that is over
CLOCK = 1.0  # seconds by which the time of a fencing may be told too early: of whole ones
_SPOILS = ("failed", "unreachable", "skipped")
_COUNTS = (*_SPOILS, "changed", "rc")
ACCEPT = "-e colo_i_accept_that_two_guests_may_run=true"


@dataclass(frozen=True)
class Fence:
    """Why the end of ``host``, by its name in the record, is believed: a ``ground``, and what it is proven by.

    ``proof``: of a command, how the one ended that verified the loss of power, as Ansible registers it.
    ``confirmed``: of a person, the name of the host that the person vouches for. ``told``: what the other host's
    watcher said. ``cluster``: what this host's cluster manager says. What the other host shows is proven from its
    observation. ``dry``: in a check mode, in which no command is run. ``method``: in words, for a report.
    """

    host: str
    ground: str = COMMAND
    method: str = ""
    proof: Mapping[str, Any] | None = None
    confirmed: str = ""
    dry: bool = False
    told: Half | None = None
    cluster: Cluster | None = None


def holds(fence: Fence) -> bool:
    """Whether what was said is so, of a ground that is said and not seen."""
    if fence.ground == CONFIRMED:
        return fence.confirmed == fence.host
    if fence.ground == CLUSTER:
        return not any(_not_fenced(fence.host, fence.cluster))
    return fence.ground == COMMAND and (fence.dry or _succeeded(fence.proof or {}))


def shown(proof: Mapping[str, Any]) -> dict[str, Any]:
    """Of what Ansible registered, what counts: the rest has the command, in which there may be a password."""
    return {key: proof[key] for key in _COUNTS if key in proof}


def _succeeded(proof: Mapping[str, Any]) -> bool:
    """Whether it was run, and succeeded. What Ansible registers of a task has ``changed``, and of a command ``rc``."""
    spoilt = any(proof.get(key) for key in _SPOILS)
    registered = "rc" in proof or isinstance(proof.get("changed"), bool)
    return registered and not spoilt and proof.get("rc", 0) == 0


def urgent(fence: Fence | None, unfenced: bool) -> bool:
    """Whether the end of the other host is certain enough to end another run here, which may be waiting for it."""
    return unfenced or (fence is not None and (holds(fence) or fence.ground == ENDED))


def objections(seen: Observation, fence: Fence | None, peer: Observation | None) -> Iterator[Problem]:
    """Why a fence does not prove that the other host is down; ``peer``: what was seen there, if that is the proof."""
    there = seen.record.peer
    if fence is None:
        yield _not_down(there.host)
    elif fence.host != there.host:
        yield Problem(f"{fence.host} was fenced, and the peer is {there.host}", "Fence the right host")
    elif fence.ground == CLUSTER:
        yield from _not_fenced(there.host, fence.cluster) if not holds(fence) else _heard_since(seen, fence.cluster)
    elif fence.ground in SAID:
        yield from _not_proven(seen, fence)
    elif fence.ground == TOLD:
        yield from _not_told(seen, fence.told)
    elif peer is None or peer.host.machine_id != there.machine_id:
        yield Problem(
            f"nothing was observed of {there.host}, whose end is said to have been seen",
            "Give in peer the registered result of the module that ended it there",
        )
    else:
        yield from (_not_ended if fence.ground == ENDED else _not_drilled)(seen, peer)


def _not_down(host: str) -> Problem:
    return Problem(
        f"it is not proven that {host} is down: two guests could answer",
        "Fence that host, and pass the registered result of the command that verified it in fence",
    )


def _not_proven(seen: Observation, fence: Fence) -> Iterator[Problem]:
    there = seen.record.peer
    if not holds(fence):
        yield _not_down(there.host)
    elif fence.ground == CONFIRMED and seen.peer_answers:
        yield Problem(
            f"{there.host} answers on {there.address}, so it has power, though it was said to have none: its guest may "
            "still write and answer",
            "Take the power from it, or fence it with a command that verifies; or let the control node reach it (-e "
            f"colo_doubt_timeout=10), which then ends its guest there. If you know that it runs no guest: {ACCEPT}",
        )


def _not_fenced(host: str, cluster: Cluster | None) -> Iterator[Problem]:
    """Why the cluster manager does not vouch for the end of ``host``."""
    node = cluster.node(host) if cluster else None
    if cluster is None:
        yield Problem(f"the cluster has said nothing of {host}", "See whether Pacemaker runs on this host")
    elif not cluster.fences:
        yield Problem(
            "the cluster does not fence (stonith-enabled is false): that it calls a host lost proves nothing",
            "Give it a fencing device, and set stonith-enabled",
        )
    elif not cluster.quorate:
        yield Problem(
            "this side of the cluster has no quorum", f"Fence {host} yourself, and run lockstep.colo.failover"
        )
    elif node is None:
        yield Problem(
            f"the cluster has no node {host}", "Name the nodes of the cluster as the inventory names the hosts"
        )
    elif node.online:
        yield Problem(f"{host} is a member of the cluster, so it runs", "Nothing, if its guest is well")
    elif node.unclean or cluster.fenced(host) is None:
        yield Problem(
            f"the cluster has not fenced {host}",
            f"See what crm_mon says of its fencing devices; or fence {host} yourself, and run lockstep.colo.failover",
        )


def _heard_since(seen: Observation, cluster: Cluster) -> Iterator[Problem]:
    """Why a fencing that the cluster manager calls a success did not end what is heard of the other host.

    Where nothing tells when it was heard last, as of a standby whose connections are gone, it must be a fresh one.
    """
    there, fenced = seen.record.peer, cluster.fenced(seen.record.peer.host)
    silent = seen.heard.seconds + CLOCK if seen.heard else FRESH
    if fenced.seconds > silent:
        last = f"{ago(seen.heard.seconds)} ago" if seen.heard else "at a time that is not known"
        yield Problem(
            f"{there.host} was fenced {ago(fenced.seconds)} ago, and was heard last {last}: it may have come back",
            f"See what {there.host} does; fence it (stonith_admin --fence {there.host}) if it is lost",
        )
    elif seen.peer_answers:
        yield Problem(
            f"{there.host} answers on {there.address}, though the cluster says that it was fenced: its fencing device "
            "may not do what it says",
            "Take the power from it yourself, and run lockstep.colo.failover; then see to the device",
        )


def given_up(seen: Observation) -> bool:
    """Whether this host's copy gives way for good: no QEMU runs, and it is written down that it is not the newest."""
    if seen.domain is None:
        return True
    if seen.domain.active or seen.record is None:
        return False
    record = seen.record
    return record.handed_over if record.role == "primary" else record.role == "secondary" and record.complete is None


def _not_ended(seen: Observation, peer: Observation) -> Iterator[Problem]:
    there = peer.host.name
    if copies.of_two_domains(seen, peer):
        yield Problem(f"what was observed of {there} is another domain", "Give the result for this domain")
    elif peer.generation > seen.generation:
        yield newer(peer, seen)
    elif not given_up(peer):
        stale = peer.record is not None and peer.record.role == "alone" and not peer.domain.active
        if not (stale and peer.generation < seen.generation):
            yield Problem(
                f"the guest on {there} was not seen ended and given up",
                f"Run lockstep.colo.failover, which ends it first (as a module: colo_fence on {there})",
            )


def newer(there: Observation, here: Observation) -> Problem:
    """The refusal to promote an old copy."""
    alone = " and went on alone" if there.record and there.record.role == "alone" else ""
    return Problem(
        f"{there.host.name} has a newer copy (generation {there.generation}, this one is {here.generation}){alone}: "
        "its writes since then would be lost",
        f"Leave the guest on {there.host.name}, and run lockstep.colo.deploy",
    )


def _not_drilled(seen: Observation, peer: Observation) -> Iterator[Problem]:
    standby = peer.record is not None and peer.record.role == "secondary" and seen.record.role == "primary"
    if not standby or peer.record.complete is not None:
        yield Problem(
            f"the standby on {peer.host.name} may still be promoted",
            "Run lockstep.colo.drill, which sees to that first (as a module: colo_pair with state expendable there)",
        )
    elif any(nic.tap_up for nic in peer.domain.nics):
        yield Problem(
            f"the standby on {peer.host.name} is on the network: it would answer beside the guest",
            "Run lockstep.colo.deploy first, which takes its links down",
        )


def _not_told(seen: Observation, told: Half | None) -> Iterator[Problem]:
    """The word of the other host, about this pair and this generation, and that nothing contradicts it here."""
    record, remedy = seen.record, "Look with lockstep.colo.status at both hosts"
    there = record.peer.host
    if told is None or (told.uuid, told.machine_id) != (seen.domain.uuid, record.peer.machine_id):
        yield Problem(f"the watcher of {there} has said nothing about this pair", remedy)
    elif told.generation != seen.generation or told.role == record.role:
        yield Problem(
            f"the word of {there} is about the {told.role} of generation {told.generation}, and this host has the "
            f"{record.role} of generation {seen.generation}",
            remedy,
        )
    elif not told.gave_way or told.running:
        yield Problem(f"{there} does not say that its QEMU has ended for good", remedy)
    elif told.lacks:
        yield Problem(f"{there} says that this copy lacks writes", f"Start the guest on {there}, whose copy is whole")
    elif not channels.parted(seen):
        yield Problem(f"{there} says that its QEMU has ended, and this host's is still connected with it", remedy)
