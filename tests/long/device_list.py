# SPDX-License-Identifier: GPL-3.0-or-later
"""The devices of the compatibility table, and the guests that have them.

A guest has several devices that have nothing to do with each other, to save time; where it fails, each is tried alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lockstep_lab.guest import IMAGES, NO_BALLOON, UEFI_MEMORY, VIRTIO_SCSI, VNC, Disk

MEDIUM = f"{IMAGES}/lab-medium.img"
BLOCK = "(a block device)"  # stands for the path of the one that the run makes
PAGES, FEW_PAGES = "hugepages for both guests", "hugepages for one"
CONSOLE = "/var/log/libvirt/qemu/web1-console.log"
CHANNEL = "/var/log/libvirt/qemu/web1-channel.log"


@dataclass(frozen=True)
class Device:
    """One row of the table."""

    kind: str
    name: str
    shape: dict[str, Any] = field(default_factory=dict)  # what of lockstep_lab.guest.Guest makes a guest that has it
    sees: str = ""  # a pattern for the guest's own list of devices, before the loss and after it
    host: tuple[str, str] = ("", "")  # a command on the host that has the guest, and a pattern for what it says
    first: str = ""  # a page of the guest that is asked for before it is protected
    asks: str = ""  # one that is asked for in lockstep and after the failover
    says: str = ""  # what status says in lockstep, where the guest is emulated
    lasts: str = ""  # a pattern for the list of devices once the survivor was started afresh
    needs: str = ""  # what the hosts have to be given before
    refused: str = ""  # a pattern for the reason for which it is refused
    unproven: tuple[str, ...] = ()  # what colo_devices_unproven has to name for it


def disk(name: str, *disks: Disk, sees: str, **more: Any) -> Device:
    return Device("disk", name, {"disks": disks, **more.pop("shape", {})}, sees, **more)


def extra(kind: str, name: str, xml: str, sees: str = "", **more: Any) -> Device:
    """A device that is one more element in <devices>."""
    return Device(kind, name, {"devices": (xml,)}, sees, **more)


def refused(name: str, reason: str, *, needs: str = "", **shape: Any) -> Device:
    return Device("refused", name, shape, needs=needs, refused=reason)


def plain(path: str, target: str, bus: str = "virtio", *, device: str = "disk", more: str = "") -> str:
    """A raw image beside those of the guest's shape."""
    return (
        f"<disk type='file' device='{device}'><driver name='qemu' type='raw'/><source file='{path}'/>"
        f"<target dev='{target}' bus='{bus}'/>{more}</disk>"
    )


VIRTIO_BLK = disk("virtio-blk, qcow2", Disk("vda", "qcow2"), sees="disk vd[a-z] virtio_blk .* read-only 0")
RAW = disk("virtio-blk, raw", Disk("vdb", "raw"), sees="disk vd[a-z] virtio_blk .* read-only 0")
BACKED = disk(
    "qcow2 with a backing file",
    Disk("vda", "qcow2", backed=True),
    sees="disk vda virtio_blk",
    host=("virsh dumpxml web1 | grep -c '<backingStore' ", "[1-9]"),
)
BLOCK_DEVICE = disk(
    "block device, raw (a loop device; the standby's copy is a file)",
    Disk("vdc", "raw", device=BLOCK),
    sees="disk vd[a-z] virtio_blk",
    needs=BLOCK,
)
IOTHREAD = disk(
    "virtio-blk with an iothread",
    Disk("vdd", "qcow2", options="iothread='1'"),
    sees="disk vd[a-z] virtio_blk",
    shape={"settings": ("<iothreads>1</iothreads>",)},
    host=("virsh iothreadinfo web1", r"(?m)^ *1 "),
)
TRIMS = disk(
    "virtio-blk, qcow2, guest discards and zeroes (discard, detect_zeroes=unmap)",
    Disk("vda", "qcow2", options="discard='unmap' detect_zeroes='unmap'"),
    sees="disk vda virtio_blk",
    shape={"trims": True},
)
SCSI_LUNS = disk(
    "virtio-scsi, two LUNs",
    Disk("sda", "qcow2", bus="scsi"),
    Disk("sdb", "raw", bus="scsi"),
    sees="(?s)disk sda sd virtio_scsi.*disk sdb sd virtio_scsi",
    shape={"devices": (VIRTIO_SCSI,)},
)
SCSI_TRIMS = disk(
    "virtio-scsi, raw, guest discards and zeroes",
    Disk("sda", "raw", bus="scsi", options="discard='unmap' detect_zeroes='unmap'"),
    sees="disk sda sd virtio_scsi",
    shape={"devices": (VIRTIO_SCSI,), "trims": True},
)
SATA = disk("SATA (AHCI)", Disk("sda", "qcow2", bus="sata"), sees="disk sda sd ahci")
IDE = disk("IDE", Disk("hda", "qcow2", bus="ide"), sees="disk sda sd ata_piix")
CDROM = extra(
    "medium",
    "cdrom with a medium, and an empty one",
    plain(MEDIUM, "hdc", "ide", device="cdrom", more="<readonly/>")
    + "<disk type='file' device='cdrom'><target dev='hdd' bus='ide'/><readonly/></disk>",
    "disk sr0 .* content [0-9a-f]{32}",
)
READ_ONLY = extra(
    "medium",
    "read-only disk beside the replicated one",
    plain(MEDIUM, "vdz", more="<readonly/>"),
    "disk vd. virtio_blk .* read-only 1 content [0-9a-f]{32}",
)
VIRTIO_NET = Device("network", "virtio-net", {"nic_model": "virtio"}, "nic eth0 virtio_net")
E1000 = Device("network", "e1000", {"nic_model": "e1000", "kernel": "generic"}, "nic eth0 e1000\n")
TWO_NICS = Device("network", "two NICs", {"nics": 2}, "nic eth1 virtio_net")


