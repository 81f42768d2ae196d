# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each requirement is violated by itself, and all of them at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.observation.depth import Sights
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import (
    Certificate,
    Cpu,
    ForwardDelay,
    Host,
    Image,
    KnownDomain,
    Lan,
    Link,
    Listen,
    Marker,
    Network,
    Observation,
    Otherwise,
    Passage,
    Space,
    StartHook,
    Trial,
)
from ansible_collections.lockstep.colo.plugins.module_utils.plan import describe, listen, protect
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import MAX_NICS, OFF, PORT_RANGE, REQUIRED
from ansible_collections.lockstep.colo.plugins.module_utils.record.wanted import Wanted, WantedDisk
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import copies, preflight, wishes
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Refusal
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements import start_hook
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.requirements.row import (
    NOTE,
    OK,
    UNKNOWN,
    WRONG,
    Requirement,
    advice,
    problems,
)
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import WANTED, recorded

MIB = 1 << 20
ENCRYPTED = replace(WANTED, tls=REQUIRED)
ACCOUNTS = {"user libvirt-qemu": True, "group kvm": True}
SUBJECT = "O=lockstep.colo,CN=%s"
EPYC, XEON = Cpu("AMD EPYC", ("aes", "avx2", "svm")), Cpu("Intel Xeon", ("aes", "avx2", "vmx"))
KERNEL = "/var/lib/libvirt/boot/lab-vmlinuz"
UUID = recorded("unprotected-primary").domain.uuid
HOME = f"{WANTED.directory}/libvirt-{UUID}"
OLD_HOOK = StartHook("5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef", True, True)
DESCRIBED, MADE = recorded("described-primary"), recorded("described-secondary")


def equipped(host: Host) -> Host:
    """A recorded host with what was not yet observed when it was recorded."""
    return replace(
        host,
        emulator=replace(host.emulator, machines=("none", "pc-i440fx-10.0", "pc-q35-10.0")),
        forward_delays=(ForwardDelay("br0", 0.0),),
        links=tuple(Link(address, 10000) for address in host.addresses),
        clock=1764000000.0,
        cpu=EPYC,
        kvm=True,
        processors=(0, 1),
        numa_nodes=(0,),
        apparmor=True,
        apparmor_rules=("/var/lib/libvirt/images/colo",),
        lans=(Lan("br0", 1500, ("eth0",)),),
        networks=(Network("lan", True, "br0", "bridge"),),
        network_filters=("clean-traffic",),
        listeners=("0.0.0.0:22", "10.77.0.2:5999"),
        nftables=True,
        start_hook=StartHook(start_hook.DIGEST, True, True),
        libvirt_guests="shutdown",
        certificate=Certificate(None, SUBJECT % host.name, SUBJECT % host.name, 1.7e9, 1.8e9, host.addresses, "a"),
    )


@dataclass(frozen=True)
class Pair:
    """What is wanted of two hosts, to be changed in one thing or another."""

    primary: Observation
    standby: Observation
    wanted: Wanted = ENCRYPTED

    def here(self, **changes: Any) -> Pair:
        return replace(self, primary=replace(self.primary, host=replace(self.primary.host, **changes)))

    def there(self, **changes: Any) -> Pair:
        return replace(self, standby=replace(self.standby, host=replace(self.standby.host, **changes)))

    def domain(self, **changes: Any) -> Pair:
        return replace(self, primary=replace(self.primary, domain=replace(self.primary.domain, **changes)))

    def seen_there(self, **changes: Any) -> Pair:
        return replace(self, standby=replace(self.standby, **changes))

    def seen_here(self, **changes: Any) -> Pair:
        return replace(self, primary=replace(self.primary, **changes))

    def wants(self, **changes: Any) -> Pair:
        return replace(self, wanted=replace(self.wanted, **changes))

    def in_monitor(self, **changes: Any) -> Pair:
        return replace(self, primary=replace(self.primary, monitor=replace(self.primary.monitor, **changes)))

    def in_qemu(self, version: str) -> Pair:
        return self.in_monitor(version=version)

    def qemu_there(self, **changes: Any) -> Pair:
        return self.there(emulator=replace(self.standby.host.emulator, **changes))

    def certified(self, **changes: Any) -> Pair:
        return self.there(certificate=replace(self.standby.host.certificate, **changes))

    @property
    def rows(self) -> list[Requirement]:
        return preflight.of_pair(self.wanted, self.primary, self.standby)


RUNNING, EMPTY = recorded("unprotected-primary"), recorded("unprotected-secondary")
FIT = Pair(
    replace(
        RUNNING,
        host=equipped(RUNNING.host),
        marker=None,
        uncompared=(),
        accounts=ACCOUNTS,
        space={WANTED.directory: Space(384 * MIB, "66")},
        domain=replace(RUNNING.domain, type="kvm", cpu_mode="custom", files=(KERNEL,)),
        monitor=replace(
            RUNNING.monitor, writers={f"/machine/{disk.alias}/x": disk.node for disk in RUNNING.domain.disks}
        ),
    ),
    replace(
        EMPTY,
        host=equipped(EMPTY.host),
        space={HOME: Space(384 * MIB, "66")},  # three times two disks of 64 MiB
        files={KERNEL: True},
        accounts=ACCOUNTS,
        latency=0.3,
        passage=Passage(1500, passes=True),
        trial=Trial(),
    ),
)
TARGETS = [disk.target for disk in RUNNING.domain.disks]
FIRST_NIC = RUNNING.domain.nics[0]


def nic(pair: Pair, **changes: Any) -> Pair:
    return pair.domain(nics=(replace(FIRST_NIC, **changes), *pair.primary.domain.nics[1:]))


def image_in_the_way(pair: Pair) -> Pair:
    path = f"{HOME}/vda.active.qcow2"
    return pair.seen_there(images={path: Image(path, True, "qcow2", 64 * MIB)})


def someone_elses_marker(pair: Pair) -> Pair:
    return pair.seen_there(marker=Marker("another", UUID, 1, "secondary"), directory=HOME)


