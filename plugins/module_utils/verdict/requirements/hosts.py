# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host needs whatever the domain, and what two hosts have to be alike in. Pure."""

from __future__ import annotations

import os

from ...lockstep import abilities
from ...observation.seen import Host, Observation
from .row import Requirement, Row

APPARMOR_HOME = "@{profile_name}"  # images.home in a rule: AppArmor's parser puts in libvirt-UUID (tried: 3.0.8, 4.1.0)
SAVES = "suspend"  # in libvirt-guests' word
CLOCK_TOLERANCE = 60.0  # seconds


def emulator(host: Host) -> list[Requirement]:
    """A QEMU binary that has all that COLO needs, of a version in which it begins."""
    row = Row("QEMU", host, "the drivers, objects, commands and events of COLO")
    if host.emulator is None:
        row.wrong(f"nothing is known of the QEMU binary on {host.name}", "Run the role lockstep.colo.host there")
    elif host.emulator.missing:
        row.wrong(
            f"QEMU {host.emulator.version} on {host.name} lacks {', '.join(host.emulator.missing)}",
            "Install a QEMU that is built with it, such as Debian's qemu-system-x86",
        )
    elif abilities.never_begins(host.emulator.version):
        row.wrong(
            f"COLO never begins in QEMU {host.emulator.version}, which {host.name} has",
            "Install a later release of that series: 10.0.7 and 10.1.3 have it mended",
        )
    return row.found(host.emulator.version if host.emulator else None)


def libvirt(host: Host) -> list[Requirement]:
    """A libvirt that answers."""
    row = Row("libvirt", host, "a libvirt that answers")
    if host.libvirt is None:
        row.wrong(f"nothing is known of libvirt on {host.name}", "Run the role lockstep.colo.host there")
    return row.found(host.libvirt)


def apparmor(host: Host, directory: str, *, dry: bool = False) -> list[Requirement]:
    """A rule for the directory that is named as the guest's profile; one for all guests does as well.

    ``dry``: the role host, which writes it, comes first in a real run, so that it is no reason to refuse.
    """
    row = Row("AppArmor", host, f"QEMU may use {directory}")
    own = f"{directory}/{APPARMOR_HOME}"
    if host.apparmor and not any(_within(own, allowed) for allowed in host.apparmor_rules):
        (row.note if dry else row.wrong)(
            f"AppArmor on {host.name} does not let QEMU use {directory}",
            "Run the role lockstep.colo.host there, which adds the rules",
        )
    return row.found({None: None, False: "not in force", True: f"lets QEMU use {directory}"}[host.apparmor])


def _within(directory: str, allowed: str) -> bool:
    return os.path.commonpath([directory, allowed]) == os.path.normpath(allowed)


def shutdown(host: Host, *, dry: bool = False) -> list[Requirement]:
    """A host that saves no guest when it shuts down: a save damages one in lockstep.

    ``dry``: the role host, which changes that, comes first in a real run, so that it is no reason to refuse.
    """
    row = Row("host shutdown", host, "guests are not saved")
    if host.libvirt_guests == SAVES:
        (row.note if dry else row.wrong)(
            f"libvirt-guests on {host.name} saves running guests at shutdown, which damages one in lockstep",
            "Run the role lockstep.colo.host there (deploy with --limit kvm,PAIR does), or set ON_SHUTDOWN=shutdown in "
            "/etc/default/libvirt-guests",
        )
    return row.found(host.libvirt_guests and f"libvirt-guests: {host.libvirt_guests}")


def two_hosts(here: Host, there: Host) -> list[Requirement]:
    """Two machines, and not one under two names."""
    row = Row("two hosts", None, "a host for each copy")
    if here.machine_id == there.machine_id:
        row.wrong("both ends of the pair are the same machine", "Choose two hosts; clones need a machine-id each")
    return row.found(f"{here.name} and {there.name}")


def same_versions(holder: Observation, standby: Observation) -> list[Requirement]:
    """The same libvirt, and the same QEMU where the guest and its standby run.

    A QEMU that was started before an upgrade of its package is older than its host's binary.
    """
    row = Row("same versions", None, "the same QEMU and libvirt on both hosts")
    here, there = holder.host, standby.host
    for what, left, right in (
        ("QEMU", abilities.running(holder), abilities.running(standby)),
        ("libvirt", here.libvirt, there.libvirt),
    ):
        if left and right and left != right:
            row.wrong(
                f"{what} is {left} on {here.name} and {right} on {there.name}",
                "Bring both hosts to the same version: COLO loads one QEMU's device state into the other. A guest that "
                "was started before an upgrade runs in the old QEMU until its next cold start",
            )
    known = here.emulator and there.emulator and here.libvirt and there.libvirt
    return row.found(f"QEMU {abilities.running(holder)}, libvirt {here.libvirt}" if known else None)


def clock(here: Host, there: Host) -> list[Requirement]:
    """Clocks that agree, as far as two looks one after the other can tell: a guest's RTC follows its host's."""
    row = Row("clock", None, f"within {CLOCK_TOLERANCE:g} s")
    if here.clock is None or there.clock is None:
        return row.found(None)
    apart = abs(here.clock - there.clock)
    if apart > CLOCK_TOLERANCE:
        row.note(
            f"the clocks of {here.name} and {there.name} differ by {apart:.0f} s",
            "Have both follow the same time server: what a guest reads as its RTC would jump at a failover",
        )
    return row.found(f"{apart:.0f} s apart")
