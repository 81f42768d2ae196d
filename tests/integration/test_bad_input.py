# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input: a message that names the place and a remedy, nothing changed, the guest unharmed.

One guest that runs unprotected on kvm1 serves all cases; `unchanged` holds both hosts against what they were.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
from colo_bed import DIRECTORY, VIRSH, Bed, first_process
from lockstep_lab import guest

A, B = "10.77.0.1", "10.77.0.2"
VDA = [{"target": "vda", "format": "qcow2"}]
pytestmark = pytest.mark.usefixtures("unchanged")


@pytest.fixture(scope="module")
def seen(bed: Bed) -> dict[str, dict]:
    """What colo_info says of both hosts, to be handed over as peer, doctored or not."""
    bed.ssh("kvm2", f"mkdir -p {DIRECTORY}")  # as the role host makes it
    return {host: bed.module(host, "colo_info", name="web1") for host in ("kvm1", "kvm2")}


@pytest.fixture(scope="module")
def described(bed: Bed, seen: dict) -> dict:
    """The primary's half as it would be."""
    return bed.module(
        "kvm1", "colo_disk", check=True, name="web1", role="primary", disks=VDA, address=A, peer_address=B,
        peer=seen["kvm2"],
    )  # fmt: skip


def primary(bed: Bed, peer: object, **other: object) -> str:
    """Have colo_disk make web1 a primary, for real, and return why it refused."""
    words = {"name": "web1", "role": "primary", "disks": VDA, "address": A, "peer_address": B, "peer": peer, **other}
    return refused(bed.module("kvm1", "colo_disk", **words), str(words["name"]))


def secondary(bed: Bed, peer: object, **other: object) -> str:
    return refused(bed.module("kvm2", "colo_disk", name="web1", role="secondary", peer=peer, **other), "web1", "kvm2")


def refused(result: dict, domain: str = "web1", host: str = "kvm1") -> str:
    assert result.get("failed"), result
    assert not result.get("changed"), result
    message = result["msg"]
    assert "Traceback" not in message + result.get("exception", "")
    assert f"host {host}" in message
    assert f"domain {domain}" in message
    for problem in result.get("problems", []):
        assert problem["remedy"], f"no remedy: {problem}"
    return message


def test_good_input_is_accepted(described: dict) -> None:
    """The cases below differ from this one in one thing each."""
    assert not described.get("failed"), described.get("msg")
    assert described["changed"]


def test_unknown_domain_in_deploy(bed: Bed) -> None:
    run = bed.deploy("-e", "colo_domain=nosuch")
    assert run.code != 0
    assert "no such domain" in run.text


# What is stated wrong, and a second host that does not fit: cases of colo_disk on kvm1, all called in one run.

NOSUCH = {"target": "vdz", "format": "raw"}
STATED = {
    "unknown domain": ({"name": "nosuch"}, "domain nosuch: there is no such domain on this host"),
    "missing disk": ({"disks": [*VDA, NOSUCH]}, "disk vdz: the domain has no such disk (it has: vda)"),
    "wrong format": (
        {"disks": [{"target": "vda", "format": "raw"}]},
        "disk vda: its format was stated as raw, and the domain says qcow2",
    ),
    "disk left out": ({"disks": []}, "disk vda: the guest can write to it, and it is not to be replicated"),
    "address of nobody": ({"address": "192.0.2.1"}, "192.0.2.1 is not an address of kvm1"),
    "unreachable peer": ({"peer": "unreachable"}, "the other host is unreachable. Bring it back"),
    "peer that is no observation": ({"peer": {"observation": {"nonsense": 1}}}, "peer is not what colo_info returns"),
}
PEER = {
    "QEMU version": (("emulator", "version"), "7.2.22", "on kvm1 and 7.2.22 on kvm2"),
    "libvirt version": (("libvirt",), "9.0.0", "on kvm1 and 9.0.0 on kvm2"),
    "memory": (("memory_available",), 255 << 20, "kvm2 has 255 MiB of free memory"),
    "bridge": (("bridges",), ["virbr0"], "kvm2 has no bridge br0"),
    "emulator": (("emulator", "missing"), ["driver replication"], "on kvm2 lacks driver replication"),
    "peer's address": (("addresses",), ["192.0.2.7"], f"{B} is not an address of kvm2 (it has: 192.0.2.7)"),
}


