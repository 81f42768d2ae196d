# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the second host has to have for a standby of this domain to start there. Pure.

libvirt and QEMU would say much of it when the standby starts: after its images were made, and without a remedy.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...lockstep import abilities
from ...observation.seen import Domain, Host, Listen, Observation
from .row import Requirement, Row

EVERYWHERE = ("0.0.0.0", "::", "*")
LOOPBACK = ("127.", "::1", "localhost")


def machine(domain: Domain, there: Host) -> list[Requirement]:
    """The standby is started with the very machine type that the guest runs on."""
    row, machines = Row("machine type", there, domain.machine), there.emulator.machines if there.emulator else ()
    if machines and domain.machine not in machines:
        row.wrong(
            f"the QEMU of {there.name} has no machine type {domain.machine}",
            "Install the same QEMU there, or choose a machine type that both have; it takes effect at a cold start",
        )
    return row.found(domain.machine if machines else None)


def accelerator(domain: Domain, there: Host) -> list[Requirement]:
    """KVM, where the guest runs by it; one that is emulated is told what its standby is worth."""
    row = Row("accelerator", there, f"that of type {domain.type}")
    if domain.type != "kvm":
        version = there.emulator.version if there.emulator else ""
        if domain.type and abilities.executes_stale_code(version):
            row.note(
                f"the guest is emulated, and the QEMU {version} of {there.name} executes, in a standby, code that a "
                "checkpoint has replaced: once the guest has booted in lockstep, the standby's kernel may fail",
                "Use a domain of type kvm, to which this does not happen",
            )
        return row.found(domain.type and "QEMU itself")
    if there.kvm is False:
        row.wrong(
            f"the domain is of type kvm, and {there.name} has no /dev/kvm",
            "Turn on virtualization in its firmware and load kvm_intel or kvm_amd",
        )
    return row.found("/dev/kvm" if there.kvm else None)


def cpu(domain: Domain, here: Host, there: Host) -> list[Requirement]:
    """A guest that was given the host's processor runs on no other; QEMU alone emulates the same one everywhere.

    What differs otherwise is no reason to refuse: a kernel that is older names fewer features of the same processor,
    and of a named model libvirt makes sure itself when the standby starts.
    """
    row = Row("CPU", None, "one that the guest finds on both hosts")
    if domain.type != "kvm":
        return row.found(domain.type and "emulated")
    if not (here.cpu and there.cpu):
        return row.found(None)
    if here.cpu.model == there.cpu.model:
        lacking = sorted(set(here.cpu.flags) - set(there.cpu.flags))
        if lacking:
            row.note(
                f"the processor of {there.name} lacks {', '.join(lacking)}, which that of {here.name} has",
                "Bring both hosts to the same kernel, microcode and firmware settings",
            )
    elif domain.cpu_mode in ("host-passthrough", "maximum"):
        row.wrong(
            f"the guest has the processor of its host, {here.cpu.model}, and {there.name} has {there.cpu.model}",
            "Choose a CPU model that both have (virsh hypervisor-cpu-baseline); it takes effect at a cold start",
        )
    else:
        row.note(
            f"the processors differ: {here.cpu.model} in {here.name}, {there.cpu.model} in {there.name}",
            "Be sure that the guest's CPU model is one that both have: otherwise the standby will not start",
        )
    return row.found(f"{here.cpu.model}, {there.cpu.model}")


def standby_runs(domain: Domain, standby: Observation) -> bool:
    """Whether this domain's standby is up there, and so has its memory and its images already."""
    there = standby.domain
    return there is not None and there.uuid == domain.uuid and there.active


def memory(domain: Domain, standby: Observation) -> list[Requirement]:
    """Memory for the standby: it keeps a copy of the guest's RAM, and that RAM unless it is in huge pages."""
    host, needed = standby.host, domain.memory if domain.huge_page is not None else 2 * domain.memory
    row, free = Row("memory", host, f"{needed >> 20} MiB"), f"{host.memory_available >> 20} MiB"
    if standby_runs(domain, standby):
        return row.found("the standby has it")
    if host.memory_available < needed:
        row.wrong(
            f"{host.name} has {free} of free memory, and a standby of a guest of {domain.memory >> 20} MiB needs "
            f"{needed >> 20} MiB",
            "Free memory there, or choose another second host",
        )
    return row.found(free)


def huge_pages(domain: Domain, standby: Observation) -> list[Requirement]:
    """Free huge pages of the size that the domain wants, or of the host's default size where it names none."""
    host, wanted = standby.host, domain.huge_page
    free = sum(
        pages.size * pages.free for pages in host.huge_pages if (pages.size == wanted if wanted else pages.default)
    )
    row = Row("huge pages", host, f"{(domain.memory if wanted is not None else 0) >> 20} MiB")
    if standby_runs(domain, standby):
        return row.found("the standby has it")
    if wanted is not None and free < domain.memory:
        row.wrong(
            f"{host.name} has {free >> 20} MiB of free huge pages, and the guest's memory is {domain.memory >> 20} MiB "
            "of them",
            "Reserve them there (vm.nr_hugepages), or take <hugepages> out of the domain; it takes effect at a cold "
            "start",
        )
    return row.found(f"{free >> 20} MiB")


