# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a domain COLO is known to carry, or not to: a table, and how it is asked. What is not in it is not known.

A fact is an element, an attribute or a value of a domain's XML: ``sound``, ``disk/driver@cache``, ``sound@model=usb``.
What is below <devices> begins with the device, what is beside it with its own name. A row's keys are facts, with a|b
for several values; ``path/**`` is all from that path down, ``**/tag`` and ``**@name`` an element or attribute anywhere.
The more exact key decides. Where it takes two things together, as a disk and that the guest writes to it,
unsupported.py decides.

QEMU takes it: ``-only-migratable`` does (asked: 7.2.22, 10.0.13, 11.1.3), or QEMU has no part in it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

RUN = "works (run)"
TAKEN = "works (QEMU takes it)"
REFUSED = "refused"
UNTRIED = "refused until it is tried"

_ONE_HOST = "a device of the host cannot be in two hosts"
_PAST_QEMU = "its packets do not pass through QEMU"
_PAST_LAYERS = "its data does not pass through QEMU's block layer"
_NO_MIGRATION = "QEMU does not migrate it"
_NOT_CHECKPOINTED = "its contents are not in QEMU's checkpoints"
_ELSEWHERE = "of another hypervisor than QEMU"
_IN_CPU = "in the CPU's state, or none"
_NOT_X86 = "only x86 was tried"
_NO_TAP = "only bridge and network have a tap device on a bridge of the host"


@dataclass(frozen=True)
class Row:
    """One answer for some facts. ``keys``: names of facts, divided by blanks, ``|`` between values, ``**`` for any.

    ``verdict`` is one of those above; ``reason`` says why it works though nobody ran it, or why it is refused.
    """

    keys: str
    verdict: str
    reason: str = ""

    @property
    def works(self) -> bool:
        """Whether COLO carries it, as was tried or as QEMU says."""
        return self.verdict in (RUN, TAKEN)