def emulated(pair: Pair, version: str) -> Pair:
    """A guest that QEMU emulates, where the standby's host has such a QEMU."""
    return pair.domain(type="qemu").in_qemu(version).qemu_there(version=version)


def another_domain(pair: Pair) -> Pair:
    return pair.seen_there(domain=replace(RUNNING.domain, uuid="11111111-2222-3333-4444-555555555555"))


def blocked(pair: Pair, *reasons: str) -> Pair:
    return pair.in_monitor(migration=replace(pair.primary.monitor.migration, blocked=reasons))


def silent(pair: Pair) -> Pair:
    return replace(pair, primary=replace(pair.primary, monitor=None, monitor_problem="it hangs"))


def stated_path(pair: Pair, path: str) -> Pair:
    first, *others = pair.wanted.disks
    return pair.wants(disks=(replace(first, path=path), *others))


def in_a_pool(pair: Pair) -> Pair:
    first, *others = pair.primary.domain.disks
    return pair.domain(disks=(replace(first, type="volume", source="vms/web1-vda.qcow2"), *others))


def no_account(pair: Pair, lacking: str, **wanted: str) -> Pair:
    """Another user or group is wanted, which the first host alone has."""
    pair = pair.wants(**wanted).seen_here(accounts={**ACCOUNTS, lacking: True})
    return pair.seen_there(accounts={**ACCOUNTS, lacking: False})


def room_there(pair: Pair, **changes: Any) -> Pair:
    return pair.seen_there(space={HOME: replace(pair.standby.space[HOME], **changes)})


def leads_to(pair: Pair, lan: Lan | None = None, **changes: Any) -> Pair:
    """The first NIC on the network lan, which on the second host is changed, or leads to another bridge."""
    network = replace(Network("lan", True, lan.bridge if lan else "br0", "bridge"), **changes)
    lans = (*pair.standby.host.lans, *((lan,) if lan else ()))
    return nic(pair, network="lan").there(networks=(network,), lans=lans)


def modes(pair: Pair, here: str | None, there: str | None) -> Pair:
    """The first NIC on a network of another forward mode on each host."""
    own = Network("lan", True, "br0", here)
    return leads_to(pair.here(networks=(own,)), forward=there)


def listens(pair: Pair, address: str | None, port: int | None) -> Pair:
    return pair.domain(listens=(Listen("VNC", address, port),))


def otherwise(pair: Pair, *differs: str | None) -> Pair:
    return pair.domain(otherwise=(Otherwise(*differs),))


def at_node(pair: Pair, node: str) -> Pair:
    first, *others = pair.primary.domain.disks
    return pair.domain(disks=(replace(first, node=node), *others))


