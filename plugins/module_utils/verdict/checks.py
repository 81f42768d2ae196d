# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a domain, a host or a pair cannot be protected: pure checks over observations, each with its remedy."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from ..lockstep import abilities, frames, states
from ..observation.seen import Disk, Domain, Host, Nic, Observation
from ..record import pair
from ..record.address import is_link_local
from ..record.images import IMAGE_TYPES
from ..record.pair import DROP, MAX_NICS, PORT_RANGE, PORTS_PER_PAIR, REFUSE
from ..record.wanted import Wanted
from .problem import Problem

GOOD_SPEED = 1000  # Mbit/s
APPARMOR_HOME = "@{profile_name}"  # images.home in a rule: AppArmor's parser puts in libvirt-UUID (tried: 3.0.8, 4.1.0)
FLASH = "libvirt-pflash"  # how libvirt calls the nodes of the UEFI variable store and of the firmware
GOOD_LATENCY = 5.0  # milliseconds; a checkpoint of a small guest takes ten times that
# What a disk whose image is no file or block device of the host can be made into.
_IMAGE_REMEDIES = {
    "volume": "Name the image itself (virsh vol-path tells it) in a disk of type file or block; that takes effect at a "
    "cold start",
    "network": "Both hosts would write to the same storage. Copy it to a file or a block device of the host (virsh "
    "blockcopy), which is then replicated; or rely on that storage, and start the domain on the other host",
}
CLOCK_TOLERANCE = 60.0  # seconds


def emulator(host: Host) -> Iterator[Problem]:
    if host.emulator is None:
        yield Problem(f"nothing is known of the QEMU binary on {host.name}", "Run the role lockstep.colo.host there")
    elif host.emulator.missing:
        yield Problem(
            f"QEMU {host.emulator.version} on {host.name} lacks {', '.join(host.emulator.missing)}",
            "Install a QEMU that is built with it, such as Debian's qemu-system-x86",
        )
    elif abilities.never_begins(host.emulator.version):
        yield Problem(
            f"COLO never begins in QEMU {host.emulator.version}, which {host.name} has",
            "Install a later release of that series: 10.0.7 and 10.1.3 have it mended",
        )


def libvirt(host: Host) -> Iterator[Problem]:
    if host.libvirt is None:
        yield Problem(f"nothing is known of libvirt on {host.name}", "Run the role lockstep.colo.host there")


