# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a domain has to be like, and its QEMU to say, to have a standby at all. Pure."""

from __future__ import annotations

from ...lockstep import abilities, states
from ...observation.seen import AFTER_THAT, STOPPED_BY_A_DISK, Domain, Observation, Otherwise
from ...record.pair import MAX_NUMBER
from ...record.wanted import Wanted
from .. import guest
from ..hanging import way_out
from .place import standby_runs
from .row import Requirement, Row

LONGEST_DELAY = 2**32 - 1  # milliseconds: QEMU's x-checkpoint-delay is a uint32


def running(seen: Observation) -> list[Requirement]:
    """A domain that libvirt keeps and whose guest runs, or stands still only by our own doing."""
    row, domain = Row("domain", seen.host, "persistent, and its guest runs"), seen.domain
    if domain is None:
        row.wrong(guest.missing().what, guest.missing().remedy)
        return row.found(None)
    if not domain.persistent:
        row.wrong("the domain is transient", "Define it, so that it can carry the record of the pair")
    elif not domain.active and seen.record:
        row.wrong(
            f"the domain is {domain.state}, not running",
            "If its guest shall run, start its newest copy with lockstep.colo.start, and run again",
        )
    elif seen.monitor and seen.monitor.status == STOPPED_BY_A_DISK:
        row.wrong(
            "a write of the guest to a disk failed, which stopped it",
            AFTER_THAT,
        )
    elif domain.state != "running" and not _goes_on(seen):
        row.wrong(f"the domain is {domain.state}, not running", "Start it, or resume it, and run again")
    return row.found(domain.state)


def _goes_on(seen: Observation) -> bool:
    """Whether a domain that libvirt saw paused runs after all, as after each checkpoint, or was stopped by us."""
    return seen.monitor is not None and (seen.monitor.running or states.stopped_by_us(seen))


def monitor(seen: Observation, standby: Observation) -> list[Requirement]:
    """A QEMU that answers, of a version in which COLO begins."""
    row, answer = Row("monitor", seen.host, "a QEMU that answers, and that COLO begins in"), seen.monitor
    if answer is None:
        for problem in guest.unanswered(seen):
            row.wrong(problem.what, way_out(seen, standby)[1] if seen.record else problem.remedy)
        return row.found(None)
    if abilities.never_begins(answer.version):
        row.wrong(
            f"COLO never begins in QEMU {answer.version}, in which the guest runs",
            "Start it afresh, in the QEMU that its host has now",
        )
    return row.found(answer.version)


def paces(wanted: Wanted) -> list[Requirement]:
    """Numbers that QEMU takes: what it refuses of them it would refuse after the disks were copied."""
    row = Row("paces", None, "numbers that QEMU takes")
    for option, value, most in (
        ("colo_checkpoint_delay", wanted.checkpoint_delay, LONGEST_DELAY),
        ("colo_sync_speed", wanted.sync_speed, MAX_NUMBER),
    ):
        if not 0 <= value <= most:
            row.wrong(f"{option} is {value}, and QEMU takes whole numbers from 0 to {most}", f"Correct {option}")
    return row.found(f"{wanted.checkpoint_delay} ms between two checkpoints at most")


def migration(seen: Observation) -> list[Requirement]:
    """Nothing of the guest that QEMU names as in the way of a migration."""
    row = Row("migration", seen.host, "nothing that blocks it")
    if seen.monitor is None:
        return row.found(None)
    for reason in seen.monitor.migration.blocked if seen.monitor.migration.status != "colo" else ():
        row.wrong(
            f"QEMU will not migrate this guest: {reason}",
            "Take out of the domain what it speaks of; that takes effect at a cold start",
        )
    return row.found("nothing")


def machine(domain: Domain, seen: Observation) -> list[Requirement]:
    """A machine type that the QEMU which runs the guest, not its host's newer binary, can keep a standby of."""
    row = Row("machine type", seen.host, "one of which QEMU keeps a standby")
    version, works = abilities.running(seen) or "0", ".".join(map(str, abilities.Q35_FROM))
    if "q35" in domain.machine and abilities.aborts_q35(version):
        newer = abilities.upgraded(seen)
        row.wrong(
            f"machine type {domain.machine}: QEMU {version} aborts a COLO secondary of q35 at its first checkpoint",
            f"{seen.host.name} has QEMU {newer} by now: shut the guest down, start it, and run again"
            if newer and not abilities.aborts_q35(newer)
            else f"Set colo_qemu_from: backports for both hosts and run deploy, which installs QEMU {works} or later "
            "on Debian 13; then shut the guest down, start it, and run deploy again. Or use machine type pc (i440fx), "
            "which works on this version",
        )
    return row.found(domain.machine)