Violation = tuple[str, str, Callable[[Pair], Pair], str]
# Requirement, state, what violates it, and what has to be said of it. They are put together in this order further down,
# so that none undoes what another did.
VIOLATIONS: list[Violation] = [
    ("QEMU", WRONG, lambda p: p.qemu_there(missing=("driver replication",)), "on kvm2 lacks driver replication"),
    ("libvirt", WRONG, lambda p: p.here(libvirt=None), "nothing is known of libvirt on kvm1"),
    ("AppArmor", WRONG, lambda p: p.here(apparmor_rules=("/srv",)), "AppArmor on kvm1 does not let QEMU use /var"),
    ("AppArmor", WRONG, lambda p: p.there(apparmor_rules=()), "AppArmor on kvm2 does not let QEMU use /var"),
    ("start hook", WRONG, lambda p: p.here(start_hook=StartHook()), "kvm1 has no hook"),
    ("start hook", WRONG, lambda p: p.there(start_hook=OLD_HOOK), "is not that of this version"),
    ("host shutdown", WRONG, lambda p: p.there(libvirt_guests="suspend"), "libvirt-guests on kvm2 saves"),
    ("two hosts", WRONG, lambda p: p.there(machine_id=p.primary.host.machine_id), "are the same machine"),
    ("same versions", WRONG, lambda p: p.qemu_there(version="10.0.9"), "QEMU is 10.0.13 on kvm1 and 10.0.9 on kvm2"),
    ("clock", NOTE, lambda p: p.there(clock=1764000061.0), "the clocks of kvm1 and kvm2 differ by 61 s"),
    ("latency", NOTE, lambda p: p.seen_there(latency=5.5), "a packet takes 5.5 ms from kvm1 to kvm2"),
    ("large packets", WRONG, lambda p: p.seen_there(passage=Passage(9000, False)), "packets of 9000 bytes, as the"),
    ("link speed", NOTE, lambda p: p.here(links=(Link("10.77.0.1", 100),)), "10.77.0.1 on kvm1 runs at 100 Mbit/s"),
    ("link speed", NOTE, lambda p: p.there(links=(Link("10.77.0.2", 100),)), "10.77.0.2 on kvm2 runs at 100 Mbit/s"),
    ("replication address", WRONG, lambda p: p.here(addresses=("10.9.9.9",)), "10.77.0.1 is not an address of kvm1"),
    ("replication address", WRONG, lambda p: p.there(addresses=()), "10.77.0.2 is not an address of kvm2"),
    ("ports", WRONG, lambda p: p.there(ports=(21605,)).wants(first_port=21600), "port 21605 is in use on kvm2"),
    ("domain", WRONG, lambda p: p.domain(persistent=False), "the domain is transient"),
    ("monitor", WRONG, silent, "QEMU's monitor does not answer: it hangs"),
    ("machine type", WRONG, lambda p: p.domain(machine="pc-q35-10.0"), "aborts a COLO secondary of q35"),
    ("machine type", WRONG, lambda p: p.qemu_there(machines=("none",)), "the QEMU of kvm2 has no machine type pc-"),
    ("devices", WRONG, lambda p: p.domain(unsupported=("tpm: x", "vsock: y")), "not possible with COLO: tpm: x"),
    ("devices", WRONG, lambda p: p.domain(untried={"iommu": "iommu: z"}), "nobody has tried this with COLO: iommu: z"),
    ("UEFI variable store", WRONG, lambda p: p.domain(nvram="network"), "variable store is of type network"),
    ("disks", WRONG, lambda p: p.wants(disks=WANTED.disks[:1]), "the guest can write to it, and it is not to be"),
    ("uncompared frames", WRONG, lambda p: p.seen_here(uncompared=("IPv6", "VLAN 7")), "them: IPv6, VLAN 7. What it"),
    ("nftables", WRONG, lambda p: p.there(nftables=False), "kvm2 has no nftables"),
    ("vhost", WRONG, lambda p: nic(p, driver="vhost"), f"NIC {FIRST_NIC.mac} uses vhost"),
    ("accelerator", WRONG, lambda p: p.there(kvm=False), "of type kvm, and kvm2 has no /dev/kvm"),
    ("CPU", WRONG, lambda p: p.there(cpu=XEON).domain(cpu_mode="host-passthrough"), "and kvm2 has Intel Xeon"),
    ("memory", WRONG, lambda p: p.there(memory_available=255 * MIB), "kvm2 has 255 MiB of free memory"),
    ("files", WRONG, lambda p: p.seen_there(files={KERNEL: False}), f"kvm2 has no {KERNEL}"),
    ("bridges", WRONG, lambda p: p.there(bridges=("br9",)), "kvm2 has no bridge br0"),
    ("forward delay", NOTE, lambda p: p.here(forward_delays=(ForwardDelay("br0", 2.0),)), "br0 of kvm1 runs STP"),
    ("forward delay", NOTE, lambda p: p.there(forward_delays=(ForwardDelay("br0", 15.0),)), "wait 30 s longer"),
    ("owner of images", WRONG, lambda p: no_account(p, "user qemu", image_owner="qemu"), "kvm2 has no user qemu, to"),
    ("disk space", WRONG, lambda p: p.seen_there(space={HOME: Space(191 * MIB, "66")}), "kvm2 has 191 MiB free"),
    ("images", WRONG, image_in_the_way, "vda.active.qcow2 exists and is not ours"),
    ("standby's domain", WRONG, another_domain, "kvm2 has another domain of this name"),
]  # fmt: skip
MORE: list[Violation] = [
    (
        "CPU pinning",
        WRONG,
        lambda p: p.domain(processors=(1, 7, 9)),
        "bound to processors 7, 9, which kvm2 does",
    ),
    ("persistent domain", WRONG, lambda p: otherwise(p, "NIC x", "virtio on br1", None), "the running guest has NIC x"),
    (
        "persistent domain",
        WRONG,
        lambda p: otherwise(p, "disk vdc", None, "disk on virtio"),
        "the running guest has not",
    ),
    ("persistent domain", WRONG, lambda p: otherwise(p, "the memory", "1 MiB", "2 MiB"), "and 1 MiB in the running"),
    ("NUMA placement", WRONG, lambda p: p.domain(numa_nodes=(1,)), "bound to NUMA nodes 1, which kvm2 does not have"),
    (
        "files and rights",
        WRONG,
        lambda p: p.domain(foreign={"path /etc/shadow": "devices/disk/source@file is /etc/shadow"}),
        "asks the standby's host for something that is not the guest's: devices/disk/source@file is /etc/shadow",
    ),
    ("resource partition", NOTE, lambda p: p.domain(partition="/vip"), "/vip, and its limits are those of each host"),
    ("owner of images", WRONG, lambda p: no_account(p, "group qemu", image_group="qemu"), "kvm2 has no group qemu"),
    (
        "directories of images",
        WRONG,
        lambda p: room_there(p, read_only=True),
        f"{HOME} of kvm2 is on a filesystem that",
    ),
    ("directories of images", WRONG, lambda p: room_there(p, files=7), "kvm2 has inodes for 7 more files"),
    ("directories of images", WRONG, lambda p: room_there(p, in_the_way="/var/x"), "/var/x of kvm2 is no directory"),
    (
        "directories of images",
        WRONG,
        lambda p: p.seen_here(space={WANTED.directory: Space(0, "66", read_only=True)}),
        f"{WANTED.directory} of kvm1 is on a filesystem that can only be read",
    ),
    ("paces", WRONG, lambda p: p.wants(checkpoint_delay=-1), "colo_checkpoint_delay is -1, and QEMU takes"),
    ("paces", WRONG, lambda p: p.wants(checkpoint_delay=1 << 32), "numbers from 0 to 4294967295"),
    ("paces", WRONG, lambda p: p.wants(sync_speed=-1), "colo_sync_speed is -1"),
    ("disks in QEMU", WRONG, lambda p: p.in_monitor(writers={"virtio0": "#block7"}), "through the device virtio0"),
    ("migration", WRONG, lambda p: blocked(p, "a device"), "QEMU will not migrate this guest: a device"),
    ("nftables", WRONG, lambda p: p.here(nftables=False).wants(uncompared="drop"), "kvm1 has no nftables"),
    ("monitor", WRONG, lambda p: p.in_qemu("10.1.0"), "COLO never begins in QEMU 10.1.0"),
    ("accelerator", NOTE, lambda p: emulated(p, "11.1.3"), "the QEMU 11.1.3 of kvm2 executes, in a standby, code that"),
    ("QEMU", WRONG, lambda p: p.qemu_there(version="10.0.6"), "COLO never begins in QEMU 10.0.6, which kvm2 has"),
    ("same versions", WRONG, lambda p: p.in_qemu("7.2.22"), "QEMU is 7.2.22 on kvm1 and 10.0.13 on kvm2"),
    ("QEMU", WRONG, lambda p: p.here(emulator=None), "nothing is known of the QEMU binary on kvm1"),
    ("same versions", WRONG, lambda p: p.there(libvirt="9.0.0"), "libvirt is 11.3.0 on kvm1 and 9.0.0 on kvm2"),
    ("replication address", WRONG, lambda p: p.wants(peer_address=None), "no replication address is given for kvm2"),
    ("ports", WRONG, lambda p: p.there(ports=tuple(PORT_RANGE)), "no block of ports is free on both hosts"),
    ("domain", WRONG, lambda p: replace(p, primary=replace(p.primary, domain=None)), "there is no such domain"),
    ("huge pages", WRONG, lambda p: p.domain(huge_page=0), "kvm2 has 0 MiB of free huge pages, and the guest's"),
    ("UEFI variable store", NOTE, lambda p: p.domain(nvram="file"), "under KVM this was not tried"),
    ("UEFI variable store", NOTE, lambda p: p.domain(nvram="file", type="qemu"), "stay those of before"),
    ("NICs", WRONG, lambda p: nic(p, bridge=None, type="user"), "is not on a bridge"),
    ("NICs", WRONG, lambda p: p.domain(nics=(FIRST_NIC,) * (MAX_NICS + 1)), f"{MAX_NICS + 1} NICs"),
    ("CPU", NOTE, lambda p: p.there(cpu=XEON), "the processors differ"),
    ("CPU", NOTE, lambda p: p.there(cpu=replace(EPYC, flags=("aes",))), "of kvm2 lacks avx2, svm"),
    ("images", WRONG, someone_elses_marker, "was written by another machine"),
    ("newest copy", WRONG, lambda p: replace(p, standby=recorded("failed-over-secondary")), "kvm2 has a newer copy"),
    ("disks", WRONG, lambda p: p.wants(disks=(*WANTED.disks, WANTED.disks[0])), "it is named twice in disks"),
    ("disks", WRONG, lambda p: stated_path(p, "images/x.qcow2"), "stated for its copy, images/x.qcow2, is not an abso"),
    ("disks", WRONG, in_a_pool, "its source is of type volume"),
    ("ports", WRONG, lambda p: p.wants(first_port=80), "have to lie within 21600-23199, and those from 80 do not"),
    ("networks", WRONG, lambda p: nic(p, network="dmz"), "kvm2 has no network dmz, which NIC"),
    ("networks", WRONG, lambda p: leads_to(p, active=False), "network lan, which NIC"),
    ("networks", WRONG, lambda p: leads_to(p, bridge=None), "network lan of kvm2 has no bridge"),
    ("networks", WRONG, lambda p: leads_to(p, Lan("br1", 1500)), "has no port that leads out of the host, and br0 of"),
    ("networks", NOTE, lambda p: leads_to(p, Lan("br1", 1500, ("eth1",))), "network lan leads to bridge br1 on kvm2"),
    ("networks", WRONG, lambda p: p.there(lans=(Lan("br0", 1500),)), "br0 of kvm2, where NIC"),
    ("networks", WRONG, lambda p: p.there(lans=(Lan("br0", 1500, ("eth0",), up=False),)), "would be, is down"),
    (
        "networks",
        WRONG,
        lambda p: p.there(lans=(Lan("br0", 1500, ("eth0",), dead=("eth0",)),)),
        "its port eth0 is down or has no carrier",
    ),
    ("networks", WRONG, lambda p: p.there(lans=(Lan("br0", 1400, ("eth0",)),)), "has an MTU of 1400, and here it is"),
    (
        "networks",
        WRONG,
        lambda p: p.there(lans=(Lan("br0", 1500, ("eth0.7",), (7,)),)),
        "is in VLAN 7, and here it is in",
    ),
    ("network filters", WRONG, lambda p: p.domain(network_filters=("no-spoof",)), "kvm2 has no nwfilter no-spoof"),
    (
        "listeners",
        WRONG,
        lambda p: listens(p, "10.77.0.1", None),
        "VNC of the domain listens on 10.77.0.1, which is no",
    ),
    ("listeners", WRONG, lambda p: listens(p, "10.77.0.2", 5999), "port 5999, on which VNC of the domain listens, is"),
    ("listeners", WRONG, lambda p: listens(p, None, 5999), "port 5999, on which VNC"),
    ("listeners", WRONG, lambda p: listens(p, "127.0.0.1", 22), "port 22, on which VNC"),
    (
        "UUID",
        WRONG,
        lambda p: p.there(domains=(KnownDomain("web1-old", UUID),)),
        "kvm2 has a domain web1-old with the UUID of this one",
    ),
    ("start", WRONG, lambda p: p.seen_there(trial=Trial("no tap")), "kvm2 would not start the standby: no tap"),
    ("snapshots", NOTE, lambda p: p.domain(snapshots=("s1",)), "the domain has snapshots or checkpoints (s1)"),
    ("encryption", NOTE, lambda p: p.wants(tls=OFF), "colo_tls is off: replication is neither encrypted nor"),
    ("certificate", WRONG, lambda p: p.certified(problem="no key"), "kvm2 has no certificate: no key"),
    ("certificate authority", WRONG, lambda p: p.certified(authority="b"), "are of different authorities"),
    (
        "address family",
        WRONG,
        lambda p: p.wants(address="fd00::1").here(addresses=("fd00::1",)),
        "an IPv6 address, and",
    ),
    ("networks", WRONG, lambda p: modes(p, "bridge", None), "in kvm2 it leads nowhere, and in kvm1 it has forward"),
    ("networks", WRONG, lambda p: modes(p, "bridge", "nat"), "in kvm2 it has forward mode nat, and in kvm1"),
    ("networks", NOTE, lambda p: modes(p, "nat", "nat"), "network lan, which NIC"),
    ("networks", NOTE, lambda p: modes(p, None, None), "is on, is each host's own: it leads nowhere"),
    ("way back", WRONG, lambda p: at_node(p, "libvirt-9-odd"), "the guest uses block node libvirt-9-odd, and once"),
]