@pytest.fixture(scope="module")
def answers(bed: Bed, seen: dict):
    usual = {"name": "web1", "role": "primary", "disks": VDA, "address": A, "peer_address": B, "peer": seen["kvm2"]}
    cases = {case: {**usual, **other} for case, (other, _word) in STATED.items()}
    for case, (path, value, _word) in PEER.items():
        doctored = copy.deepcopy(seen["kvm2"])
        place = doctored["observation"]["host"]
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        cases[case] = {**usual, "peer": doctored}
    before, boot = bed.fingerprint(), bed.get()
    results = bed.modules("kvm1", "colo_disk", cases)
    assert bed.fingerprint() == before
    assert bed.get() == boot
    return results


@pytest.mark.parametrize("case", STATED)
def test_stated(answers: dict, case: str) -> None:
    other, word = STATED[case]
    assert word in refused(answers[case], str(other.get("name", "web1")))


@pytest.mark.parametrize("case", PEER)
def test_peer(answers: dict, case: str) -> None:
    assert PEER[case][2] in refused(answers[case])


# A domain with everything that COLO cannot do, shut off.

ODD = f"""<domain type='qemu'>
  <name>odd</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='cdrom'><driver name='qemu' type='raw'/><target dev='sda' bus='sata'/><readonly/></disk>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{guest.IMAGES}/odd-ro.raw'/>
      <target dev='vdb' bus='virtio'/><readonly/></disk>
    <disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/>
      <source file='{guest.IMAGES}/odd-sh.raw'/><target dev='vdc' bus='virtio'/><shareable/></disk>
    <interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/><driver name='qemu'/></interface>
    <interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br0'/><model type='virtio'/>
      <driver name='vhost'/></interface>
    <interface type='bridge'><mac address='52:54:00:00:00:03'/><source bridge='br0'/><model type='virtio'/>
      <driver name='qemu' queues='4'/></interface>
    <interface type='bridge'><mac address='52:54:00:00:00:04'/><source bridge='nosuchbr'/><model type='virtio'/>
      <driver name='qemu'/></interface>
  </devices>
</domain>"""


@pytest.fixture(scope="module")
def odd(bed: Bed, seen: dict):
    """All reasons why this domain cannot be protected: they come in one message."""
    disks = [{"target": target, "format": "raw"} for target in ("sda", "vdb", "vdc")]
    bed.ssh("kvm1", f"{VIRSH} define /dev/stdin", stdin=ODD)
    before = bed.fingerprint()
    yield primary(bed, seen["kvm2"], name="odd", disks=disks)
    bed.get()
    assert bed.fingerprint() == before
    bed.ssh("kvm1", f"{VIRSH} undefine odd")


@pytest.mark.parametrize(
    "words",
    [
        ["the domain is shutoff, not running", "Start it"],
        ["disk sda: it is a cdrom, not a disk"],
        ["disk vdb: it is read-only"],
        ["disk vdc is shareable"],
        ["q35", "use machine type pc"],
        ["52:54:00:00:00:01 (type user) is not on a bridge"],
        ["52:54:00:00:00:02 uses vhost", "<driver name='qemu'/>", "start the domain afresh", "a new domain"],
        ["52:54:00:00:00:03 with multiqueue"],
        ["kvm2 has no bridge nosuchbr"],
    ],
    ids=["shut off", "cdrom", "read-only", "shareable", "q35", "user NIC", "vhost", "multiqueue", "no bridge"],
)
def test_what_colo_cannot_do(odd: str, words: list[str]) -> None:
    for word in words:
        assert word in odd