def files(domain: Domain, standby: Observation) -> list[Requirement]:
    """The files and devices that the domain needs to start, besides its disks."""
    row, known = Row("files", standby.host, "what the domain needs to start"), standby.files
    for path in domain.files:
        if known.get(path) is False:
            row.wrong(
                f"{standby.host.name} has no {path}, which the domain needs to start",
                "Copy it there, or take it out of the domain",
            )
    return row.found((", ".join(domain.files) or "none") if set(domain.files) <= set(known) else None)


def processors(domain: Domain, there: Host) -> list[Requirement]:
    """The processors that the domain is bound to."""
    row = Row("CPU pinning", there, _numbers(domain.processors))
    where = "<cputune> and the cpuset of <vcpu>"
    return _bound(row, "processors", domain.processors, there.processors, where, there)


def numa_nodes(domain: Domain, there: Host) -> list[Requirement]:
    """The NUMA nodes that the domain's memory is to be on."""
    row = Row("NUMA placement", there, _numbers(domain.numa_nodes))
    return _bound(row, "NUMA nodes", domain.numa_nodes, there.numa_nodes, "<numatune>", there)


def _numbers(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"


def _bound(
    row: Row, what: str, wanted: tuple[int, ...], online: tuple[int, ...], where: str, there: Host
) -> list[Requirement]:
    lacking = sorted(set(wanted) - set(online)) if online else ()
    if lacking:
        row.wrong(
            f"the guest is bound to {what} {_numbers(lacking)}, which {there.name} does not have",
            f"Bind it to what both hosts have ({where}); it takes effect at a cold start",
        )
    return row.found("there" if online or not wanted else None)


def partition(domain: Domain, there: Host) -> list[Requirement]:
    """A note about limits: systemd makes a partition wherever libvirt asks for it, but not those."""
    row = Row("resource partition", there, domain.partition or "none")
    if domain.partition:
        row.note(
            f"the domain is in the resource partition {domain.partition}, and its limits are those of each host",
            f"Set them on {there.name} as well, for the slice of that name",
        )
    return row.found("none")


def listeners(domain: Domain, standby: Observation) -> list[Requirement]:
    """Addresses that the host has to have, and ports that nobody but the standby itself may have."""
    there = standby.host
    row = Row("listeners", there, ", ".join(map(_wish, domain.listens)) or "none")
    for wish in () if standby_runs(domain, standby) else domain.listens:
        if _missing(wish.address, there):
            row.wrong(
                f"{wish.what} of the domain listens on {wish.address}, which is no address of {there.name}",
                "Have it listen on an address that both hosts have, such as 127.0.0.1 or 0.0.0.0; it takes effect at a "
                "cold start",
            )
        elif wish.port is not None and _taken(wish, there):
            row.wrong(
                f"port {wish.port}, on which {wish.what} of the domain listens, is in use on {there.name}",
                "End what listens there, or let libvirt choose the port (autoport); it takes effect at a cold start",
            )
    return row.found(None if there.listeners is None else "possible")


def _wish(listen: Listen) -> str:
    return f"{listen.what} on {listen.address or 'any address'}{f' port {listen.port}' if listen.port else ''}"


def _missing(address: str | None, host: Host) -> bool:
    if not address or address in EVERYWHERE or address.startswith(LOOPBACK):
        return False
    numeric = address.replace(".", "").isdigit() or ":" in address
    return numeric and address not in host.addresses


def _taken(wish: Listen, host: Host) -> bool:
    """Whether a socket that listens keeps this one from it: on the same address, or on all of them, either way."""
    for listener in host.listeners or ():
        address, _colon, port = listener.rpartition(":")
        clash = address in EVERYWHERE or not wish.address or wish.address in EVERYWHERE or address == wish.address
        if clash and int(port) == wish.port:
            return True
    return False


def start(domain: Domain, standby: Observation) -> list[Requirement]:
    """A host that starts a domain like this one, where that was tried: what only a start can tell."""
    row = Row("start", standby.host, "libvirt and QEMU start a domain like this one")
    if standby.trial and standby.trial.refused:
        row.wrong(
            f"{standby.host.name} would not start the standby: {standby.trial.refused}",
            f"Give {standby.host.name} what this speaks of, or take it out of the domain {domain.name} (virsh edit), "
            "which takes effect at a cold start",
        )
    return row.found("they do" if standby.trial else "the standby runs" if standby_runs(domain, standby) else None)


def identity(domain: Domain, there: Host) -> list[Requirement]:
    """No other domain with this UUID."""
    row = Row("UUID", there, "no other domain's")
    for known in there.domains:
        if known.uuid == domain.uuid and known.name != domain.name:
            row.wrong(
                f"{there.name} has a domain {known.name} with the UUID of this one ({domain.uuid})",
                "Undefine that one there if it is an old copy, or give it a UUID of its own",
            )
    return row.found(domain.uuid)