@pytest.mark.parametrize(("requirement", "state", "violate", "words"), VIOLATIONS + MORE)
def test_what_violates_a_requirement_is_its_row(
    requirement: str, state: str, violate: Callable[[Pair], Pair], words: str
) -> None:
    assert {row.state for row in FIT.rows} == {OK}
    found = [row for row in violate(FIT).rows if row.requirement == requirement and words in row.found]
    assert [(row.state, bool(row.remedy), bool(row.needed)) for row in found] == [(state, True, True)] * len(found)
    assert found


def test_every_requirement_has_something_that_violates_it() -> None:
    assert {row.requirement for row in FIT.rows} == {violation[0] for violation in VIOLATIONS + MORE}


def test_all_that_is_wrong_on_both_hosts_is_refused_in_one_message() -> None:
    pair = FIT
    for _requirement, _state, violate, _words in VIOLATIONS:
        pair = violate(pair)
    found = {row.found: row for row in pair.rows}
    for _requirement, state, _violate, words in VIOLATIONS:
        assert any(words in text and row.state == state for text, row in found.items()), words
    with pytest.raises(Refusal) as refusal:
        describe.primary(pair.wanted, pair.primary, pair.standby)
    for _requirement, state, _violate, words in VIOLATIONS:
        assert (words in str(refusal.value)) is (state == WRONG), words
    assert {problem.what for problem in refusal.value.problems} == {
        text for text, row in found.items() if row.state == WRONG
    }


