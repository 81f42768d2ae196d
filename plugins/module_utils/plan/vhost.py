# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deciding how a running guest's NICs come from vhost to QEMU's own driver, which alone can compare packets. Pure.

QEMU cannot change that of a NIC that is in use (our measurement; libvirt refuses it too). So the guest's memory is
saved, the saved XML is changed, and it is restored: the guest notices a pause, and neither boots nor loses
its addresses or connections, as it would if the NIC were unplugged and plugged in again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..domain import editing as xml
from ..observation.seen import Observation
from ..verdict import guest
from ..verdict.problem import Problem, refuse_if
from ..verdict.requirements.domain import running
from ..verdict.requirements.network import uses_vhost
from ..verdict.requirements.row import problems
from .plan import Plan
from .step import Step, wait

SAVE_TIMEOUT = 600.0  # seconds to write the guest's memory to the disk
RESTORE_TIMEOUT = 600.0


def save_and_restore(seen: Observation) -> Plan:
    """Take the guest off vhost; from wherever an earlier run left off."""
    refuse_if(_problems(seen))
    domain = seen.domain
    if domain.saved_by_us and not domain.active:
        return Plan((*_restore(seen), _forget(domain.uuid)), seen)
    if domain.saved_by_us and domain.state != "running":
        return Plan((wait("wait until libvirt has saved the guest", "off", SAVE_TIMEOUT, pivot=True),), seen)
    if any(uses_vhost(domain, nic) for nic in domain.nics):
        save = Step("save the guest's memory, and end its QEMU", "managed_save", {"uuid": domain.uuid}, SAVE_TIMEOUT)
        return Plan((replace(save, pivot=True),), seen)
    return Plan((_forget(domain.uuid),) if domain.saved_by_us else (), seen)


def rescue(_before: Observation, seen: Observation) -> Plan:
    """A guest that was saved and then not restored goes on as it was, with vhost or without."""
    domain = seen.domain
    if domain is None or domain.active or not domain.saved_by_us or domain.saved_xml is None:
        return Plan((), seen)
    return Plan((_start(domain.uuid), _forget(domain.uuid)), seen)


def _restore(seen: Observation) -> Iterator[Step]:
    domain = seen.domain
    after = xml.without_vhost(domain.saved_xml)
    if after != domain.saved_xml:
        yield Step("have QEMU itself carry the saved guest's packets", "define_saved", {"xml": after})
    yield _start(domain.uuid)


def _start(uuid: str) -> Step:
    return Step("restore the guest", "start", {"uuid": uuid}, RESTORE_TIMEOUT, serves=True)


def _forget(uuid: str) -> Step:
    return Step("forget that a run saved the guest", "forget_save", {"uuid": uuid})


def _problems(seen: Observation) -> Iterator[Problem]:
    domain = seen.domain
    if domain is None:
        yield guest.missing()
    elif domain.saved_by_us and not domain.active and domain.saved_xml is None:
        yield Problem(
            "a run saved the guest to restore it, and its managed save is gone",
            "See in libvirt's log who removed or restored it; the domain has to be started afresh",
        )
    elif not domain.saved_by_us:
        yield from problems(running(seen))
        for nic in domain.nics:
            if nic.driver == "vhost":
                yield Problem(
                    f"NIC {nic.mac} states the driver vhost, which cannot be changed in a saved guest",
                    "Give the interface <driver name='qemu'/> (virsh edit) and start the domain afresh",
                )
