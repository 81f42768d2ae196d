# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The door to the cluster manager of this host: Pacemaker 2.1 or later, by the commands that it ships."""

from __future__ import annotations

import time
from datetime import datetime
from xml.etree import ElementTree

from ..errors import ColoError
from ..observation.cluster import Cluster, Fencing, Node
from .command import run

DEADLINE = 5.0  # seconds; Pacemaker's daemons answer in tenths
OFF = ("off", "reboot", "poweroff")  # the actions of a fencing device after which nothing runs that ran before


def cluster() -> Cluster:
    """What this host's Pacemaker says now; ColoError where it does not run, or does not answer."""
    return read(run("crm_mon", "--one-shot", "--output-as=xml", "--fence-history=3", deadline=DEADLINE), time.time())


def read(text: str, now: float) -> Cluster:
    """The output of crm_mon in XML; ``now`` is seconds since the epoch."""
    try:
        told = ElementTree.fromstring(text)
        return Cluster(
            quorate=_yes(told.find("summary/current_dc"), "with_quorum"),
            fences=_yes(told.find("summary/cluster_options"), "stonith-enabled"),
            nodes=tuple(
                Node(one.get("name", ""), _yes(one, "online"), _yes(one, "unclean"))
                for one in told.findall("nodes/node")
            ),
            fencings=tuple(
                Fencing(one.get("target", ""), one.get("action", ""), round(now - _moment(one.get("completed", "")), 3))
                for one in told.findall("fence_history/fence_event")
                if one.get("status") == "success" and one.get("action") in OFF
            ),
        )
    except (ElementTree.ParseError, ValueError) as error:
        raise ColoError(
            f"what crm_mon says cannot be read: {error}", remedy="See whether Pacemaker is one of 2.1 or later"
        ) from None


def prefer(score: int | None) -> None:
    """Set the score by which Pacemaker chooses where to promote the resource it has called us for; None: nowhere."""
    run(
        "crm_attribute", "--promotion", *(("--delete",) if score is None else (f"--update={score}",)), deadline=DEADLINE
    )


def note(name: str, value: str) -> None:
    """Set a node attribute of this host, which is there until the node leaves the cluster."""
    run("attrd_updater", f"--name={name}", f"--update={value}", deadline=DEADLINE)


def _yes(one: ElementTree.Element | None, key: str) -> bool:
    return one is not None and one.get(key) == "true"


def _moment(text: str) -> float:
    """Seconds since the epoch, of a time as Pacemaker writes it: 2026-10-05 12:02:42.088147Z, or with an offset."""
    return datetime.fromisoformat(text.replace(" +", "+").replace(" -", "-")).timestamp()