@pytest.mark.parametrize(("version", "told"), [("10.1.5", False), ("10.2.0", True), ("11.1.3", True)])
def test_an_emulated_guest_is_told_of_code_that_a_checkpoint_replaces(version: str, told: bool) -> None:
    rows = {row.requirement: row for row in emulated(FIT, version).rows}
    assert (rows["accelerator"].state == NOTE) is told


def test_a_note_is_no_reason_to_refuse() -> None:
    pair = FIT
    for _requirement, state, violate, _words in VIOLATIONS:
        pair = violate(pair) if state == NOTE else pair
    assert describe.primary(pair.wanted, pair.primary, pair.standby).changes
    assert advice(pair.rows) == [f"{row.found}. {row.remedy}" for row in pair.rows if row.state == NOTE]
    assert len(advice(pair.rows)) >= sum(state == NOTE for _requirement, state, _violate, _words in VIOLATIONS)


def said_less(host: Host) -> Host:
    """A host of which no more is known than its software, its memory and its addresses."""
    return Host(
        host.name, host.machine_id, host.libvirt, replace(host.emulator, machines=()), host.memory_available,
        host.addresses, bridges=host.bridges,
    )  # fmt: skip


def wrong_images(pair: Pair) -> list[str]:
    return [row.found for row in pair.rows if (row.requirement, row.state) == ("images", WRONG)]


BROUGHT = Image("/srv/web1.qcow2", True, "qcow2", 64 * MIB, inode=5, allocated=32 * MIB)


@pytest.mark.parametrize(
    ("overwrite", "seen", "words"),
    [
        (True, {}, ()),
        (False, {}, ("/srv/web1.qcow2 exists and is not ours",)),
        (True, {"in_use": True}, ("/srv/web1.qcow2 is in use by another process",)),
        (True, {"virtual_size": 32 * MIB}, (f"is qcow2 of {32 * MIB} bytes, and qcow2 of {64 * MIB} bytes",)),
        (True, {"format": "raw"}, ("/srv/web1.qcow2 is raw of",)),
    ],
    ids=["offered", "only named", "in use", "another size", "another format"],
)
def test_an_image_that_was_brought_there_becomes_the_standbys_where_that_is_stated(
    overwrite: bool, seen: dict[str, Any], words: tuple[str, ...]
) -> None:
    first, *others = WANTED.disks
    wanted = replace(WANTED, disks=(replace(first, path=BROUGHT.path, overwrite=overwrite), *others))
    there = {BROUGHT.path: replace(BROUGHT, **seen)}
    found = wrong_images(FIT.wants(disks=wanted.disks).seen_there(images=there))
    assert len(found) == len(words)
    assert all(expected in one for one, expected in zip(found, words, strict=True))


def test_what_may_be_overwritten_is_the_image_alone_and_not_what_lies_beside_it() -> None:
    first, *others = FIT.wanted.disks
    pair = image_in_the_way(FIT.wants(disks=(replace(first, overwrite=True), *others)))
    assert ["vda.active.qcow2 exists and is not ours" in one for one in wrong_images(pair)] == [True]


@pytest.mark.parametrize(
    ("path", "seen", "words"),
    [
        ("/srv/none/x.qcow2", {}, "kvm2 has no directory /srv/none, where /srv/none/x.qcow2 would be made"),
        ("/dev/vms/web1", {}, "kvm2 has no device /dev/vms/web1, and none is made"),
        ("/srv/images", {"exists": True}, "/srv/images exists and is not ours"),
        (f"{HOME}/vdb.qcow2", {}, f"{HOME}/vdb.qcow2 would be an image of disk vda as well"),
        (f"{HOME}/vdb.hidden.qcow2", {}, f"{HOME}/vdb.hidden.qcow2 would be an image of disk vda as well"),
    ],
)
def test_a_path_at_which_no_copy_could_be_made_is_refused(path: str, seen: dict[str, Any], words: str) -> None:
    first, *others = WANTED.disks
    wanted = replace(WANTED, disks=(replace(first, path=path), *others))
    images = {path: Image(path, **{"exists": False, **seen}), f"{HOME}/vdb.qcow2": Image(f"{HOME}/vdb.qcow2", False)}
    files = {where: False for where in wishes.sights(wanted, FIT.primary).files if where.startswith("/srv")}
    there = FIT.seen_there(images=images, files={KERNEL: True, **files})
    (wrong,) = [row for row in preflight.of_pair(wanted, there.primary, there.standby) if row.state == WRONG]
    assert (wrong.requirement, wrong.found) == ("images", words)