def test_vhost_of_the_running_guest(bed: Bed, seen: dict, described: dict) -> None:
    """Without a driver in the XML, what counts is whether QEMU has /dev/vhost-net open; nspawn hosts do not have it."""
    doctored = copy.deepcopy(described)
    doctored["observation"]["domain"]["vhost"] = True
    result = bed.module(
        "kvm1", "colo_pair", check=True, name="web1", role="primary", projected=doctored, peer=seen["kvm2"]
    )
    assert "uses vhost" in refused(result)


def test_emulator_without_colo(bed: Bed, seen: dict) -> None:
    """A QEMU whose schema has no replication, no quorum and no filters, as some distributions build it."""
    script = (
        '#!/bin/sh\n/usr/bin/qemu-system-x86_64 "$@" | sed -u \'s/"replication"/"absent1"/g; s/"quorum"/"absent2"/g;'
        ' s/"filter-mirror"/"absent3"/g\'\n'
    )
    bed.ssh("kvm1", "cat > /usr/local/bin/qemu-less && chmod 755 /usr/local/bin/qemu-less", stdin=script)
    xml = ODD.replace("<name>odd<", "<name>less<").replace("/usr/bin/qemu-system-x86_64", "/usr/local/bin/qemu-less")
    bed.ssh("kvm1", f"{VIRSH} define /dev/stdin", stdin=xml)
    try:
        message = primary(bed, seen["kvm2"], name="less", disks=[])
    finally:
        bed.ssh("kvm1", f"{VIRSH} undefine less; rm /usr/local/bin/qemu-less")
    assert "lacks driver quorum, driver replication, object filter-mirror" in message
    assert "Install a QEMU" in message


def test_port_in_use(bed: Bed, seen: dict) -> None:
    listener = "python3 -m http.server 21603 --bind 10.77.0.1"
    bed.ssh("kvm1", f"setsid {listener} >/dev/null 2>&1 & echo $! > /run/listener.pid; sleep 2")
    try:
        message = primary(bed, seen["kvm2"], first_port=21600)
    finally:
        bed.ssh("kvm1", "kill $(cat /run/listener.pid); sleep 0.5")
    assert "port 21603 is in use on kvm1" in message
    assert "first_port" in message


# The second host's images.


@pytest.fixture
def home(bed: Bed, described: dict):
    """The directory that the standby's images would be made in; gone afterwards."""
    path = f"{DIRECTORY}/libvirt-{described['observation']['domain']['uuid']}"
    yield path
    bed.ssh("kvm2", f"rm -rf {path}")


def ours(bed: Bed, described: dict, home: str, size: str) -> None:
    """Images that an earlier pair left, with the marker that says so."""
    record = described["observation"]["domain"]["record"]
    files = [f"{home}/vda.qcow2", f"{home}/vda.active.qcow2", f"{home}/vda.hidden.qcow2"]
    marker = {
        "machine_id": bed.ssh("kvm2", "cat /etc/machine-id").strip(),
        "uuid": described["observation"]["domain"]["uuid"],
        "generation": record["generation"],
        "role": "secondary",
        "paths": files,
    }
    making = "; ".join(f"qemu-img create -q -f qcow2 {path} {size}" for path in files)
    bed.ssh("kvm2", f"mkdir -p {home}; cat > {home}/colo.json; {making}", stdin=json.dumps(marker))


def test_unknown_file_in_the_way(bed: Bed, described: dict, home: str) -> None:
    bed.ssh("kvm2", f"mkdir -p {home} && echo precious > {home}/vda.active.qcow2")
    message = secondary(bed, described)
    assert f"disk vda: {home}/vda.active.qcow2 exists and is not ours. Move it away" in message
    assert bed.ssh("kvm2", f"cat {home}/vda.active.qcow2") == "precious\n"