def processors(count: int) -> Device:
    return Device("processor", f"{count} vCPU{'s' * (count > 1)}", {"vcpus": count}, f"processors {count}\n")


BALLOON = Device(
    "other", "memballoon", {"balloon": "<memballoon model='virtio'><stats period='2'/></memballoon>"}, "virtio_balloon"
)
NO_BALLOON_AT_ALL = Device("other", "no memballoon", {"balloon": NO_BALLOON})
RNG = extra(
    "other",
    "virtio-rng",
    "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>",
    "random virtio_rng",
)
SERIAL = Device(
    "other",
    "serial console",
    asks="cgi-bin/say?lab-said-this",
    host=(f"cat {CONSOLE}", "lab-said-this|LAB-GUEST-READY"),
)
CHANNEL_DEVICE = extra(
    "other",
    "virtio-serial channel",
    f"<channel type='file'><source path='{CHANNEL}'/><target type='virtio' name='lab.0'/></channel>",
    "virtio_console",
    asks="cgi-bin/say?lab-said-this",
)
VNC_DEVICE = Device("other", "VNC", {"graphics": VNC}, host=("virsh domdisplay web1", "vnc://"))
SPICE = Device(
    "other",
    "SPICE",
    {"graphics": VNC.replace("vnc", "spice")},
    host=("virsh domdisplay web1", "spice://"),
)
USB = Device(
    "other",
    "USB tablet on xHCI",
    {"usb": "<controller type='usb' model='qemu-xhci'/>", "devices": ("<input type='tablet' bus='usb'/>",)},
)
WATCHDOG = extra("other", "watchdog i6300esb", "<watchdog model='i6300esb' action='reset'/>")
SOUND = extra("other", "sound card ich6", "<sound model='ich6'/>")
SEABIOS = Device("firmware", "SeaBIOS", {"uefi": False}, "firmware BIOS")
UEFI = Device(
    "firmware",
    "UEFI, with the variables from before it was protected",
    {"uefi": True, "memory": UEFI_MEMORY},
    "firmware UEFI",
    first="cgi-bin/keep?lab-kept-this",
    asks="cgi-bin/keep?lab-kept-that",
    says="UEFI variables has not reached the standby",
    lasts="variable lab-kept-this",
)
IN_HUGE_PAGES = {"settings": ("<memoryBacking><hugepages/></memoryBacking>",)}
HUGEPAGES = Device(
    "memory",
    "hugepages",
    IN_HUGE_PAGES,
    host=("grep -c /dev/hugepages/ /proc/$(cat /run/libvirt/qemu/web1.pid)/maps", "[1-9]"),
    needs=PAGES,
)

PLUGGED = {
    "numa": "<numa><cell id='0' cpus='0' memory='128' unit='MiB'/></numa>",
    "settings": ("<maxMemory slots='2' unit='MiB'>1024</maxMemory>",),
}
DIMM = Device(
    "memory",
    "memory device (DIMM)",
    {
        **PLUGGED,
        "devices": ("<memory model='dimm'><target><size unit='MiB'>128</size><node>0</node></target></memory>",),
    },
    host=("virsh qemu-monitor-command web1 --hmp info memory-devices", "dimm"),
    unproven=("memory@model=dimm",),
)
SHARED = Device(
    "memory",
    "shared memory (memfd)",
    {"settings": ("<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>",)},
    host=("grep -c memfd: /proc/$(cat /run/libvirt/qemu/web1.pid)/maps", "[1-9]"),
    unproven=("memoryBacking/access@mode=shared",),
)
FREE_PAGES = Device(
    "other",
    "memballoon with free page reporting",
    {"balloon": "<memballoon model='virtio' freePageReporting='on'/>"},
    "virtio_balloon",
    unproven=("memballoon@freePageReporting=on",),
)
PANIC = extra("other", "panic devices (isa, pvpanic)", "<panic model='isa'/><panic model='pvpanic'/>")