def test_what_could_not_be_seen_is_unknown_and_no_reason_to_refuse() -> None:
    """As hosts said it to versions that looked at less."""
    monitor = replace(RUNNING.monitor, writers={})
    domain = replace(RUNNING.domain, type=None, cpu_mode=None, files=())
    here = replace(RUNNING, marker=None, host=said_less(RUNNING.host), domain=domain, monitor=monitor)
    here = replace(here, uncompared=None, passage=None, accounts={}, space={})
    rows = Pair(replace(here, latency=None), replace(EMPTY, host=said_less(EMPTY.host), space={}, files={})).rows
    unknown = {row.requirement for row in rows if row.state == UNKNOWN}
    assert unknown == {
        "AppArmor", "start hook", "host shutdown", "clock", "latency", "link speed", "machine type", "accelerator",
        "CPU", "forward delay", "disk space", "disks in QEMU", "large packets", "networks", "network filters",
        "listeners", "uncompared frames", "nftables", "start", "certificate", "owner of images",
        "directories of images",
    }  # fmt: skip
    assert {row.state for row in rows} == {OK, UNKNOWN}


# Where the line is


def test_colo_pair_starts_no_standby_where_something_is_wrong() -> None:
    assert listen.secondary(Wanted(), MADE, DESCRIBED).steps
    short = replace(MADE, host=replace(MADE.host, memory_available=0, addresses=()))
    with pytest.raises(Refusal, match="0 MiB of free memory") as refusal:
        listen.secondary(Wanted(), short, DESCRIBED)
    assert "10.77.0.2 is not an address of kvm2" in str(refusal.value)


def test_colo_pair_sends_no_guest_where_something_is_wrong() -> None:
    listening = recorded("listening-secondary")
    assert protect.primary(Wanted(), DESCRIBED, listening).steps
    other = replace(listening, host=replace(listening.host, libvirt="9.0.0"))
    with pytest.raises(Refusal, match=r"libvirt is 11.3.0 on kvm1 and 9.0.0 on kvm2"):
        protect.primary(Wanted(), DESCRIBED, other)


@pytest.mark.parametrize(
    ("images", "available", "enough"),
    [
        ({}, 384, True),
        ({}, 383, False),
        ({f"{HOME}/vda.qcow2": 60}, 324, True),
        ({f"{HOME}/vda.qcow2": 60}, 323, False),
        ({f"{HOME}/vda.qcow2": 65, f"{HOME}/vdb.qcow2": 64}, 256, True),
    ],
)
def test_every_image_may_grow_to_the_size_of_its_disk(images: dict[str, int], available: int, enough: bool) -> None:
    there = {path: Image(path, True, "qcow2", 64 * MIB, allocated=size * MIB) for path, size in images.items()}
    pair = FIT.seen_there(images=there, space={HOME: Space(available * MIB, "66")})
    (row,) = [row for row in pair.rows if row.requirement == "disk space"]
    assert (row.state == OK) is enough
    assert row.needed.startswith("384 MiB")


def test_images_on_two_filesystems_are_counted_apart() -> None:
    elsewhere = (replace(WANTED.disks[0], path="/big/vda.qcow2"), WANTED.disks[1])
    rooms = {HOME: Space(320 * MIB, "66"), WANTED.directory: Space(320 * MIB, "66"), "/big": Space(63 * MIB, "67")}
    rows = [row for row in FIT.wants(disks=elsewhere).seen_there(space=rooms).rows if row.requirement == "disk space"]
    assert [row.state for row in rows] == [WRONG]
    assert "63 MiB free for images in /big, which may grow by 64 MiB" in rows[0].found


def test_a_standby_that_listens_has_its_memory_and_its_images() -> None:
    listening = replace(recorded("listening-secondary"), space={HOME: Space(0, "66")})
    listening = replace(listening, host=replace(listening.host, memory_available=0))
    rows = preflight.of_pair(WANTED, recorded("described-primary"), listening)
    assert list(problems(rows)) == []


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        (("/var/lib/libvirt/images/colo/@{profile_name}",), True),
        (("/var/lib/libvirt/images/colo",), True),
        (("/srv", "/var/lib/libvirt"), True),
        (("/srv/@{profile_name}",), False),
        (("/var/lib/libvirt/images/colo2",), False),
        (("/var/lib/libvirt/images/co",), False),
        (("/var/lib/libvirt/images/colo/deeper",), False),
    ],
)
def test_a_rule_for_a_directory_above_is_as_good(rules: tuple[str, ...], allowed: bool) -> None:
    host = replace(FIT.standby.host, apparmor_rules=rules)
    assert (list(problems(preflight.of_host(host, WANTED.directory))) == []) is allowed


def test_in_check_mode_a_user_that_the_role_host_would_bring_is_no_reason_to_refuse() -> None:
    bare = no_account(FIT, "user qemu", image_owner="qemu").wants(dry=True)
    assert [row.state for row in bare.rows if row.requirement == "owner of images"] == [OK, NOTE]


def test_whom_images_are_given_to_is_not_asked_of_one_who_makes_none() -> None:
    silent = FIT.wants(image_owner=None, image_group=None).seen_there(accounts={"user qemu": False})
    assert {row.state for row in silent.rows if row.requirement == "owner of images"} == {UNKNOWN}
    assert wishes.with_accounts(Sights(), silent.wanted) == Sights()
    assert wishes.with_accounts(Sights(), ENCRYPTED) == Sights(user="libvirt-qemu", group="kvm")


def test_in_check_mode_it_is_no_reason_to_refuse_that_the_role_host_has_not_run_yet() -> None:
    bare = FIT.here(apparmor_rules=(), start_hook=StartHook(), libvirt_guests="suspend")
    bare = bare.there(apparmor_rules=(), start_hook=OLD_HOOK, libvirt_guests="suspend")
    written = "AppArmor", "start hook", "host shutdown"
    assert {row.state for row in bare.rows if row.requirement in written} == {WRONG}
    dry = replace(bare, wanted=replace(bare.wanted, dry=True)).rows
    assert [row.state for row in dry if row.requirement in written] == [NOTE] * 6
    assert not list(problems(dry))


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with a peer that has no domain"])
def test_so_it_is_where_a_host_is_looked_at_without_a_domain(alone: bool) -> None:
    bare = replace(EMPTY, host=replace(equipped(EMPTY.host), apparmor_rules=(), start_hook=StartHook()))
    rows = preflight.seen_here(Wanted(), bare, None if alone else bare)
    dry = preflight.seen_here(Wanted(dry=True), bare, None if alone else bare)
    written = "AppArmor", "start hook"
    assert {row.state for row in rows if row.requirement in written} == {WRONG}
    assert {row.state for row in dry if row.requirement in written} == {NOTE}


