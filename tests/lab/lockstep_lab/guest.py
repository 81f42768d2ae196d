# SPDX-License-Identifier: GPL-3.0-or-later
"""The guest: an ordinary libvirt domain that boots a kernel and an initramfs and keeps its data on some disks."""

from __future__ import annotations

import ipaddress
import shlex
import uuid
from dataclasses import dataclass

from . import guestimage, hosts, network
from .common import (
    ACK_PORT,
    CLIENT_ADDRESS,
    CLIENT_ADDRESS_6,
    GUEST_ADDRESS,
    GUEST_ADDRESS_6,
    HOSTS,
    Lab,
    LabError,
    say,
)

IMAGES = "/var/lib/libvirt/images"
VIRSH = "virsh -q -c qemu:///system"
VNC = "<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>"
VNC_WITH_PASSWORD = "<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1' passwd='lab-vnc1'/>"
# Left to itself, libvirt takes the firmware with Secure Boot and Microsoft's keys where the machine type has SMM: q35
# has, pc has not. That refuses a -kernel which they have not signed ('BdsDxe: failed to load Boot0002 "UEFI Non-Block
# Boot Device" ...: Not Found' on the serial console) and waits in its menu for ever, in any version of QEMU.
NO_SECURE_BOOT = """
    <firmware>
      <feature enabled='no' name='enrolled-keys'/>
      <feature enabled='no' name='secure-boot'/>
    </firmware>"""
UEFI_MEMORY = 256  # MiB; with 128 its kernel says "EFI stub: ERROR: Failed to decompress kernel"
VIRTIO_SCSI = "<controller type='scsi' index='0' model='virtio-scsi'/>"
NO_BALLOON = "<memballoon model='none'/>"
NO_USB = "<controller type='usb' model='none'/>"


@dataclass(frozen=True)
class Disk:
    """A disk that the guest writes to."""

    target: str
    format: str
    bus: str = "virtio"
    options: str = ""  # more attributes of its <driver>, as XML
    backed: bool = False  # a new image above another one
    device: str | None = None  # the block device that it is, instead of a file


def virtio_disks(formats: dict[str, str]) -> tuple[Disk, ...]:
    """Ordinary ones, from formats by target."""
    return tuple(Disk(target, kind) for target, kind in formats.items())


@dataclass(frozen=True)
class Guest:
    """What a guest shall look like."""

    name: str = "web1"
    address: str = GUEST_ADDRESS
    disks: tuple[Disk, ...] = (Disk("vda", "qcow2"),)
    nics: int = 1
    size: str = "256M"
    machine: str = "pc"
    memory: int = 128
    writer_rate: int = 0
    writer: bool = True
    store: bool = False  # the client says what is written, over TCP, instead of the writer
    ipv6: bool = False  # it has an address of IPv6 as well, and acknowledges to the client's too
    vlan: int = 0  # it acknowledges in frames that are tagged with this number as well
    vhost: bool = True  # as libvirt likes: with vhost wherever the host has it
    nic_model: str = "virtio"
    vcpus: int = 1
    uefi: bool = False  # wants UEFI_MEMORY
    trims: bool = False  # it discards and zeroes parts of its disks, all the time
    kernel: str = guestimage.CLOUD
    graphics: str = VNC
    balloon: str = NO_BALLOON
    usb: str = NO_USB
    devices: tuple[str, ...] = ()  # more of them, as XML
    settings: tuple[str, ...] = ()  # elements beside <devices>, as XML
    numa: str = ""  # <numa> of its <cpu>, as XML
    strict: bool = False  # its QEMU refuses what is deprecated on its monitor

    @property
    def disk_names(self) -> list[str]:
        """How the guest calls its disks, where those that are not virtio are all on one bus."""
        kinds = ["vd" if disk.bus == "virtio" else "sd" for disk in self.disks]
        return [f"{kind}{chr(ord('a') + kinds[:at].count(kind))}" for at, kind in enumerate(kinds)]

    def image(self, disk: Disk) -> str:
        """Where a disk lies on its host."""
        return disk.device or f"{IMAGES}/{self.name}-{disk.target}.{disk.format}"


