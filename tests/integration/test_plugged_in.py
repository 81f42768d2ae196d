# SPDX-License-Identifier: GPL-3.0-or-later
"""What is plugged into a guest, or out of it, while it runs: a pair is never called protected that leaves it out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from colo_bed import DIRECTORY, VIRSH, Bed, wait_for
from lockstep_lab.common import LabError
from test_strangers import SLOWLY, as_fast_as_it_goes, jobs, meanwhile
from test_ways_out import fresh, status

pytestmark = pytest.mark.long  # some two minutes each

MAC = "52:54:00:4d:00:77"
NIC = f"interface web1 bridge br0 --model virtio --mac {MAC}"
IMAGE = f"{DIRECTORY}/web1-vdz.qcow2"
MAKE = f"qemu-img create -q -f qcow2 {IMAGE} 64M"
DISK = f"disk web1 {IMAGE} vdz --subdriver qcow2"
CASES = {  # what is attached, what is said of it, and how it is detached
    "NIC": (f"{VIRSH} attach-{NIC}", MAC, f"{VIRSH} detach-interface web1 bridge --mac {MAC}"),
    "disk": (f"{MAKE} && {VIRSH} attach-{DISK}", "vdz", f"{VIRSH} detach-disk web1 vdz"),
}


@pytest.fixture(autouse=True)
def without_image(lab: Bed) -> Iterator[None]:
    yield
    lab.ssh("kvm1", f"rm -f {IMAGE}")


def is_protected_without(lab: Bed, detach: str, boot: str) -> None:
    """Once it is detached, the guest is protected, and was not started again."""
    lab.ssh("kvm1", detach)
    assert "web1 is protected" in lab.deploy().good().text
    assert lab.get() == boot


@pytest.mark.parametrize("place", ["live", "config"])
@pytest.mark.parametrize("case", CASES)
def test_what_the_running_or_the_persistent_domain_alone_has_is_refused(lab: Bed, case: str, place: str) -> None:
    attach, name, detach = CASES[case]
    boot = fresh(lab)
    lab.ssh("kvm1", f"{attach} --{place}")
    before = lab.fingerprint()
    run = lab.deploy()
    assert run.code
    assert run.changed == 0
    assert name in run.text
    assert "persistent" in run.text
    assert lab.fingerprint() == before
    is_protected_without(lab, f"{detach} --{place}", boot)


@pytest.mark.parametrize("case", CASES)
def test_what_is_plugged_in_while_the_disks_are_copied_is_not_protected(lab: Bed, case: str) -> None:
    attach, name, detach = CASES[case]
    boot = fresh(lab)
    with meanwhile(lab, "deploy", "--limit", "web1", *SLOWLY) as ended:
        wait_for("the copying to begin", lambda: jobs(lab), timeout=200)
        lab.ssh("kvm1", f"{attach} --live")
        as_fast_as_it_goes(lab, "kvm1")
        code, said = ended()
    assert code
    assert "is protected" not in said
    assert status(lab)["phase"] != "protected"
    assert lab.get() == boot
    again = lab.deploy()
    assert again.code
    assert name in again.text
    assert lab.get() == boot
    is_protected_without(lab, f"{detach} --live", boot)


def test_into_a_guest_in_lockstep_qemu_takes_nothing(lab: Bed) -> None:
    boot = fresh(lab)
    lab.deploy().good()
    with pytest.raises(LabError, match="not allowed while migrating"):
        lab.ssh("kvm1", f"{CASES['NIC'][0]} --live")
    assert status(lab)["phase"] == "protected"
    assert lab.get() == boot