def test_where_apparmor_is_not_in_force_no_rule_is_needed() -> None:
    host = replace(FIT.standby.host, apparmor=False, apparmor_rules=())
    assert list(problems(preflight.of_host(host, WANTED.directory))) == []


def test_the_forward_delay_of_a_bridge_that_the_domain_is_not_on_does_not_matter() -> None:
    delays = (ForwardDelay("br0", 0.0), ForwardDelay("br9", 15.0))
    assert {row.state for row in FIT.here(forward_delays=delays).rows} == {OK}


def test_qemu_alone_emulates_the_same_processor_everywhere() -> None:
    emulated = FIT.domain(type="qemu", cpu_mode="maximum").there(cpu=XEON, kvm=False)
    assert {row.state for row in emulated.rows} == {OK}


@pytest.mark.parametrize("choice", ["drop", "allow"])
def test_who_has_chosen_may_protect_a_guest_that_serves_over_ipv6(choice: str) -> None:
    pair = FIT.seen_here(uncompared=("IPv6",)).wants(uncompared=choice)
    assert {row.state for row in pair.rows} == {OK}
    assert describe.primary(pair.wanted, pair.primary, pair.standby).after.record.uncompared == choice


def test_who_lets_all_frames_pass_needs_no_nftables() -> None:
    assert {row.state for row in FIT.here(nftables=False).wants(uncompared="allow").rows} == {OK}


@pytest.mark.parametrize("first", [None, recorded("described-primary").record.first_port])
def test_the_pairs_own_ports_may_be_in_use(first: int | None) -> None:
    primary = recorded("described-primary")
    busy = replace(primary, host=replace(primary.host, ports=(primary.record.first_port,)))
    rows = preflight.of_pair(replace(WANTED, first_port=first), busy, recorded("described-secondary"))
    assert [row.state for row in rows if row.requirement == "ports"] == [OK, OK]


# One host alone, and colo_info


def test_a_host_alone_is_held_against_what_every_host_needs() -> None:
    rows = preflight.seen_here(Wanted(), FIT.standby, None)
    assert [(row.requirement, row.host, row.state) for row in rows] == [
        ("QEMU", "kvm2", OK),
        ("libvirt", "kvm2", OK),
        ("AppArmor", "kvm2", OK),
        ("start hook", "kvm2", OK),
        ("host shutdown", "kvm2", OK),
    ]


def test_a_host_with_a_domain_is_held_against_what_a_domain_needs_as_well() -> None:
    rows = preflight.seen_here(Wanted(), FIT.domain(unsupported=("tpm: x",)).primary, None)
    assert [row.found for row in rows if row.state == WRONG] == ["not possible with COLO: tpm: x"]
    assert {"disks", "NICs", "machine type"} <= {row.requirement for row in rows}


def test_either_host_may_be_asked_about_the_pair_and_says_the_same() -> None:
    wanted = replace(ENCRYPTED, disks=())
    swapped = replace(wanted, address=WANTED.peer_address, peer_address=WANTED.address)
    here = preflight.seen_here(wanted, FIT.primary, FIT.standby)
    assert preflight.seen_here(swapped, FIT.standby, FIT.primary) == here
    assert here == FIT.rows, "every disk that the guest can write to is taken to be wanted"


def test_an_address_that_colo_info_was_not_told_is_unknown() -> None:
    rows = preflight.seen_here(Wanted(), FIT.primary, FIT.standby)
    assert {row.state for row in rows if row.requirement == "replication address"} == {UNKNOWN}
    assert not list(problems(rows))


@pytest.mark.parametrize(
    ("one", "other", "there"),
    [
        (FIT.primary, FIT.standby, False),
        (FIT.standby, FIT.primary, True),
        (FIT.standby, FIT.standby, False),
        (recorded("protected-primary"), recorded("protected-secondary"), False),
        (recorded("protected-secondary"), recorded("protected-primary"), True),
        (recorded("stale-primary"), recorded("failed-over-secondary"), True),
        (recorded("failed-over-secondary"), recorded("stale-primary"), False),
    ],
)
def test_the_guest_is_where_its_newest_copy_is(one: Observation, other: Observation, there: bool) -> None:
    assert copies.guest_is_there(one, other) is there


def test_of_a_domain_of_which_only_the_state_is_known_nothing_is_judged() -> None:
    unasked = recorded("degraded-unasked-primary")
    rows = preflight.seen_here(Wanted(), unasked, None)
    assert {row.requirement for row in rows} == {"QEMU", "libvirt", "AppArmor", "start hook", "host shutdown"}
    assert len(preflight.seen_here(Wanted(), unasked, recorded("degraded-unasked-secondary"))) == 10


def test_what_a_pair_is_made_of_can_be_told_from_its_record() -> None:
    primary = recorded("described-primary")
    assert wishes.stated(Wanted(tls=OFF, image_owner="a", image_group="b"), primary) == replace(
        WANTED, first_port=None, image_owner="a", image_group="b"
    )
    given = Wanted(disks=(WantedDisk("vda", "qcow2", "/other"),), address="a", peer_address="b", first_port=3)
    assert wishes.stated(given, primary) == given
    assert [disk.path for disk in wishes.recorded(given, primary.record).disks] == ["/other", None]


def test_what_has_to_be_looked_at_is_what_a_standby_would_have() -> None:
    assert wishes.sights(Wanted(), FIT.standby) == Sights()
    sights = wishes.sights(Wanted(), FIT.primary)
    assert sights.uuid == UUID
    assert sights.files == (KERNEL,)
    assert {path for path, _kind in sights.images} == {
        f"{HOME}/{target}.{layer}qcow2" for target in TARGETS for layer in ("", "active.", "hidden.")
    }


