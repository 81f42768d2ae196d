# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking a running guest off vhost. The hosts have no vhost_net: that a NIC uses it is only said, the rest is real."""

from __future__ import annotations

from colo_bed import VIRSH, Bed
from lockstep_lab import probe

# Runs on a host: observes, as if QEMU had /dev/vhost-net open before it was restored, and carries
# out what is to be done up to the next pivot, as a run does that is killed there. Prints what was done.
ONE_RUN = """
import sys, time
from dataclasses import replace
sys.path.insert(0, "/root/core")
from module_utils.apply import steps as apply
from module_utils.host.hypervisor import Hypervisor
from module_utils.observe import look as observe
from module_utils.record.wanted import Wanted
from module_utils.plan import vhost as plan_vhost

hypervisor = Hypervisor("qemu:///system")
seen = observe.observe(hypervisor, "web1", Wanted().directory, host_name="kvm1")
vhost = seen.domain.active and "no-vhost" not in seen.domain.live_xml
seen = replace(seen, domain=replace(seen.domain, vhost=vhost))
outcome = apply.Apply(hypervisor, "web1", time.monotonic()).run(plan_vhost.save_and_restore(seen))
print(";".join(done.title for done in outcome.done))
"""


def one_run(bed: Bed) -> list[str]:
    return [title for title in bed.ssh("kvm1", "python3 -", stdin=ONE_RUN).strip().split(";") if title]


def test_a_guest_is_saved_and_restored_without_vhost_though_the_first_run_is_cut_off(bed: Bed, tmp_path) -> None:
    bed.send_core("kvm1")
    boot = bed.get()
    probe.start(bed.lab, tmp_path)
    assert one_run(bed) == ["save the guest's memory, and end its QEMU"]
    assert "shut off" in bed.ssh("kvm1", f"{VIRSH} domstate web1")
    assert one_run(bed) == [
        "have QEMU itself carry the saved guest's packets",
        "restore the guest",
        "forget that a run saved the guest",
    ]
    assert bed.get() == boot, "the guest booted"
    assert "no-vhost" in bed.xml("kvm1")
    assert one_run(bed) == []
    probe.stop(bed.lab, quiet=True)
    assert bed.lost("kvm1", tmp_path, live=True)["vda"]["lost"] == []
    assert bed.deploy("-e", "colo_vhost=save_and_restore", "--limit", "kvm,web1").good().text.count("is protected")
    assert bed.get() == boot