def _second_address(address: str) -> str:
    """The second card's address: the same host part, in 10.77.1.0/24."""
    return f"10.77.1.{address.rsplit('.', 1)[1]}"


def mac(address: str) -> str:
    """That of the card which has an address."""
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(address).packed[1:])


def command_line(guest: Guest) -> str:
    """The kernel's command line; guest/init reads the lab.* words."""
    # Under TCG the clock watchdog sees pauses of checkpoints as an unstable TSC; told so, it leaves the clock alone.
    # QEMU's TCG forgets to watch pages that the guest writes while the first pass of a migration's dirty bitmap is
    # taken; they stay unwatched until the next TLB flush. A busy guest arrived corrupted 4 times of 6. With page table
    # isolation every system call flushes the TLB, and it did not in 8.
    words = [
        "console=ttyS0",
        "tsc=reliable",
        "no_timer_check",
        "pti=on",
        "panic=-1",
        "quiet",
        f"lab.ip={guest.address}/24",
    ]
    if guest.nics > 1:
        words.append(f"lab.ip2={_second_address(guest.address)}/24")
    words += [f"lab.client={CLIENT_ADDRESS}", f"lab.port={ACK_PORT}", f"lab.rate={guest.writer_rate}"]
    words += [f"lab.writer={int(guest.writer)}", f"lab.disks={','.join(guest.disk_names)}"]
    if guest.ipv6:
        words += [f"lab.ip6={GUEST_ADDRESS_6}/64", f"lab.client6={CLIENT_ADDRESS_6}"]
    if guest.vlan:
        words.append(f"lab.vlan={guest.vlan}")
    if guest.store:
        words.append("lab.store=1")
    if guest.trims:
        words.append("lab.trims=1")
    return " ".join(words)


def domain_xml(guest: Guest, *, kvm: bool, lab: str = Lab.name) -> str:
    """The domain, with nothing in it that knows of COLO.

    Each lab's has a UUID of its own: containers share a kernel, and by its UUID a guest's QEMU is found and ended.
    """
    disks = "".join(
        f"""
    <disk type='{"block" if disk.device else "file"}' device='disk'>
      <driver name='qemu' type='{disk.format}'{disk.options and f" {disk.options}"}/>
      <source {"dev" if disk.device else "file"}='{guest.image(disk)}'/>
      <target dev='{disk.target}' bus='{disk.bus}'/>
    </disk>"""
        for disk in guest.disks
    )
    driver = "" if guest.vhost else "\n      <driver name='qemu'/>"
    addresses = [guest.address, _second_address(guest.address)][: guest.nics]
    nics = "".join(
        f"""
    <interface type='bridge'>
      <mac address='{mac(address)}'/>
      <source bridge='br0'/>
      <model type='{guest.nic_model}'/>{driver}
    </interface>"""
        for address in addresses
    )
    # COLO saves the guest's RAM without QEMU's big lock, which deadlocks under TCG; the shim avoids it. It exists for
    # tests on machines without KVM alone: no real host needs it, and the collection knows nothing of it.
    shim = (
        "" if kvm else f"<qemu:commandline><qemu:env name='LD_PRELOAD' value='{guestimage.SHIM}'/></qemu:commandline>"
    )
    # From QEMU's own list: a command, an argument or a value that a later release will not have.
    strict = "<qemu:deprecation behavior='reject'/>" if guest.strict else ""
    settings, devices = ("".join(f"\n{more}" for more in found) for found in (guest.settings, guest.devices))
    model = "kvm64" if kvm else "qemu64"
    firmware, features = (" firmware='efi'", NO_SECURE_BOOT) if guest.uefi else ("", "")
    identity = uuid.uuid5(uuid.NAMESPACE_DNS, f"{guest.name}.{lab}.lockstep-lab.invalid")
    return f"""<domain type='{"kvm" if kvm else "qemu"}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{guest.name}</name>
  <uuid>{identity}</uuid>
  <title>a guest of the lab</title>
  <memory unit='MiB'>{guest.memory}</memory>
  <vcpu>{guest.vcpus}</vcpu>{settings}
  <os{firmware}>{features}
    <type arch='x86_64' machine='{guest.machine}'>hvm</type>
    <kernel>{guestimage.kernel(guest.kernel)}</kernel>
    <initrd>{guestimage.initrd(guest.kernel)}</initrd>
    <cmdline>{command_line(guest)}</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>{model}</model>{guest.numa}</cpu>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>{disks}
    {guest.usb}{nics}
    <serial type='pty'><log file='/var/log/libvirt/qemu/{guest.name}-console.log' append='on'/></serial>
    <console type='pty'><target type='serial'/></console>
    {guest.graphics}
    <video><model type='vga' vram='8192'/></video>
    {guest.balloon}{devices}
  </devices>
  {shim}{strict}
</domain>
"""