def test_a_disk_that_is_not_stated_is_looked_at_where_the_record_has_it() -> None:
    stated = Wanted(disks=(replace(WANTED.disks[1], path="/other/vdb.qcow2"),))
    found = {path for path, _kind in wishes.sights(stated, DESCRIBED).images}
    assert {f"{HOME}/vda.qcow2", "/other/vdb.qcow2"} <= found
    assert len(found) == 6


def test_a_domain_that_does_not_run_is_refused_for_that_and_whatever_else_is_wrong() -> None:
    seen = recorded("unprotected-primary")
    disks = tuple(replace(disk, node=None, virtual_size=None) for disk in seen.domain.disks)
    off = replace(seen, domain=replace(seen.domain, state="shutoff", live_xml=None, disks=disks), monitor=None)
    wanted = replace(WANTED, disks=(*WANTED.disks, WantedDisk("sda", "raw")))
    found = [problem.what for problem in problems(preflight.of_pair(wanted, off, recorded("unprotected-secondary")))]
    assert any("not running" in words for words in found)
    assert any("no such disk" in words for words in found)


@pytest.mark.parametrize(
    ("device", "node", "known"),
    [
        pytest.param("/machine/peripheral/virtio-disk0/virtio-backend", "colo-vda", True, id="a disk under our layers"),
        pytest.param("anything", RUNNING.domain.disks[0].node, True, id="the node of a disk of the domain"),
        pytest.param("/machine/system.flash1", "libvirt-pflash1-format", True, id="the UEFI variable store"),
        pytest.param("virtio0", "#block230", False, id="-drive"),
        pytest.param("scsi9", "colo-vdz", False, id="a device that was plugged in past libvirt"),
    ],
)
def test_what_the_guest_can_write_to_in_qemu_is_a_disk_of_the_domain(device: str, node: str, known: bool) -> None:
    first = replace(RUNNING.domain.disks[0], alias="virtio-disk0")
    pair = FIT.domain(disks=(first, *RUNNING.domain.disks[1:])).in_monitor(writers={device: node})
    rows = [row for row in pair.rows if row.requirement == "disks in QEMU"]
    assert [row.state for row in rows] == [OK if known else WRONG]


def test_what_blocks_a_migration_is_no_matter_once_it_runs() -> None:
    pair = blocked(FIT, "x")
    going = replace(pair.primary.monitor.migration, status="colo")
    assert {row.state for row in pair.in_monitor(migration=going).rows if row.requirement == "migration"} == {OK}


def test_what_a_host_has_not_said_of_its_processors_is_unknown() -> None:
    (row,) = [row for row in FIT.domain(processors=(1,)).there(processors=()).rows if row.requirement == "CPU pinning"]
    assert row.state == UNKNOWN


@pytest.mark.parametrize(
    "listen",
    [Listen("VNC", "127.0.0.1", 5999), Listen("VNC", "0.0.0.0", 5901), Listen("SPICE", None, 5900)],
)
def test_a_listener_that_both_hosts_can_have_is_no_reason_to_refuse(listen: Listen) -> None:
    assert {row.state for row in FIT.domain(listens=(listen,)).rows} == {OK}


def test_the_standby_itself_is_nobody_in_the_way() -> None:
    runs = listens(FIT, None, 5999).seen_there(domain=replace(recorded("listening-secondary").domain, uuid=UUID))
    assert not [row for row in runs.rows if row.requirement == "listeners" and row.state != OK]


def test_a_network_without_an_uplink_on_either_host_is_left_as_it_is() -> None:
    inside = leads_to(FIT, Lan("virbr0", 1500)).here(lans=(Lan("br0", 1500),))
    assert not [row for row in inside.rows if row.requirement == "networks" and row.state == WRONG]


def test_a_bridge_of_another_name_that_hears_the_guest_is_of_its_lan() -> None:
    def notes(*heard: str) -> list[str]:
        pair = leads_to(FIT, Lan("br1", 1500, ("eth1",), hears=heard))
        return [row.found for row in pair.rows if row.requirement == "networks" and row.state == NOTE]

    (words,) = notes("52:54:00:00:00:99")
    assert "with its port eth1, and to br0 here" in words
    assert "that they are the same LAN is not proven" in words
    assert notes(FIRST_NIC.mac) == []


def test_a_standbys_host_is_asked_whether_it_hears_the_guest() -> None:
    macs = [nic.mac for nic in FIT.primary.domain.nics]
    assert list(wishes.sights(FIT.wanted, FIT.primary).macs) == macs


def test_what_the_inventory_has_wrong_hides_nothing_else() -> None:
    """It was found by the record itself, which knows no host: one message about the domain's XML, and no table."""
    pair = in_a_pool(stated_path(FIT, "images/x.qcow2")).there(bridges=("br9",))
    pair = pair.wants(disks=(*pair.wanted.disks, pair.wanted.disks[0]))
    found = {(row.requirement, row.disk) for row in pair.rows if row.state == WRONG}
    assert found >= {("disks", "vda"), ("bridges", None)}
    with pytest.raises(Refusal, match="named twice") as refusal:
        describe.primary(pair.wanted, pair.primary, pair.standby)
    assert "not an absolute one" in str(refusal.value)
    assert "of type volume" in str(refusal.value)
    wishes.sights(pair.wanted, pair.primary)


def test_a_start_is_tried_only_where_it_could_say_more() -> None:
    def worth(pair: Pair) -> bool:
        return preflight.worth_a_trial(pair.rows, pair.standby, pair.primary)

    assert worth(FIT)
    assert worth(nic(FIT, driver="vhost"))
    assert not worth(FIT.there(bridges=("br9",)))
    assert not worth(FIT.domain(state="shutoff"))
    assert not worth(replace(FIT, standby=replace(FIT.standby, domain=FIT.primary.domain)))
