# SPDX-License-Identifier: GPL-3.0-or-later
"""A host as a VM: a Debian with its own kernel, so with /dev/kvm, AppArmor, udev and vhost as real hosts have them.

Where KVM does not work, QEMU emulates a CPU with SVM, and KVM works inside all the same; it is slow, but it is KVM.
The QEMU is that of the containers' layers: the machine needs none.
"""

from __future__ import annotations

import uuid

from . import guestimage, identity, network, rootfs
from .common import HOSTS, Lab, remove_tree, run, write

BOOT_TIMEOUT = 300.0
ENVIRONMENT: dict[str, str] = {}
MEMORY = 2048  # MiB: a guest, its standby with twice its memory, and libvirt
KERNEL_WORDS = "root=/dev/vda rw console=ttyS0 net.ifnames=0 apparmor=1 security=apparmor loglevel=4"
# In mount namespaces of their own, which end with their last process: a mount that a namespace was copied with stays
# mounted in it for as long as it lives, whoever unmounts it elsewhere. So QEMU's also gives up what it was copied with.
FILL = """set -e
mount -o loop "$1" "$2"
cp -a "$3/." "$2"
umount "$2"
"""
ENTER = """set -e
layers=$1 root=$2 disk=$3 image=$4
shift 4
mount -t overlay -o "ro,lowerdir=$layers" lab-qemu "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$disk" "$root/mnt"
mount --bind "$image" "$root/media"
cd "$root"
pivot_root . opt
umount --lazy /opt
exec "$@"
"""


def prepare(lab: Lab, host: str) -> None:
    """The host's end of the LAN and, the first time, a disk of its own."""
    network.make_tap(lab, host)
    directory, root = lab.host_dir(host), lab.host_root(host)
    root.mkdir(parents=True, exist_ok=True)
    disk, making, own = directory / "root.ext4", directory / "making.ext4", directory / "own"
    if disk.exists():
        return
    remove_tree(own)  # of a run that was killed
    own.mkdir()
    identity.write_into(lab, host, own)
    guestimage.install(lab, own)
    for name, content in _network(host).items():
        write(own / "etc/systemd/network" / name, content)
    run(["cp", "--sparse=always", f"{lab.facts()['images'][host]}/root.ext4", making], timeout=120)
    run(["unshare", "--mount", "sh", "-c", FILL, "sh", making, root, own], timeout=120)
    remove_tree(own)
    making.rename(disk)


def _network(host: str) -> dict[str, str]:
    """A bridge with the host's address, and the card in it: what the administrator of a KVM host has set up."""
    return {
        "br0.netdev": f"[NetDev]\nName=br0\nKind=bridge\nMACAddress={network.bridge_address(host)}\n"
        "[Bridge]\nSTP=no\nForwardDelaySec=0\nMulticastSnooping=no\n",
        "br0.network": f"[Match]\nName=br0\n[Network]\nAddress={HOSTS[host]}/24\n"
        "LinkLocalAddressing=no\nIPv6AcceptRA=no\nConfigureWithoutCarrier=yes\n",
        "eth0.network": "[Match]\nName=eth0\n[Network]\nBridge=br0\nLinkLocalAddressing=no\n",
    }


def command(lab: Lab, host: str) -> list[str]:
    """The words that boot it; they run in the LAN's namespace, where its tap is."""
    facts = lab.facts()
    layers = ":".join(map(str, rootfs.stack(lab, bare=False)))
    enter = ["sh", "-c", ENTER, "sh", layers, lab.host_root(host), lab.host_dir(host)]
    enter += [facts["images"][host]]
    accelerated = ["-accel", "kvm", "-cpu", "host"] if facts["machine_kvm"] else ["-accel", "tcg", "-cpu", "max"]
    number = HOSTS[host].rsplit(".", 1)[1]
    identifier = uuid.uuid5(uuid.NAMESPACE_DNS, f"{host}.{lab.name}.lockstep-lab.invalid")
    qemu = ["qemu-system-x86_64", "-name", host, "-uuid", identifier, "-machine", "q35", *accelerated]
    qemu += ["-smp", "1", "-m", MEMORY, "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"]
    qemu += ["-kernel", "/media/vmlinuz", "-initrd", "/media/initrd.img", "-append", KERNEL_WORDS]
    # Unsafe only if the machine crashes: what a killed instance has written is in the machine's page cache.
    qemu += ["-drive", "file=/mnt/root.ext4,if=virtio,format=raw,cache=unsafe"]
    qemu += ["-drive", "file=/media/packages.ext4,if=virtio,format=raw,readonly=on"]
    qemu += ["-netdev", f"tap,id=lan,ifname={host},script=no,downscript=no"]
    qemu += ["-device", f"virtio-net-pci,netdev=lan,mac=52:54:77:00:01:{int(number):02x},romfile="]
    qemu += ["-device", "virtio-rng-pci"]
    return [str(word) for word in ["ip", "netns", "exec", lab.lan_ns, *enter, *qemu]]