Q35 = refused("machine type q35", "aborts a COLO secondary of q35", machine="q35")
TOO_FEW_PAGES = refused(
    "hugepages that the second host has not got", "of free huge pages", needs=FEW_PAGES, **IN_HUGE_PAGES
)
SCSI_IOTHREAD = refused(
    "disk of a virtio-scsi controller with an iothread",
    "QEMU cannot give the disk other layers",
    disks=(Disk("sda", "raw", bus="scsi"),),
    devices=(VIRTIO_SCSI.replace("/>", "><driver iothread='1'/></controller>"),),
    settings=("<iothreads>1</iothreads>",),
)
QUEUES = "<source bridge='br0'/><model type='virtio'/><driver name='qemu' queues='2'/>"
REFUSED = (
    refused("NIC with several queues", "with multiqueue", devices=(f"<interface type='bridge'>{QUEUES}</interface>",)),
    refused(
        "user-mode NIC",
        "its connections live in the QEMU process of one host",
        devices=("<interface type='user'><model type='virtio'/></interface>",),
    ),
    refused(
        "writable disk that is not in colo_disks",
        "disk vdy: the guest can write to it, and it is not to be replicated",
        devices=(plain(f"{IMAGES}/lab-other.img", "vdy"),),
    ),
    refused(
        "shareable disk",
        "is shareable: writes of others would not be replicated",
        devices=(plain(f"{IMAGES}/lab-shared.img", "vdx", more="<shareable/>"),),
    ),
    refused(
        "writable floppy",
        "is a floppy that the guest can write to",
        devices=(plain(f"{IMAGES}/lab-floppy.img", "fda", "fdc", device="floppy"),),
    ),
    refused(
        "shared memory (ivshmem)",
        "memory shared with other processes is not in QEMU's checkpoints",
        devices=("<shmem name='lab'><model type='ivshmem-plain'/><size unit='M'>1</size></shmem>",),
    ),
    refused(
        "virtio-crypto",
        "QEMU does not migrate it",
        devices=("<crypto model='virtio' type='qemu'><backend model='builtin'/></crypto>",),
    ),
    refused(
        "directory of the host (9p)",
        "a directory of the host is not replicated",
        devices=(
            "<filesystem type='mount' accessmode='mapped'><source dir='/var/tmp'/><target dir='lab'/></filesystem>",
        ),
    ),
)

VIRTIO_MEM = "<size unit='MiB'>128</size><node>0</node><block unit='MiB'>2</block><requested unit='MiB'>64</requested>"
XHCI = {"usb": "<controller type='usb' model='qemu-xhci'/>"}
# QEMU itself cannot migrate these, or ends when it is a standby with them.
UNMIGRATABLE = (
    refused("sound card usb", "sound model=usb: QEMU does not migrate it", **XHCI, devices=("<sound model='usb'/>",)),
    refused("sound card virtio", "sound model=virtio: QEMU does not migrate it", devices=("<sound model='virtio'/>",)),
    refused(
        "USB serial adapter",
        "target type=usb-serial: QEMU does not migrate it",
        **XHCI,
        devices=("<serial type='null'><target type='usb-serial' port='1'/></serial>",),
    ),
    refused(
        "vdagent channel of QEMU",
        "QEMU before 11.1 does not migrate it",
        devices=("<channel type='qemu-vdagent'><target type='virtio' name='com.redhat.spice.0'/></channel>",),
    ),
    refused(
        "USB disk",
        "on the bus usb: QEMU cannot give it other layers",
        **XHCI,
        devices=(plain(f"{IMAGES}/lab-other.img", "sdx", "usb"),),
    ),
    refused(
        "virtio-mem",
        "QEMU cannot disable RAM discard",
        **PLUGGED,
        devices=(f"<memory model='virtio-mem'><target>{VIRTIO_MEM}</target></memory>",),
    ),
)

GUESTS: tuple[tuple[Device, ...], ...] = (
    (UEFI, HUGEPAGES),
    (*REFUSED, TOO_FEW_PAGES),
    UNMIGRATABLE,
    (DIMM, PANIC),
    (SHARED, FREE_PAGES),
    (Q35,),
    (SCSI_IOTHREAD,),
    (BLOCK_DEVICE, IOTHREAD, SPICE, CHANNEL_DEVICE),
    (TRIMS, processors(4)),
    (SCSI_TRIMS,),
    (BACKED, RAW, USB, WATCHDOG, SOUND),
    (VIRTIO_BLK, VIRTIO_NET, processors(1), SEABIOS, VNC_DEVICE, SERIAL, NO_BALLOON_AT_ALL),
    (SCSI_LUNS, processors(2), TWO_NICS, BALLOON, RNG),
    (SATA, E1000),
    (IDE, CDROM, READ_ONLY),
)


def shape_of(devices: Iterable[Device]) -> dict[str, Any]:
    """The shape of a guest that has them all."""
    shape: dict[str, Any] = {}
    for device in devices:
        for key, value in device.shape.items():
            if isinstance(value, tuple):
                new = tuple(item for item in value if item not in shape.get(key, ()))
                shape[key] = (*shape.get(key, ()), *new)
            elif shape.setdefault(key, value) != value:
                raise ValueError(f"{device.name}: another device of the guest has {key}={shape[key]}")
    return shape