def devices(wanted: Wanted, domain: Domain, seen: Observation) -> list[Requirement]:
    """Only devices that are known to work; what nobody has tried where the operator has named it."""
    row = Row("devices", seen.host, "only those that are known to work with COLO")
    for device in domain.unsupported:
        row.wrong(f"not possible with COLO: {device}", "Remove it from the domain; it takes effect at a cold start")
    accepted = [name for name in domain.untried if name in wanted.devices_unproven]
    for name, device in domain.untried.items():
        if name not in accepted:
            row.wrong(
                f"nobody has tried this with COLO: {device}",
                "Remove it from the domain; it takes effect at a cold start. To try it at the risk of the guest and "
                f"its data, name it in colo_devices_unproven: [{name!r}]",
            )
    for name in accepted:
        row.note(
            f"nobody has tried this with COLO, and colo_devices_unproven names it: {domain.untried[name]}",
            "Prove the standby with the playbook drill, and compare the guest's data, before you rely on the pair",
        )
    return row.found("known")


def files_and_rights(wanted: Wanted, domain: Domain, seen: Observation) -> list[Requirement]:
    """Where the domain asks its hosts for more than its own; ``wanted`` names what the operator knows of."""
    row = Row("files and rights", seen.host, "none of the host's but those in their places")
    for name, words in domain.foreign.items():
        if name not in wanted.devices_unproven:
            row.wrong(
                f"its XML asks the standby's host for something that is not the guest's: {words}",
                "Change it in the domain (virsh edit); it takes effect at a cold start. If you know it, and want it on "
                f"both hosts, name it in colo_devices_unproven: [{name!r}]",
            )
    return row.found("none")


def variable_store(domain: Domain, seen: Observation) -> list[Requirement]:
    """The standby's UEFI variable store has the path of the primary's, so it must be a file of each host.

    A checkpoint has the flash's pages only if QEMU knows that they changed: emulated, it does not (measured).
    """
    row = Row("UEFI variable store", seen.host, "none, or a file of the host")
    if domain.nvram == "file":
        known = "under KVM this was not tried" if domain.type == "kvm" else "the variables stay those of before"
        row.note(
            f"it has a UEFI variable store, and QEMU does not hand over what an emulated guest writes to it; {known}",
            "The playbook status says when the two hosts' stores differ",
        )
    elif domain.nvram is not None:
        row.wrong(
            f"its UEFI variable store is of type {domain.nvram}: both hosts would write to the same one",
            "Use a file of the host, which is what libvirt makes",
        )
    return row.found("none")


def persistent(domain: Domain, seen: Observation, standby: Observation | None = None) -> list[Requirement]:
    """A running guest as its persistent domain has it, of which its standby is made; that may change once it is."""
    row = Row("persistent domain", seen.host, "has all that its guest has")
    made = standby is not None and standby_runs(domain, standby)
    for one in domain.otherwise:
        if one.persistent is None:
            row.wrong(
                f"the running guest has {one.what}, and the persistent domain has not, of which a standby is made",
                f"Put it there as well ({_virsh('attach', one)} --config), or take it out of the running guest "
                f"({_virsh('detach', one)} --live)",
            )
            continue
        if one.running is None:
            what = f"the persistent domain, of which a standby is made, has {one.what}, and the running guest has not"
            remedy = f"Take it out there ({_virsh('detach', one)} --config)"
        else:
            what = f"{one.what} is {one.persistent} in the persistent domain, of which a standby is made, and "
            what += f"{one.running} in the running guest"
            remedy = "Have it there as in the guest (virsh edit)"
        if made:
            row.note(what, f"It takes effect once unprotect, a cold start and deploy were run. {remedy} otherwise")
        else:
            row.wrong(what, f"{remedy}, or shut the guest down and start it")
    return row.found("has it")


def _virsh(verb: str, one: Otherwise) -> str:
    return f"virsh {verb}-{'interface' if one.what.startswith('NIC') else 'disk'}"


def snapshots(domain: Domain, seen: Observation) -> list[Requirement]:
    """A note, never a refusal, about what only libvirt of this host knows."""
    row = Row("snapshots", seen.host, "none that have to last")
    if domain.snapshots:
        row.note(
            f"the domain has snapshots or checkpoints ({', '.join(domain.snapshots)}), which libvirt keeps here alone",
            "They do not follow the guest to the other host, and libvirt forgets them when the domain leaves this one: "
            "backups that go on from a checkpoint then have to begin with a full one",
        )
    return row.found("none")