def same_versions(primary: Observation, standby: Observation) -> Iterator[Problem]:
    """Of the QEMUs that run: one that was started before an upgrade of its package is older than its host's binary."""
    here, there = primary.host, standby.host
    for what, left, right in (
        ("QEMU", abilities.running(primary), abilities.running(standby)),
        ("libvirt", here.libvirt, there.libvirt),
    ):
        if left and right and left != right:
            yield Problem(
                f"{what} is {left} on {here.name} and {right} on {there.name}",
                "Bring both hosts to the same version: COLO loads one QEMU's device state into the other. A guest that "
                "was started before an upgrade runs in the old QEMU until its next cold start",
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


def monitor(seen: Observation) -> Iterator[Problem]:
    if seen.domain and seen.domain.active and seen.monitor is None:
        yield Problem(f"QEMU's monitor does not answer: {seen.monitor_problem}", "Find out why, then run again")


def running_emulator(seen: Observation) -> Iterator[Problem]:
    if seen.monitor and abilities.never_begins(seen.monitor.version):
        yield Problem(
            f"COLO never begins in QEMU {seen.monitor.version}, in which the guest runs",
            "Start it afresh, in the QEMU that its host has now",
        )


def _goes_on(seen: Observation) -> bool:
    """Whether a domain that libvirt saw paused runs after all, as after each checkpoint, or was stopped by us."""
    return seen.monitor is not None and (seen.monitor.running or states.stopped_by_us(seen))


def taken_over(seen: Observation) -> Iterator[Problem]:
    """A survivor whose failover was cut off is no ordinary guest yet, and everything else begins from one."""
    if seen.domain and seen.record and states.half_taken_over(seen):
        yield Problem(
            f"a failover to {seen.host.name} was cut off, and the guest's disks or links are not its own yet",
            "Run the playbook failover again, or colo_failover on this host; the other playbooks do that by themselves",
        )


def machine(domain: Domain, seen: Observation) -> Iterator[Problem]:
    """Of the QEMU that runs the domain on ``seen``'s host, where it was started before an upgrade."""
    version, works = abilities.running(seen) or "0", ".".join(map(str, abilities.Q35_FROM))
    if "q35" not in domain.machine or not abilities.aborts_q35(version):
        return
    newer = abilities.upgraded(seen)
    yield Problem(
        f"machine type {domain.machine}: QEMU {version} aborts a COLO secondary of q35 at its first checkpoint",
        f"{seen.host.name} has QEMU {newer} by now: shut the guest down, start it, and run again"
        if newer and not abilities.aborts_q35(newer)
        else f"Set colo_qemu_from: backports for both hosts and run deploy, which installs QEMU {works} or later on "
        "Debian 13; then shut the guest down, start it, and run deploy again. Or use machine type pc (i440fx), which "
        "works on this version",
    )


def machine_there(domain: Domain, other: Host) -> Iterator[Problem]:
    """The standby is started with the very machine type that the guest runs on."""
    machines = other.emulator.machines if other.emulator else ()
    if machines and domain.machine not in machines:
        yield Problem(
            f"the QEMU of {other.name} has no machine type {domain.machine}",
            "Install the same QEMU there, or choose a machine type that both have; it takes effect at a cold start",
        )


def devices(domain: Domain, wanted: Wanted) -> Iterator[Problem]:
    for device in domain.unsupported:
        yield Problem(f"not possible with COLO: {device}", "Remove it from the domain; it takes effect at a cold start")
    for name, device in domain.untried.items():
        if name not in wanted.devices_unproven:
            yield Problem(
                f"nobody has tried this with COLO: {device}",
                "Remove it from the domain; it takes effect at a cold start. To try it at the risk of the guest and "
                f"its data, name it in colo_devices_unproven: [{name!r}]",
            )


def devices_at_risk(domain: Domain, wanted: Wanted) -> Iterator[Problem]:
    for name, device in domain.untried.items():
        if name in wanted.devices_unproven:
            yield Problem(
                f"nobody has tried this with COLO, and colo_devices_unproven names it: {device}",
                "Prove the standby with the playbook drill, and compare the guest's data, before you rely on the pair",
            )


def variable_store(domain: Domain) -> Iterator[Problem]:
    """The standby's UEFI variable store has the path of the primary's, so it must be a file of each host."""
    if domain.nvram not in (None, "file"):
        yield Problem(
            f"its UEFI variable store is of type {domain.nvram}: both hosts would write to the same one",
            "Use a file of the host, which is what libvirt makes",
        )


def variable_store_left_behind(domain: Domain) -> Iterator[Problem]:
    """A checkpoint has the flash's pages only if QEMU knows that they changed: emulated, it does not (measured)."""
    if domain.nvram == "file":
        known = "under KVM this was not tried" if domain.type == "kvm" else "the variables stay those of before"
        yield Problem(
            f"it has a UEFI variable store, and QEMU does not hand over what an emulated guest writes to it; {known}",
            "The playbook status says when the two hosts' stores differ",
        )


def accelerator(domain: Domain, other: Host) -> Iterator[Problem]:
    if domain.type == "kvm" and other.kvm is False:
        yield Problem(
            f"the domain is of type kvm, and {other.name} has no /dev/kvm",
            "Turn on virtualization in its firmware and load kvm_intel or kvm_amd",
        )


def cpu(domain: Domain, host: Host, other: Host) -> Iterator[Problem]:
    """A guest that was given the host's processor runs on no other; QEMU alone emulates the same one everywhere."""
    if _given_to_guest(domain) and host.cpu and other.cpu and host.cpu.model != other.cpu.model:
        yield Problem(
            f"the guest has the processor of its host, {host.cpu.model}, and {other.name} has {other.cpu.model}",
            "Choose a CPU model that both have (virsh hypervisor-cpu-baseline); it takes effect at a cold start",
        )


def cpu_features(domain: Domain, host: Host, other: Host) -> Iterator[Problem]:
    """What differs between two processors, where that is no reason to refuse.

    A kernel that is older names fewer features of the same processor, and of a named model libvirt makes sure itself
    when the standby starts.
    """
    if domain.type != "kvm" or not (host.cpu and other.cpu):
        return
    if host.cpu.model == other.cpu.model:
        lacking = sorted(set(host.cpu.flags) - set(other.cpu.flags))
        if lacking:
            yield Problem(
                f"the processor of {other.name} lacks {', '.join(lacking)}, which that of {host.name} has",
                "Bring both hosts to the same kernel, microcode and firmware settings",
            )
    elif not _given_to_guest(domain):
        yield Problem(
            f"the processors differ: {host.cpu.model} in {host.name}, {other.cpu.model} in {other.name}",
            "Be sure that the guest's CPU model is one that both have: otherwise the standby will not start",
        )


def _given_to_guest(domain: Domain) -> bool:
    return domain.type == "kvm" and domain.cpu_mode in ("host-passthrough", "maximum")


def disks(domain: Domain, wanted: Wanted) -> Iterator[Problem]:
    by_target = {disk.target: disk for disk in domain.disks}
    chosen = {disk.target for disk in wanted.disks}
    if not wanted.disks:
        yield Problem("no disk is named", "Name each writable disk of the domain in disks")
    targets = [want.target for want in wanted.disks]
    for target in sorted({target for target in targets if targets.count(target) > 1}):
        yield Problem("it is named twice in disks", "Name each disk once", target)
    for want in wanted.disks:
        if want.path is not None and not os.path.isabs(want.path):
            yield Problem(
                f"the path that is stated for its copy, {want.path}, is not an absolute one",
                "State it from / on, or leave it out: the copy is then below colo_directory",
                want.target,
            )
        disk = by_target.get(want.target)
        if disk is None:
            known = ", ".join(sorted(by_target)) or "none"
            yield Problem(f"the domain has no such disk (it has: {known})", "Correct the target", want.target)
        else:
            yield from _disk(disk, want.format)
    for disk in domain.disks:
        if disk.target not in chosen and written(disk):
            yield Problem(
                "the guest can write to it, and it is not to be replicated: the copies would differ",
                "Add it to disks, or make it read-only",
                disk.target,
            )


def unlisted_disks(seen: Observation) -> Iterator[Problem]:
    """What the guest can write to in the QEMU that runs, and that is no disk of its domain, wherever it came from."""
    if seen.domain is None or seen.monitor is None:
        return
    nodes = {disk.node for disk in seen.domain.disks}
    aliases = {disk.alias for disk in seen.domain.disks}
    for device, node in seen.monitor.writers.items():
        known = node in nodes or aliases & set(device.split("/")) or node.startswith(FLASH)
        if not known:
            there = seen.monitor.nodes.get(node)
            image = f" ({there.file})" if there and there.file else ""
            yield Problem(
                f"the guest can write to {node}{image} through the device {device}, which is no disk of its domain",
                "Take it out of qemu:commandline or of the running QEMU; a disk of the domain can be replicated",
            )


def blocked(seen: Observation) -> Iterator[Problem]:
    if seen.monitor and seen.monitor.migration.status != "colo":
        for reason in seen.monitor.migration.blocked:
            yield Problem(
                f"QEMU will not migrate this guest: {reason}",
                "Take out of the domain what it speaks of; that takes effect at a cold start",
            )


def written(disk: Disk) -> bool:
    """Whether the guest can write to it, so that it has to be replicated."""
    return disk.device == "disk" and not disk.readonly


def _disk(disk: Disk, stated: str) -> Iterator[Problem]:
    if disk.device != "disk":
        yield Problem(f"it is a {disk.device}, not a disk", "Leave it out of disks", disk.target)
        return
    if disk.readonly:
        yield Problem("it is read-only: there is nothing to replicate", "Leave it out of disks", disk.target)
    if disk.type not in IMAGE_TYPES:
        remedy = _IMAGE_REMEDIES.get(disk.type, "Only files and block devices are replicated")
        yield Problem(f"its source is of type {disk.type}", remedy, disk.target)
    if disk.format != stated:
        yield Problem(
            f"its format was stated as {stated}, and the domain says {disk.format}",
            "State the format that the domain's XML has",
            disk.target,
        )


def nics(domain: Domain) -> Iterator[Problem]:
    if len(domain.nics) > MAX_NICS:
        yield Problem(
            f"the domain has {len(domain.nics)} NICs, and a pair's block of ports is for {MAX_NICS} at most",
            "Take the others out of the domain; it takes effect at a cold start",
        )
    for nic in domain.nics:
        yield from _nic(nic)


def uncompared(wanted: Wanted, seen: Observation) -> Iterator[Problem]:
    if wanted.uncompared == REFUSE and seen.uncompared:
        yield Problem(
            f"the guest serves with frames that COLO cannot hold back until its standby has them: "
            f"{', '.join(seen.uncompared)}. What it tells clients in them a failover could undo",
            "Choose with colo_uncompared: drop, and it serves over IPv4 alone while it is protected; or allow, and "
            "what it says in such frames may be lost",
        )


def nftables(wanted: Wanted, host: Host) -> Iterator[Problem]:
    if frames.treatment(wanted.uncompared) == DROP and host.nftables is False:
        yield Problem(
            f"{host.name} has no nftables, with which frames are dropped that COLO cannot compare",
            "Install it; the role lockstep.colo.host does",
        )


def vhost(domain: Domain) -> Iterator[Problem]:
    for nic in domain.nics:
        if uses_vhost(domain, nic):
            yield Problem(
                f"NIC {nic.mac} uses vhost: its packets go past QEMU, which has to compare them",
                "Give the interface <driver name='qemu'/> (virsh edit) and start the domain afresh, or have it done to "
                "the running guest with colo_vhost=save_and_restore; a new domain can have it from the beginning",
            )


def uses_vhost(domain: Domain, nic: Nic) -> bool:
    if not nic.model.startswith("virtio"):
        return False
    return nic.driver == "vhost" or (nic.driver != "qemu" and domain.vhost)


def _nic(nic: Nic) -> Iterator[Problem]:
    if nic.bridge is None:
        yield Problem(
            f"NIC {nic.mac} (type {nic.type}) is not on a bridge", "Attach it to a bridge that both hosts have"
        )


def standby_runs(domain: Domain, standby: Observation) -> bool:
    """Whether it has its memory and its images already."""
    there = standby.domain
    return there is not None and there.uuid == domain.uuid and there.active


def memory_needed(domain: Domain) -> int:
    """Of ordinary memory: the secondary keeps a copy of the guest's RAM, and that RAM unless it is in huge pages."""
    return domain.memory if domain.huge_page is not None else 2 * domain.memory


def memory(domain: Domain, standby: Observation) -> Iterator[Problem]:
    host, needed = standby.host, memory_needed(domain)
    if not standby_runs(domain, standby) and host.memory_available < needed:
        yield Problem(
            f"{host.name} has {host.memory_available >> 20} MiB of free memory, and a standby of a guest "
            f"of {domain.memory >> 20} MiB needs {needed >> 20} MiB",
            "Free memory there, or choose another second host",
        )


def processors(domain: Domain, other: Host) -> Iterator[Problem]:
    yield from _placed("processors", "<cputune> and the cpuset of <vcpu>", domain.processors, other.processors, other)


def numa_nodes(domain: Domain, other: Host) -> Iterator[Problem]:
    yield from _placed("NUMA nodes", "<numatune>", domain.numa_nodes, other.numa_nodes, other)


def _placed(what: str, where: str, wanted: Iterable[int], online: tuple[int, ...], other: Host) -> Iterator[Problem]:
    lacking = sorted(set(wanted) - set(online)) if online else ()
    if lacking:
        yield Problem(
            f"the guest is bound to {what} {', '.join(map(str, lacking))}, which {other.name} does not have",
            f"Bind it to what both hosts have ({where}); it takes effect at a cold start",
        )


def partition(domain: Domain, other: Host) -> Iterator[Problem]:
    """systemd makes one wherever libvirt asks for it, but not its limits."""
    if domain.partition:
        yield Problem(
            f"the domain is in the resource partition {domain.partition}, and its limits are those of each host",
            f"Set them on {other.name} as well, for the slice of that name",
        )


def huge_pages_free(domain: Domain, host: Host) -> int:
    """Bytes that ``host`` has free in huge pages of the size that the domain wants."""
    wanted = domain.huge_page
    return sum(p.size * p.free for p in host.huge_pages if (p.size == wanted if wanted else p.default))


def huge_pages(domain: Domain, standby: Observation) -> Iterator[Problem]:
    free = huge_pages_free(domain, standby.host)
    if domain.huge_page is not None and not standby_runs(domain, standby) and free < domain.memory:
        yield Problem(
            f"{standby.host.name} has {free >> 20} MiB of free huge pages, and the guest's memory is "
            f"{domain.memory >> 20} MiB of them",
            "Reserve them there (vm.nr_hugepages), or take <hugepages> out of the domain; it takes effect at a cold "
            "start",
        )


def space(standby: Observation, images: Iterable[tuple[str, str, int | None]]) -> Iterator[Problem]:
    """Each image of a standby may grow to the size of its disk: overlays as well, if the guest writes everywhere."""
    growth: dict[str, int] = {}
    for path, _kind, size in images:
        room, image = standby.space.get(os.path.dirname(path)), standby.images.get(path)
        if room and size is not None:
            taken = image.allocated or 0 if image else 0
            growth[room.filesystem] = growth.get(room.filesystem, 0) + max(0, size - taken)
    for filesystem, needed in growth.items():
        places = {where: room.available for where, room in standby.space.items() if room.filesystem == filesystem}
        available = min(places.values())
        if available < needed:
            yield Problem(
                f"{standby.host.name} has {available >> 20} MiB free for images in {', '.join(sorted(places))}, "
                f"which may grow by {needed >> 20} MiB",
                "Free space there, or choose another place with colo_directory or the path of a disk",
            )


def files(domain: Domain, standby: Observation) -> Iterator[Problem]:
    for path in domain.files:
        if standby.files.get(path) is False:
            yield Problem(
                f"{standby.host.name} has no {path}, which the domain needs to start",
                "Copy it there, or take it out of the domain",
            )


def bridges(domain: Domain, other: Host) -> Iterator[Problem]:
    for nic in domain.nics:
        by_network = nic.network is not None and other.networks is not None  # which may lead elsewhere there
        if nic.bridge and not by_network and nic.bridge not in other.bridges:
            yield Problem(f"{other.name} has no bridge {nic.bridge}, which NIC {nic.mac} is on", "Create it there")


def forward_delay(domain: Domain, host: Host) -> Iterator[Problem]:
    """Of the bridges that the domain is on: STP lets a port listen and then learn before it forwards."""
    used = {nic.bridge for nic in domain.nics}
    for delay in host.forward_delays:
        if delay.bridge in used and delay.seconds:
            yield Problem(
                f"bridge {delay.bridge} of {host.name} runs STP with a forward delay of {delay.seconds:g} s: clients "
                f"of a guest that is promoted there wait {2 * delay.seconds:g} s longer",
                f"Turn STP off (ip link set {delay.bridge} type bridge stp_state 0) if the network has no loops",
            )


def link_speed(host: Host, wanted: str | None) -> Iterator[Problem]:
    speed = host.speed(wanted)
    if speed and speed < GOOD_SPEED:
        yield Problem(
            f"the link of {wanted} on {host.name} runs at {speed} Mbit/s",
            f"Use one of {GOOD_SPEED} Mbit/s or more: every write of the guest and its changed memory go over it",
        )


def latency(standby: Observation, primary: Observation) -> Iterator[Problem]:
    measured = standby.latency if standby.latency is not None else primary.latency
    if measured is not None and measured > GOOD_LATENCY:
        yield Problem(
            f"a packet takes {measured:g} ms from {primary.host.name} to {standby.host.name} and back",
            f"Use a network with less than {GOOD_LATENCY:g} ms: the guest's answers and checkpoints wait for it",
        )


def clock(one: Host, other: Host) -> Iterator[Problem]:
    """The guest's RTC follows the clock of its host. The hosts were looked at one after the other."""
    if one.clock is not None and other.clock is not None and abs(one.clock - other.clock) > CLOCK_TOLERANCE:
        yield Problem(
            f"the clocks of {one.name} and {other.name} differ by {abs(one.clock - other.clock):.0f} s",
            "Have both follow the same time server: what a guest reads as its RTC would jump at a failover",
        )


def apparmor(host: Host, directory: str) -> Iterator[Problem]:
    """A rule for the directory that is named as the guest's profile; one for all guests does as well."""
    own = f"{directory}/{APPARMOR_HOME}"
    if host.apparmor and not any(_within(own, allowed) for allowed in host.apparmor_rules):
        yield Problem(
            f"AppArmor on {host.name} does not let QEMU use {directory}",
            "Run the role lockstep.colo.host there, which adds the rules",
        )


def _within(directory: str, allowed: str) -> bool:
    return os.path.commonpath([directory, allowed]) == os.path.normpath(allowed)


def two_hosts(one: Host, other: Host) -> Iterator[Problem]:
    if one.machine_id == other.machine_id:
        yield Problem("both ends of the pair are the same machine", "Choose two hosts; clones need a machine-id each")


def address(host: Host, wanted: str | None) -> Iterator[Problem]:
    if not wanted:
        yield Problem(f"no replication address is given for {host.name}", "Set colo_address for that host")
    elif is_link_local(wanted):
        yield Problem(
            f"{wanted} of {host.name} is a link-local address, which means nothing to the other host",
            "Give both hosts addresses of one network, such as unique local ones (fd00::/8), and set colo_address",
        )
    elif wanted not in host.addresses:
        yield Problem(
            f"{wanted} is not an address of {host.name} (it has: {', '.join(host.addresses)})",
            "Correct colo_address; sockets listen on that address only",
        )


def port_problems(host: Host, first: int) -> Iterator[Problem]:
    if first not in PORT_RANGE or pair.block(first)[-1] not in PORT_RANGE:
        yield Problem(
            f"a pair's {PORTS_PER_PAIR} ports have to lie within {PORT_RANGE.start}-{PORT_RANGE.stop - 1}, and those "
            f"from {first} do not",
            "Correct first_port, or leave it out",
        )
    taken = sorted(set(host.ports) & set(pair.block(first)))
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


def some_block(one: Host, other: Host) -> Iterator[Problem]:
    if free_block(one, other) is None:
        yield Problem("no block of ports is free on both hosts", "End what listens in the collection's range")