def test_deploy_says_at_once_what_is_wrong_on_both_hosts(bed: Bed, home: str) -> None:
    bed.ssh("kvm2", f"mkdir -p {home} && echo precious > {home}/vda.active.qcow2")
    run = bed.deploy("-e", '{"colo_disks": [{"target": "vda", "format": "raw"}]}')
    assert run.code != 0
    assert "its format was stated as raw, and the domain says qcow2" in run.text
    assert f"{home}/vda.active.qcow2 exists and is not ours" in run.text
    assert bed.ssh("kvm2", f"cat {home}/vda.active.qcow2") == "precious\n"


def test_image_of_another_size(bed: Bed, described: dict, home: str) -> None:
    ours(bed, described, home, "128M")
    assert f"is qcow2 of {128 << 20} bytes, and qcow2 of {256 << 20} bytes is needed" in secondary(bed, described)


def test_image_in_use(bed: Bed, described: dict, home: str) -> None:
    ours(bed, described, home, "256M")
    serving = f"qemu-nbd --persistent -f qcow2 -k /run/in-use.sock --fork --pid-file=/run/in-use.pid {home}/vda.qcow2"
    bed.ssh("kvm2", serving)
    try:
        message = secondary(bed, described)
    finally:
        bed.ssh("kvm2", "kill $(cat /run/in-use.pid); sleep 0.5; rm -f /run/in-use.sock")
    assert f"{home}/vda.qcow2 is in use by another process" in message


def test_the_primarys_very_file(bed: Bed, described: dict) -> None:
    """Shared storage: the directory of kvm1's images is mounted in kvm2 as well, at the same path.

    After colo_disk has written the record, colo_info looks at the primary's image; that is added here by hand.
    """
    path = f"{guest.IMAGES}/web1-vda.qcow2"
    inode = int(bed.ssh("kvm1", f"stat -c %i {path}"))
    known = copy.deepcopy(described)
    known["observation"]["images"][path] = {"path": path, "exists": True, "format": "qcow2", "inode": inode}
    leader = first_process(bed, "kvm2")
    source = bed.lab.host_root("kvm1") / guest.IMAGES.lstrip("/")
    script = Path(__file__).with_name("mount_into.py")
    subprocess.run([sys.executable, script, source, str(leader), guest.IMAGES], check=True, timeout=30)
    try:
        assert "web1-vda.qcow2" in bed.ssh("kvm2", f"ls {guest.IMAGES}")
        message = secondary(bed, known, disks=[{"target": "vda", "format": "qcow2", "path": path}])
    finally:
        bed.ssh("kvm2", f"umount {guest.IMAGES}")
    assert f"disk vda: {path} is the primary's very file, on shared storage" in message


# colo_failover


def test_failover_of_no_pair(bed: Bed) -> None:
    result = bed.module("kvm1", "colo_failover", name="web1", fence={"host": "kvm2", "proof": {"rc": 0}})
    assert "the domain is not part of a pair" in refused(result)


def test_failover_of_an_unknown_domain(bed: Bed) -> None:
    result = bed.module("kvm1", "colo_failover", name="nosuch", fence={"host": "kvm2", "proof": {"rc": 0}})
    assert "no such domain" in refused(result, "nosuch")


# A Python without the libraries


@pytest.mark.parametrize("library", ["libvirt", "lxml"])
def test_python_without(bed: Bed, library: str) -> None:
    found = bed.ssh("kvm2", f"/usr/bin/python3 -c 'import {library}; print({library}.__file__)'").strip()
    place = found.rpartition("/")[0] if library == "lxml" else found
    bed.ssh("kvm2", f"mv {place} {place}.hidden")
    try:
        result = bed.module("kvm2", "colo_info", name="web1")
    finally:
        bed.ssh("kvm2", f"mv {place}.hidden {place}")
    assert result.get("failed"), result
    assert f"has no {library}" in result["msg"]
    assert "install python3-libvirt and python3-lxml" in result["msg"]
