# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a domain, a host or a pair cannot be protected: pure checks over observations, each with its remedy."""

from __future__ import annotations

from collections.abc import Iterator

from . import layers
from .observation import Disk, Domain, Host, Nic, Observation
from .step import Problem, Wanted
from .vocabulary import PORT_RANGE, PORTS_PER_PAIR

# QEMU 7.2 and 10.0 abort the secondary on q35 at its first checkpoint (our measurement, TCG and KVM). Upstream fixed
# it in 2026; the first release that was seen to work goes here.
Q35_WORKS_FROM = (11, 1)
MEMORY_FACTOR = 2  # the secondary keeps a copy of the guest's RAM beside the RAM itself


def emulator(host: Host) -> Iterator[Problem]:
    if host.emulator is None:
        yield Problem(f"nothing is known of the QEMU binary on {host.name}", "Run the role lockstep.colo.host there")
    elif host.emulator.missing:
        yield Problem(
            f"QEMU {host.emulator.version} on {host.name} lacks {', '.join(host.emulator.missing)}",
            "Install a QEMU that is built with it, such as Debian's qemu-system-x86",
        )


def same_versions(one: Host, other: Host) -> Iterator[Problem]:
    for what, left, right in (
        ("QEMU", one.emulator and one.emulator.version, other.emulator and other.emulator.version),
        ("libvirt", one.libvirt, other.libvirt),
    ):
        if left and right and left != right:
            yield Problem(
                f"{what} is {left} on {one.name} and {right} on {other.name}",
                "Bring both hosts to the same version: COLO loads one QEMU's device state into the other",
            )


def running(seen: Observation) -> Iterator[Problem]:
    domain = seen.domain
    if domain is None:
        yield Problem("there is no such domain on this host", "Check the name, or define the domain first")
    elif not domain.persistent:
        yield Problem("the domain is transient", "Define it, so that it can carry the record of the pair")
    elif not domain.active and seen.record:
        yield Problem(
            f"the domain is {domain.state}, not running",
            "If its guest shall run, start its newest copy with lockstep.colo.start, and run again",
        )
    elif domain.state != "running" and not _goes_on(seen):
        yield Problem(f"the domain is {domain.state}, not running", "Start it, or resume it, and run again")


def _goes_on(seen: Observation) -> bool:
    """Whether a domain that libvirt saw paused runs after all, as after each checkpoint, or was stopped by us."""
    return seen.monitor is not None and (seen.monitor.running or layers.stopped_by_us(seen))


def machine(domain: Domain, host: Host) -> Iterator[Problem]:
    version = host.emulator.version if host.emulator else "0"
    known = tuple(int(part) for part in version.split(".")[:2])
    if "q35" in domain.machine and known < Q35_WORKS_FROM:
        yield Problem(
            f"machine type {domain.machine}: QEMU {version} aborts a COLO secondary of q35",
            "Use machine type pc (i440fx), which works on this version",
        )
    for device in domain.unsupported:
        yield Problem(f"COLO cannot carry {device}", "Remove it from the domain; it takes effect at a cold start")


def disks(domain: Domain, wanted: Wanted) -> Iterator[Problem]:
    by_target = {disk.target: disk for disk in domain.disks}
    chosen = {disk.target for disk in wanted.disks}
    if not wanted.disks:
        yield Problem("no disk is named", "Name each writable disk of the domain in disks")
    for want in wanted.disks:
        disk = by_target.get(want.target)
        if disk is None:
            known = ", ".join(sorted(by_target)) or "none"
            yield Problem(f"the domain has no such disk (it has: {known})", "Correct the target", want.target)
        else:
            yield from _disk(disk, want.format)
    for disk in domain.disks:
        if disk.target not in chosen and disk.device == "disk" and not disk.readonly:
            yield Problem(
                "the guest can write to it, and it is not to be replicated: the copies would differ",
                "Add it to disks, or make it read-only",
                disk.target,
            )


def _disk(disk: Disk, stated: str) -> Iterator[Problem]:
    if disk.device != "disk":
        yield Problem(f"it is a {disk.device}, not a disk", "Leave it out of disks", disk.target)
        return
    if disk.readonly:
        yield Problem("it is read-only: there is nothing to replicate", "Leave it out of disks", disk.target)
    if disk.type not in ("file", "block"):
        yield Problem(f"its source is of type {disk.type}", "Only files and block devices are replicated", disk.target)
    if disk.format != stated:
        yield Problem(
            f"its format was stated as {stated}, and the domain says {disk.format}",
            "State the format that the domain's XML has",
            disk.target,
        )


def nics(domain: Domain) -> Iterator[Problem]:
    for nic in domain.nics:
        yield from _nic(nic)
        if _vhost(domain, nic):
            yield Problem(
                f"NIC {nic.mac} uses vhost: its packets go past QEMU, which has to compare them",
                "Give the interface <driver name='qemu'/> (virsh edit) and start the domain afresh; "
                "a new domain can have it from the beginning",
            )


def _vhost(domain: Domain, nic: Nic) -> bool:
    if not nic.model.startswith("virtio"):
        return False
    return nic.driver == "vhost" or (nic.driver != "qemu" and domain.vhost)


def _nic(nic: Nic) -> Iterator[Problem]:
    if nic.bridge is None:
        yield Problem(
            f"NIC {nic.mac} (type {nic.type}) is not on a bridge", "Attach it to a bridge that both hosts have"
        )


def standby_host(domain: Domain, peer: Observation) -> Iterator[Problem]:
    """What the second host needs before a standby can start there."""
    active = peer.domain is not None and peer.domain.active
    needed = MEMORY_FACTOR * domain.memory
    if not active and peer.host.memory_available < needed:
        yield Problem(
            f"{peer.host.name} has {peer.host.memory_available >> 20} MiB of free memory, and a standby of a guest "
            f"of {domain.memory >> 20} MiB needs {needed >> 20} MiB",
            "Free memory there, or choose another second host",
        )
    for nic in domain.nics:
        if nic.bridge and nic.bridge not in peer.host.bridges:
            yield Problem(f"{peer.host.name} has no bridge {nic.bridge}, which NIC {nic.mac} is on", "Create it there")


def address(host: Host, wanted: str | None) -> Iterator[Problem]:
    if not wanted:
        yield Problem(f"no replication address is given for {host.name}", "Set colo_address for that host")
    elif wanted not in host.addresses:
        yield Problem(
            f"{wanted} is not an address of {host.name} (it has: {', '.join(host.addresses)})",
            "Correct colo_address; sockets listen on that address only",
        )


def block(first: int) -> range:
    """The ports of the pair whose first port is ``first``."""
    return range(first, first + PORTS_PER_PAIR)


def port_problems(host: Host, first: int) -> Iterator[Problem]:
    taken = sorted(set(host.ports) & set(block(first)))
    if taken:
        yield Problem(
            f"port {', '.join(map(str, taken))} is in use on {host.name}",
            f"End what listens there, or give the pair another block with first_port (from {PORT_RANGE.start})",
        )
    if first in host.reserved:
        yield Problem(f"ports from {first} belong to another pair on {host.name}", "Choose another first_port")


def free_block(one: Host, other: Host) -> int | None:
    """The first block of ports that is free, and not another pair's, on both hosts."""
    for first in range(PORT_RANGE.start, PORT_RANGE.stop, PORTS_PER_PAIR):
        if not any([*port_problems(one, first), *port_problems(other, first)]):
            return first
    return None