ROWS = (
    # Everywhere
    Row("**/address **/alias **/acpi **/boot", RUN, "where the guest finds a device"),
    Row("**/rom", TAKEN, "a file that both hosts have, or none"),
    Row("**/seclabel **/privateData", TAKEN, "libvirt's own business on each host"),
    Row("**/driver@iommu **/driver@ats **/driver@packed **/driver@page_per_vq", TAKEN, "how a virtio device is seen"),
    Row("**/encryption", REFUSED, "is encrypted: the standby's image would be plain"),
    Row("**/backenddomain", REFUSED, _ELSEWHERE),
    Row("emulator", RUN),
    # Disks
    Row("disk disk@device=disk|cdrom disk@type=file|block disk/readonly", RUN),
    Row("disk@device=floppy disk/target@bus=fdc", TAKEN, "the guest may only read it"),
    Row("disk@device=lun disk@rawio disk@sgio", REFUSED, "SCSI commands pass by the replication"),
    Row(
        "disk@type=volume|network",
        TAKEN,
        "the guest may only read it, and colo_devices_unproven has to name it: it may be another guest's",
    ),
    Row("disk@type=dir", REFUSED, "a directory of the host is not replicated"),
    Row("disk@type=nvme|vhostuser|vhostvdpa", REFUSED, _PAST_LAYERS),
    Row("disk@model=virtio|virtio-transitional|virtio-non-transitional disk@snapshot", TAKEN, "migratable"),
    Row("disk/shareable", TAKEN, "the guest may only read it"),
    Row("disk/target disk/target@dev disk/target@bus=virtio|scsi|sata|ide", RUN),
    Row("disk/target@bus=usb", TAKEN, "the guest may only read it"),
    Row("disk/target@bus=sd", UNTRIED, "an SD card"),
    Row("disk/target@bus=xen|uml", REFUSED, _ELSEWHERE),
    Row("disk/target@removable disk/target@rotation_rate disk/target@tray", TAKEN, "what the guest is told of a disk"),
    Row("disk/serial disk/wwn disk/vendor disk/product disk/geometry/** disk/blockio/**", TAKEN, "the same"),
    Row("disk/driver disk/driver@name disk/driver@type disk/driver@discard disk/driver@detect_zeroes", RUN),
    Row("disk/driver@iothread", RUN),
    Row("disk/driver/iothreads/**", UNTRIED, "several I/O threads of one disk"),
    Row("disk/driver@cache disk/driver@io disk/driver@copy_on_read", TAKEN, "below the layers that are changed"),
    Row("disk/driver@discard_no_unref disk/driver/metadata_cache/**", TAKEN, "of the image alone"),
    Row("disk/driver@error_policy disk/driver@rerror_policy disk/driver@ioeventfd", TAKEN, "of the device alone"),
    Row("disk/driver@event_idx disk/driver@queues disk/driver@queue_size", TAKEN, "of the device alone"),
    Row("disk/source disk/source@file disk/source@dev disk/source@index disk/backingStore/**", RUN),
    Row("disk/source/slices/**", TAKEN, "the standby's image is as large as the slice"),
    Row("disk/source/dataStore/**", UNTRIED, "a qcow2 image with its data in another file"),
    Row("disk/source@fdgroup", REFUSED, "a file that only one host's libvirt was handed"),
    Row("disk/source/reservations/**", REFUSED, "a reservation is held by one host"),
    Row("disk/source/** disk/auth/**", TAKEN, "where a medium is read from"),
    Row("disk/iotune/**", TAKEN, "a limit of the device itself, above the layers that are changed"),
    Row("disk/throttlefilters/**", UNTRIED, "a filter between the device and its image"),
    Row("disk/transient disk/transient@shareBacking", REFUSED, "is transient: its overlay exists on one host"),
    Row("disk/mirror/**", REFUSED, "has a block job of its own: let it end first"),
    # Controllers
    Row("controller controller@index controller@type=ide|sata|scsi|usb|pci|virtio-serial", RUN),
    Row("controller@type=fdc|isa", TAKEN, "part of the machine"),
    Row("controller@type=ccid", REFUSED, "a card reader of the host cannot be in two hosts"),
    Row("controller@type=xenbus controller@maxEventChannels controller@maxGrantFrames", REFUSED, _ELSEWHERE),
    Row("controller@model=qusb1|qusb2", REFUSED, _ELSEWHERE),
    Row("controller@model=ibmvscsi|ncr53c90", REFUSED, _NOT_X86),
    Row("controller@model=buslogic", REFUSED, "QEMU has none"),
    Row("controller@model=virtio-scsi|qemu-xhci|none|pci-root|pcie-root|pcie-root-port", RUN),
    Row("controller@model=piix3|piix4|ich6|piix3-uhci|piix4-uhci|vt82c686b-uhci|ehci|pci-ohci", TAKEN, "migratable"),
    Row("controller@model=ich9-ehci1|ich9-uhci1|ich9-uhci2|ich9-uhci3|nec-xhci", TAKEN, "migratable"),
    Row("controller@model=auto|lsilogic|lsisas1068|lsisas1078|am53c974|dc390|vmpvscsi", TAKEN, "migratable"),
    Row("controller@model=virtio|virtio-transitional|virtio-non-transitional", TAKEN, "migratable"),
    Row("controller@model=pci-bridge|pcie-to-pci-bridge|dmi-to-pci-bridge|pci-expander-bus", TAKEN, "migratable"),
    Row(
        "controller@model=pcie-expander-bus|pcie-switch-upstream-port|pcie-switch-downstream-port", TAKEN, "migratable"
    ),
    Row("controller@ports controller@vectors controller/model/** controller/target/**", TAKEN, "how it is built"),
    Row("controller/master/** controller/pcihole64/** controller/driver/**", TAKEN, "how it is built"),
    # NICs
    Row("interface interface@type=bridge interface/mac/** interface/source interface/source@bridge", RUN),
    Row("interface/target interface/target@dev", RUN),
    Row("interface@type=network interface/source@network", TAKEN, "a tap device, as with a bridge"),
    Row("interface/source@portgroup interface/source@portid interface/source@macTableManager", TAKEN, "of the network"),
    Row("interface/source/ip/** interface/source/route/**", REFUSED, "an address or a route of the host"),
    *(
        Row(keys, TAKEN, "nothing without the type of NIC that has it, which is refused")
        for keys in (
            "interface/source/address interface/source/vendor/** interface/source/product/** interface/source@missing",
            "interface/source/local/** interface/source/reconnect/** interface/source@address interface/source@port",
            "interface/source@dev interface/source@mode interface/source@name interface/source@path",
            "interface/source@type interface/source@switchid interface/source@connectionid",
            "interface/source@portgroupid",
        )
    ),
    Row("interface/target@managed", REFUSED, _NO_TAP),
    Row("interface@type=direct", REFUSED, "a macvtap has no tap device whose packets could be compared"),
    Row("interface@type=vhostuser|vdpa", REFUSED, _PAST_QEMU),
    Row("interface@type=hostdev", REFUSED, _ONE_HOST),
    Row("interface@type=user", REFUSED, "its connections live in the QEMU process of one host"),
    Row("interface@type=client|ethernet|internal|mcast|null|server|udp|vds", REFUSED, _NO_TAP),
    Row("interface/model interface/model@type=virtio|e1000", RUN),
    Row("interface/model@type=virtio-transitional|virtio-non-transitional|e1000e|rtl8139", TAKEN, "migratable"),
    Row("interface/model@type=pcnet|ne2k_pci|vmxnet3|igb", TAKEN, "migratable"),
    Row("interface/model@type=usb-net", REFUSED, _NO_MIGRATION),
    Row("interface/model@type", UNTRIED, "a NIC of this model"),
    Row("interface/driver interface/driver@name=qemu", RUN),
    Row("interface/driver@name=vhost", TAKEN, "colo_vhost says what becomes of a NIC that is with the kernel"),
    Row("interface/driver@queues", TAKEN, "one queue, as without it; several are refused"),
    Row("interface/driver@name=kvm|vfio|xen", REFUSED, _PAST_QEMU),
    Row(
        "interface/driver/** interface/coalesce/** interface/tune/** interface/bandwidth/**", TAKEN, "of the tap device"
    ),
    Row("interface/link/** interface/mtu/** interface/port/** interface/vlan/**", TAKEN, "of the tap device"),
    Row(
        "interface/filterref/**",
        TAKEN,
        "a rule of the host; libvirt starts no standby on a host that has no such filter",
    ),
    Row("interface/script/** interface/downscript/**", REFUSED, "a program that is run as root"),
    Row("interface/backend interface/backend@type=default", TAKEN, "how a tap device is made"),
    Row("interface/backend@tap interface/backend@vhost", TAKEN, "a file of the host"),
    Row("interface/backend@type=passt interface/backend@logFile", REFUSED, "another process has its connections"),
    Row("interface/virtualport/**", UNTRIED, "a port of a switch that is no bridge of the kernel"),
    Row("interface/teaming/**", REFUSED, "during a migration it is another NIC, and COLO's never ends"),
    Row("interface/portForward/**", REFUSED, "its connections live in the QEMU process of one host"),
    Row("interface/ip/** interface/route/** interface/guest/**", REFUSED, _ELSEWHERE),
    Row("interface@managed interface@trustGuestRxFilters", REFUSED, _NO_TAP),
    # Serial lines and channels
    Row("serial serial/target serial/target@port serial/target@type=isa-serial", RUN),
    Row("serial/target/model serial/target/model@name=isa-serial", RUN),
    Row(
        "serial/target@type=isa-debug|pci-serial|serial|virtio serial/target/model@name=isa-debugcon|pci-serial",
        TAKEN,
        "migratable",
    ),
    Row("console console/target console/target@port console/target@type=serial", RUN),
    Row("serial/target/model@name=usb-serial serial/target@type=usb-serial", REFUSED, _NO_MIGRATION),
    Row("console/target/model@name=usb-serial console/target@type=usb-serial", REFUSED, _NO_MIGRATION),
    Row("serial/target/model@name=16550a|pl011|sclpconsole|sclplmconsole|spapr-vty", REFUSED, _NOT_X86),
    Row("console/target/model@name=16550a|pl011|sclpconsole|sclplmconsole|spapr-vty", REFUSED, _NOT_X86),
    Row("serial/target@type=sclp|sclp-serial|sclplm|spapr-vio-serial|system-serial", REFUSED, _NOT_X86),
    Row("console/target@type=sclp|sclp-serial|sclplm|spapr-vio-serial|system-serial", REFUSED, _NOT_X86),
    Row("serial/target@type=lxc|openvz|uml|xen console/target@type=lxc|openvz|uml|xen", REFUSED, _ELSEWHERE),
    Row("console/target/model console/target/model@name=isa-serial|isa-debugcon|pci-serial", TAKEN, "migratable"),
    Row("console/target@type=isa-serial|isa-debug|pci-serial|virtio", TAKEN, "migratable"),
    Row("parallel parallel/target/**", TAKEN, "migratable"),
    Row("serial@tty console@tty parallel@tty", TAKEN, "of this run"),
    Row("channel channel/target channel/target@type=virtio channel/target@name", RUN),
    Row("channel/target@state channel/target@address channel/target@port", TAKEN, "of this run"),
    Row("channel/target@type=guestfwd", REFUSED, "its connections live in the QEMU process of one host"),
    Row("channel/target@type=xen", REFUSED, _ELSEWHERE),
    *(
        row
        for tag, run, others in (
            ("serial", "pty", "file|unix"),
            ("parallel", "", "pty|file|unix"),
            ("console", "pty", "file|unix"),
            ("channel", "file", "pty|unix"),
        )
        for row in (
            *([Row(f"{tag}@type={run}", RUN)] if run else []),
            Row(f"{tag}@type={others}|null|vc|stdio|pipe|spicevmc|spiceport", TAKEN, "each host has its own end of it"),
            Row(f"{tag}@type=dev", TAKEN, "each host has a device of its own there"),
            Row(f"{tag}@type=tcp|udp", UNTRIED, "both hosts would have the connection, and send on it"),
            Row(f"{tag}@type=dbus", UNTRIED, "a channel to a display by D-Bus"),
            Row(f"{tag}@type=qemu-vdagent", REFUSED, "QEMU before 11.1 does not migrate it"),
            Row(f"{tag}@type=nmdm", REFUSED, _ELSEWHERE),
            Row(f"{tag}/source/** {tag}/log/** {tag}/protocol/**", TAKEN, "of the host's end of it"),
        )
    ),
    # Displays
    Row("graphics graphics@type=vnc|spice", RUN),
    Row("graphics@type=egl-headless|sdl|dbus|rdp", UNTRIED, "a display that QEMU draws with the host"),
    Row("graphics@type=desktop", REFUSED, _ELSEWHERE),
    Row("graphics/gl@enable=yes", UNTRIED, "a display that QEMU draws with the host"),
    Row("graphics/listen/** graphics/gl graphics/gl@enable=no graphics/gl@rendernode", TAKEN, "of the host's display"),
    Row(
        "graphics/audio/** graphics/channel/** graphics/clipboard/** graphics/filetransfer/**", TAKEN, "of the display"
    ),
    Row("graphics/image/** graphics/jpeg/** graphics/mouse/** graphics/playback/**", TAKEN, "of the display"),
    Row(
        "graphics/streaming/** graphics/zlib/** graphics@autoport graphics@port graphics@tlsPort",
        TAKEN,
        "of the display",
    ),
    Row("graphics@websocket graphics@socket graphics@listen graphics@address graphics@passwd", TAKEN, "of the display"),
    Row("graphics@passwdValidTo graphics@connected graphics@keymap graphics@sharePolicy", TAKEN, "of the display"),
    Row(
        "graphics@powerControl graphics@defaultMode graphics@display graphics@xauth graphics@p2p",
        TAKEN,
        "of the display",
    ),
    Row("graphics@fullscreen graphics@username", TAKEN, "of the display"),
    Row("graphics@multiUser graphics@replaceUser", REFUSED, _ELSEWHERE),
    Row("video video/model video/model@type=vga", RUN),
    Row("video/model@type=cirrus|bochs|virtio|ramfb|vmvga|none", TAKEN, "migratable"),
    Row("video/model@type=qxl", REFUSED, "it was reported to end a standby's QEMU (QEMU's issue 839)"),
    Row("video/model@type=gop|vbox|xen", REFUSED, _ELSEWHERE),
    Row("video/model@blob=on", UNTRIED, "memory that is shared with the host's display"),
    Row("video/model/acceleration@accel3d=yes", REFUSED, "its state is in the graphics card of one host"),
    Row("video/driver@name=vhostuser", REFUSED, "its state is in another process"),
    Row(
        "video/model/resolution/** video/model/acceleration video/model/acceleration@accel2d", TAKEN, "how it is built"
    ),
    Row("video/model/acceleration@accel3d=no video/model/acceleration@rendernode", TAKEN, "how it is built"),
    Row("video/model@heads video/model@primary video/model@ram video/model@vram video/model@vram64", TAKEN, "the same"),
    Row("video/model@vgamem video/model@blob=off video/driver video/driver@vgaconf", TAKEN, "how it is built"),
    Row("video/driver@name=qemu", TAKEN, "QEMU's own"),
    # Input and sound
    Row("input input@type=tablet|mouse|keyboard input@bus=ps2|usb", RUN),
    Row("input@type=passthrough", REFUSED, _ONE_HOST),
    Row("input@type=evdev", REFUSED, "what is typed at one host would reach one of the two copies"),
    Row(
        "input@bus=virtio input@model=virtio|virtio-transitional|virtio-non-transitional input/driver input/source/**",
        TAKEN,
        "migratable",
    ),
    Row("input@bus=xen", REFUSED, _ELSEWHERE),
    Row("hub hub@type=usb", TAKEN, "migratable"),
    Row("sound sound@model=ich6", RUN),
    Row("sound@model=ich7|ich9|ac97|es1370|sb16|pcspk", TAKEN, "migratable"),
    Row("sound@model=usb|virtio", REFUSED, _NO_MIGRATION),
    Row(
        "sound/audio/** sound/codec/** sound/driver sound@multichannel sound@streams audio/**",
        TAKEN,
        "what is heard is the host's business",
    ),
    # Memory
    Row("memballoon memballoon@model=virtio|none memballoon/stats/**", RUN),
    Row("memballoon@model=virtio-transitional|virtio-non-transitional memballoon/driver", TAKEN, "migratable"),
    Row("memballoon@autodeflate memballoon@freePageReporting=off", TAKEN, "migratable"),
    Row("memballoon@freePageReporting=on", UNTRIED, "memory that the guest gives back behind the checkpoints"),
    Row("memballoon@model=xen", REFUSED, _ELSEWHERE),
    Row("memory@model=dimm", UNTRIED, "memory beside the machine's own"),
    Row("memory@model=nvdimm|virtio-pmem|sgx-epc", REFUSED, _NOT_CHECKPOINTED),
    Row("memory@model=virtio-mem", REFUSED, "a standby with it ends: QEMU cannot disable RAM discard"),
    Row("memory@access=shared", UNTRIED, "memory that other processes may share"),
    Row(
        "memory memory/source/** memory/target/** memory/uuid memory@access=private memory@discard",
        TAKEN,
        "how it is built",
    ),
    Row("memoryBacking memoryBacking/hugepages/**", RUN),
    Row("memoryBacking/access@mode=shared", UNTRIED, "memory that other processes may share"),
    Row("memoryBacking/locked", UNTRIED, "a standby has twice the guest's memory, and would lock all of it"),
    Row(
        "memoryBacking/source memoryBacking/source@type=anonymous|file|memfd", TAKEN, "a file like huge pages, or none"
    ),
    Row("memoryBacking/access memoryBacking/access@mode=private memoryBacking/nosharepages", TAKEN, "memory like any"),
    Row("memoryBacking/allocation/** memoryBacking/discard", TAKEN, "memory like any"),
    Row("shmem/**", REFUSED, "memory shared with other processes is not in QEMU's checkpoints"),
    # Others
    Row("rng rng@model=virtio rng/backend rng/backend@model=random", RUN),
    Row("rng@model=virtio-transitional|virtio-non-transitional rng/driver rng/rate/**", TAKEN, "migratable"),
    Row("rng/backend@model=builtin", TAKEN, "migratable"),
    Row("rng/backend@model=egd rng/backend/** rng/backend@type", UNTRIED, "random numbers from another process"),
    Row("watchdog watchdog@model=i6300esb watchdog@action", RUN),
    Row("watchdog@model=ib700|itco", TAKEN, "migratable"),
    Row("watchdog@model=diag288", REFUSED, _NOT_X86),
    Row("panic panic@model=isa|hyperv|pvpanic", TAKEN, "migratable"),
    Row("panic@model=pseries|s390 nvram/**", REFUSED, _NOT_X86),
    Row("pstore/**", UNTRIED, "a file of the host that the guest writes to"),
    Row("iommu iommu@model=intel|virtio iommu/driver/**", UNTRIED, "an IOMMU"),
    Row("iommu@model=amd", REFUSED, _NO_MIGRATION),
    Row("iommu@model=smmuv3", REFUSED, _NOT_X86),
    Row("crypto/**", REFUSED, _NO_MIGRATION),
    Row("filesystem/**", REFUSED, "a directory of the host is not replicated"),
    Row("hostdev/**", REFUSED, _ONE_HOST),
    Row("lease/**", REFUSED, "a lease is held by one host"),
    Row("redirdev/**", REFUSED, "a redirected USB device is connected to one host"),
    Row("redirfilter/**", TAKEN, "nothing without a redirected device"),
    Row("smartcard/**", REFUSED, "a card reader of the host cannot be in two hosts"),
    Row("tpm/**", REFUSED, "its state is not in QEMU's checkpoints"),
    Row("vsock/**", REFUSED, "its connections end in the kernel of one host"),
    # Beside the devices
    Row("domain@type=kvm|qemu", RUN),
    Row("domain@type", REFUSED, _ELSEWHERE),
    Row("os os/type os/type@arch=x86_64 os/type@machine os/kernel os/initrd os/cmdline", RUN),
    Row("os@firmware=efi os/firmware/** os/loader os/loader@readonly=yes os/loader@type=pflash", RUN),
    Row("os/nvram os/nvram@template", RUN),
    Row("os@firmware=bios os/loader@readonly=no os/loader@type=rom os/loader@secure", TAKEN, "part of the machine"),
    Row("os/loader@stateless os/loader@format", TAKEN, "part of the machine"),
    Row("os/nvram@format os/nvram@templateFormat", TAKEN, "of each host's own file"),
    Row(
        "os/nvram@type os/nvram/source os/nvram/source@file os/nvram/source@index",
        TAKEN,
        "a file of each host; another kind is refused",
    ),
    Row("os/nvram/source/address os/nvram/source/**", REFUSED, "a UEFI variable store that is no file of the host"),
    Row("os/boot/** os/bootmenu/** os/bios/** os/smbios/** os/acpi/** os/shim", TAKEN, "what the guest boots by"),
    Row("os/dtb", REFUSED, _NOT_X86),
    Row("os/init os/initarg os/initdir os/initenv/** os/initgroup os/inituser os/root", REFUSED, _ELSEWHERE),
    Row("os/type@arch=i686", TAKEN, "a guest of the same QEMU"),
    Row("os/type@arch", REFUSED, _NOT_X86),
    Row("os/type@machine=xenfv|xenpv|xenpvh", REFUSED, "only the machine types pc and q35 were tried"),
    Row("cpu cpu@mode cpu/model/**", RUN),
    Row("cpu@migratable=off", REFUSED, "it has features of the host that cannot be migrated"),
    Row("cpu/numa/cell@memAccess=shared", UNTRIED, "memory that other processes may share"),
    Row("cpu@deprecated_features", REFUSED, _NOT_X86),
    Row("cpu/** cpu@check cpu@match cpu@migratable", TAKEN, "what the guest sees, and the same on both hosts"),
    Row("features features/acpi features/apic", RUN),
    Row("features/xen/** features/hap/** features/viridian features/privnet", REFUSED, _ELSEWHERE),
    Row("features/capabilities/**", REFUSED, _ELSEWHERE),
    Row("features/aia/** features/ccf-assist/** features/cfpc/** features/gic/** features/hpt/**", REFUSED, _NOT_X86),
    Row("features/htm/** features/ibs/** features/nested-hv/** features/ras/** features/sbbc/**", REFUSED, _NOT_X86),
    Row("features/kvm/dirty-ring@state=on", UNTRIED, "another way to find out what the guest has written"),
    Row("features/hyperv@mode=passthrough", REFUSED, "what the CPU of one host offers is not migrated"),
    Row("features/hyperv/evmcs@state=on", UNTRIED, "a hypervisor within the guest"),
    Row("features/hyperv/emsr_bitmap@state=on", UNTRIED, "a hypervisor within the guest"),
    Row(
        "features/hyperv features/hyperv@mode=custom features/hyperv/relaxed/** features/hyperv/vapic/**",
        TAKEN,
        _IN_CPU,
    ),
    Row("features/hyperv/spinlocks/** features/hyperv/vpindex/** features/hyperv/runtime/**", TAKEN, _IN_CPU),
    Row("features/hyperv/synic/** features/hyperv/stimer/** features/hyperv/reset/**", TAKEN, _IN_CPU),
    Row("features/hyperv/vendor_id/** features/hyperv/frequencies/** features/hyperv/tlbflush/**", TAKEN, _IN_CPU),
    Row("features/hyperv/ipi/** features/hyperv/avic/** features/hyperv/xmm_input/**", TAKEN, _IN_CPU),
    Row("features/hyperv/evmcs features/hyperv/evmcs@state=off features/hyperv/emsr_bitmap", TAKEN, _IN_CPU),
    Row("features/hyperv/emsr_bitmap@state=off", TAKEN, _IN_CPU),
    Row("features/hyperv/reenlightenment/**", TAKEN, "with a frequency of the TSC, without which it is refused"),
    Row(
        "features/kvm features/kvm/hidden/** features/kvm/hint-dedicated/** features/kvm/poll-control/**",
        TAKEN,
        _IN_CPU,
    ),
    Row("features/kvm/pv-ipi/** features/kvm/dirty-ring features/kvm/dirty-ring@state=off", TAKEN, _IN_CPU),
    Row("features/kvm/dirty-ring@size", TAKEN, "nothing without the ring"),
    Row("features/apic/** features/async-teardown/**", TAKEN, _IN_CPU),
    Row("features/ioapic/** features/msrs/** features/pmu/** features/ps2/**", TAKEN, "in the machine's state"),
    Row(
        "features/pvspinlock/** features/smm/** features/tcg/** features/vmcoreinfo/**", TAKEN, "in the machine's state"
    ),
    Row("features/pae features/vmport/**", TAKEN, "in the machine's state"),
    Row("clock clock@offset", RUN),
    Row(
        "clock/timer/** clock@adjustment clock@basis clock@start clock@timezone",
        TAKEN,
        "the guest's clock is in its state",
    ),
    Row("launchSecurity/**", REFUSED, "encrypted guest memory cannot be checkpointed"),
    Row("keywrap/**", REFUSED, _NOT_X86),
    Row("domain/bootloader domain/bootloader_args domain/idmap domain/datacenterpath", REFUSED, _ELSEWHERE),
    Row("domain/namespace", REFUSED, _ELSEWHERE),
    Row("domain/name domain/uuid domain/metadata domain/title domain/devices", RUN),
    Row("domain/memory domain/currentMemory domain/vcpu domain/iothreads domain/iothreadids", RUN),
    Row("domain/on_poweroff domain/on_reboot domain/on_crash domain/seclabel", RUN),
    Row("domain/vcpus domain/cputune domain/memtune domain/blkiotune domain/numatune", TAKEN, "the host's business"),
    Row("domain/defaultiothread domain/throttlegroups domain/perf domain/resource", TAKEN, "the host's business"),
    Row("domain/description domain/on_lockfailure", TAKEN, "libvirt's own business on each host"),
    Row(
        "domain/maxMemory domain/genid domain/pm domain/sysinfo",
        TAKEN,
        "what the guest sees, and the same on both hosts",
    ),
    Row("domain/commandline domain/override domain/capabilities domain/deprecation", TAKEN, "looked at one by one"),
)


@functools.cache
def _by_key() -> dict[str, Row]:
    table: dict[str, Row] = {}
    for row in ROWS:
        for key in row.keys.split():
            path, equals, values = key.partition("=")
            for value in values.split("|"):
                name = f"{path}{equals}{value}"
                if table.setdefault(name, row) is not row:
                    raise ValueError(f"{name} has two rows")
    return table


def row_of(fact: str) -> Row | None:
    """The row that decides about a fact, the most particular first; None when it is not known."""
    return next((row for key in _keys(fact) if (row := _by_key().get(key)) is not None), None)


def _keys(fact: str) -> Iterator[str]:
    yield fact
    named, equals, _value = fact.partition("=")
    if equals:
        yield named
    path, _at, name = named.partition("@")
    parts = path.split("/")
    if name:
        yield f"**/{parts[-1]}@{name}"
    for depth in range(len(parts), 0, -1):
        yield f"**/{parts[depth - 1]}"
        yield f"{'/'.join(parts[:depth])}/**"


def takes_values(named: str) -> bool:
    """Whether the table knows some values of this attribute, rather than the attribute."""
    return named in _valued()


@functools.cache
def _valued() -> frozenset[str]:
    return frozenset(key.partition("=")[0] for key in _by_key() if "=" in key)