def define(lab: Lab, host: str, guest: Guest, *, start: bool) -> None:
    """Make the images and the domain on a host; what is there already stays, unless it differs in what can be seen."""
    if guest.uefi and guest.memory < UEFI_MEMORY:
        raise LabError(f"{guest.name}: with UEFI and {guest.memory} MiB it would not boot; give it {UEFI_MEMORY}")
    facts = lab.facts()
    if not hosts.ssh(lab, host, "command -v virsh || true").stdout:
        raise LabError(f"{host} is bare: it has no libvirt to define a guest with; the role `host` installs it")
    known = hosts.ssh(lab, host, f"{VIRSH} domstate {guest.name}", check=False)
    if known.returncode == 0:
        say(f"{host}: {guest.name} is defined already ({known.stdout.strip()}); `guest-remove` it for another shape")
    else:
        for disk in guest.disks:
            _make_image(lab, host, guest, disk)
        xml = domain_xml(guest, kvm=bool(facts["kvm"]), lab=lab.name)
        hosts.ssh(lab, host, f"{VIRSH} define --validate /dev/stdin", stdin=xml)
        say(f"{host}: {guest.name} defined, {len(guest.disks)} disk(s) of {guest.size}, {guest.nics} NIC(s)")
    if start and "running" not in known.stdout:
        hosts.ssh(lab, host, f"{VIRSH} start {guest.name}")
        say(f"{host}: {guest.name} started")


def _make_image(lab: Lab, host: str, guest: Guest, disk: Disk) -> None:
    """The image of a disk, unless it is there; a block device has to be."""
    if disk.device:
        return
    image = guest.image(disk)
    create = f"qemu-img create -q -f {disk.format}"
    words = f"{create} {shlex.quote(image)} {guest.size}"
    if disk.backed:
        base = shlex.quote(f"{image}.base")
        words = f"{create} {base} {guest.size} && {create} -F {disk.format} -b {base} {shlex.quote(image)}"
    hosts.ssh(lab, host, f"test -e {shlex.quote(image)} || {{ {words}; }}")


def remove(lab: Lab, name: str) -> None:
    """Remove a guest with its images and whatever was made around them from every host that is on."""
    for host in HOSTS:
        if not hosts.running(lab, host):
            say(f"{host}: is off; {name} was not removed there")
            continue
        hosts.ssh(
            lab,
            host,
            f"{VIRSH} destroy {name} 2>/dev/null; {VIRSH} managedsave-remove {name} 2>/dev/null;"
            f" {VIRSH} undefine --nvram {name} 2>/dev/null; rm -rf {IMAGES}/{name}-* /var/log/libvirt/qemu/{name}*.log",
            check=False,
        )
        if hosts.ssh(lab, host, f"{VIRSH} domstate {name}", check=False).returncode == 0:
            raise LabError(f"{host}: {name} could not be removed")
        say(f"{host}: {name} is gone")


def wait(lab: Lab, address: str = GUEST_ADDRESS, *, timeout: float = 60) -> None:
    """Until the guest answers ping and http to the client."""
    say(f"waiting for the guest at {address} (at most {timeout:g} s)")
    network.inside(lab, ["wait", address, str(timeout)], timeout=timeout + 10)
    say(f"the guest at {address} answers ping and http")
