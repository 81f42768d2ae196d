# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody changed behind our back: deploy names it, mends it, and nothing else; the guest goes on."""

from __future__ import annotations

import json
import re

import pytest
from colo_bed import VIRSH, Bed

URI = "urn:lockstep:colo:1"
MIRROR, COMPARE = 2, 3  # of the first NIC, behind the pair's first port


@pytest.fixture(scope="module", autouse=True)
def protected(bed: Bed) -> str:
    """The pair, and the boot of its guest, which has to be the same after each test."""
    bed.deploy("--limit", "kvm,web1").good()
    return bed.get()


def delay(bed: Bed) -> int:
    return int(bed.qmp("kvm1", "query-migrate-parameters")[0]["x-checkpoint-delay"])


def tap(bed: Bed, host: str) -> str:
    return bed.ssh(host, f"{VIRSH} domiflist web1 | awk 'NF {{print $1; exit}}'").strip()


def edit_record(bed: Bed) -> None:
    text = bed.ssh("kvm1", f"{VIRSH} metadata web1 {URI} --config")
    other = text.replace('checkpoint-delay="2000"', 'checkpoint-delay="77"').replace(f' xmlns="{URI}"', "")
    assert other != text
    bed.ssh("kvm1", f'{VIRSH} metadata web1 {URI} --config --key colo --set "$(cat)"', stdin=other)


def change_delay(bed: Bed) -> None:
    command = {"execute": "migrate-set-parameters", "arguments": {"x-checkpoint-delay": 9999}}
    bed.qmp("kvm1", json.dumps(command))
    assert delay(bed) == 9999


def raise_link(bed: Bed) -> None:
    bed.ssh("kvm2", f"ip link set {tap(bed, 'kvm2')} up")


def remove_hidden(bed: Bed) -> None:
    bed.ssh("kvm2", "rm /var/lib/libvirt/images/colo/*/vda.hidden.qcow2")


def change_driver(bed: Bed) -> None:
    xml = bed.xml("kvm1", "--inactive").replace("<driver name='qemu'/>", "")
    bed.ssh("kvm1", f"{VIRSH} define /dev/stdin", stdin=xml)


def qom_set(bed: Bed, host: str, name: str, key: str, value: object) -> None:
    arguments = {"path": f"/objects/{name}", "property": key, "value": value}
    bed.qmp(host, json.dumps({"execute": "qom-set", "arguments": arguments}))


def remove_filter(bed: Bed) -> None:
    bed.qmp("kvm1", json.dumps({"execute": "object-del", "arguments": {"id": "colo-net0-f-out"}}))


def reset(bed: Bed, channel: int) -> None:
    """End the standby's connection with this port of the pair's; QEMU is told, and does not make it anew."""
    port = int(re.search(r'first-port="(\d+)"', bed.xml("kvm1"))[1]) + channel
    bed.ssh("kvm2", f"ss --kill --tcp --numeric 'dport = :{port}'")


def edit_standby(bed: Bed) -> None:
    xml = bed.xml("kvm2", "--inactive").replace("<title>a guest of the lab</title>", "<title>edited</title>")
    bed.ssh("kvm2", f"{VIRSH} define /dev/stdin", stdin=xml)


def overlay(bed: Bed) -> None:
    path = "/var/lib/libvirt/images/web1-vda.overlay"
    bed.ssh("kvm1", f"{VIRSH} snapshot-create-as web1 s --disk-only --no-metadata --diskspec vda,file={path}")


DRIFTS = {
    "record edited": (edit_record, "define web1 with the changed XML"),
    "checkpoint delay changed": (change_delay, "checkpoint at least every 2000 ms"),
    "standby's link up": (raise_link, "set the link of"),
    "hidden image removed": (remove_hidden, "end the standby that is no use"),
    "standby destroyed": (lambda bed: bed.ssh("kvm2", f"{VIRSH} destroy web1"), "end the lockstep"),
    "filter switched off": (
        lambda bed: qom_set(bed, "kvm1", "colo-net0-f-mirror", "status", "off"),
        "set status of colo-net0-f-mirror back from off to on",
    ),
    "filter of the standby switched off": (
        lambda bed: qom_set(bed, "kvm2", "rewriter-net0", "status", "off"),
        "set status of rewriter-net0 back from off to on",
    ),
    "filter removed": (remove_filter, "add filter-redirector colo-net0-f-out"),
    "mirror's connection reset": (lambda bed: reset(bed, MIRROR), "add filter-redirector colo-net0-f-red-in"),
    "comparison's connection reset": (lambda bed: reset(bed, COMPARE), "end the standby that is no use"),
    "comparison's time-out changed": (
        lambda bed: qom_set(bed, "kvm1", "colo-net0-compare", "compare_timeout", 9000),
        "set compare_timeout of colo-net0-compare back from 9000 to 3000",
    ),
    "memory and vCPUs edited": (
        lambda bed: bed.ssh(
            "kvm1",
            f"{VIRSH} setmaxmem web1 192M --config && {VIRSH} setmem web1 192M --config"
            f" && {VIRSH} setvcpus web1 2 --maximum --config",
        ),
        "define web1 with the changed XML",
    ),
    "standby's XML edited": (edit_standby, "define web1 with the changed XML"),
    "NIC's driver changed": (change_driver, "define web1 with the changed XML"),
    "overlay under the quorum": (overlay, "define web1 with the changed XML"),
}
SHORT = "record edited"  # the others are long


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=() if what == SHORT else pytest.mark.long) for what in DRIFTS]
)
def test_deploy_mends_what_drifted(bed: Bed, protected: str, what: str) -> None:
    change, named = DRIFTS[what]
    change(bed)
    before = bed.fingerprint()
    planned = bed.deploy("--check", "--diff").good()
    assert named in planned.said(), planned.text[-4000:]
    assert bed.fingerprint() == before, "check mode changed something"
    run = bed.deploy("--diff").good()
    assert named in run.said(), run.text[-4000:]
    assert "web1 is protected" in run.text
    assert bed.get() == protected
    again = bed.deploy().good()
    assert again.changed == 0, again.text[-4000:]


@pytest.mark.long
def test_a_restart_of_libvirt_changes_nothing(bed: Bed, protected: str) -> None:
    for host in ("kvm1", "kvm2"):
        bed.ssh(host, "systemctl restart libvirtd")
    assert bed.deploy().good().changed == 0
    assert bed.get() == protected
